// The reduction kernels, compiled once for every instruction set (kernels_*.cc): plain loops that
// the compiler vectorises, and intrinsics only for f16, which it cannot. Everything has internal
// linkage, so no copy compiled for a wide instruction set can replace one that must run everywhere;
// for the same reason no standard library templates are used in here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "collectives/reduce/reduce.h"
#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace weft::collectives {

constexpr int kDtypes = WEFT_C128 + 1;
constexpr int kReductions = WEFT_PREMUL_SUM + 1;

// One instruction set's functions; nullptr: the operation has no meaning for the type.
struct Kernels {
    CombineFunction combine[kReductions][kDtypes] = {};
    ScaleFunction scale[kDtypes] = {};
    DivideFunction divide[kDtypes] = {};
};

// nullptr where this build has none.
const Kernels* portable_kernels() noexcept;
const Kernels* avx2_kernels() noexcept;
const Kernels* avx512_kernels() noexcept;

#if defined(WEFT_KERNELS)
namespace {

// Loops over memory of any alignment and type.
template <typename T>
struct Unaligned {
    typedef T type __attribute__((aligned(1), may_alias));
};

// The loops below may write where they read, but only at the same index: no dependency between
// iterations.
#if defined(__clang__)
#define WEFT_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define WEFT_INDEPENDENT _Pragma("GCC ivdep")
#endif

template <typename T>
using BitsOf = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;

template <typename T>
BitsOf<T> bits(T value) {
    return __builtin_bit_cast(BitsOf<T>, value);
}

template <typename T>
T canonical_nan() {
    if constexpr (sizeof(T) == 8)
        return __builtin_bit_cast(T, std::uint64_t{0x7ff8000000000000});
    else
        return __builtin_bit_cast(T, std::uint32_t{0x7fc00000});
}

template <typename T>
T canonical(T value) {
    return value == value ? value : canonical_nan<T>();
}

// Which of the operands a MIN or MAX takes; equal ones differ in the sign of zero at most, which
// the bits decide.
template <typename T>
T pick(bool first, T a, T b, BitsOf<T> if_equal) {
    BitsOf<T> result = first ? bits(a) : bits(b);
    result = a == b ? if_equal : result;
    result = a == a ? result : bits(canonical_nan<T>());
    result = b == b ? result : bits(canonical_nan<T>());
    return __builtin_bit_cast(T, result);
}

struct Sum {
    template <typename T>
    static T apply(T a, T b) {
        if constexpr (std::is_floating_point_v<T>)
            return canonical(a + b);
        else
            return static_cast<T>(static_cast<std::make_unsigned_t<T>>(a) +
                                  static_cast<std::make_unsigned_t<T>>(b));
    }
};

struct Prod {
    template <typename T>
    static T apply(T a, T b) {
        if constexpr (std::is_floating_point_v<T>) return canonical(a * b);
        // Through at least 32 unsigned bits: narrower ones would be promoted to int, which may
        // overflow.
        using Wide = std::conditional_t<sizeof(T) == 8, std::uint64_t, std::uint32_t>;
        return static_cast<T>(static_cast<Wide>(a) * static_cast<Wide>(b));
    }
};

struct Min {
    template <typename T>
    static T apply(T a, T b) {
        if constexpr (std::is_floating_point_v<T>)
            return pick(a < b, a, b, static_cast<BitsOf<T>>(bits(a) | bits(b)));
        else
            return a < b ? a : b;
    }
};

struct Max {
    template <typename T>
    static T apply(T a, T b) {
        if constexpr (std::is_floating_point_v<T>)
            return pick(a > b, a, b, static_cast<BitsOf<T>>(bits(a) & bits(b)));
        else
            return a > b ? a : b;
    }
};

struct BitAnd {
    template <typename T>
    static T apply(T a, T b) {
        return static_cast<T>(a & b);
    }
};

struct BitOr {
    template <typename T>
    static T apply(T a, T b) {
        return static_cast<T>(a | b);
    }
};

struct BitXor {
    template <typename T>
    static T apply(T a, T b) {
        return static_cast<T>(a ^ b);
    }
};

// bool: bytes that are true if nonzero; results are 0 or 1.
struct Or {
    static std::uint8_t apply(std::uint8_t a, std::uint8_t b) {
        return static_cast<std::uint8_t>((a | b) != 0);
    }
};

struct And {
    static std::uint8_t apply(std::uint8_t a, std::uint8_t b) {
        return static_cast<std::uint8_t>((a != 0) & (b != 0));
    }
};

struct Xor {
    static std::uint8_t apply(std::uint8_t a, std::uint8_t b) {
        return static_cast<std::uint8_t>((a != 0) ^ (b != 0));
    }
};

template <typename T, typename Op>
void combine(std::byte* out, const std::byte* a, const std::byte* b, std::size_t count) noexcept {
    using Element = typename Unaligned<T>::type;
    auto* const o = reinterpret_cast<Element*>(out);
    const auto* const x = reinterpret_cast<const Element*>(a);
    const auto* const y = reinterpret_cast<const Element*>(b);
    WEFT_INDEPENDENT
    for (std::size_t i = 0; i < count; ++i)
        o[i] = Op::apply(static_cast<T>(x[i]), static_cast<T>(y[i]));
}

// Complex sums are sums of twice as many parts.
template <typename T>
void combine_complex_sum(std::byte* out, const std::byte* a, const std::byte* b,
                         std::size_t count) noexcept {
    combine<T, Sum>(out, a, b, 2 * count);
}

// Elements worked on at a time by what needs room on the stack (in the first-level cache).
constexpr std::size_t kBlock = 256;

// Parts are multiplied apart from each other: of the interleaved form gcc 12 makes fused operations
// that it was told not to.
template <typename T>
void combine_complex_prod(std::byte* out, const std::byte* a, const std::byte* b,
                          std::size_t count) noexcept {
    using Element = typename Unaligned<T>::type;
    auto* const o = reinterpret_cast<Element*>(out);
    const auto* const x = reinterpret_cast<const Element*>(a);
    const auto* const y = reinterpret_cast<const Element*>(b);
    T real[kBlock];
    T imaginary[kBlock];
    for (std::size_t done = 0; done < count; done += kBlock) {
        const std::size_t part = count - done < kBlock ? count - done : kBlock;
        const std::size_t at = 2 * done;
        for (std::size_t i = 0; i < part; ++i) {
            real[i] =
                canonical(x[at + 2 * i] * y[at + 2 * i] - x[at + 2 * i + 1] * y[at + 2 * i + 1]);
        }
        for (std::size_t i = 0; i < part; ++i) {
            imaginary[i] =
                canonical(x[at + 2 * i] * y[at + 2 * i + 1] + x[at + 2 * i + 1] * y[at + 2 * i]);
        }
        for (std::size_t i = 0; i < part; ++i) {
            o[at + 2 * i] = real[i];
            o[at + 2 * i + 1] = imaginary[i];
        }
    }
}

// Half precision goes through blocks of f32.
struct Bf16 {
    static void widen(const std::byte* in, float* out, std::size_t count) noexcept {
        const auto* const x = reinterpret_cast<const Unaligned<std::uint16_t>::type*>(in);
        for (std::size_t i = 0; i < count; ++i)
            out[i] = __builtin_bit_cast(float, static_cast<std::uint32_t>(x[i]) << 16);
    }
    static void narrow(const float* in, std::byte* out, std::size_t count) noexcept {
        auto* const o = reinterpret_cast<Unaligned<std::uint16_t>::type*>(out);
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint32_t value =
                bits(in[i]);  // never another NaN than the canonical one, which this keeps
            o[i] = static_cast<std::uint16_t>((value + 0x7fff + (value >> 16 & 1)) >> 16);
        }
    }
};

