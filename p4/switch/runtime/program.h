/* What a generated program and the fixed runtime share: the packet in flight, and the description by
   which the runtime runs a program. A program is one C file that defines `wf_program`. */
#ifndef WEFT_P4_PROGRAM_H
#define WEFT_P4_PROGRAM_H
#include <stddef.h>

#include "arith.h"
#include "weft_p4.h"

/* What a block returns. Exit ends the block; reject ends the parser with pk->error set. */
enum { WF_DONE, WF_EXIT, WF_REJECT };
enum { WF_EXACT, WF_LPM, WF_TERNARY, WF_RANGE };
enum { WF_CALL_ACTION, WF_CALL_MEMBER, WF_CALL_GROUP };
enum { WF_CRC32, WF_CRC32_CUSTOM, WF_CRC16, WF_CRC16_CUSTOM, WF_RANDOM, WF_IDENTITY, WF_CSUM16,
       WF_XOR16, WF_XXH64 };
enum { WF_PACKETS = 1, WF_BYTES = 2 };
enum { WF_EVENT_BLOCK, WF_EVENT_STATE, WF_EVENT_TABLE, WF_EVENT_MISS, WF_EVENT_ACTION,
       WF_EVENT_ASSIGN, WF_EVENT_EXTRACT, WF_EVENT_SEND, WF_EVENT_DROP, WF_EVENT_REJECT };

/* A pass through the pipeline may loop this often (parser states and loops together); what goes on
   longer would hang the switch, and is given up. */
#define WF_STEPS 1000000u

/* standard_metadata_t as the runtime sees it; the program masks to its declared widths. */
struct wf_standard {
    uint32_t f_ingress_port, f_egress_spec, f_egress_port, f_instance_type, f_packet_length;
    uint32_t f_enq_timestamp, f_enq_qdepth, f_deq_timedelta, f_deq_qdepth;
    uint32_t f_mcast_grp, f_egress_rid, f_checksum_error, f_parser_error, f_priority;
    uint64_t f_ingress_global_timestamp, f_egress_global_timestamp;
};

/* One packet on its way: bytes, parse position, metadata, and what the program asked for. */
struct wf_packet {
    struct wf_switch *s;
    struct wf_packet *next; /* in a queue of the traffic manager */
    const uint8_t *data;    /* as it entered this pass; the payload stays here */
    uint8_t *out;           /* where the deparser writes */
    void *phv;              /* headers and user metadata */
    uint32_t length, at;    /* bytes; parse position */
    uint32_t out_length, out_room;
    uint32_t error, steps, truncate; /* truncate: 0 = no, else bytes + 1 */
    uint32_t clone_session, clone_list, resubmit, recirculate; /* 0 = no, else number + 1 */
    uint32_t digest; /* 0 = no, else which + 1; its words lie in the switch */
    uint8_t checksum_error, overrun, clone, session_pending;
    uint32_t session_length;
    struct wf_standard sm;
};

struct wf_action_call {
    uint32_t kind, target, words;
    uint64_t data[];
};

struct wf_meter {
    int configured;
    double rate[2], burst[2], tokens[2];
    uint64_t last_us;
};

struct wf_entry {
    struct wf_entry *next[2]; /* per side of the table, see match.c */
    struct wf_action_call *call;
    uint64_t hash, hit_us, idle_us, counts[2];
    int64_t rank;
    struct wf_meter meter;
    uint64_t words[]; /* key, mask, high: key_words each */
};

struct wf_key {
    uint32_t kind, width, word;
};

struct wf_table_info {
    uint32_t keys, key_words;
    const struct wf_key *key;
    uint32_t default_action, default_words;
    const uint64_t *default_data;
    int32_t profile; /* -1: none */
};

struct wf_cells_info {
    uint32_t size, words; /* words per cell; for meters: WF_PACKETS or WF_BYTES */
};

struct wf_set_info {
    uint32_t key_words;
};

struct wf_program {
    uint32_t phv_size, meta_offset, meta_size, drop_port, digest_words;
    uint32_t tables, profiles, registers, counters, meters, sets;
    const struct wf_table_info *table;
    const struct wf_cells_info *reg, *counter, *meter; /* meter size 0: direct */
    const struct wf_set_info *set;
    int (*parse)(struct wf_packet *);
    int (*verify)(struct wf_packet *);
    int (*ingress)(struct wf_packet *);
    int (*egress)(struct wf_packet *);
    int (*update)(struct wf_packet *);
    int (*deparse)(struct wf_packet *);
    void (*keep)(uint32_t list, void *to, const void *from); /* metadata of a field list */
};
extern const struct wf_program wf_program;

/* ---- what generated code calls ---- */

struct wf_entry *wf_lookup(struct wf_switch *s, uint32_t table, const uint64_t *key);
/* The action to run for an entry (or NULL: the default); NULL: an empty group, so no action. */
const struct wf_action_call *wf_call_of(struct wf_packet *pk, uint32_t table, struct wf_entry *e,
                                        uint64_t selector_hash);
int wf_is_group(struct wf_switch *s, const struct wf_entry *e, uint32_t table);
struct wf_entry **wf_current(struct wf_switch *s); /* for direct counters and meters */
int wf_in_set(struct wf_switch *s, uint32_t set, const uint64_t *key);
uint64_t *wf_cell(struct wf_switch *s, uint32_t index, uint64_t cell); /* of a register, or NULL */
void wf_count(struct wf_packet *pk, uint32_t counter, uint64_t cell);
void wf_count_direct(struct wf_packet *pk, uint32_t table);
uint32_t wf_meter_run(struct wf_packet *pk, uint32_t meter, uint64_t cell);
uint32_t wf_meter_direct(struct wf_packet *pk, uint32_t meter, uint32_t table);
uint64_t wf_hash(struct wf_switch *s, uint32_t algorithm, const uint8_t *data, uint32_t bits,
                 const uint8_t *payload, uint32_t payload_bytes);
uint64_t wf_random(struct wf_switch *s, uint64_t low, uint64_t high);
uint64_t *wf_digest_slot(struct wf_packet *pk, uint32_t which); /* digest_words words */
void wf_assert_failed(struct wf_packet *pk);
void wf_log_text(struct wf_switch *s, const char *text, uint32_t length);
void wf_log_number(struct wf_switch *s, const uint64_t *words, uint32_t count);
void wf_log_signed(struct wf_switch *s, uint64_t value, uint32_t bits);
void wf_event(struct wf_switch *s, uint32_t kind, uint32_t subject, uint64_t value);

#ifdef WEFT_TRACE
#define WF_TRACE(kind, subject, value) wf_event(pk->s, kind, subject, (uint64_t)(value))
#else
#define WF_TRACE(kind, subject, value) ((void)0)
#endif

#define WF_STEP()                          \
    do {                                   \
        if (++pk->steps > WF_STEPS) {      \
            pk->overrun = 1;               \
            return WF_EXIT;                \
        }                                  \
    } while (0)
#endif
