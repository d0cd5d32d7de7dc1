/* The stable C interface of a compiled P4 program: packet and port in, packets and effects out.

   Python reads this file through cffi, so it holds plain declarations only. One thread at a time
   may call wf_run*; another may call the control functions meanwhile (they never stop packets).
   Values cross the interface as words: a field of w bits takes max(1, ceil(w/64)) uint64_t, the
   least significant first, unused high bits zero (signed fields too: two's complement, masked). */
#ifndef WEFT_P4_H
#define WEFT_P4_H
#include <stdint.h>

struct wf_switch;
struct wf_entry;

struct wf_output {
    uint32_t port;
    uint32_t length; /* bytes */
    const uint8_t *data;
};

/* What one call of a table action needs. kind: 0 an action, 1 a member, 2 a group of a profile. */
struct wf_call {
    uint32_t kind;
    uint32_t target; /* action index in the table (0), or the member's or group's number */
    uint32_t words;
    const uint64_t *data;
};

/* Trace events; `subject` numbers something in the program's own lists. */
struct wf_event {
    uint32_t kind;
    uint32_t subject;
    uint64_t value;
};

struct wf_stats {
    uint64_t received;
    uint64_t sent;
    uint64_t dropped;  /* by the program: egress_spec 511 or an empty group */
    uint64_t overruns; /* packets given up: endless loop, or more copies than memory holds */
    uint64_t failed_asserts;
};

struct wf_switch *wf_open(uint64_t seed); /* NULL: out of memory */
void wf_close(struct wf_switch *s);

/* Runs one packet to the end; returns how many packets leave. They lie at wf_outputs until the next
   call. Times are microseconds since the switch started. */
uint32_t wf_run(struct wf_switch *s, uint32_t port, const uint8_t *data, uint32_t length,
                uint64_t now_us);
const struct wf_output *wf_outputs(const struct wf_switch *s);
/* Runs `count` packets that lie one after another (packet i at offsets[i], up to offsets[i + 1]),
   `rounds` times over; returns how many packets left. */
uint64_t wf_run_many(struct wf_switch *s, uint32_t port, const uint8_t *data,
                     const uint32_t *offsets, uint32_t count, uint32_t rounds, uint64_t now_us);
void wf_stats_read(const struct wf_switch *s, struct wf_stats *stats);

/* Entries. `mask` and `high` may be NULL for exact tables; higher `rank` wins (an LPM table's rank
   is the prefix length). NULL: out of memory. */
struct wf_entry *wf_insert(struct wf_switch *s, uint32_t table, const uint64_t *key,
                           const uint64_t *mask, const uint64_t *high, int64_t rank,
                           const struct wf_call *call, uint64_t idle_us, uint64_t now_us);
int wf_modify(struct wf_switch *s, struct wf_entry *e, const struct wf_call *call);
int wf_remove(struct wf_switch *s, uint32_t table, struct wf_entry *e);
int wf_set_default(struct wf_switch *s, uint32_t table, const struct wf_call *call);
uint64_t wf_entry_idle(const struct wf_entry *e, uint64_t now_us); /* us since the last hit */
/* Counts of an entry, or of the default action when `e` is NULL. */
void wf_direct_read(struct wf_switch *s, uint32_t table, struct wf_entry *e, uint64_t counts[2]);
void wf_direct_write(struct wf_switch *s, uint32_t table, struct wf_entry *e,
                     const uint64_t counts[2]);

int wf_member(struct wf_switch *s, uint32_t profile, uint32_t member, const struct wf_call *call);
int wf_group(struct wf_switch *s, uint32_t profile, uint32_t group, const uint32_t *members,
             uint32_t count);

int wf_value_set(struct wf_switch *s, uint32_t set, const uint64_t *low, const uint64_t *mask,
                 const uint64_t *high, uint32_t count);

uint64_t *wf_register(struct wf_switch *s, uint32_t index); /* cells one after another */
uint64_t *wf_counter(struct wf_switch *s, uint32_t index);  /* packets, bytes per cell */
/* Two rates in units (packets or bytes) per microsecond and bursts in units; the first is the
   committed one. A meter without rates is always green. `e` NULL: the cell of an indexed meter. */
int wf_meter_rates(struct wf_switch *s, uint32_t meter, uint32_t cell, struct wf_entry *e,
                   int configured, const double rate[2], const double burst[2]);

/* A multicast group or clone session is a list of copies. session copies: length 0 = whole. */
int wf_multicast(struct wf_switch *s, uint32_t group, const uint32_t *ports, const uint32_t *rids,
                 uint32_t count);
int wf_clone_session(struct wf_switch *s, uint32_t session, const uint32_t *ports,
                     const uint32_t *rids, uint32_t count, uint32_t group, uint32_t length);

/* Takes the oldest digest: returns its words and sets *which; 0 when there is none. */
uint32_t wf_digest(struct wf_switch *s, uint32_t *which, uint64_t *words, uint32_t capacity);

void wf_custom_crc(struct wf_switch *s, uint32_t width, uint64_t polynomial, uint64_t initial,
                   uint64_t final_xor, int reflect_in, int reflect_out);

/* Events of the last packet; none unless the program was built for tracing. */
uint32_t wf_events(const struct wf_switch *s, const struct wf_event **events);
const uint8_t *wf_log(const struct wf_switch *s, uint32_t *length);
#endif
