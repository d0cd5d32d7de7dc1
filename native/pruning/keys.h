// Keys of 64 bits for the values of a column, and the lane that each key belongs to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace weft::pruning {

inline constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15;  // 2^64 over the golden ratio

// The finaliser of splitmix64 (Steele, Lea, Flood 2014): one to one, and well spread.
constexpr std::uint64_t mix(std::uint64_t x) {
    x ^= x >> 30;
    x *= 0xBF58476D1CE4E5B9;
    x ^= x >> 27;
    x *= 0x94D049BB133111EB;
    return x ^ (x >> 31);
}

// Equal keys meet in one lane, of at most 256.
constexpr std::uint8_t lane_of(std::uint64_t key, std::uint32_t lanes) {
    return static_cast<std::uint8_t>(((key * kGolden) >> 40) % lanes);
}

// A hash of each text: its words of eight octets, each mixed into what came before. Text i lies in
// octets[edges[i], edges[i + 1]); there is one edge more than hashes. Salted, so that nobody can
// prepare two texts that meet. False if an edge is outside of `octets` or before the one before it.
[[nodiscard]] bool hash_texts(std::span<const std::int32_t> edges,
                              std::span<const std::uint8_t> octets, std::uint64_t salt,
                              std::span<std::uint64_t> hashes);
[[nodiscard]] bool hash_texts(std::span<const std::int64_t> edges,
                              std::span<const std::uint8_t> octets, std::uint64_t salt,
                              std::span<std::uint64_t> hashes);

}  // namespace weft::pruning
