/* Match structures, changed while packets flow.

   Every table keeps its index twice (Ramalhete and Correia, "Left-Right", 2013): packets read the
   active side; a change is made to the other, the sides are swapped, and once the packet under way
   has ended (wf_quiesce) the same change is made to the first. So a lookup never waits, a change
   costs no copy of the table, and no packet sees half of it.

   Tables with a single LPM key use a trie with 8 bits per level. All others use tuple space search
   (Srinivasan, Suri, Varghese, SIGCOMM 1999): a hash table per distinct mask, searched in order of
   the best rank in it. An exact table is the case of one mask. Ranges are checked on the entries of
   a bucket. */
#include <sched.h>
#include <stdlib.h>

#include "switch.h"

void wf_quiesce(struct wf_switch *s) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint64_t epoch = __atomic_load_n(&s->epoch, __ATOMIC_ACQUIRE);
    if (epoch % 2 == 0) return;
    while (__atomic_load_n(&s->epoch, __ATOMIC_ACQUIRE) == epoch) sched_yield();
}

struct wf_action_call *wf_make_call(const struct wf_call *call) {
    struct wf_action_call *c = malloc(sizeof *c + call->words * sizeof(uint64_t));
    if (!c) return NULL;
    c->kind = call->kind;
    c->target = call->target;
    c->words = call->words;
    if (call->words) memcpy(c->data, call->data, call->words * sizeof(uint64_t));
    return c;
}

static inline uint64_t mix(uint64_t h, uint64_t word) {
    wf_u128 p = (wf_u128)(h ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint64_t)p ^ (uint64_t)(p >> 64);
}

static uint64_t hash_masked(const uint64_t *key, const uint64_t *mask, uint32_t words) {
    uint64_t h = UINT64_C(0x2545F4914F6CDD1D);
    for (uint32_t i = 0; i < words; i++) h = mix(h, key[i] & mask[i]);
    return h;
}

/* ---- tuple space ---- */

static int same_masked(const struct wf_entry *e, const uint64_t *key, const uint64_t *mask,
                       uint32_t words) {
    uint64_t differs = 0;
    for (uint32_t i = 0; i < words; i++) differs |= (e->words[i] ^ key[i]) & mask[i];
    return differs == 0;
}

static int in_ranges(const struct wf_table_info *info, const struct wf_entry *e,
                     const uint64_t *key) {
    for (uint32_t k = 0; k < info->keys; k++) {
        if (info->key[k].kind != WF_RANGE) continue;
        uint32_t at = info->key[k].word, width = info->key[k].width ? info->key[k].width : 1;
        if (wfw_compare(key + at, e->words + at, width, 0) < 0 ||
            wfw_compare(key + at, e->words + 2 * info->key_words + at, width, 0) > 0)
            return 0;
    }
    return 1;
}

static struct wf_entry *find_in_groups(const struct wf_table *t, int which, const uint64_t *key) {
    const struct wf_side *side = &t->side[which];
    uint32_t words = t->info->key_words;
    struct wf_entry *best = NULL;
    for (uint32_t g = 0; g < side->groups; g++) {
        const struct wf_group *group = &side->group[g];
        if (best && best->rank >= group->top) break;
        uint64_t h = hash_masked(key, group->mask, words);
        for (struct wf_entry *e = group->heads[h & (group->buckets - 1)]; e; e = e->next[which]) {
            if (best && e->rank <= best->rank) break; /* buckets are sorted by rank */
            if (e->hash == h && same_masked(e, key, group->mask, words) &&
                in_ranges(t->info, e, key)) {
                best = e;
                break;
            }
        }
    }
    return best;
}

static void bucket_insert(struct wf_group *group, int which, struct wf_entry *e) {
    struct wf_entry **at = &group->heads[e->hash & (group->buckets - 1)];
    while (*at && (*at)->rank >= e->rank) at = &(*at)->next[which];
    e->next[which] = *at;
    *at = e;
}

