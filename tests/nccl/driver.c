/*
 * Plays NCCL: loads the plugin, takes one version of its table and walks the calls in the orders in
 * which NCCL makes them, between two processes, checking every byte and size that arrives.
 *
 *     driver PLUGIN VERSION SCENARIO        prints "ok", or says what was wrong and exits with 1
 *
 * Every wait here ends after DEADLINE seconds. All members of the tables are pointers and each
 * version appends to the one before, so a table is a name and an array of functions.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    INIT, DEVICES, PROPERTIES, LISTEN, CONNECT, ACCEPT, REG, REG_DMA, DEREG, ISEND, IRECV, IFLUSH,
    TEST, CLOSE_SEND, CLOSE_RECV, CLOSE_LISTEN, DEVICE_MR, CONSUMED, MAKE_VIRTUAL, FINALIZE, SET_ATTR
};
enum { SUCCESS = 0, INVALID_ARGUMENT = 4, INVALID_USAGE = 5, REMOTE_ERROR = 6 };
enum { DEADLINE = 60, HOST = 1, CUDA = 2, MOST = 8, MANY = 400 };

typedef void (*function)(void);
struct table {
    const char* name;
    function f[21];
};
#define CALL(index, ...) ((int (*)(__VA_ARGS__))net->f[index])

static const struct table* net;
static int version, rank, peer_fd, warnings;
static void* context;

#define CHECK(condition)                                                                     \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            fprintf(stderr, "rank %d, line %d: not so: %s\n", rank, __LINE__, #condition);   \
            _exit(1);                                                                        \
        }                                                                                    \
    } while (0)

static void logger(int level, unsigned long flags, const char* file, int line, const char* format,
                   ...) {
    va_list list;
    (void)file, (void)line;
    CHECK(flags == 16);
    warnings += level == 2;
    va_start(list, format);
    fprintf(stderr, "[%d] ", rank);
    vfprintf(stderr, format, list);
    fputc('\n', stderr);
    va_end(list);
}

/* ---- the table, whatever its version ---- */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double until;
static void begin_wait(void) { until = now() + DEADLINE; }
static void turn(void) {
    CHECK(now() < until);
    sched_yield();
}

static int net_init(void) {
    int config = -1;
    if (version >= 11) {
        return CALL(INIT, void**, uint64_t, int*, void*, void*)(&context, 7, &config,
                                                               (void*)(intptr_t)logger, NULL);
    }
    return version == 10 ? CALL(INIT, void*, void*)((void*)(intptr_t)logger, NULL)
                         : CALL(INIT, void*)((void*)(intptr_t)logger);
}

static int net_listen(int device, void* handle, void** comm) {
    return version >= 11 ? CALL(LISTEN, void*, int, void*, void**)(context, device, handle, comm)
                         : CALL(LISTEN, int, void*, void**)(device, handle, comm);
}

static int net_connect(int device, void* handle, void** comm) {
    void* offload = NULL;
    int config = -1;
    if (version >= 11) {
        return CALL(CONNECT, void*, int, void*, void**, void**)(context, device, handle, comm,
                                                               &offload);
    }
    return version == 10
               ? CALL(CONNECT, int, int*, void*, void**, void**)(device, &config, handle, comm,
                                                                &offload)
               : CALL(CONNECT, int, void*, void**, void**)(device, handle, comm, &offload);
}

static int net_accept(void* listener, void** comm) {
    void* offload = NULL;
    return CALL(ACCEPT, void*, void**, void**)(listener, comm, &offload);
}

static int net_isend(void* comm, void* data, size_t size, int tag, void** request) {
    if (version >= 10) {
        return CALL(ISEND, void*, void*, size_t, int, void*, void*, void**)(comm, data, size, tag,
                                                                           data, NULL, request);
    }
    return version == 9 ? CALL(ISEND, void*, void*, size_t, int, void*, void**)(comm, data, size,
                                                                               tag, data, request)
                        : CALL(ISEND, void*, void*, int, int, void*, void**)(
                              comm, data, (int)size, tag, data, request);
}

