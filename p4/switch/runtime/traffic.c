/* The way of a packet: parser, checksum verification, ingress, traffic manager, egress, checksum
   update, deparser, with the rules of bmv2's docs/simple_switch.md ("after-ingress" and
   "after-egress pseudocode") and its order of priorities.

   One packet runs to its end with all its copies before the next begins. Copies waiting for egress go
   before packets waiting for ingress; both queues are first in, first out. Memory comes from an arena
   that is empty again at the next packet: nothing is allocated on the way. */
#include <stdlib.h>

#include "switch.h"

enum { NORMAL, INGRESS_CLONE, EGRESS_CLONE, COALESCED, RECIRCULATED, REPLICATION, RESUBMITTED };

static void *take(struct wf_switch *s, uint32_t bytes) {
    bytes = (bytes + 15u) & ~15u;
    if (bytes > WF_ARENA - s->arena_used) return NULL;
    void *p = s->arena + s->arena_used;
    s->arena_used += bytes;
    return p;
}

static struct wf_packet *new_packet(struct wf_switch *s) {
    struct wf_packet *pk = take(s, (uint32_t)sizeof *pk);
    void *phv = take(s, wf_program.phv_size);
    if (!pk || !phv) {
        s->stats.overruns++;
        return NULL;
    }
    memset(pk, 0, sizeof *pk);
    pk->s = s;
    pk->phv = phv;
    memset((uint8_t *)phv + wf_program.meta_offset, 0, wf_program.meta_size);
    return pk;
}

/* A packet with the same bytes and parse position, and nothing else. */
static struct wf_packet *same_bytes(const struct wf_packet *pk) {
    struct wf_packet *copy = new_packet(pk->s);
    if (!copy) return NULL;
    copy->data = pk->data;
    copy->length = pk->length;
    copy->at = pk->at;
    copy->sm.f_packet_length = pk->sm.f_packet_length;
    return copy;
}

static void keep_fields(struct wf_packet *to, const struct wf_packet *from, uint32_t list) {
    if (list)
        wf_program.keep(list - 1, (uint8_t *)to->phv + wf_program.meta_offset,
                        (const uint8_t *)from->phv + wf_program.meta_offset);
}

static void to_ingress(struct wf_packet *pk) {
    struct wf_switch *s = pk->s;
    *(s->ingress_head ? &s->ingress_tail->next : &s->ingress_head) = pk;
    s->ingress_tail = pk;
}

static void to_egress(struct wf_packet *pk, uint32_t port, uint32_t rid) {
    struct wf_switch *s = pk->s;
    pk->sm.f_egress_port = port;
    pk->sm.f_egress_rid = rid;
    pk->sm.f_enq_timestamp = (uint32_t)s->now_us;
    pk->sm.f_enq_qdepth = s->egress_depth++;
    *(s->egress_head ? &s->egress_tail->next : &s->egress_head) = pk;
    s->egress_tail = pk;
}

static void replicate(const struct wf_packet *pk, const struct wf_copies *copies) {
    for (uint32_t i = 0; copies && i < copies->count; i++) {
        struct wf_packet *copy = new_packet(pk->s);
        if (!copy) return;
        void *phv = copy->phv;
        memcpy(phv, pk->phv, wf_program.phv_size);
        *copy = *pk;
        copy->phv = phv;
        copy->next = NULL;
        to_egress(copy, copies->port_rid[i][0], copies->port_rid[i][1]);
    }
}

static void clone(struct wf_packet *copy, const struct wf_copies *session) {
    struct wf_switch *s = copy->s;
    copy->session_length = session->length;
    if (session->group)
        replicate(copy, __atomic_load_n(&s->multicast[(session->group - 1) % WF_GROUPS],
                                        __ATOMIC_ACQUIRE));
    replicate(copy, session);
}

static const struct wf_copies *session_of(const struct wf_packet *pk) {
    uint32_t number = pk->clone_session - 1;
    return number < WF_SESSIONS
               ? __atomic_load_n(&pk->s->session[number], __ATOMIC_ACQUIRE)
               : NULL;
}

/* The clone is the packet as it entered ingress: parsed again, metadata zero but the kept fields. */
static void clone_from_ingress(const struct wf_packet *pk) {
    const struct wf_copies *session = session_of(pk);
    struct wf_packet *copy = session ? same_bytes(pk) : NULL;
    if (!copy) return;
    copy->at = 0;
    copy->sm.f_ingress_port = pk->sm.f_ingress_port;
    wf_program.parse(copy);
    uint32_t length = copy->sm.f_packet_length;
    memset((uint8_t *)copy->phv + wf_program.meta_offset, 0, wf_program.meta_size);
    memset(&copy->sm, 0, sizeof copy->sm);
    copy->sm.f_packet_length = length;
    copy->sm.f_instance_type = INGRESS_CLONE;
    copy->error = copy->overrun = 0;
    keep_fields(copy, pk, pk->clone_list);
    clone(copy, session);
}