static int grow(struct wf_group *group, int which) {
    uint32_t old = group->buckets, buckets = old ? old * 2 : 8;
    struct wf_entry **heads = calloc(buckets, sizeof *heads), **before = group->heads;
    if (!heads) return 0;
    group->heads = heads;
    group->buckets = buckets;
    for (uint32_t b = 0; b < old; b++)
        for (struct wf_entry *e = before[b], *next; e; e = next) {
            next = e->next[which];
            bucket_insert(group, which, e);
        }
    free(before);
    return 1;
}

static void sort_groups(struct wf_side *side) {
    for (uint32_t i = 1; i < side->groups; i++) {
        struct wf_group moved = side->group[i];
        uint32_t j = i;
        for (; j > 0 && side->group[j - 1].top < moved.top; j--) side->group[j] = side->group[j - 1];
        side->group[j] = moved;
    }
}

static int groups_insert(struct wf_table *t, int which, struct wf_entry *e) {
    struct wf_side *side = &t->side[which];
    uint32_t words = t->info->key_words;
    const uint64_t *mask = e->words + words;
    struct wf_group *group = NULL;
    for (uint32_t g = 0; g < side->groups && !group; g++)
        if (!memcmp(side->group[g].mask, mask, words * sizeof *mask)) group = &side->group[g];
    if (!group) {
        struct wf_group *all = realloc(side->group, (side->groups + 1) * sizeof *all);
        if (!all) return 0;
        side->group = all;
        group = &all[side->groups];
        *group = (struct wf_group){.top = e->rank};
        group->mask = malloc((words + 1) * sizeof *mask);
        if (!group->mask || !grow(group, which)) {
            free(group->mask);
            return 0;
        }
        memcpy(group->mask, mask, words * sizeof *mask);
        side->groups++;
    }
    if (group->size >= group->buckets && !grow(group, which)) return 0;
    e->hash = hash_masked(e->words, group->mask, words);
    bucket_insert(group, which, e);
    group->size++;
    if (e->rank > group->top) group->top = e->rank;
    sort_groups(side);
    return 1;
}

static void groups_remove(struct wf_table *t, int which, struct wf_entry *e) {
    struct wf_side *side = &t->side[which];
    uint32_t words = t->info->key_words;
    for (uint32_t g = 0; g < side->groups; g++) {
        struct wf_group *group = &side->group[g];
        if (memcmp(group->mask, e->words + words, words * sizeof(uint64_t)) != 0) continue;
        struct wf_entry **at = &group->heads[e->hash & (group->buckets - 1)];
        while (*at && *at != e) at = &(*at)->next[which];
        if (!*at) return;
        *at = e->next[which];
        if (--group->size == 0) {
            free(group->mask);
            free(group->heads);
            memmove(group, group + 1, (side->groups - g - 1) * sizeof *group);
            side->groups--;
        }
        return; /* `top` may now be too high: that costs a probe, never a wrong answer */
    }
}

/* ---- trie ---- */

static uint8_t byte_of(const uint64_t *key, uint32_t width, uint32_t level) {
    int shift = (int)width - 8 * ((int)level + 1);
    if (shift < 0) return (uint8_t)(key[0] << -shift);
    uint32_t limb = (uint32_t)shift / 64, bit = (uint32_t)shift % 64;
    uint64_t v = key[limb] >> bit;
    if (bit > 56) v |= key[limb + 1] << (64 - bit);
    return (uint8_t)v;
}

static void cover(struct wf_node *node, const struct wf_entry *e, uint32_t width, uint32_t level,
                  struct wf_entry *from, struct wf_entry *to) {
    uint32_t in_node = (uint32_t)e->rank - 8 * level;
    uint32_t first = byte_of(e->words, width, level), count = 1u << (8 - in_node);
    first &= ~(count - 1);
    for (uint32_t i = first; i < first + count && i < 256; i++)
        if (from ? node->slot[i].best == from
                 : !node->slot[i].best || node->slot[i].best->rank <= e->rank)
            node->slot[i].best = to;
}