struct F16 {
    // IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits.
    static float widen_one(std::uint16_t half) noexcept {
        const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000) << 16;
        const std::uint32_t rest = static_cast<std::uint32_t>(half & 0x7fff) << 13;
        const std::uint32_t exponent = rest & 0x0f800000;
        const std::uint32_t normal = rest + ((127 - 15) << 23);
        // Subnormal: as if the leading bit were there, then it is subtracted, which normalises
        // exactly.
        const float smallest = __builtin_bit_cast(float, std::uint32_t{113} << 23);
        const float subnormal = __builtin_bit_cast(float, normal + (1 << 23)) - smallest;
        std::uint32_t value = exponent == 0x0f800000 ? normal + ((128 - 16) << 23) : normal;
        value = exponent == 0 ? bits(subnormal) : value;
        return __builtin_bit_cast(float, value | sign);
    }
    static std::uint16_t narrow_one(float single) noexcept {
        const std::uint32_t all = bits(single);
        const std::uint32_t sign = all & 0x80000000;
        const std::uint32_t rest = all ^ sign;
        const std::uint32_t special =
            rest > 0x7f800000 ? 0x7e00 : 0x7c00;  // NaN, or too large for binary16
        // Subnormal: adding a power of two of the right size lets the FPU align and round the
        // fraction.
        const std::uint32_t aligner = ((127 - 15) + (23 - 10) + 1) << 23;
        const std::uint32_t subnormal =
            bits(__builtin_bit_cast(float, rest) + __builtin_bit_cast(float, aligner)) - aligner;
        const std::uint32_t normal = (rest - ((127U - 15U) << 23) + 0xfff + (rest >> 13 & 1)) >> 13;
        std::uint32_t value = rest < (113U << 23) ? subnormal : normal;
        value = rest >= (143U << 23)
                    ? special
                    : value;  // 2^16; what rounds up to it carries over to infinity by itself
        return static_cast<std::uint16_t>(value | sign >> 16);
    }
    static void widen(const std::byte* in, float* out, std::size_t count) noexcept {
        std::size_t i = 0;
#if defined(__F16C__)
        for (; i + 8 <= count; i += 8) {
            const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(in + 2 * i));
            _mm256_storeu_ps(out + i, _mm256_cvtph_ps(half));
        }
