/*
 * weft.h - the C API of Weft, a software transport and collective-communication library.
 *
 * Plain C99. Conventions, which hold for every function unless its comment says otherwise:
 *
 *  - Functions return a weft_status. On failure weft_last_error() tells, per thread, what was
 * wrong, with which peer, and how to mend it. No function raises a signal, aborts or exits the
 * process.
 *  - All handles are opaque; each is released by the one function that its creator's comment names.
 * Functions may be called from any thread; one handle must not be released while another thread
 * still uses it.
 *  - Time-outs are in nanoseconds from now; WEFT_TIMEOUT_DEFAULT takes the one given in the options
 * (30 minutes where none was). No wait is unbounded.
 *  - An operation that takes `weft_request* request` is asynchronous: it returns at once and the
 * buffers belong to Weft until the request is done (weft_test, weft_wait). With request == NULL it
 * blocks until it is done or fails.
 *  - Counts are in elements of `dtype`, lengths in bytes, ranks in 0..size-1. Zero counts are legal
 * everywhere.
 *  - Structures that callers fill begin with `size_t struct_size`, set by their *_INIT macro, so
 * that old programs run with newer libraries.
 */
#ifndef WEFT_H
#define WEFT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEFT_VERSION_MAJOR 0
#define WEFT_VERSION_MINOR 1
#define WEFT_VERSION_PATCH 0

#if defined(__GNUC__)
#define WEFT_API __attribute__((visibility("default")))
#else
#define WEFT_API
#endif

/* "major.minor.patch" of the library that is loaded (a static string). */
WEFT_API const char* weft_version(void);

/* ---------------------------------------------------------------- status */

typedef enum weft_status {
    WEFT_OK = 0,
    WEFT_IN_PROGRESS =
        1, /* weft_test, weft_wait: not done yet (weft_wait: time-out; the operation goes on) */
    WEFT_ERR_INVALID = -1,     /* an argument is out of its range */
    WEFT_ERR_STATE = -2,       /* right call, wrong moment (e.g. on an aborted communicator) */
    WEFT_ERR_UNSUPPORTED = -3, /* this build, machine or data type cannot do it */
    WEFT_ERR_RESOURCES = -4,   /* out of memory, shared memory, ports or descriptors */
    WEFT_ERR_SYSTEM = -5,      /* a system call failed; the message carries its name and errno */
    WEFT_ERR_TIMEOUT = -6,     /* the operation's deadline passed */
    WEFT_ERR_PEER_DEAD = -7,   /* a peer died or stopped answering */
    WEFT_ERR_UNREACHABLE = -8, /* a peer never came, or cannot be reached */
    WEFT_ERR_MISMATCH =
        -9,              /* ranks called different collectives, counts, data types or reductions */
    WEFT_ERR_AUTH = -10, /* a peer could not prove that it knows the group's secret */
    WEFT_ERR_ABORTED = -11,  /* weft_comm_abort was called here or at a peer */
    WEFT_ERR_SCHEDULE = -12, /* the verifier refused a custom schedule */
    WEFT_ERR_INTERNAL = -13  /* a bug in Weft; please report it with the message */
} weft_status;

/* The name of a status, e.g. "WEFT_ERR_PEER_DEAD" (a static string). */
WEFT_API const char* weft_status_name(weft_status status);

#define WEFT_NO_RANK (-1)

typedef struct weft_error {
    weft_status status;
    int32_t peer_rank; /* rank of the peer at fault in the communicator at hand, or WEFT_NO_RANK */
    uint64_t peer_id;  /* its stable id, or 0 */
    char message[1024];
} weft_error;

/* The last error of the calling thread (status WEFT_OK if there was none). */
WEFT_API void weft_last_error(weft_error* error);

/* ---------------------------------------------------------------- context */

typedef struct weft_context weft_context;

#define WEFT_TIMEOUT_DEFAULT (-1)