/* The clone has the headers as egress left them, before deparsing. */
static void clone_from_egress(const struct wf_packet *pk) {
    const struct wf_copies *session = session_of(pk);
    struct wf_packet *copy = session ? same_bytes(pk) : NULL;
    if (!copy) return;
    memcpy(copy->phv, pk->phv, wf_program.phv_size);
    memset((uint8_t *)copy->phv + wf_program.meta_offset, 0, wf_program.meta_size);
    copy->sm.f_instance_type = EGRESS_CLONE;
    keep_fields(copy, pk, pk->clone_list);
    clone(copy, session);
}

static void deliver_digest(const struct wf_packet *pk) {
    struct wf_switch *s = pk->s;
    uint64_t words = 1 + wf_program.digest_words, write = s->digest_write;
    if (write + words - __atomic_load_n(&s->digest_read, __ATOMIC_ACQUIRE) > WF_DIGESTS) return;
    s->digest_ring[write % WF_DIGESTS] = pk->digest - 1;
    for (uint32_t i = 0; i < wf_program.digest_words; i++)
        s->digest_ring[(write + 1 + i) % WF_DIGESTS] = s->digest_scratch[i];
    __atomic_store_n(&s->digest_write, write + words, __ATOMIC_RELEASE);
}

static void resubmit(const struct wf_packet *pk) {
    struct wf_packet *copy = same_bytes(pk);
    if (!copy) return;
    copy->at = 0;
    copy->sm.f_instance_type = RESUBMITTED;
    keep_fields(copy, pk, pk->resubmit);
    to_ingress(copy);
}

static void drop(struct wf_packet *pk) {
    pk->s->stats.dropped++;
    WF_TRACE(WF_EVENT_DROP, 0, 0);
}

static int given_up(struct wf_packet *pk) {
    if (pk->overrun) pk->s->stats.overruns++;
    return pk->overrun;
}

static void ingress(struct wf_packet *pk) {
    struct wf_switch *s = pk->s;
    WF_TRACE(WF_EVENT_BLOCK, 0, 0);
    wf_program.parse(pk);
    pk->sm.f_parser_error = pk->error;
    WF_TRACE(WF_EVENT_BLOCK, 1, 0);
    if (!pk->overrun) wf_program.verify(pk);
    pk->sm.f_checksum_error = pk->checksum_error;
    WF_TRACE(WF_EVENT_BLOCK, 2, 0);
    if (!pk->overrun) wf_program.ingress(pk);
    if (given_up(pk)) return;
    if (pk->clone_session) clone_from_ingress(pk);
    pk->clone_session = pk->clone_list = 0;
    if (pk->digest) deliver_digest(pk);
    pk->digest = 0;
    pk->recirculate = 0;
    if (pk->resubmit) {
        resubmit(pk);
    } else if (pk->sm.f_mcast_grp) {
        pk->sm.f_instance_type = REPLICATION;
        const struct wf_copies *group = __atomic_load_n(
            &s->multicast[pk->sm.f_mcast_grp % WF_GROUPS], __ATOMIC_ACQUIRE);
        if (!group || group->count == 0) drop(pk);
        replicate(pk, group);
    } else if (pk->sm.f_egress_spec == wf_program.drop_port) {
        drop(pk);
    } else {
        pk->sm.f_instance_type = NORMAL;
        to_egress(pk, pk->sm.f_egress_spec, 0);
    }
}

/* Writes the packet as it leaves: headers, then what the parser did not take. */
static int deparse(struct wf_packet *pk) {
    struct wf_switch *s = pk->s;
    pk->out = s->arena + s->arena_used;
    pk->out_room = WF_ARENA - s->arena_used;
    pk->out_length = 0;
    wf_program.deparse(pk);
    uint32_t payload = pk->length - pk->at;
    if (pk->overrun || payload > pk->out_room - pk->out_length) {
        pk->overrun = 1;
        return 0;
    }
    memcpy(pk->out + pk->out_length, pk->data + pk->at, payload);
    pk->out_length += payload;
    if (pk->truncate && pk->out_length > pk->truncate - 1) pk->out_length = pk->truncate - 1;
    if (pk->session_length && pk->out_length > pk->session_length)
        pk->out_length = pk->session_length;
    return take(s, pk->out_length) != NULL;
}

static void recirculate(const struct wf_packet *pk) {
    struct wf_packet *copy = new_packet(pk->s);
    if (!copy) return;
    copy->data = pk->out;
    copy->length = copy->sm.f_packet_length = pk->out_length;
    copy->sm.f_instance_type = RECIRCULATED;
    keep_fields(copy, pk, pk->recirculate);
    to_ingress(copy);
}

static void send(struct wf_packet *pk) {
    struct wf_switch *s = pk->s;
    if (s->outputs == WF_OUTPUTS) {
        s->stats.overruns++;
        return;
    }
    WF_TRACE(WF_EVENT_SEND, pk->sm.f_egress_port, pk->out_length);
    s->output[s->outputs++] = (struct wf_output){pk->sm.f_egress_port, pk->out_length, pk->out};
    s->stats.sent++;
}

