// Seeded random numbers and hashes, the same on every machine (the standard library's distributions
// are not).
#pragma once

#include <cstdint>

namespace weft::fabric {

// Finaliser of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators",
// OOPSLA'14): every input bit flips about half of the output bits.
constexpr std::uint64_t mix(std::uint64_t x) {
    x ^= x >> 30;
    x *= 0xBF58476D1CE4E5B9U;
    x ^= x >> 27;
    x *= 0x94D049BB133111EBU;
    return x ^ (x >> 31);
}

// A number in [0, bound) from 32 uniform bits, without a division (Lemire: "Fast random integer
// generation in an interval", TOMACS'19; the bias, bound / 2^32, does not matter here).
constexpr std::uint32_t reduce(std::uint32_t bits, std::uint32_t bound) {
    return static_cast<std::uint32_t>((std::uint64_t{bits} * bound) >> 32);
}

// SplitMix64.
class Random {
  public:
    explicit constexpr Random(std::uint64_t seed) : state_(seed) {}

    constexpr std::uint64_t next() { return mix(state_ += 0x9E3779B97F4A7C15U); }
    constexpr std::uint32_t below(std::uint32_t bound) {
        return reduce(static_cast<std::uint32_t>(next() >> 32), bound);
    }
    // Uniform in [0, 1).
    constexpr double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

  private:
    std::uint64_t state_;
};

}  // namespace weft::fabric