#endif
        const auto* const x = reinterpret_cast<const Unaligned<std::uint16_t>::type*>(in);
        for (; i < count; ++i) out[i] = widen_one(x[i]);
    }
    static void narrow(const float* in, std::byte* out, std::size_t count) noexcept {
        std::size_t i = 0;
#if defined(__F16C__)
        for (; i + 8 <= count; i += 8) {
            const __m128i half = _mm256_cvtps_ph(_mm256_loadu_ps(in + i),
                                                 _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
            _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2 * i), half);
        }
#endif
        auto* const o = reinterpret_cast<Unaligned<std::uint16_t>::type*>(out);
        for (; i < count; ++i) o[i] = narrow_one(in[i]);
    }
};

template <typename Half, typename Op>
void combine_half(std::byte* out, const std::byte* a, const std::byte* b,
                  std::size_t count) noexcept {
    float x[kBlock];
    float y[kBlock];
    for (std::size_t done = 0; done < count; done += kBlock) {
        const std::size_t part = count - done < kBlock ? count - done : kBlock;
        Half::widen(a + 2 * done, x, part);
        Half::widen(b + 2 * done, y, part);
        for (std::size_t i = 0; i < part; ++i) x[i] = Op::apply(x[i], y[i]);
        Half::narrow(x, out + 2 * done, part);
    }
}

// Applies change(element) to all; `parts` elements of type T per counted one (2: complex).
template <typename T, std::size_t parts, typename Change>
void change_all(std::byte* out, const std::byte* in, std::size_t count, Change change) noexcept {
    using Element = typename Unaligned<T>::type;
    auto* const o = reinterpret_cast<Element*>(out);
    const auto* const x = reinterpret_cast<const Element*>(in);
    WEFT_INDEPENDENT
    for (std::size_t i = 0; i < parts * count; ++i) o[i] = change(static_cast<T>(x[i]));
}

template <typename Half, typename Change>
void change_half(std::byte* out, const std::byte* in, std::size_t count, Change change) noexcept {
    float x[kBlock];
    for (std::size_t done = 0; done < count; done += kBlock) {
        const std::size_t part = count - done < kBlock ? count - done : kBlock;
        Half::widen(in + 2 * done, x, part);
        for (std::size_t i = 0; i < part; ++i) x[i] = change(x[i]);
        Half::narrow(x, out + 2 * done, part);
    }
}

template <typename T, std::size_t parts = 1>
void scale(std::byte* out, const std::byte* in, double factor, std::size_t count) noexcept {
    if constexpr (std::is_floating_point_v<T>) {
        const T by = static_cast<T>(factor);
        change_all<T, parts>(out, in, count, [by](T value) { return canonical(value * by); });
    } else {
        const auto by = static_cast<T>(static_cast<std::int64_t>(factor));
        change_all<T, parts>(out, in, count, [by](T value) { return Prod::apply(value, by); });
    }
}

template <typename T, std::size_t parts = 1>
void divide(std::byte* out, const std::byte* in, std::size_t divisor, std::size_t count) noexcept {
    if constexpr (std::is_floating_point_v<T>) {
        const T by = static_cast<T>(divisor);
        change_all<T, parts>(out, in, count, [by](T value) { return canonical(value / by); });
    } else {
        // Wider than T: the divisor may not fit (u8 among 300 ranks).
        const auto by = static_cast<std::int64_t>(divisor);
        change_all<T, parts>(out, in, count, [by](T value) { return static_cast<T>(value / by); });
    }
}