static int net_irecv(void* comm, int n, void** data, const size_t* sizes, int* tags, void** request) {
    int small[MOST];
    size_t large[MOST];
    int i;
    for (i = 0; i < n && i < MOST; ++i) {
        small[i] = (int)sizes[i];
        large[i] = sizes[i];
    }
    if (version >= 10) {
        return CALL(IRECV, void*, int, void**, size_t*, int*, void**, void**, void**)(
            comm, n, data, large, tags, data, data, request);
    }
    return version == 9 ? CALL(IRECV, void*, int, void**, size_t*, int*, void**, void**)(
                              comm, n, data, large, tags, data, request)
                        : CALL(IRECV, void*, int, void**, int*, int*, void**, void**)(
                              comm, n, data, small, tags, data, request);
}

static int net_test(void* request, int* done, int* sizes) {
    return CALL(TEST, void*, int*, int*)(request, done, sizes);
}

static void net_close(int which, void* comm) { CHECK(CALL(which, void*)(comm) == SUCCESS); }

/* ---- what NCCL does with it ---- */

static void tell(const void* data, size_t size) {
    CHECK(write(peer_fd, data, size) == (ssize_t)size);
}
static void hear(void* data, size_t size) {
    CHECK(recv(peer_fd, data, size, MSG_WAITALL) == (ssize_t)size);
}
static void meet(void) {
    char c = 'x';
    tell(&c, 1);
    hear(&c, 1);
}

/* Rank 0 receives. */
static void* open_comm(int device) {
    char handle[128];
    void* comm = NULL;
    begin_wait();
    if (rank == 0) {
        void* listener = NULL;
        memset(handle, 0, sizeof handle);
        CHECK(net_listen(device, handle, &listener) == SUCCESS && listener != NULL);
        CHECK(net_accept(listener, &comm) == SUCCESS && comm == NULL); /* nobody can be here yet */
        tell(handle, sizeof handle);
        for (; comm == NULL; turn()) {
            CHECK(net_accept(listener, &comm) == SUCCESS);
        }
        net_close(CLOSE_LISTEN, listener);
    } else {
        hear(handle, sizeof handle);
        for (; comm == NULL; turn()) {
            CHECK(net_connect(device, handle, &comm) == SUCCESS);
        }
    }
    return comm;
}

static void close_comm(void* comm) { net_close(rank == 0 ? CLOSE_RECV : CLOSE_SEND, comm); }

static unsigned char pattern(size_t i, unsigned seed) {
    return (unsigned char)(i * 7 + (i >> 8) * 3 + seed * 131);
}
static unsigned char* filled(size_t size, unsigned seed) {
    unsigned char* data = malloc(size + 1);
    size_t i;
    CHECK(data != NULL);
    for (i = 0; i < size; ++i) {
        data[i] = pattern(i, seed);
    }
    return data;
}
static void check_data(const unsigned char* data, size_t size, unsigned seed) {
    size_t i, wrong = 0;
    for (i = 0; i < size; ++i) {
        wrong += data[i] != pattern(i, seed);
    }
    CHECK(wrong == 0);
}

static void* start_send(void* comm, void* data, size_t size, int tag) {
    void* request = NULL;
    begin_wait();
    for (; request == NULL; turn()) {
        CHECK(net_isend(comm, data, size, tag, &request) == SUCCESS);
    }
    return request;
}

static void finish(void* request, int* sizes) {
    int done = 0;
    begin_wait();
    for (;; turn()) {
        CHECK(net_test(request, &done, sizes) == SUCCESS);
        if (done) {
            return;
        }
    }
}

/* The first result of test() that is not success. */
static int fate(void* request) {
    int done = 0, result;
    begin_wait();
    while ((result = net_test(request, &done, NULL)) == SUCCESS && !done) {
        turn();
    }
    return result;
}

/* ---- scenarios ---- */