/* A prefix of length L ends in the node at level (L - 1) / 8; length 0 in the root. */
static struct wf_node *walk(struct wf_table *t, int which, const struct wf_entry *e, int make) {
    struct wf_side *side = &t->side[which];
    uint32_t width = t->info->key[0].width;
    uint32_t last = e->rank > 0 ? (uint32_t)(e->rank - 1) / 8 : 0;
    struct wf_node **at = &side->root;
    for (uint32_t level = 0;; level++) {
        if (!*at && (!make || !(*at = calloc(1, sizeof **at)))) return NULL;
        if (level == last) return *at;
        at = &(*at)->slot[byte_of(e->words, width, level)].child;
    }
}

static int trie_insert(struct wf_table *t, int which, struct wf_entry *e) {
    struct wf_node *node = walk(t, which, e, 1);
    if (!node) return 0;
    e->next[which] = node->here;
    node->here = e;
    uint32_t level = e->rank > 0 ? (uint32_t)(e->rank - 1) / 8 : 0;
    cover(node, e, t->info->key[0].width, level, NULL, e);
    return 1;
}

static void trie_remove(struct wf_table *t, int which, struct wf_entry *e) {
    struct wf_node *node = walk(t, which, e, 0);
    if (!node) return;
    struct wf_entry **at = &node->here;
    while (*at && *at != e) at = &(*at)->next[which];
    if (!*at) return;
    *at = e->next[which];
    uint32_t level = e->rank > 0 ? (uint32_t)(e->rank - 1) / 8 : 0, width = t->info->key[0].width;
    cover(node, e, width, level, e, NULL);
    for (struct wf_entry *o = node->here; o; o = o->next[which])
        cover(node, o, width, level, NULL, o);
}

static struct wf_entry *find_in_trie(const struct wf_table *t, int which, const uint64_t *key) {
    struct wf_entry *best = NULL;
    uint32_t width = t->info->key[0].width, level = 0;
    for (const struct wf_node *node = t->side[which].root; node; level++) {
        uint8_t byte = byte_of(key, width, level);
        if (node->slot[byte].best) best = node->slot[byte].best;
        node = node->slot[byte].child;
    }
    return best;
}

static void free_nodes(struct wf_node *node) {
    if (!node) return;
    for (int i = 0; i < 256; i++) free_nodes(node->slot[i].child);
    free(node);
}

/* ---- tables ---- */

int wf_table_open(struct wf_table *t, const struct wf_table_info *info) {
    t->info = info;
    t->trie = info->keys == 1 && info->key[0].kind == WF_LPM && info->key[0].width > 0;
    struct wf_call call = {WF_CALL_ACTION, info->default_action, info->default_words,
                           info->default_data};
    t->fallback = wf_make_call(&call);
    return t->fallback != NULL;
}

static void free_entry(struct wf_entry *e) {
    free(e->call);
    free(e);
}

static void free_chain(struct wf_entry *e, int which) {
    for (struct wf_entry *next; e; e = next) {
        next = e->next[which];
        free_entry(e);
    }
}

static void free_entries_of(struct wf_node *node, int which) {
    if (!node) return;
    free_chain(node->here, which);
    for (int i = 0; i < 256; i++) free_entries_of(node->slot[i].child, which);
}

void wf_table_close(struct wf_table *t) {
    free_entries_of(t->side[0].root, 0);
    for (uint32_t g = 0; g < t->side[0].groups; g++)
        for (uint32_t b = 0; b < t->side[0].group[g].buckets; b++)
            free_chain(t->side[0].group[g].heads[b], 0);
    for (int which = 0; which < 2; which++) {
        free_nodes(t->side[which].root);
        for (uint32_t g = 0; g < t->side[which].groups; g++) {
            free(t->side[which].group[g].mask);
            free(t->side[which].group[g].heads);
        }
        free(t->side[which].group);
    }
    free(t->fallback);
}

