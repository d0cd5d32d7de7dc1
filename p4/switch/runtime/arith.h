/* Arithmetic on bit<W> and int<W> as the IR defines it. Values are unsigned and masked to W bits, in
   uint64_t (W <= 64), unsigned __int128 (W <= 128) or an array of limbs (wider). */
#ifndef WEFT_P4_ARITH_H
#define WEFT_P4_ARITH_H
#include "bits.h"

#define WF128(high, low) ((wf_u128)UINT64_C(high) << 64 | UINT64_C(low))

WF_INLINE wf_u128 wf_ones(unsigned width) {
    return width == 0 ? 0 : ~(wf_u128)0 >> (128 - width);
}
/* Sign extension; width 0 gives 0. */
WF_INLINE int64_t wf_sext(uint64_t v, unsigned width) {
    return width == 0 ? 0 : (int64_t)(v << (64 - width)) >> (64 - width);
}
WF_INLINE wf_i128 wf_sext128(wf_u128 v, unsigned width) {
    return width == 0 ? 0 : (wf_i128)(v << (128 - width)) >> (128 - width);
}
WF_INLINE uint64_t wf_saturated(wf_u128 v) { return v >> 64 ? UINT64_MAX : (uint64_t)v; }

WF_INLINE uint64_t wf_shl(uint64_t v, uint64_t by, unsigned width) {
    return by >= width ? 0 : v << by & (uint64_t)wf_ones(width);
}
WF_INLINE uint64_t wf_shr(uint64_t v, uint64_t by) { return by >= 64 ? 0 : v >> by; }
WF_INLINE uint64_t wf_sar(uint64_t v, uint64_t by, unsigned width) {
    return (uint64_t)(wf_sext(v, width) >> (by > 63 ? 63 : by)) & (uint64_t)wf_ones(width);
}
WF_INLINE wf_u128 wf_shl128(wf_u128 v, uint64_t by, unsigned width) {
    return by >= width ? 0 : v << by & wf_ones(width);
}
WF_INLINE wf_u128 wf_shr128(wf_u128 v, uint64_t by) { return by >= 128 ? 0 : v >> by; }
WF_INLINE wf_u128 wf_sar128(wf_u128 v, uint64_t by, unsigned width) {
    return (wf_u128)(wf_sext128(v, width) >> (by > 127 ? 127 : by)) & wf_ones(width);
}

WF_INLINE uint64_t wf_div(uint64_t a, uint64_t b) { return b ? a / b : 0; }
WF_INLINE uint64_t wf_mod(uint64_t a, uint64_t b) { return b ? a % b : 0; }
WF_INLINE wf_u128 wf_div128(wf_u128 a, wf_u128 b) { return b ? a / b : 0; }
WF_INLINE wf_u128 wf_mod128(wf_u128 a, wf_u128 b) { return b ? a % b : 0; }

/* Saturating sums and differences (section 8.6). */
WF_INLINE wf_u128 wf_sadd(wf_u128 a, wf_u128 b, unsigned width) {
    wf_u128 sum = a + b;
    return sum < a || sum > wf_ones(width) ? wf_ones(width) : sum;
}
WF_INLINE wf_u128 wf_ssub(wf_u128 a, wf_u128 b) { return a < b ? 0 : a - b; }
WF_INLINE wf_u128 wf_clamp(wf_i128 v, int overflow, int negative, unsigned width) {
    wf_i128 most = (wf_i128)(wf_ones(width) >> 1), least = -most - 1;
    if (overflow) return (wf_u128)(negative ? least : most) & wf_ones(width);
    return (wf_u128)(v > most ? most : v < least ? least : v) & wf_ones(width);
}
WF_INLINE wf_u128 wf_sadd_signed(wf_u128 a, wf_u128 b, unsigned width) {
    wf_i128 x = wf_sext128(a, width), y = wf_sext128(b, width), v;
    int overflow = __builtin_add_overflow(x, y, &v);
    return wf_clamp(v, overflow, x < 0, width);
}
WF_INLINE wf_u128 wf_ssub_signed(wf_u128 a, wf_u128 b, unsigned width) {
    wf_i128 x = wf_sext128(a, width), y = wf_sext128(b, width), v;
    int overflow = __builtin_sub_overflow(x, y, &v);
    return wf_clamp(v, overflow, x < 0, width);
}

