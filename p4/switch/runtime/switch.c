/* Opening and closing a switch: everything it will ever need is allocated here. */
#include "switch.h"

#include <stdlib.h>

static int open_cells(struct wf_switch *s) {
    const struct wf_program *p = &wf_program;
    for (uint32_t i = 0; i < p->registers; i++) {
        size_t words = (size_t)p->reg[i].size * p->reg[i].words;
        if (!(s->reg[i] = calloc(words ? words : 1, sizeof(uint64_t)))) return 0;
    }
    for (uint32_t i = 0; i < p->counters; i++)
        if (!(s->counter[i] = calloc(2 * (size_t)p->counter[i].size + 1, sizeof(uint64_t))))
            return 0;
    for (uint32_t i = 0; i < p->meters; i++)
        if (!(s->meter[i] = calloc((size_t)p->meter[i].size + 1, sizeof(struct wf_meter))))
            return 0;
    return 1;
}

static int open_tables(struct wf_switch *s) {
    for (uint32_t i = 0; i < wf_program.tables; i++)
        if (!wf_table_open(&s->table[i], &wf_program.table[i])) return 0;
    return 1;
}

struct wf_switch *wf_open(uint64_t seed) {
    const struct wf_program *p = &wf_program;
    struct wf_switch *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->random_state = seed * 2 + 1;
    s->table = calloc(p->tables + 1, sizeof *s->table);
    s->current = calloc(p->tables + 1, sizeof *s->current);
    s->profile = calloc(p->profiles + 1, sizeof *s->profile);
    s->set = calloc(p->sets + 1, sizeof *s->set);
    s->reg = calloc(p->registers + 1, sizeof *s->reg);
    s->counter = calloc(p->counters + 1, sizeof *s->counter);
    s->meter = calloc(p->meters + 1, sizeof *s->meter);
    s->multicast = calloc(WF_GROUPS, sizeof *s->multicast);
    s->session = calloc(WF_SESSIONS, sizeof *s->session);
    s->arena = malloc(WF_ARENA); /* touched only as far as packets need it */
    s->output = malloc(WF_OUTPUTS * sizeof *s->output);
    s->digest_scratch = calloc(p->digest_words + 1, sizeof(uint64_t));
    s->digest_ring = malloc(WF_DIGESTS * sizeof(uint64_t));
    s->event = malloc(WF_EVENTS * sizeof *s->event);
    s->log = malloc(WF_LOG);
    if (!s->table || !s->current || !s->profile || !s->set || !s->reg || !s->counter || !s->meter ||
        !s->multicast || !s->session || !s->arena || !s->output || !s->digest_scratch ||
        !s->digest_ring || !s->event || !s->log || !open_cells(s) || !open_tables(s)) {
        wf_close(s);
        return NULL;
    }
    wf_crc_open(&s->crc16, 16, 0x8005, 0, 0, 1, 1);
    wf_crc_open(&s->crc32, 32, 0x04c11db7, 0xffffffff, 0xffffffff, 1, 1);
    s->custom16 = s->crc16;
    s->custom32 = s->crc32;
    return s;
}

static void free_list(void *list, uint32_t count) {
    for (uint32_t i = 0; list && i < count; i++) free(((void **)list)[i]);
    free(list);
}

void wf_close(struct wf_switch *s) {
    if (!s) return;
    const struct wf_program *p = &wf_program;
    for (uint32_t i = 0; s->table && i < p->tables; i++)
        if (s->table[i].info) wf_table_close(&s->table[i]);
    for (uint32_t i = 0; s->profile && i < p->profiles; i++) {
        free_list(s->profile[i].member, s->profile[i].members);
        free_list(s->profile[i].group, s->profile[i].groups);
    }
    free(s->table);
    free(s->current);
    free(s->profile);
    free_list(s->set, p->sets);
    free_list(s->reg, p->registers);
    free_list(s->counter, p->counters);
    free_list(s->meter, p->meters);
    free_list(s->multicast, WF_GROUPS);
    free_list(s->session, WF_SESSIONS);
    free(s->arena);
    free(s->output);
    free(s->digest_scratch);
    free(s->digest_ring);
    free(s->event);
    free(s->log);
    free(s);
}