template <typename Half>
void scale_half(std::byte* out, const std::byte* in, double factor, std::size_t count) noexcept {
    const float by = static_cast<float>(factor);
    change_half<Half>(out, in, count, [by](float value) { return canonical(value * by); });
}

template <typename Half>
void divide_half(std::byte* out, const std::byte* in, std::size_t divisor,
                 std::size_t count) noexcept {
    const float by = static_cast<float>(divisor);
    change_half<Half>(out, in, count, [by](float value) { return canonical(value / by); });
}

template <typename T>
constexpr void add_ordered(Kernels& kernels, weft_dtype dtype) {
    for (weft_reduction op : {WEFT_SUM, WEFT_AVG, WEFT_PREMUL_SUM})
        kernels.combine[op][dtype] = combine<T, Sum>;
    kernels.combine[WEFT_PROD][dtype] = combine<T, Prod>;
    kernels.combine[WEFT_MIN][dtype] = combine<T, Min>;
    kernels.combine[WEFT_MAX][dtype] = combine<T, Max>;
    kernels.scale[dtype] = scale<T>;
    kernels.divide[dtype] = divide<T>;
}

template <typename T>
constexpr void add_integer(Kernels& kernels, weft_dtype dtype) {
    add_ordered<T>(kernels, dtype);
    kernels.combine[WEFT_BAND][dtype] = combine<T, BitAnd>;
    kernels.combine[WEFT_BOR][dtype] = combine<T, BitOr>;
    kernels.combine[WEFT_BXOR][dtype] = combine<T, BitXor>;
}

template <typename Half>
constexpr void add_half(Kernels& kernels, weft_dtype dtype) {
    for (weft_reduction op : {WEFT_SUM, WEFT_AVG, WEFT_PREMUL_SUM})
        kernels.combine[op][dtype] = combine_half<Half, Sum>;
    kernels.combine[WEFT_PROD][dtype] = combine_half<Half, Prod>;
    kernels.combine[WEFT_MIN][dtype] = combine_half<Half, Min>;
    kernels.combine[WEFT_MAX][dtype] = combine_half<Half, Max>;
    kernels.scale[dtype] = scale_half<Half>;
    kernels.divide[dtype] = divide_half<Half>;
}

template <typename T>
constexpr void add_complex(Kernels& kernels, weft_dtype dtype) {
    for (weft_reduction op : {WEFT_SUM, WEFT_AVG, WEFT_PREMUL_SUM})
        kernels.combine[op][dtype] = combine_complex_sum<T>;
    kernels.combine[WEFT_PROD][dtype] = combine_complex_prod<T>;
    kernels.scale[dtype] = scale<T, 2>;
    kernels.divide[dtype] = divide<T, 2>;
}

constexpr void add_bool(Kernels& kernels) {
    for (weft_reduction op : {WEFT_SUM, WEFT_MAX, WEFT_BOR})
        kernels.combine[op][WEFT_BOOL] = combine<std::uint8_t, Or>;
    for (weft_reduction op : {WEFT_PROD, WEFT_MIN, WEFT_BAND})
        kernels.combine[op][WEFT_BOOL] = combine<std::uint8_t, And>;
    kernels.combine[WEFT_BXOR][WEFT_BOOL] = combine<std::uint8_t, Xor>;
}

constexpr Kernels make_kernels() {
    Kernels kernels;
    add_integer<std::uint8_t>(kernels, WEFT_U8);
    add_integer<std::int8_t>(kernels, WEFT_I8);
    add_integer<std::int16_t>(kernels, WEFT_I16);
    add_integer<std::int32_t>(kernels, WEFT_I32);
    add_integer<std::int64_t>(kernels, WEFT_I64);
    add_bool(kernels);
    add_half<F16>(kernels, WEFT_F16);
    add_half<Bf16>(kernels, WEFT_BF16);
    add_ordered<float>(kernels, WEFT_F32);
    add_ordered<double>(kernels, WEFT_F64);
    add_complex<float>(kernels, WEFT_C64);
    add_complex<double>(kernels, WEFT_C128);
    return kernels;
}

constexpr Kernels kKernels = make_kernels();

}  // namespace
#endif  // WEFT_KERNELS

}  // namespace weft::collectives
