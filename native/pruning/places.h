// Order-keeping codes of 32 bits for numbers.
#pragma once

#include <bit>
#include <cstdint>

namespace weft::pruning {

// Unsigned numbers in the order of the values. Both zeros are one.
constexpr std::uint64_t ordered(std::int64_t value) {
    return static_cast<std::uint64_t>(value) ^ (std::uint64_t{1} << 63);
}
constexpr std::uint64_t ordered(double value) {
    const auto bits = std::bit_cast<std::uint64_t>(value + 0.0);
    return bits >> 63 != 0 ? ~bits : bits | (std::uint64_t{1} << 63);
}

// Codes 1..top for ordered numbers from `low` on in steps of 2^shift; 0 for what is outside, and
// for NaN. `turned` turns the order.
struct Scale {
    std::uint64_t low;
    std::uint32_t shift;
    std::uint32_t top;
    bool turned;

    [[nodiscard]] std::uint32_t code(std::uint64_t number) const {
        const std::uint64_t steps = (number - low) >> shift;
        if (number < low || steps >= top) return 0;
        const auto step = static_cast<std::uint32_t>(steps);
        return turned ? top - step : step + 1;
    }
    [[nodiscard]] std::uint32_t code(std::int64_t value) const { return code(ordered(value)); }
    [[nodiscard]] std::uint32_t code(double value) const {
        return value == value ? code(ordered(value)) : 0;
    }
};

}  // namespace weft::pruning