typedef struct weft_context_options {
    size_t struct_size;
    /* Shared by all peers. NULL: $WEFT_SECRET; neither: the empty secret (the statistics say so).
     */
    const char* secret;
    /* Comma-separated, in order of preference. NULL: $WEFT_DATAPATHS or "shm,udp". */
    const char* datapaths;
    /* Addresses or interface names for UDP, comma-separated. NULL: $WEFT_INTERFACES or all that are
     * up. */
    const char* interfaces;
    /* "key=value,..." (paths=8,scheduler=least_in_flight,congestion=swift,mtu=...). NULL:
     * $WEFT_TRANSPORT. */
    const char* transport;
    /* Default deadline of operations. 0: $WEFT_TIMEOUT_MS or 30 minutes. */
    int64_t timeout_ns;
    /* Silence after which a peer counts as dead. 0: $WEFT_PEER_TIMEOUT_MS or 1.5 s. */
    int64_t peer_timeout_ns;
    /* How long a waiter spins before it sleeps. -1: adaptive (default), 0: sleep at once. */
    int64_t spin_ns;
} weft_context_options;

#define WEFT_CONTEXT_OPTIONS_INIT {sizeof(weft_context_options), NULL, NULL, NULL, NULL, 0, 0, -1}

/* One context is one engine: its sockets, shared memory and progress thread. `options` may be NULL.
 * Errors: INVALID (unknown option or datapath, named), RESOURCES, SYSTEM. */
WEFT_API weft_status weft_context_create(const weft_context_options* options,
                                         weft_context** context);

/* Releases everything. All communicators and peers of the context must have been released. NULL is
 * ignored. */
WEFT_API weft_status weft_context_destroy(weft_context* context);

/* This process's address: an opaque blob that others give to weft_connect or weft_comm_create. On
 * entry *length is the room in `address`; on return the length of the blob. With too little room
 * (or address NULL): INVALID and *length says how much is needed. */
WEFT_API weft_status weft_context_address(weft_context* context, void* address, size_t* length);

/* Statistics of everything in the context as one JSON object (peers, datapaths, paths, windows,
 * retransmissions, drops per reason, groups and epochs, waits). Same length protocol as
 * weft_context_address; the text is NUL-terminated. */
WEFT_API weft_status weft_stats(weft_context* context, char* json, size_t* length);

/* Exchanges policies of the transport while it runs, for all connections of the context, living and
 * to come: "scheduler=reps,scheduler.freeze_us=500,congestion=nscc". What is not named stays; what
 * is named starts anew, with parameters given in the same call or its defaults. All or nothing.
 * Names and parameters: docs/transport.md. Errors: INVALID (a name or parameter that does not
 * exist; says which do), UNSUPPORTED (no datapath of the context has policies: shared memory has
 * none). */
WEFT_API weft_status weft_set_policies(weft_context* context, const char* policies);

/* The RDMA devices of this machine as one JSON object: {"library": can libibverbs be opened,
 * "reason": why not, "devices": [{"name", "driver", "pci", "numa_node", "ports": [{"number",
 * "active", "link_layer", "gbit", "mtu", "lid", "gids": [{"index", "gid", "type",
 * "interface"}]}]}]}. Same length protocol as weft_stats. Needs no context, no privileges and no
 * RDMA. */
WEFT_API weft_status weft_devices_json(char* json, size_t* length);

/* ---------------------------------------------------------------- requests */

typedef struct weft_request weft_request;

/* WEFT_IN_PROGRESS, or WEFT_OK / the error of the finished operation. Does not release the request.
 * Makes progress. */
WEFT_API weft_status weft_test(weft_request* request);

/* Waits up to timeout_ns. WEFT_IN_PROGRESS when that ran out (the operation goes on). Does not
 * release the request. */
WEFT_API weft_status weft_wait(weft_request* request, int64_t timeout_ns);

/* Waits for all of `count` requests (NULL entries are skipped); the first error found is returned
 * after all have ended. */
WEFT_API weft_status weft_wait_all(weft_request* const* requests, size_t count, int64_t timeout_ns);

/* The error of a finished request, whichever thread asks. */
WEFT_API void weft_request_error(weft_request* request, weft_error* error);

/* Calls done(argument) once, when the request ends: on whatever thread drives the engine then, or
 * at once if it has ended already. `done` must not block and must not call back into Weft except
 * for weft_test, weft_request_error and weft_request_source. */
