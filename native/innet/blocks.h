// Block floating point: floats as 32 bit integers that share one exponent per block (a packet's
// values).
//
// All workers of a block use the largest exponent e among them, which the switch finds one round
// ahead, so that every |x| < 2^e, and send round(x 2^(b - e)) with b = 30 - ceil(log2 workers)
// fraction bits: sums of all workers fit 31 bits. The absolute error of a sum of n values is at
// most n 2^(e - b - 1), half a step each, and what the result's own type cannot show.
#pragma once

#include <cstddef>
#include <cstdint>

namespace weft::innet {

enum class Type : std::uint8_t { kInt32, kFloat32, kBfloat16 };

constexpr std::size_t size_of(Type type) noexcept {
    return type == Type::kBfloat16 ? 2 : 4;
}

// Exponent of a block with a NaN, an infinity or a value of 2^126 or more: its sum is NaN.
constexpr std::int8_t kNotFinite = 127;
constexpr std::int8_t kAllZero = -128;

int fraction_bits(std::uint16_t workers) noexcept;

// The least e with |x| < 2^e for all x of the block, at least -127; kNotFinite, kAllZero. Integers
// have 0.
std::int8_t exponent_of(const std::byte* block, std::size_t count, Type type) noexcept;

// Writes `count` values as the switch takes them, and zeros up to `values`.
void to_wire(std::uint8_t* wire, std::size_t values, const std::byte* block, std::size_t count,
             Type type, std::int8_t exponent, std::uint16_t workers) noexcept;
// The sums that `count` values of a result stand for.
void from_wire(std::byte* block, std::size_t count, Type type, const std::uint8_t* wire,
               std::int8_t exponent, std::uint16_t workers) noexcept;

}  // namespace weft::innet
