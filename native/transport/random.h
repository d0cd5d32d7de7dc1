// Seeded random numbers for policies: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom
// number generators", OOPSLA 2014), the same on every machine.
#pragma once

#include <cstdint>
#include <utility>

namespace weft::transport {

class Random {
  public:
    explicit constexpr Random(std::uint64_t seed) : state_(seed) {}

    constexpr std::uint64_t next() {
        std::uint64_t x = state_ += 0x9E3779B97F4A7C15;
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
        return x ^ (x >> 31);
    }

    // In [0, bound), without a division (Lemire: "Fast random integer generation in an interval",
    // TOMACS 2019; its bias, at most bound / 2^32, does not matter here).
    constexpr std::size_t below(std::size_t bound) {
        return static_cast<std::size_t>(((next() >> 32) * bound) >> 32);
    }

    // Fisher and Yates.
    template <typename Items>
    constexpr void shuffle(Items& items) {
        for (std::size_t i = items.size(); i > 1; --i) {
            std::swap(items[i - 1], items[below(i)]);
        }
    }

  private:
    std::uint64_t state_;
};

}  // namespace weft::transport