WEFT_API weft_status weft_request_on_done(weft_request* request, void (*done)(void* argument),
                                          void* argument);

/* Releases a request. One still under way is cancelled where that is possible (point-to-point
 * receives) and otherwise completes on its own: its buffers must stay valid until then. NULL is
 * ignored. */
WEFT_API void weft_request_free(weft_request* request);

/* ---------------------------------------------------------------- peers: point to point without a
 * group */

typedef struct weft_peer weft_peer;

/* Opens (or finds: connections belong to peers and are shared) the connection to the process with
 * this address. Errors: INVALID (not an address), UNREACHABLE, AUTH, TIMEOUT. Release with
 * weft_peer_close. */
WEFT_API weft_status weft_connect(weft_context* context, const void* address, size_t length,
                                  int64_t timeout_ns, weft_peer** peer);

/* The next peer that connected to us and was not claimed yet by weft_accept. */
WEFT_API weft_status weft_accept(weft_context* context, int64_t timeout_ns, weft_peer** peer);

WEFT_API uint64_t weft_peer_id(const weft_peer* peer);
WEFT_API weft_status weft_peer_close(weft_peer* peer);

/* As weft_set_policies, for the connection to one peer. Errors: also STATE (it is not open). */
WEFT_API weft_status weft_peer_set_policies(weft_peer* peer, const char* policies);

/* Takes one path of the connection out of use (denied != 0) or back into it; paths are numbered as
 * in weft_stats. Errors: INVALID (no such path, or the last good one), STATE, UNSUPPORTED. */
WEFT_API weft_status weft_peer_deny_path(weft_peer* peer, uint16_t path, int32_t denied);

/* Messages with equal tags between two peers match in order; the receiver's length must be the
 * sender's (else MISMATCH). */
WEFT_API weft_status weft_send(weft_peer* peer, const void* data, size_t length, uint64_t tag,
                               weft_request** request);
WEFT_API weft_status weft_recv(weft_peer* peer, void* data, size_t length, uint64_t tag,
                               weft_request** request);

/* ---------------------------------------------------------------- one-sided */

typedef struct weft_region weft_region;

#define WEFT_DESCRIPTOR_BYTES 32

/* Registers memory that peers may read and write until it is released. */
WEFT_API weft_status weft_region_register(weft_context* context, void* data, size_t length,
                                          weft_region** region);
WEFT_API void weft_region_descriptor(const weft_region* region,
                                     uint8_t descriptor[WEFT_DESCRIPTOR_BYTES]);
WEFT_API weft_status weft_region_release(weft_region* region);

/* Writes/reads `length` bytes at `offset` of the peer's region. With notify != 0 the owner of the
 * region finds the value in weft_notification once all bytes are in place. Errors: INVALID (outside
 * the region; found by the owner and reported back). */
WEFT_API weft_status weft_write(weft_peer* peer, const void* data, size_t length,
                                const uint8_t descriptor[WEFT_DESCRIPTOR_BYTES], uint64_t offset,
                                uint64_t notify, weft_request** request);
WEFT_API weft_status weft_read(weft_peer* peer, void* data, size_t length,
                               const uint8_t descriptor[WEFT_DESCRIPTOR_BYTES], uint64_t offset,
                               uint64_t notify, weft_request** request);

typedef struct weft_notification {
    uint64_t peer_id; /* who wrote or read */
    uint64_t value;   /* its `notify` */
    uint64_t offset;  /* where, in the region */
    uint64_t length;  /* bytes */
} weft_notification;

/* The next notification of any region of the context. WEFT_IN_PROGRESS when none came in time. */
WEFT_API weft_status weft_notification_wait(weft_context* context, int64_t timeout_ns,
                                            weft_notification* notification);

/* ---------------------------------------------------------------- communicators */

typedef struct weft_comm weft_comm;

typedef struct weft_comm_options {
    size_t struct_size;
    /* For messages and statistics. NULL: "world". */
    const char* name;
    /* Default deadline of this group's operations. 0: the context's. */
    int64_t timeout_ns;
    /* How long to wait for peers at creation. 0: $WEFT_CONNECT_TIMEOUT_MS or 30 s. */
    int64_t connect_timeout_ns;
    /* "all_reduce=ring,all_to_all=direct": overrides of the tuner; "plan=wrap_around" (or whole,
     * ethereal, spray) lets the flow planner decide which path of an edge carries which bytes;
     * "innet=host:port": docs/innet.md. NULL: $WEFT_ALGORITHMS, and $WEFT_INNET. */
    const char* algorithms;
} weft_comm_options;