static void egress(struct wf_packet *pk) {
    struct wf_switch *s = pk->s;
    pk->sm.f_egress_global_timestamp = s->now_us;
    pk->sm.f_deq_qdepth = s->egress_depth;
    pk->sm.f_egress_spec = 0; /* bmv2 sets the drop port plus one, which its 9 bits make 0 */
    WF_TRACE(WF_EVENT_BLOCK, 3, pk->sm.f_egress_port);
    wf_program.egress(pk);
    if (given_up(pk)) return;
    if (pk->clone_session) clone_from_egress(pk);
    if (pk->sm.f_egress_spec == wf_program.drop_port) {
        drop(pk);
        return;
    }
    WF_TRACE(WF_EVENT_BLOCK, 4, 0);
    wf_program.update(pk);
    WF_TRACE(WF_EVENT_BLOCK, 5, 0);
    if (!deparse(pk)) given_up(pk);
    else if (pk->recirculate) recirculate(pk);
    else send(pk);
}

static void run_queues(struct wf_switch *s) {
    for (;;) {
        struct wf_packet *pk = s->egress_head;
        if (pk) {
            s->egress_head = pk->next;
            pk->next = NULL;
            s->egress_depth--;
            egress(pk);
        } else if ((pk = s->ingress_head)) {
            s->ingress_head = pk->next;
            pk->next = NULL;
            ingress(pk);
        } else {
            return;
        }
    }
}

uint32_t wf_run(struct wf_switch *s, uint32_t port, const uint8_t *data, uint32_t length,
                uint64_t now_us) {
    s->arena_used = s->outputs = s->events = s->log_length = 0;
    s->now_us = now_us;
    s->stats.received++;
    __atomic_store_n(&s->epoch, s->epoch + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    struct wf_packet *pk = new_packet(s);
    pk->data = data;
    pk->length = length;
    pk->sm.f_ingress_port = port;
    pk->sm.f_packet_length = length;
    pk->sm.f_ingress_global_timestamp = now_us;
    to_ingress(pk);
    run_queues(s);
    __atomic_store_n(&s->epoch, s->epoch + 1, __ATOMIC_RELEASE);
    return s->outputs;
}

/* Under the address sanitizer each packet lies in memory of its own size: reading on would be seen. */
static uint32_t run_one(struct wf_switch *s, uint32_t port, const uint8_t *data, uint32_t length,
                        uint64_t now_us) {
#ifdef __SANITIZE_ADDRESS__
    uint8_t *own = malloc(length);
    memcpy(own, data, length);
    uint32_t left = wf_run(s, port, own, length, now_us);
    free(own);
    return left;
#else
    return wf_run(s, port, data, length, now_us);
#endif
}

uint64_t wf_run_many(struct wf_switch *s, uint32_t port, const uint8_t *data,
                     const uint32_t *offsets, uint32_t count, uint32_t rounds, uint64_t now_us) {
    uint64_t left = 0;
    for (uint32_t r = 0; r < rounds; r++)
        for (uint32_t i = 0; i < count; i++)
            left += run_one(s, port, data + offsets[i], offsets[i + 1] - offsets[i], now_us);
    return left;
}

const struct wf_output *wf_outputs(const struct wf_switch *s) { return s->output; }
void wf_stats_read(const struct wf_switch *s, struct wf_stats *stats) { *stats = s->stats; }

/* ---- groups and sessions ---- */

static int set_copies(struct wf_switch *s, struct wf_copies **place, const uint32_t *ports,
                      const uint32_t *rids, uint32_t count, uint32_t group, uint32_t length,
                      int present) {
    struct wf_copies *made = NULL, *old = *place;
    if (present) {
        made = malloc(sizeof *made + count * sizeof made->port_rid[0]);
        if (!made) return -1;
        *made = (struct wf_copies){.count = count, .group = group, .length = length};
        for (uint32_t i = 0; i < count; i++) {
            made->port_rid[i][0] = ports[i];
            made->port_rid[i][1] = rids[i];
        }
    }
    __atomic_store_n(place, made, __ATOMIC_RELEASE);
    wf_quiesce(s);
    free(old);
    return 0;
}

int wf_multicast(struct wf_switch *s, uint32_t group, const uint32_t *ports, const uint32_t *rids,
                 uint32_t count) {
    if (group >= WF_GROUPS) return -1;
    return set_copies(s, &s->multicast[group], ports, rids, count, 0, 0, count > 0);
}

int wf_clone_session(struct wf_switch *s, uint32_t session, const uint32_t *ports,
                     const uint32_t *rids, uint32_t count, uint32_t group, uint32_t length) {
    if (session >= WF_SESSIONS) return -1;
    return set_copies(s, &s->session[session], ports, rids, count, group, length,
                      count > 0 || group > 0);
}