/* ---- wider than 128 bits: limbs, least significant first; results go to `r`, masked ---- */

WF_INLINE unsigned wf_limbs(unsigned width) { return (width + 63) / 64; }
WF_INLINE void wfw_mask(uint64_t *r, unsigned width) {
    if (width % 64) r[width / 64] &= ~UINT64_C(0) >> (64 - width % 64);
}
WF_INLINE int wfw_bit(const uint64_t *a, unsigned bit) { return (int)(a[bit / 64] >> bit % 64 & 1); }
/* Copies `from` limbs, extended by zero or by the sign bit of a value of `sign` bits. */
WF_INLINE void wfw_from(uint64_t *r, unsigned width, const uint64_t *a, unsigned from,
                        unsigned sign) {
    uint64_t fill = sign && wfw_bit(a, sign - 1) ? ~UINT64_C(0) : 0;
    unsigned n = wf_limbs(width);
    for (unsigned i = 0; i < n; i++) r[i] = i < from ? a[i] : fill;
    if (fill && sign % 64 && sign / 64 < n) r[sign / 64] |= fill << sign % 64;
    wfw_mask(r, width);
}
WF_INLINE void wfw_add(uint64_t *r, const uint64_t *a, const uint64_t *b, unsigned width) {
    wf_u128 carry = 0;
    for (unsigned i = 0; i < wf_limbs(width); i++) {
        carry += (wf_u128)a[i] + b[i];
        r[i] = (uint64_t)carry;
        carry >>= 64;
    }
    wfw_mask(r, width);
}
WF_INLINE void wfw_not(uint64_t *r, const uint64_t *a, unsigned width) {
    for (unsigned i = 0; i < wf_limbs(width); i++) r[i] = ~a[i];
    wfw_mask(r, width);
}
WF_INLINE void wfw_neg(uint64_t *r, const uint64_t *a, unsigned width) {
    wf_u128 carry = 1;
    for (unsigned i = 0; i < wf_limbs(width); i++) {
        carry += ~a[i];
        r[i] = (uint64_t)carry;
        carry >>= 64;
    }
    wfw_mask(r, width);
}
WF_INLINE int wfw_compare(const uint64_t *a, const uint64_t *b, unsigned width, int is_signed) {
    if (is_signed && wfw_bit(a, width - 1) != wfw_bit(b, width - 1))
        return wfw_bit(a, width - 1) ? -1 : 1;
    for (unsigned i = wf_limbs(width); i-- > 0;)
        if (a[i] != b[i]) return a[i] < b[i] ? -1 : 1;
    return 0;
}
WF_INLINE void wfw_sub(uint64_t *r, const uint64_t *a, const uint64_t *b, unsigned width) {
    uint64_t borrow = 0;
    for (unsigned i = 0; i < wf_limbs(width); i++) {
        wf_u128 d = (wf_u128)a[i] - b[i] - borrow;
        r[i] = (uint64_t)d;
        borrow = (uint64_t)(d >> 64) & 1;
    }
    wfw_mask(r, width);
}
WF_INLINE void wfw_mul(uint64_t *r, const uint64_t *a, const uint64_t *b, unsigned width) {
    unsigned n = wf_limbs(width);
    for (unsigned i = 0; i < n; i++) r[i] = 0;
    for (unsigned i = 0; i < n; i++) {
        wf_u128 carry = 0;
        for (unsigned j = 0; i + j < n; j++) {
            carry += (wf_u128)a[i] * b[j] + r[i + j];
            r[i + j] = (uint64_t)carry;
            carry >>= 64;
        }
    }
    wfw_mask(r, width);
}
WF_INLINE void wfw_and(uint64_t *r, const uint64_t *a, const uint64_t *b, unsigned width) {
    for (unsigned i = 0; i < wf_limbs(width); i++) r[i] = a[i] & b[i];
}
WF_INLINE void wfw_or(uint64_t *r, const uint64_t *a, const uint64_t *b, unsigned width) {
    for (unsigned i = 0; i < wf_limbs(width); i++) r[i] = a[i] | b[i];
}
WF_INLINE void wfw_xor(uint64_t *r, const uint64_t *a, const uint64_t *b, unsigned width) {
    for (unsigned i = 0; i < wf_limbs(width); i++) r[i] = a[i] ^ b[i];
}
WF_INLINE void wfw_shl(uint64_t *r, const uint64_t *a, uint64_t by, unsigned width) {
    unsigned n = wf_limbs(width), whole = by >= width ? n : (unsigned)(by / 64);
    for (unsigned i = n; i-- > 0;) {
        uint64_t high = i >= whole ? a[i - whole] : 0;
        uint64_t low = by % 64 && i > whole ? a[i - whole - 1] >> (64 - by % 64) : 0;
        r[i] = high << by % 64 | low;
    }
    wfw_mask(r, width);
}
WF_INLINE void wfw_shr(uint64_t *r, const uint64_t *a, uint64_t by, unsigned width) {
    unsigned n = wf_limbs(width), whole = by >= width ? n : (unsigned)(by / 64);
    for (unsigned i = 0; i < n; i++) {
        uint64_t low = i + whole < n ? a[i + whole] : 0;
        uint64_t high = by % 64 && i + whole + 1 < n ? a[i + whole + 1] << (64 - by % 64) : 0;
        r[i] = low >> by % 64 | high;
    }
}
WF_INLINE void wfw_sar(uint64_t *r, const uint64_t *a, uint64_t by, unsigned width) {
    int negative = wfw_bit(a, width - 1);
    wfw_shr(r, a, by, width);
    if (!negative) return;
    uint64_t kept = by >= width ? 0 : width - by; /* bits below which the value stands */
    for (unsigned i = 0; i < wf_limbs(width); i++) {
        uint64_t low = (uint64_t)i * 64;
        if (kept <= low) r[i] = ~UINT64_C(0);
        else if (kept < low + 64) r[i] |= ~UINT64_C(0) << (kept - low);
    }
    wfw_mask(r, width);
}
/* Schoolbook division, bit by bit: rare enough to be slow. */
WF_INLINE void wfw_divide(uint64_t *q, uint64_t *rest, const uint64_t *a, const uint64_t *b,
                          unsigned width) {
    unsigned n = wf_limbs(width);
    uint64_t any = 0;
    for (unsigned i = 0; i < n; i++) any |= b[i], q[i] = rest[i] = 0;
    if (!any) return;
    for (unsigned bit = width; bit-- > 0;) {
        uint64_t out = rest[n - 1] >> 63;
        for (unsigned i = n; i-- > 1;) rest[i] = rest[i] << 1 | rest[i - 1] >> 63;
        rest[0] = rest[0] << 1 | (uint64_t)wfw_bit(a, bit);
        if (out || wfw_compare(rest, b, n * 64, 0) >= 0) {
            wfw_sub(rest, rest, b, n * 64);
            q[bit / 64] |= UINT64_C(1) << bit % 64;
        }
    }
}
WF_INLINE void wfw_saturate(uint64_t *r, int to_least, int is_signed, unsigned width) {
    for (unsigned i = 0; i < wf_limbs(width); i++) r[i] = to_least ? 0 : ~UINT64_C(0);
    if (is_signed) r[(width - 1) / 64] ^= UINT64_C(1) << (width - 1) % 64;
    wfw_mask(r, width);
}
WF_INLINE void wfw_sadd(uint64_t *r, const uint64_t *a, const uint64_t *b, unsigned width,
                        int is_signed) {
    int x = wfw_bit(a, width - 1), y = wfw_bit(b, width - 1);
    wfw_add(r, a, b, width);
    if (is_signed ? x == y && wfw_bit(r, width - 1) != x : wfw_compare(r, a, width, 0) < 0)
        wfw_saturate(r, is_signed && x, is_signed, width);
}
WF_INLINE void wfw_ssub(uint64_t *r, const uint64_t *a, const uint64_t *b, unsigned width,
                        int is_signed) {
    int x = wfw_bit(a, width - 1), y = wfw_bit(b, width - 1);
    int below = wfw_compare(a, b, width, 0) < 0;
    wfw_sub(r, a, b, width);
    if (is_signed ? x != y && wfw_bit(r, width - 1) != x : below)
        wfw_saturate(r, is_signed ? x : 1, is_signed, width);
}
WF_INLINE uint64_t wfw_saturated(const uint64_t *a, unsigned width) {
    for (unsigned i = 1; i < wf_limbs(width); i++)
        if (a[i]) return UINT64_MAX;
    return a[0];
}
#endif