#define WEFT_COMM_OPTIONS_INIT {sizeof(weft_comm_options), NULL, 0, 0, NULL}

/* The tuner chooses algorithms by what edges and memory cost. Rank 0 of the first group on a host
 * measures that, in some milliseconds, and keeps it in weft/costs-HOSTNAME of the user's cache
 * folder ($XDG_CACHE_HOME or ~/.cache), so that later runs choose alike and floating-point sums
 * repeat bit by bit. $WEFT_COSTS names another file; WEFT_COSTS=default measures nothing and uses
 * built-in figures. Only rank 0's environment counts. */

/* Collective over `size` processes: all call it with the same `group` (an unguessable 64-bit number
 * that somebody drew and spread together with the addresses; never reused), the same list of
 * addresses (rank order) and their own rank. Opens only those connections that do not exist yet.
 * Errors: INVALID, UNREACHABLE (names the rank that never came), AUTH, MISMATCH. */
WEFT_API weft_status weft_comm_create(weft_context* context, uint64_t group, int32_t rank,
                                      int32_t size, const void* const* addresses,
                                      const size_t* lengths, const weft_comm_options* options,
                                      weft_comm** comm);

/* The same with Weft's own rendezvous, for programs started by torchrun, mpirun or srun: rank and
 * size come from RANK/WORLD_SIZE, OMPI_COMM_WORLD_RANK/SIZE, PMI_RANK/SIZE or SLURM_PROCID/NTASKS;
 * rank 0 listens at WEFT_RENDEZVOUS ("host:port", else MASTER_ADDR:MASTER_PORT). Errors: INVALID
 * names the variable that is missing. */
WEFT_API weft_status weft_comm_create_from_environment(weft_context* context,
                                                       const weft_comm_options* options,
                                                       weft_comm** comm);

WEFT_API int32_t weft_comm_rank(const weft_comm* comm);
WEFT_API int32_t weft_comm_size(const weft_comm* comm);

/* Collective. Ranks with equal colour (>= 0) form a new group ordered by (key, rank); colour < 0:
 * *result is NULL. */
WEFT_API weft_status weft_comm_split(weft_comm* comm, int32_t color, int32_t key,
                                     const weft_comm_options* options, weft_comm** result);

/* Ends every operation of the group, here and at all peers, with WEFT_ERR_ABORTED; returns at once.
 * The group is unusable afterwards (STATE). `reason` (may be NULL) is shown to the peers. */
WEFT_API weft_status weft_comm_abort(weft_comm* comm, const char* reason);

/* Local; waits for nothing. Operations under way are aborted. NULL is ignored. */
WEFT_API weft_status weft_comm_destroy(weft_comm* comm);

/* ---------------------------------------------------------------- collectives */

typedef enum weft_dtype {
    WEFT_U8 = 0,
    WEFT_I8,
    WEFT_I16,
    WEFT_I32,
    WEFT_I64,
    WEFT_BOOL,
    WEFT_F16,
    WEFT_BF16,
    WEFT_F32,
    WEFT_F64,
    WEFT_F8_E4M3,
    WEFT_F8_E5M2, /* transport only: reducing them is UNSUPPORTED */
    WEFT_C64,
    WEFT_C128 /* complex of two F32, of two F64: SUM, AVG, PROD, PREMUL_SUM */
} weft_dtype;

/* Bytes of one element; 0 for an unknown type. */
WEFT_API size_t weft_dtype_size(weft_dtype dtype);

typedef enum weft_reduction {
    WEFT_SUM = 0,
    WEFT_AVG,
    WEFT_PROD,
    WEFT_MIN,
    WEFT_MAX,
    WEFT_BAND,
    WEFT_BOR,
    WEFT_BXOR,      /* integers and bool */
    WEFT_PREMUL_SUM /* each input is multiplied by weft_op_options.scale first */
} weft_reduction;

