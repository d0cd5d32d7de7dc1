#include "innet/blocks.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "innet/packet.h"

namespace weft::innet {
namespace {

// Both types as the bits of a float: bfloat16 is a float's upper half.
std::uint32_t float_bits(const std::byte* block, std::size_t i, Type type) noexcept {
    if (type == Type::kBfloat16) {
        std::uint16_t half;
        std::memcpy(&half, block + 2 * i, sizeof half);
        return std::uint32_t{half} << 16;
    }
    std::uint32_t bits;
    std::memcpy(&bits, block + 4 * i, sizeof bits);
    return bits;
}

// Rounds to nearest, ties to even, in two instructions that every machine has: adding 1.5 2^52
// leaves the integer in the low bits of the sum. For |x| < 2^31.
std::uint32_t round_to_integer(double x) noexcept {
    return static_cast<std::uint32_t>(std::bit_cast<std::uint64_t>(x + 6755399441055744.0));
}

// Values beyond 2^e come from a worker only that was too late to have a say in e: they are cut off.
template <Type type>
void scale_to_wire(std::uint8_t* wire, const std::byte* block, std::size_t count, double scale,
                   double limit) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        double x = static_cast<double>(std::bit_cast<float>(float_bits(block, i, type))) * scale;
        x = x < limit ? x : limit;
        x = x > -limit ? x : -limit;
        store32(wire + 4 * i, round_to_integer(x));
    }
}

float scaled(const std::uint8_t* wire, std::size_t i, double scale) noexcept {
    return static_cast<float>(static_cast<double>(static_cast<std::int32_t>(load32(wire + 4 * i))) *
                              scale);
}

// To nearest, ties to even; NaN stays one.
std::uint16_t to_bfloat16(float x) noexcept {
    const auto bits = std::bit_cast<std::uint32_t>(x);
    if (std::isnan(x)) return 0x7fc0;
    return static_cast<std::uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace

int fraction_bits(std::uint16_t workers) noexcept {
    const auto others = static_cast<unsigned>(std::max<std::uint16_t>(workers, 1) - 1);
    return 30 - static_cast<int>(std::bit_width(others));
}

std::int8_t exponent_of(const std::byte* block, std::size_t count, Type type) noexcept {
    if (type == Type::kInt32) return 0;
    std::uint32_t largest = 0;  // bits of positive floats are ordered as the floats are
    for (std::size_t i = 0; i < count; ++i) {
        largest = std::max(largest, float_bits(block, i, type) & 0x7fffffff);
    }
    if (largest == 0) return kAllZero;
    if (largest >= std::bit_cast<std::uint32_t>(0x1p126F)) return kNotFinite;
    int exponent = 0;
    std::frexp(std::bit_cast<float>(largest), &exponent);
    return static_cast<std::int8_t>(std::max(exponent, kAllZero + 1));
}

void to_wire(std::uint8_t* wire, std::size_t values, const std::byte* block, std::size_t count,
             Type type, std::int8_t exponent, std::uint16_t workers) noexcept {
    if (type == Type::kInt32) {
        for (std::size_t i = 0; i < count; ++i) store32(wire + 4 * i, float_bits(block, i, type));
    } else if (exponent == kNotFinite || exponent == kAllZero) {
        count = 0;  // nothing can be added
    } else {
        const double scale = std::ldexp(1.0, fraction_bits(workers) - exponent);
        const double limit = std::ldexp(1.0, fraction_bits(workers));
        if (type == Type::kFloat32) {
            scale_to_wire<Type::kFloat32>(wire, block, count, scale, limit);
        } else {
            scale_to_wire<Type::kBfloat16>(wire, block, count, scale, limit);
        }
    }
    std::memset(wire + 4 * count, 0, 4 * (values - count));
}

void from_wire(std::byte* block, std::size_t count, Type type, const std::uint8_t* wire,
               std::int8_t exponent, std::uint16_t workers) noexcept {
    if (type == Type::kInt32) {
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint32_t value = load32(wire + 4 * i);
            std::memcpy(block + 4 * i, &value, sizeof value);
        }
        return;
    }
    const double scale = exponent == kNotFinite ? std::numeric_limits<double>::quiet_NaN()
                         : exponent == kAllZero
                             ? 0.0
                             : std::ldexp(1.0, exponent - fraction_bits(workers));
    if (type == Type::kFloat32) {
        for (std::size_t i = 0; i < count; ++i) {
            const float value = scaled(wire, i, scale);
            std::memcpy(block + 4 * i, &value, sizeof value);
        }
    } else {
        for (std::size_t i = 0; i < count; ++i) {
            const std::uint16_t value = to_bfloat16(scaled(wire, i, scale));
            std::memcpy(block + 2 * i, &value, sizeof value);
        }
    }
}

}  // namespace weft::innet
