/* Fields in packets: big-endian bit strings at any bit offset. All offsets and widths are constants
   where the generator calls these, so each call folds to a few loads and shifts. */
#ifndef WEFT_P4_BITS_H
#define WEFT_P4_BITS_H
#include <stdint.h>
#include <string.h>

#define WF_INLINE static inline __attribute__((always_inline, unused))

typedef unsigned __int128 wf_u128;
typedef __int128 wf_i128;

WF_INLINE uint64_t wf_load(const uint8_t *p, unsigned bytes) {
    uint16_t a;
    uint32_t b;
    uint64_t c;
    switch (bytes) {
        case 1: return p[0];
        case 2: memcpy(&a, p, 2); return __builtin_bswap16(a);
        case 3: memcpy(&a, p, 2); return (uint64_t)__builtin_bswap16(a) << 8 | p[2];
        case 4: memcpy(&b, p, 4); return __builtin_bswap32(b);
        case 5: memcpy(&b, p, 4); return (uint64_t)__builtin_bswap32(b) << 8 | p[4];
        case 6: return wf_load(p, 4) << 16 | wf_load(p + 4, 2);
        case 7: return wf_load(p, 4) << 24 | wf_load(p + 4, 3);
        case 8: memcpy(&c, p, 8); return __builtin_bswap64(c);
        default: return 0;
    }
}

/* `width` bits (0..64) at bit `at`. Touches no byte beyond them. */
WF_INLINE uint64_t wf_get(const uint8_t *p, uint32_t at, unsigned width) {
    if (width == 0) return 0;
    p += at / 8;
    unsigned end = at % 8 + width, bytes = (end + 7) / 8, tail = bytes * 8 - end;
    uint64_t mask = ~UINT64_C(0) >> (64 - width);
    if (bytes <= 8) return wf_load(p, bytes) >> tail & mask;
    return (wf_load(p, 8) << (8 - tail) | p[8] >> tail) & mask;
}

WF_INLINE wf_u128 wf_get128(const uint8_t *p, uint32_t at, unsigned width) {
    return (wf_u128)wf_get(p, at, width - 64) << 64 | wf_get(p, at + width - 64, 64);
}

WF_INLINE void wf_get_wide(uint64_t *w, const uint8_t *p, uint32_t at, unsigned width) {
    unsigned limb = 0;
    for (; width >= 64; width -= 64) w[limb++] = wf_get(p, at + width - 64, 64);
    if (width) w[limb] = wf_get(p, at, width);
}

/* Stores `width` bits (0..64) at bit `at`; other bits stay. */
WF_INLINE void wf_put(uint8_t *p, uint32_t at, unsigned width, uint64_t value) {
    p += at / 8;
    if (at % 8 == 0 && width % 8 == 0) {
        uint16_t a = __builtin_bswap16((uint16_t)value);
        uint32_t b = __builtin_bswap32((uint32_t)value);
        uint64_t c = __builtin_bswap64(value);
        switch (width) {
            case 0: return;
            case 8: p[0] = (uint8_t)value; return;
            case 16: memcpy(p, &a, 2); return;
            case 32: memcpy(p, &b, 4); return;
            case 64: memcpy(p, &c, 8); return;
            default:
                for (unsigned i = 0; i < width / 8; i++)
                    p[i] = (uint8_t)(value >> (width - 8 - 8 * i));
                return;
        }
    }
    unsigned used = at % 8;
    while (width > 0) {
        unsigned n = 8 - used < width ? 8 - used : width;
        unsigned shift = 8 - used - n;
        uint8_t mask = (uint8_t)(((1u << n) - 1) << shift);
        *p = (uint8_t)((*p & ~mask) | ((value >> (width - n)) << shift & mask));
        width -= n;
        used = 0;
        p++;
    }
}

WF_INLINE void wf_put128(uint8_t *p, uint32_t at, unsigned width, wf_u128 value) {
    wf_put(p, at, width - 64, (uint64_t)(value >> 64));
    wf_put(p, at + width - 64, 64, (uint64_t)value);
}

WF_INLINE void wf_put_wide(uint8_t *p, uint32_t at, unsigned width, const uint64_t *w) {
    unsigned limb = 0;
    for (; width >= 64; width -= 64) wf_put(p, at + width - 64, 64, w[limb++]);
    if (width) wf_put(p, at, width, w[limb]);
}

/* Copies `bits` bits between any two bit positions: varbits that start inside a byte. */
WF_INLINE void wf_copy_bits(uint8_t *to, uint32_t to_at, const uint8_t *from, uint32_t from_at,
                            uint32_t bits) {
    if (to_at % 8 == 0 && from_at % 8 == 0 && bits % 8 == 0) {
        memcpy(to + to_at / 8, from + from_at / 8, bits / 8);
        return;
    }
    for (uint32_t i = 0; i < bits; i += 8) {
        unsigned n = bits - i < 8 ? bits - i : 8;
        uint8_t byte = 0;
        for (unsigned j = 0; j < n; j++) {
            uint32_t b = from_at + i + j;
            byte = (uint8_t)(byte << 1 | (from[b / 8] >> (7 - b % 8) & 1));
        }
        wf_put(to, to_at + i, n, byte);
    }
}
#endif