typedef struct weft_op_options {
    size_t struct_size;
    /* Deadline of this operation. 0: the communicator's. */
    int64_t timeout_ns;
    /* NULL: the tuner's choice. */
    const char* algorithm;
    /* PREMUL_SUM */
    double scale;
    /* 0 normal; higher goes first where operations compete. */
    int32_t priority;
    /* Nonzero: nobody is about to wait; the engine's thread is woken to carry the operation on. */
    int32_t background;
} weft_op_options;

#define WEFT_OP_OPTIONS_INIT {sizeof(weft_op_options), 0, NULL, 1.0, 0, 0}

/* All ranks of a group must call the same collectives in the same order with matching arguments; a
 * difference is reported as MISMATCH. In place: input == output (all_reduce, all_to_all is not
 * possible in place unless said; all_gather: input is the own slot of output; reduce_scatter:
 * output is the own slot of input). `options` may be NULL everywhere. The reduction order is fixed:
 * the same inputs give bit-identical outputs on every rank and in every run. */
WEFT_API weft_status weft_all_reduce(weft_comm* comm, const void* input, void* output, size_t count,
                                     weft_dtype dtype, weft_reduction op,
                                     const weft_op_options* options, weft_request** request);
/* `output` counts at the root only. */
WEFT_API weft_status weft_reduce(weft_comm* comm, const void* input, void* output, size_t count,
                                 weft_dtype dtype, weft_reduction op, int32_t root,
                                 const weft_op_options* options, weft_request** request);
WEFT_API weft_status weft_broadcast(weft_comm* comm, const void* input, void* output, size_t count,
                                    weft_dtype dtype, int32_t root, const weft_op_options* options,
                                    weft_request** request);
/* input: count elements; output: size * count. */
WEFT_API weft_status weft_all_gather(weft_comm* comm, const void* input, void* output, size_t count,
                                     weft_dtype dtype, const weft_op_options* options,
                                     weft_request** request);
/* counts[r]: elements of rank r; its slot begins after those of lower ranks. */
WEFT_API weft_status weft_all_gatherv(weft_comm* comm, const void* input, void* output,
                                      const size_t* counts, weft_dtype dtype,
                                      const weft_op_options* options, weft_request** request);
/* input: size * count elements; output: count. */
WEFT_API weft_status weft_reduce_scatter(weft_comm* comm, const void* input, void* output,
                                         size_t count, weft_dtype dtype, weft_reduction op,
                                         const weft_op_options* options, weft_request** request);
WEFT_API weft_status weft_reduce_scatterv(weft_comm* comm, const void* input, void* output,
                                          const size_t* counts, weft_dtype dtype, weft_reduction op,
                                          const weft_op_options* options, weft_request** request);
/* input and output: size * count elements, slot r to and from rank r. */
WEFT_API weft_status weft_all_to_all(weft_comm* comm, const void* input, void* output, size_t count,
                                     weft_dtype dtype, const weft_op_options* options,
                                     weft_request** request);
/* send_counts[r], recv_counts[r] in elements; slots lie one behind the other in rank order. */
WEFT_API weft_status weft_all_to_allv(weft_comm* comm, const void* input, const size_t* send_counts,
                                      void* output, const size_t* recv_counts, weft_dtype dtype,
                                      const weft_op_options* options, weft_request** request);
WEFT_API weft_status weft_gather(weft_comm* comm, const void* input, void* output, size_t count,
                                 weft_dtype dtype, int32_t root, const weft_op_options* options,
                                 weft_request** request);
WEFT_API weft_status weft_scatter(weft_comm* comm, const void* input, void* output, size_t count,
                                  weft_dtype dtype, int32_t root, const weft_op_options* options,
                                  weft_request** request);
WEFT_API weft_status weft_barrier(weft_comm* comm, const weft_op_options* options,
                                  weft_request** request);

#define WEFT_ANY_SOURCE (-1)

/* Point to point inside a group. Messages with equal tag between two ranks match in order. */
WEFT_API weft_status weft_comm_send(weft_comm* comm, const void* data, size_t length, int32_t to,
                                    uint32_t tag, const weft_op_options* options,
                                    weft_request** request);
