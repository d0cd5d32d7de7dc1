/* The state of one running switch, private to the runtime. */
#ifndef WEFT_P4_SWITCH_H
#define WEFT_P4_SWITCH_H
#include "program.h"

struct wf_group {
    uint64_t *mask;
    int64_t top; /* highest rank in it */
    int full;    /* the mask is all ones */
    uint32_t size, buckets;
    struct wf_entry **heads;
};

struct wf_node {
    struct {
        struct wf_entry *best;
        struct wf_node *child;
    } slot[256];
    struct wf_entry *here; /* entries whose prefix ends in this node */
};

/* One of the two copies of a table's index (left-right; see match.c). */
struct wf_side {
    uint32_t groups;
    struct wf_group *group; /* sorted by `top`, highest first */
    struct wf_node *root;   /* tables with one LPM key */
};

struct wf_table {
    const struct wf_table_info *info;
    struct wf_side side[2];
    int active, trie;
    struct wf_action_call *fallback;
    uint64_t counts[2];    /* of the default action */
    struct wf_meter meter;
};

struct wf_members {
    uint32_t count;
    uint32_t member[];
};

struct wf_profile {
    uint32_t members, groups; /* capacities */
    struct wf_action_call **member;
    struct wf_members **group;
};

struct wf_copies {
    uint32_t count, group, length; /* group: multicast group + 1 */
    uint32_t port_rid[][2];
};

struct wf_set {
    uint32_t count;
    uint64_t words[]; /* low, mask, high per member */
};

struct wf_crc {
    uint32_t width;
    uint64_t polynomial, initial, final_xor;
    int reflect_in, reflect_out;
    uint64_t table[256];
};

#define WF_GROUPS 65536u
#define WF_SESSIONS 32768u
#define WF_ARENA (32u << 20)
#define WF_OUTPUTS 4096u
#define WF_DIGESTS 65536u /* words */
#define WF_EVENTS 65536u
#define WF_LOG 65536u

struct wf_switch {
    uint64_t epoch; /* odd while a packet is being processed */
    uint64_t now_us, random_state;
    struct wf_stats stats;
    struct wf_table *table;
    struct wf_entry **current; /* per table, the entry that its running action belongs to */
    struct wf_profile *profile;
    struct wf_set **set;
    uint64_t **reg, **counter;
    struct wf_meter **meter;
    struct wf_copies **multicast, **session;
    struct wf_crc crc16, crc32, custom16, custom32;
    uint8_t *arena;
    uint32_t arena_used, outputs, egress_depth;
    struct wf_packet *ingress_head, *ingress_tail, *egress_head, *egress_tail;
    struct wf_output *output;
    uint64_t *digest_scratch, *digest_ring;
    uint64_t digest_read, digest_write; /* positions, ever growing */
    struct wf_event *event;
    uint32_t events, log_length;
    uint8_t *log;
};

/* Waits until no packet that began before this call is still being processed. */
void wf_quiesce(struct wf_switch *s);
int wf_table_open(struct wf_table *t, const struct wf_table_info *info);
void wf_table_close(struct wf_table *t);
struct wf_action_call *wf_make_call(const struct wf_call *call);
void wf_crc_open(struct wf_crc *c, uint32_t width, uint64_t polynomial, uint64_t initial,
                 uint64_t final_xor, int reflect_in, int reflect_out);
#endif