struct wf_entry *wf_lookup(struct wf_switch *s, uint32_t table, const uint64_t *key) {
    const struct wf_table *t = &s->table[table];
    int which = __atomic_load_n(&t->active, __ATOMIC_ACQUIRE);
    struct wf_entry *e = t->trie ? find_in_trie(t, which, key) : find_in_groups(t, which, key);
    if (e) e->hit_us = s->now_us;
    return e;
}

static int insert_side(struct wf_table *t, int which, struct wf_entry *e) {
    return t->trie ? trie_insert(t, which, e) : groups_insert(t, which, e);
}

static void remove_side(struct wf_table *t, int which, struct wf_entry *e) {
    if (t->trie) trie_remove(t, which, e);
    else groups_remove(t, which, e);
}

static void swap_sides(struct wf_switch *s, struct wf_table *t) {
    __atomic_store_n(&t->active, !t->active, __ATOMIC_RELEASE);
    wf_quiesce(s);
}

struct wf_entry *wf_insert(struct wf_switch *s, uint32_t table, const uint64_t *key,
                           const uint64_t *mask, const uint64_t *high, int64_t rank,
                           const struct wf_call *call, uint64_t idle_us, uint64_t now_us) {
    struct wf_table *t = &s->table[table];
    uint32_t words = t->info->key_words;
    struct wf_entry *e = calloc(1, sizeof *e + 3 * words * sizeof(uint64_t));
    if (!e || !(e->call = wf_make_call(call))) {
        free(e);
        return NULL;
    }
    memcpy(e->words, key, words * sizeof *key);
    if (mask) memcpy(e->words + words, mask, words * sizeof *mask);
    else memset(e->words + words, 0xff, words * sizeof *key);
    if (high) memcpy(e->words + 2 * words, high, words * sizeof *high);
    e->rank = rank;
    e->idle_us = idle_us;
    e->hit_us = now_us;
    int first = !t->active;
    if (!insert_side(t, first, e)) {
        free_entry(e);
        return NULL;
    }
    swap_sides(s, t);
    if (!insert_side(t, !first, e)) { /* out of memory: take it back from the side that has it */
        swap_sides(s, t);
        remove_side(t, first, e);
        free_entry(e);
        return NULL;
    }
    return e;
}

int wf_remove(struct wf_switch *s, uint32_t table, struct wf_entry *e) {
    struct wf_table *t = &s->table[table];
    int first = !t->active;
    remove_side(t, first, e);
    swap_sides(s, t);
    remove_side(t, !first, e);
    free_entry(e);
    return 0;
}

static int replace(struct wf_switch *s, struct wf_action_call **place, const struct wf_call *call) {
    struct wf_action_call *made = call ? wf_make_call(call) : NULL, *old = *place;
    if (call && !made) return -1;
    __atomic_store_n(place, made, __ATOMIC_RELEASE);
    wf_quiesce(s);
    free(old);
    return 0;
}

int wf_modify(struct wf_switch *s, struct wf_entry *e, const struct wf_call *call) {
    return replace(s, &e->call, call);
}

int wf_set_default(struct wf_switch *s, uint32_t table, const struct wf_call *call) {
    return replace(s, &s->table[table].fallback, call);
}

uint64_t wf_entry_idle(const struct wf_entry *e, uint64_t now_us) {
    return now_us > e->hit_us ? now_us - e->hit_us : 0;
}

/* ---- action profiles and selectors ---- */

static int reserve(struct wf_switch *s, void ***list, uint32_t *capacity, uint32_t index) {
    if (index < *capacity) return 1;
    uint32_t wanted = *capacity ? *capacity : 16;
    while (wanted <= index) wanted *= 2;
    void **made = calloc(wanted, sizeof *made), **old = *list;
    if (!made) return 0;
    if (*capacity) memcpy(made, old, *capacity * sizeof *made);
    __atomic_store_n(list, made, __ATOMIC_RELEASE);
    __atomic_store_n(capacity, wanted, __ATOMIC_RELEASE);
    wf_quiesce(s);
    free(old);
    return 1;
}