static void sizes(void) {
    static const size_t all[] = {0, 1, 63, 4096, 65537, 1 << 20, 64 << 20};
    void* comm = open_comm(0);
    size_t k;
    for (k = 0; k < sizeof all / sizeof *all; ++k) {
        unsigned char* data = filled(all[k] + 100, (unsigned)k + (rank == 0 ? 50 : 0));
        void *memory = NULL, *request = NULL, *flush = &memory;
        int got = -1, tag = 3;
        CHECK(CALL(REG, void*, void*, size_t, int, void**)(comm, data, all[k], HOST, &memory) ==
              SUCCESS);
        if (rank == 0) {
            size_t room = all[k] + (k % 2) * 100; /* NCCL often receives into more than is sent */
            void* buffer = data;
            CHECK(net_irecv(comm, 1, &buffer, &room, &tag, &request) == SUCCESS && request);
            finish(request, &got);
            CHECK((size_t)got == all[k]);
            check_data(data, all[k], (unsigned)k);
            CHECK(data[all[k]] == pattern(all[k], (unsigned)k + 50)); /* and not one byte more */
            CHECK(CALL(IFLUSH, void*, int, void**, int*, void**, void**)(
                      comm, 1, &buffer, &got, &memory, &flush) == SUCCESS && flush == NULL);
        } else {
            finish(start_send(comm, data, all[k], tag), &got);
            CHECK((size_t)got == all[k]);
        }
        CHECK(CALL(DEREG, void*, void*)(comm, memory) == SUCCESS);
        free(data);
    }
    close_comm(comm);
}

/* Grouped receives; equal tags match in order, others as they come; sent in reverse. */
static void groups(void) {
    static int tags[MOST] = {11, 12, 11, 13, 14, 15, 16, 12};
    static const int order[2 * MOST] = {6, 5, 4, 3, 1, 7, 0, 2, 0, 1, 2, 3, 4, 5, 6, 7};
    void* comm = open_comm(0);
    int i, round;
    if (rank == 0) {
        void *requests[2], *data[2][MOST];
        size_t room[MOST];
        int got[MOST];
        for (round = 0; round < 2; ++round) {
            for (i = 0; i < MOST; ++i) {
                room[i] = 5000 + 1000 * (size_t)i;
                data[round][i] = filled(room[i], 99);
            }
            CHECK(net_irecv(comm, MOST, data[round], room, tags, &requests[round]) == SUCCESS);
        }
        for (round = 1; round >= 0; --round) { /* tested in another order than posted */
            finish(requests[round], got);
            for (i = 0; i < MOST; ++i) {
                CHECK(got[i] == 1000 * i + round);
                check_data(data[round][i], (size_t)got[i], (unsigned)(round * MOST + i));
                free(data[round][i]);
            }
        }
        CHECK(net_irecv(comm, MOST + 1, data[0], room, tags, &requests[0]) == INVALID_ARGUMENT);
    } else {
        for (round = 0; round < 2; ++round) {
            for (i = 0; i < MOST; ++i) {
                int part = order[round * MOST + i];
                size_t size = 1000 * (size_t)part + (size_t)round;
                unsigned char* data = filled(size, (unsigned)(round * MOST + part));
                finish(start_send(comm, data, size, tags[part]), NULL);
                free(data);
            }
        }
    }
    meet();
    close_comm(comm);
}

/* A send before any receive says "later"; hundreds under way are tested from the last to the first. */
static void many(void) {
    void* comm = open_comm(0);
    void* requests[MANY];
    unsigned char* data[MANY];
    int i, got, tag = 1;
    void* request = &tag;
    if (rank == 1) {
        CHECK(net_isend(comm, &tag, sizeof tag, 1, &request) == SUCCESS && request == NULL);
    }
    meet();
    for (i = 0; i < MANY; ++i) {
        size_t size = (size_t)i * 37 + (i % 50 == 0 ? 300000 : 0);
        data[i] = filled(size, (unsigned)i + (rank == 0 ? 77 : 0));
        if (rank == 0) {
            void* buffer = data[i];
            CHECK(net_irecv(comm, 1, &buffer, &size, &tag, &requests[i]) == SUCCESS && requests[i]);
        } else {
            requests[i] = start_send(comm, data[i], size, tag);
        }
    }
    for (i = MANY - 1; i >= 0; --i) {
        finish(requests[i], &got);
        CHECK(got == i * 37 + (i % 50 == 0 ? 300000 : 0));
        if (rank == 0) {
            check_data(data[i], (size_t)got, (unsigned)i);
        }
        free(data[i]);
    }
    meet();
    close_comm(comm);
}

