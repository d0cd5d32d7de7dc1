/* The hash algorithms of v1model, over a bit string (padded with zero bits to whole bytes) and, for
   checksums that cover it, the payload after it.

   CRCs: the "ARC" CRC-16 and the IEEE 802.3 CRC-32, table driven, and one of each with parameters of
   the user's. csum16: RFC 1071. xxh64: the published XXH64 algorithm with seed 0. */
#include "switch.h"

static uint64_t reflected(uint64_t v, uint32_t width) {
    uint64_t r = 0;
    for (uint32_t i = 0; i < width; i++) r |= (v >> i & 1) << (width - 1 - i);
    return r;
}

void wf_crc_open(struct wf_crc *c, uint32_t width, uint64_t polynomial, uint64_t initial,
                 uint64_t final_xor, int reflect_in, int reflect_out) {
    *c = (struct wf_crc){width, polynomial, initial, final_xor, reflect_in, reflect_out, {0}};
    for (uint32_t i = 0; i < 256; i++) {
        uint64_t v = (uint64_t)i << (width - 8);
        for (int bit = 0; bit < 8; bit++)
            v = v >> (width - 1) & 1 ? v << 1 ^ polynomial : v << 1;
        c->table[i] = v & (uint64_t)wf_ones(width);
    }
}

static uint64_t crc_add(const struct wf_crc *c, uint64_t crc, const uint8_t *data, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        uint8_t byte = c->reflect_in ? (uint8_t)reflected(data[i], 8) : data[i];
        crc = (c->table[(crc >> (c->width - 8) ^ byte) & 0xff] ^ crc << 8) &
              (uint64_t)wf_ones(c->width);
    }
    return crc;
}

static uint64_t crc(const struct wf_crc *c, const uint8_t *a, uint32_t na, const uint8_t *b,
                    uint32_t nb) {
    uint64_t v = crc_add(c, crc_add(c, c->initial, a, na), b, nb);
    if (c->reflect_out) v = reflected(v, c->width);
    return (v ^ c->final_xor) & (uint64_t)wf_ones(c->width);
}

/* Byte i of the two parts taken as one string. */
static uint8_t at(const uint8_t *a, uint32_t na, const uint8_t *b, uint32_t i) {
    return i < na ? a[i] : b[i - na];
}

static uint64_t word16(const uint8_t *a, uint32_t na, const uint8_t *b, uint32_t n, uint32_t i) {
    return (uint64_t)at(a, na, b, i) << 8 | (i + 1 < n ? at(a, na, b, i + 1) : 0u);
}

static uint64_t csum16(const uint8_t *a, uint32_t na, const uint8_t *b, uint32_t nb) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < na + nb; i += 2) sum += word16(a, na, b, na + nb, i);
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

static uint64_t xor16(const uint8_t *a, uint32_t na, const uint8_t *b, uint32_t nb) {
    uint64_t x = 0;
    for (uint32_t i = 0; i < na + nb; i += 2) x ^= word16(a, na, b, na + nb, i);
    return x;
}

#define P1 UINT64_C(0x9E3779B185EBCA87)
#define P2 UINT64_C(0xC2B2AE3D27D4EB4F)
#define P3 UINT64_C(0x165667B19E3779F9)
#define P4 UINT64_C(0x85EBCA77C2B2AE63)
#define P5 UINT64_C(0x27D4EB2F165667C5)

static uint64_t rotated(uint64_t v, int by) { return v << by | v >> (64 - by); }
static uint64_t xx_round(uint64_t acc, uint64_t input) { return rotated(acc + input * P2, 31) * P1; }
static uint64_t little(const uint8_t *a, uint32_t na, const uint8_t *b, uint32_t i, uint32_t n) {
    uint64_t v = 0;
    for (uint32_t k = 0; k < n; k++) v |= (uint64_t)at(a, na, b, i + k) << 8 * k;
    return v;
}

static uint64_t xxh64(const uint8_t *a, uint32_t na, const uint8_t *b, uint32_t nb) {
    uint32_t n = na + nb, i = 0;
    uint64_t h = P5;
    if (n >= 32) {
        uint64_t v[4] = {P1 + P2, P2, 0, -P1};
        for (; i + 32 <= n; i += 32)
            for (uint32_t k = 0; k < 4; k++) v[k] = xx_round(v[k], little(a, na, b, i + 8 * k, 8));
        h = rotated(v[0], 1) + rotated(v[1], 7) + rotated(v[2], 12) + rotated(v[3], 18);
        for (uint32_t k = 0; k < 4; k++) h = (h ^ xx_round(0, v[k])) * P1 + P4;
    }
    h += n;
    for (; i + 8 <= n; i += 8)
        h = rotated(h ^ xx_round(0, little(a, na, b, i, 8)), 27) * P1 + P4;
    for (; i + 4 <= n; i += 4) h = rotated(h ^ little(a, na, b, i, 4) * P1, 23) * P2 + P3;
    for (; i < n; i++) h = rotated(h ^ at(a, na, b, i) * P5, 11) * P1;
    h = (h ^ h >> 33) * P2;
    h = (h ^ h >> 29) * P3;
    return h ^ h >> 32;
}

static uint64_t identity(const uint8_t *a, uint32_t na, const uint8_t *b, uint32_t nb) {
    uint64_t v = 0;
    for (uint32_t i = 0; i < na + nb && i < 8; i++) v = v << 8 | at(a, na, b, i);
    return v;
}

uint64_t wf_hash(struct wf_switch *s, uint32_t algorithm, const uint8_t *data, uint32_t bits,
                 const uint8_t *payload, uint32_t n) {
    uint32_t bytes = (bits + 7) / 8;
    switch (algorithm) {
        case WF_CRC32: return crc(&s->crc32, data, bytes, payload, n);
        case WF_CRC32_CUSTOM: return crc(&s->custom32, data, bytes, payload, n);
        case WF_CRC16: return crc(&s->crc16, data, bytes, payload, n);
        case WF_CRC16_CUSTOM: return crc(&s->custom16, data, bytes, payload, n);
        case WF_RANDOM: return wf_random(s, 0, UINT64_MAX);
        case WF_IDENTITY: return identity(data, bytes, payload, n);
        case WF_CSUM16: return csum16(data, bytes, payload, n);
        case WF_XOR16: return xor16(data, bytes, payload, n);
        case WF_XXH64: return xxh64(data, bytes, payload, n);
        default: return 0;
    }
}

void wf_custom_crc(struct wf_switch *s, uint32_t width, uint64_t polynomial, uint64_t initial,
                   uint64_t final_xor, int reflect_in, int reflect_out) {
    wf_crc_open(width == 16 ? &s->custom16 : &s->custom32, width, polynomial, initial, final_xor,
                reflect_in, reflect_out);
}