int wf_member(struct wf_switch *s, uint32_t profile, uint32_t member, const struct wf_call *call) {
    struct wf_profile *p = &s->profile[profile];
    if (!reserve(s, (void ***)&p->member, &p->members, member)) return -1;
    return replace(s, &p->member[member], call);
}

int wf_group(struct wf_switch *s, uint32_t profile, uint32_t group, const uint32_t *members,
             uint32_t count) {
    struct wf_profile *p = &s->profile[profile];
    if (!reserve(s, (void ***)&p->group, &p->groups, group)) return -1;
    struct wf_members *made = malloc(sizeof *made + count * sizeof *members), *old = p->group[group];
    if (!made) return -1;
    made->count = count;
    if (count) memcpy(made->member, members, count * sizeof *members);
    __atomic_store_n(&p->group[group], made, __ATOMIC_RELEASE);
    wf_quiesce(s);
    free(old);
    return 0;
}

const struct wf_action_call *wf_call_of(struct wf_packet *pk, uint32_t table, struct wf_entry *e,
                                        uint64_t selector_hash) {
    struct wf_switch *s = pk->s;
    struct wf_table *t = &s->table[table];
    const struct wf_action_call *call =
        __atomic_load_n(e ? &e->call : &t->fallback, __ATOMIC_ACQUIRE);
    if (call->kind == WF_CALL_ACTION || t->info->profile < 0) return call;
    const struct wf_profile *p = &s->profile[t->info->profile];
    uint32_t member = call->target;
    if (call->kind == WF_CALL_GROUP) {
        if (call->target >= p->groups || !p->group[call->target]) return NULL;
        const struct wf_members *m = __atomic_load_n(&p->group[call->target], __ATOMIC_ACQUIRE);
        if (m->count == 0) return NULL;
        member = m->member[selector_hash % m->count];
    }
    return member < p->members ? __atomic_load_n(&p->member[member], __ATOMIC_ACQUIRE) : NULL;
}

int wf_is_group(struct wf_switch *s, const struct wf_entry *e, uint32_t table) {
    const struct wf_action_call *call =
        __atomic_load_n(e ? &e->call : &s->table[table].fallback, __ATOMIC_ACQUIRE);
    return call->kind == WF_CALL_GROUP;
}

struct wf_entry **wf_current(struct wf_switch *s) { return s->current; }

/* ---- parser value sets ---- */

int wf_value_set(struct wf_switch *s, uint32_t set, const uint64_t *low, const uint64_t *mask,
                 const uint64_t *high, uint32_t count) {
    uint32_t words = wf_program.set[set].key_words;
    size_t row = words * sizeof(uint64_t);
    struct wf_set *made = malloc(sizeof *made + 3 * row * count), *old = s->set[set];
    if (!made) return -1;
    made->count = count;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(made->words + 3 * words * i, low + words * i, row);
        memcpy(made->words + 3 * words * i + words, mask + words * i, row);
        memcpy(made->words + 3 * words * i + 2 * words, high + words * i, row);
    }
    __atomic_store_n(&s->set[set], made, __ATOMIC_RELEASE);
    wf_quiesce(s);
    free(old);
    return 0;
}

/* A word matches when its masked bits agree, or, with mask 0, when it lies in low..high. */
int wf_in_set(struct wf_switch *s, uint32_t set, const uint64_t *key) {
    const struct wf_set *v = __atomic_load_n(&s->set[set], __ATOMIC_ACQUIRE);
    uint32_t words = wf_program.set[set].key_words;
    for (uint32_t i = 0; v && i < v->count; i++) {
        const uint64_t *low = v->words + 3 * words * i, *mask = low + words, *high = mask + words;
        uint32_t k = 0;
        while (k < words && ((key[k] ^ low[k]) & mask[k]) == 0 &&
               (mask[k] || (key[k] >= low[k] && key[k] <= high[k])))
            k++;
        if (k == words) return 1;
    }
    return 0;
}