/* Closed under the other's feet: whoever still waits hears of it, and buffers are free at once. */
static void closing(void) {
    int i, closer;
    size_t size = 8 << 20;
    for (closer = 0; closer < 2; ++closer) {
        void* comm = open_comm(0);
        void *requests[4] = {NULL, NULL, NULL, NULL}, *data[4];
        int tag = 5, failed = 0;
        for (i = 0; i < 4; ++i) {
            data[i] = filled(size, (unsigned)i);
            if (rank == 0) {
                CHECK(net_irecv(comm, 1, &data[i], &size, &tag, &requests[i]) == SUCCESS);
            } else if (i < 2) {
                requests[i] = start_send(comm, data[i], size, tag);
            }
        }
        meet(); /* all are under way */
        if (rank != closer) {
            meet();
            for (i = 0; i < 4; ++i) {
                if (requests[i] != NULL) {
                    int result = fate(requests[i]);
                    CHECK(result == SUCCESS || result == REMOTE_ERROR);
                    failed += result == REMOTE_ERROR;
                }
            }
            CHECK(rank != 0 || failed >= 2); /* two receives never had a message */
            if (rank == 1) {
                void* request = NULL;
                int result = SUCCESS;
                begin_wait();
                while (result == SUCCESS) { /* there were four receives, so NCCL would go on */
                    result = net_isend(comm, data[0], size, 6, &request);
                    turn();
                }
                CHECK(result == REMOTE_ERROR && request == NULL);
            }
            close_comm(comm);
        } else {
            close_comm(comm);
            meet();
        }
        for (i = 0; i < 4; ++i) {
            free(data[i]);
        }
        meet();
    }
}

/* A peer that dies: an error for every request, within the peer time-out and not after minutes. */
static void killed(void) {
    void* comm = open_comm(0);
    void *requests[4], *data[4];
    size_t size = 1 << 20;
    int i, tag = 5;
    if (rank == 1) {
        meet();
        raise(SIGKILL);
    }
    for (i = 0; i < 4; ++i) {
        data[i] = filled(size, 0);
        CHECK(net_irecv(comm, 1, &data[i], &size, &tag, &requests[i]) == SUCCESS);
    }
    meet();
    for (i = 3; i >= 0; --i) {
        CHECK(fate(requests[i]) == REMOTE_ERROR);
    }
    CHECK(net_irecv(comm, 1, &data[0], &size, &tag, &requests[0]) == REMOTE_ERROR);
    CHECK(warnings > 0);
    close_comm(comm);
    for (i = 0; i < 4; ++i) {
        free(data[i]);
    }
}

/* Under a short WEFT_TIMEOUT_MS: nothing that one waits for comes, and every wait ends. */
static void timeouts(void) {
    void* comm = open_comm(0);
    void *request = NULL, *listener = NULL;
    char buffer[10], handle[128];
    void* data = buffer;
    size_t size = sizeof buffer;
    int tag = 1, result = SUCCESS;
    if (rank == 0) {
        CHECK(net_irecv(comm, 1, &data, &size, &tag, &request) == SUCCESS);
        CHECK(fate(request) == REMOTE_ERROR);
        CHECK(net_listen(0, handle, &listener) == SUCCESS);
        for (begin_wait(); result == SUCCESS; turn()) {
            result = net_accept(listener, &data);
        }
        CHECK(result == REMOTE_ERROR);
        net_close(CLOSE_LISTEN, listener);
    } else {
        for (begin_wait(); result == SUCCESS; turn()) {
            result = net_isend(comm, buffer, size, tag + 1, &request);
        }
        CHECK(result == REMOTE_ERROR && request == NULL);
    }
    meet();
    close_comm(comm);
}

