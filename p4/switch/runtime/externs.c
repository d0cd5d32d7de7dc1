/* Stateful externs of v1model: registers, counters, meters, random numbers, digests, logs. */
#include "switch.h"

uint64_t *wf_cell(struct wf_switch *s, uint32_t index, uint64_t cell) {
    const struct wf_cells_info *info = &wf_program.reg[index];
    return cell < info->size ? s->reg[index] + cell * info->words : NULL;
}

uint64_t *wf_register(struct wf_switch *s, uint32_t index) { return s->reg[index]; }
uint64_t *wf_counter(struct wf_switch *s, uint32_t index) { return s->counter[index]; }

void wf_count(struct wf_packet *pk, uint32_t counter, uint64_t cell) {
    if (cell >= wf_program.counter[counter].size) return;
    uint64_t *c = pk->s->counter[counter] + 2 * cell;
    c[0]++;
    c[1] += pk->sm.f_packet_length;
}

void wf_count_direct(struct wf_packet *pk, uint32_t table) {
    struct wf_entry *e = pk->s->current[table];
    uint64_t *c = e ? e->counts : pk->s->table[table].counts;
    c[0]++;
    c[1] += pk->sm.f_packet_length;
}

void wf_direct_read(struct wf_switch *s, uint32_t table, struct wf_entry *e, uint64_t counts[2]) {
    memcpy(counts, e ? e->counts : s->table[table].counts, 2 * sizeof *counts);
}

void wf_direct_write(struct wf_switch *s, uint32_t table, struct wf_entry *e,
                     const uint64_t counts[2]) {
    memcpy(e ? e->counts : s->table[table].counts, counts, 2 * sizeof *counts);
}

/* Two token buckets, as simple_switch has them: the peak one (index 1) decides on red, then the
   committed one on yellow; only buckets that have enough are charged. */
static uint32_t meter_run(struct wf_meter *m, uint64_t now_us, double cost) {
    if (!m->configured) return 0;
    double passed = (double)(now_us - m->last_us);
    m->last_us = now_us;
    for (int i = 0; i < 2; i++) {
        m->tokens[i] += passed * m->rate[i];
        if (m->tokens[i] > m->burst[i]) m->tokens[i] = m->burst[i];
    }
    if (m->tokens[1] < cost) return 2;
    m->tokens[1] -= cost;
    if (m->tokens[0] < cost) return 1;
    m->tokens[0] -= cost;
    return 0;
}

static double cost_of(const struct wf_packet *pk, uint32_t meter) {
    return wf_program.meter[meter].words == WF_BYTES ? (double)pk->sm.f_packet_length : 1.0;
}

uint32_t wf_meter_run(struct wf_packet *pk, uint32_t meter, uint64_t cell) {
    if (cell >= wf_program.meter[meter].size) return 0;
    return meter_run(&pk->s->meter[meter][cell], pk->s->now_us, cost_of(pk, meter));
}

uint32_t wf_meter_direct(struct wf_packet *pk, uint32_t meter, uint32_t table) {
    struct wf_entry *e = pk->s->current[table];
    return meter_run(e ? &e->meter : &pk->s->table[table].meter, pk->s->now_us, cost_of(pk, meter));
}

int wf_meter_rates(struct wf_switch *s, uint32_t meter, uint32_t cell, struct wf_entry *e,
                   int configured, const double rate[2], const double burst[2]) {
    if (!e && cell >= wf_program.meter[meter].size) return -1;
    struct wf_meter *m = e ? &e->meter : &s->meter[meter][cell];
    struct wf_meter made = {.configured = configured, .last_us = s->now_us};
    for (int i = 0; i < 2 && configured; i++) {
        made.rate[i] = rate[i];
        made.burst[i] = made.tokens[i] = burst[i];
    }
    *m = made;
    return 0;
}

/* xorshift64*: Vigna, "An experimental exploration of Marsaglia's xorshift generators", 2016. */
static uint64_t next_random(struct wf_switch *s) {
    uint64_t x = s->random_state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    s->random_state = x;
    return x * UINT64_C(2685821657736338717);
}

uint64_t wf_random(struct wf_switch *s, uint64_t low, uint64_t high) {
    if (high < low) return low;
    uint64_t span = high - low + 1, limit = span ? UINT64_MAX - UINT64_MAX % span : 0, v;
    if (span == 0) return next_random(s);
    do v = next_random(s);
    while (v >= limit);
    return low + v % span;
}

uint64_t *wf_digest_slot(struct wf_packet *pk, uint32_t which) {
    pk->digest = which + 1;
    memset(pk->s->digest_scratch, 0, wf_program.digest_words * sizeof(uint64_t));
    return pk->s->digest_scratch;
}

/* A ring with one writer (packets) and one reader (control); full means the digest is lost. */
uint32_t wf_digest(struct wf_switch *s, uint32_t *which, uint64_t *words, uint32_t capacity) {
    uint64_t read = s->digest_read, write = __atomic_load_n(&s->digest_write, __ATOMIC_ACQUIRE);
    if (read == write) return 0;
    *which = (uint32_t)s->digest_ring[read % WF_DIGESTS];
    for (uint32_t i = 0; i < wf_program.digest_words && i < capacity; i++)
        words[i] = s->digest_ring[(read + 1 + i) % WF_DIGESTS];
    __atomic_store_n(&s->digest_read, read + 1 + wf_program.digest_words, __ATOMIC_RELEASE);
    return wf_program.digest_words;
}

void wf_assert_failed(struct wf_packet *pk) {
    pk->s->stats.failed_asserts++;
    pk->overrun = 1; /* bmv2 ends its process here; we end the packet */
}

void wf_log_text(struct wf_switch *s, const char *text, uint32_t length) {
    for (uint32_t i = 0; i < length && s->log_length < WF_LOG; i++)
        s->log[s->log_length++] = (uint8_t)text[i];
}

void wf_log_number(struct wf_switch *s, const uint64_t *words, uint32_t count) {
    char digits[2 + 16 * 32 + 1];
    uint32_t n = 0;
    while (count > 1 && words[count - 1] == 0) count--;
    if (count == 1) { /* decimal */
        uint64_t v = words[0];
        char reversed[20];
        uint32_t r = 0;
        do reversed[r++] = (char)('0' + v % 10);
        while (v /= 10);
        while (r) digits[n++] = reversed[--r];
    } else {
        digits[n++] = '0';
        digits[n++] = 'x';
        for (uint32_t i = count < 32 ? count : 32; i-- > 0;)
            for (int shift = 60; shift >= 0; shift -= 4)
                digits[n++] = "0123456789abcdef"[words[i] >> shift & 15];
    }
    wf_log_text(s, digits, n);
}

/* The low bits of value, in two's complement. */
void wf_log_signed(struct wf_switch *s, uint64_t value, uint32_t bits) {
    if (bits && value >> (bits - 1) & 1) {
        wf_log_text(s, "-", 1);
        value = (0 - value) & (UINT64_MAX >> (64 - bits));
    }
    wf_log_number(s, &value, 1);
}

const uint8_t *wf_log(const struct wf_switch *s, uint32_t *length) {
    *length = s->log_length;
    return s->log;
}

void wf_event(struct wf_switch *s, uint32_t kind, uint32_t subject, uint64_t value) {
    if (s->events < WF_EVENTS) s->event[s->events++] = (struct wf_event){kind, subject, value};
}

uint32_t wf_events(const struct wf_switch *s, const struct wf_event **events) {
    *events = s->event;
    return s->events;
}