/* from may be WEFT_ANY_SOURCE; weft_request_source then tells who sent. */
WEFT_API weft_status weft_comm_recv(weft_comm* comm, void* data, size_t length, int32_t from,
                                    uint32_t tag, const weft_op_options* options,
                                    weft_request** request);
WEFT_API int32_t weft_request_source(const weft_request* request);

/* Which algorithm would run for this collective and size, and why: a JSON object (candidates with
 * predicted microseconds). `collective` is the name without prefix, e.g. "all_reduce"; bytes is the
 * size of the larger of input and output per rank. */
WEFT_API weft_status weft_explain(weft_comm* comm, const char* collective, size_t bytes, char* json,
                                  size_t* length);

/* ---------------------------------------------------------------- custom schedules */

typedef struct weft_schedule weft_schedule;

typedef enum weft_buffer { WEFT_INPUT = 0, WEFT_OUTPUT = 1, WEFT_SCRATCH = 2 } weft_buffer;

/* A schedule says, per rank, which chunks to send, receive, copy and reduce (see
 * docs/schedules.md). `collective` names what it must achieve and what the verifier proves, e.g.
 * "all_reduce"; `root` counts for rooted collectives only, 0 otherwise. Blocks are cut into
 * `chunks` equal parts. Release with weft_schedule_free. Errors: INVALID. */
WEFT_API weft_status weft_schedule_create(const char* name, const char* collective, int32_t size,
                                          int32_t chunks, int32_t root, weft_schedule** schedule);
/* A built-in algorithm as a schedule, to look at or to start from. */
WEFT_API weft_status weft_schedule_builtin(const char* algorithm, const char* collective,
                                           int32_t size, int32_t chunks, int32_t root,
                                           weft_schedule** schedule);
WEFT_API weft_status weft_schedule_send(weft_schedule* schedule, int32_t rank, int32_t lane,
                                        int32_t to, weft_buffer buffer, int32_t chunk,
                                        int32_t count);
WEFT_API weft_status weft_schedule_recv(weft_schedule* schedule, int32_t rank, int32_t lane,
                                        int32_t from, weft_buffer buffer, int32_t chunk,
                                        int32_t count);
/* buffer = buffer op incoming */
WEFT_API weft_status weft_schedule_recv_reduce(weft_schedule* schedule, int32_t rank, int32_t lane,
                                               int32_t from, weft_buffer buffer, int32_t chunk,
                                               int32_t count);
WEFT_API weft_status weft_schedule_copy(weft_schedule* schedule, int32_t rank, int32_t lane,
                                        weft_buffer to, int32_t to_chunk, weft_buffer from,
                                        int32_t from_chunk, int32_t count);
WEFT_API weft_status weft_schedule_reduce(weft_schedule* schedule, int32_t rank, int32_t lane,
                                          weft_buffer to, int32_t to_chunk, weft_buffer from,
                                          int32_t from_chunk, int32_t count);
/* Gives a rank one more block of scratch memory, `chunks` chunks long, and tells the first one's
 * number. It is as long as the block of rank `like` (all_gatherv and reduce_scatterv, whose blocks
 * differ), or WEFT_NO_RANK where all are equal. */
WEFT_API weft_status weft_schedule_scratch(weft_schedule* schedule, int32_t rank, int32_t like,
                                           int32_t* first_chunk);
/* The step that the rank got last waits for its step number `step` as well (0: its first), although
 * they share no chunk: pacing. */
WEFT_API weft_status weft_schedule_after(weft_schedule* schedule, int32_t rank, int32_t step);
/* Proves the schedule right or returns SCHEDULE; the message names rank, step and chunk. */
WEFT_API weft_status weft_schedule_verify(weft_schedule* schedule);
/* Verifies, then makes the schedule known to the group under its name: options.algorithm = name
 * runs it. Collective in effect: every rank must register the same schedule. */
WEFT_API weft_status weft_comm_register_schedule(weft_comm* comm, weft_schedule* schedule);
WEFT_API void weft_schedule_free(weft_schedule* schedule);

#ifdef __cplusplus
}
#endif

#endif /* WEFT_H */