/* What is wrong gets its class of error, and a line in NCCL's log. */
static void refusals(void) {
    void* comm = open_comm(0);
    void *request = NULL, *memory = NULL;
    size_t room = 10;
    int tag = 1, before = warnings;
    char handle[128] = "no handle", buffer[100] = "";
    void* data = buffer;
    CHECK(net_listen(99, handle, &memory) == INVALID_ARGUMENT);
    CHECK(net_connect(0, handle, &memory) == INVALID_ARGUMENT && memory == NULL);
    CHECK(CALL(REG, void*, void*, size_t, int, void**)(comm, buffer, 10, CUDA, &memory) ==
          INVALID_ARGUMENT);
    CHECK(CALL(REG_DMA, void*, void*, size_t, int, uint64_t, int, void**)(
              comm, buffer, 10, CUDA, 0, -1, &memory) == INVALID_USAGE);
    CHECK(warnings >= before + 4);
    if (rank == 0) {
        CHECK(net_irecv(comm, 1, &data, &room, &tag, &request) == SUCCESS);
        finish(request, &tag);
        CHECK(tag == 4);
    } else { /* more than there is room for, then less */
        int result;
        begin_wait();
        while ((result = net_isend(comm, buffer, 11, tag, &request)) == SUCCESS) {
            CHECK(request == NULL);
            turn();
        }
        CHECK(result == INVALID_USAGE);
        finish(start_send(comm, buffer, 4, tag), NULL);
    }
    meet();
    close_comm(comm);
}

/* The two ends in one process, as two GPUs of one process have them. */
static void self(void) {
    char handle[128] = {0};
    void *listener = NULL, *sender = NULL, *receiver = NULL, *in = NULL, *out = NULL;
    unsigned char* data = filled(3 << 20, 1);
    unsigned char* room = filled(3 << 20, 2);
    void* buffer = room;
    size_t size = 3 << 20;
    int tag = 0, done = 0, sent = 0;
    CHECK(net_listen(0, handle, &listener) == SUCCESS);
    begin_wait();
    for (; sender == NULL || receiver == NULL; turn()) {
        CHECK(sender != NULL || net_connect(0, handle, &sender) == SUCCESS);
        CHECK(receiver != NULL || net_accept(listener, &receiver) == SUCCESS);
    }
    CHECK(net_irecv(receiver, 1, &buffer, &size, &tag, &in) == SUCCESS);
    out = start_send(sender, data, size, 0);
    begin_wait();
    for (; !done || !sent; turn()) {
        CHECK(done || net_test(in, &done, &tag) == SUCCESS);
        CHECK(sent || net_test(out, &sent, NULL) == SUCCESS);
    }
    check_data(room, size, 1);
    net_close(CLOSE_SEND, sender);
    net_close(CLOSE_RECV, receiver);
    net_close(CLOSE_LISTEN, listener);
    free(data);
    free(room);
}

struct properties_v8 {
    char *name, *pci;
    uint64_t guid;
    int ptr, global, speed, port;
    float latency;
    int comms, recvs, type, device_version;
};
#define LATER_PROPERTIES(parts)                    \
    char *name, *pci;                              \
    uint64_t guid;                                 \
    int ptr, global, flush, speed, port;           \
    float latency;                                 \
    int comms, recvs, type, device_version, ndevs; \
    int devs[parts];                               \
    size_t p2p, collective
struct properties_v11 { LATER_PROPERTIES(4); int multi; };
struct properties_v12 { LATER_PROPERTIES(8); int multi; int16_t rail, plane; };
#define CHECK_LATER(p)                                                                       \
    CHECK((p).ptr == HOST && (p).recvs == MOST && (p).type == 0 && (p).speed > 0);           \
    CHECK((p).ndevs == 1 && (p).devs[0] == 0 && (p).p2p > (1u << 30) && (p).p2p == (p).collective)

static void properties(void) {
    int count = 0, device = -1;
    CHECK(CALL(DEVICES, int*)(&count) == SUCCESS && count >= 1);
    if (version == 8) {
        struct properties_v8 p;
        CHECK(CALL(PROPERTIES, int, void*)(0, &p) == SUCCESS);
        CHECK(p.ptr == HOST && p.recvs == MOST && p.type == 0 && p.speed > 0 && p.comms > 1000);
        CHECK(strncmp(p.name, "weft:", 5) == 0);
    } else if (version == 12) {
        struct { int n, parts[8]; } one = {1, {0}};
        struct properties_v12 p;
        CHECK(CALL(PROPERTIES, int, void*)(0, &p) == SUCCESS);
        CHECK_LATER(p);
        CHECK(p.multi == 1 && p.rail == -1 && p.plane == -1);
        one.parts[0] = 77;
        CHECK(CALL(MAKE_VIRTUAL, int*, void*)(&device, &one) == INVALID_ARGUMENT);
    } else {
        struct { int n, parts[4]; } all = {0, {0}};
        struct properties_v11 p;
        CHECK(CALL(PROPERTIES, int, void*)(0, &p) == SUCCESS);
        CHECK_LATER(p);
        for (; all.n < count && all.n < 4; ++all.n) {
            all.parts[all.n] = all.n;
        }
        CHECK(CALL(MAKE_VIRTUAL, int*, void*)(&device, &all) == SUCCESS);
        CHECK(CALL(PROPERTIES, int, void*)(device, &p) == SUCCESS && p.ndevs == all.n);
    }
    if (device >= 0) { /* and bytes go over the virtual one */
        void* comm = open_comm(device);
        unsigned char* data = filled(1 << 20, rank == 0 ? 8 : 9);
        void *buffer = data, *request = NULL;
        size_t size = 1 << 20;
        int tag = 0;
        if (rank == 0) {
            CHECK(net_irecv(comm, 1, &buffer, &size, &tag, &request) == SUCCESS);
            finish(request, NULL);
            check_data(data, size, 9);
        } else {
            finish(start_send(comm, data, size, tag), NULL);
        }
        free(data);
        meet();
        close_comm(comm);
    }
    if (version >= 11) {
        int32_t hints[11];
        memset(hints, -1, sizeof hints);
        CHECK(CALL(SET_ATTR, void*, void*)(context, hints) == SUCCESS);
    }
}

static const struct {
    const char* name;
    void (*run)(void);
} scenarios[] = {{"properties", properties}, {"sizes", sizes},   {"groups", groups},
                 {"many", many},             {"self", self},     {"refusals", refusals},
                 {"closing", closing},       {"killed", killed}, {"timeouts", timeouts}};

static int play(const char* path, const char* scenario) {
    char symbol[32];
    void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    size_t i;
    int found = 0;
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    snprintf(symbol, sizeof symbol, "ncclNetPlugin_v%d", version);
    net = dlsym(library, symbol);
    CHECK(net != NULL);
    CHECK(strcmp(net->name, "Weft") == 0);
    CHECK(net_init() == SUCCESS);
    for (i = 0; i < sizeof scenarios / sizeof *scenarios; ++i) {
        if (strcmp(scenario, scenarios[i].name) == 0 ||
            (strcmp(scenario, "all") == 0 && scenarios[i].run != killed &&
             scenarios[i].run != timeouts)) {
            scenarios[i].run();
            found = 1;
        }
    }
    CHECK(found);
    if (version >= 11) {
        CHECK(CALL(FINALIZE, void*)(context) == SUCCESS);
    }
    CHECK(dlclose(library) == 0);
    return 0;
}

int main(int argc, char** argv) {
    int pair[2], status = 0;
    pid_t child;
    if (argc != 4) {
        fprintf(stderr, "usage: %s PLUGIN VERSION SCENARIO|all\n", argv[0]);
        return 2;
    }
    version = atoi(argv[2]);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    child = fork();
    CHECK(child >= 0);
    rank = child == 0;
    peer_fd = pair[rank];
    close(pair[1 - rank]);
    status = play(argv[1], argv[3]);
    if (rank == 1) {
        return status;
    }
    if (status == 0) {
        int theirs = 0;
        CHECK(waitpid(child, &theirs, 0) == child);
        CHECK(strcmp(argv[3], "killed") == 0 ? WIFSIGNALED(theirs) : theirs == 0);
        puts("ok");
    }
    return status;
}
