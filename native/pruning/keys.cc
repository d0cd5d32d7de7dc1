#include "pruning/keys.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace weft::pruning {

namespace {

// Little-endian whatever the machine, so that all workers hash alike.
std::uint64_t word(const std::uint8_t* at, std::size_t octets) {
    std::uint64_t value = 0;
    std::memcpy(&value, at, octets);
    if constexpr (std::endian::native == std::endian::big) value = __builtin_bswap64(value);
    return value;
}

std::uint64_t hash(std::span<const std::uint8_t> text, std::uint64_t salt) {
    std::uint64_t state = mix(text.size() ^ salt);
    const std::uint8_t* at = text.data();
    for (std::size_t left = text.size(); left > 0;) {
        const std::size_t octets = std::min<std::size_t>(left, 8);
        state = mix((state * kGolden) + (octets == 8 ? word(at, 8) : word(at, octets)));
        at += octets;
        left -= octets;
    }
    return state;
}

template <typename Edge>
bool hash_all(std::span<const Edge> edges, std::span<const std::uint8_t> octets, std::uint64_t salt,
              std::span<std::uint64_t> hashes) {
    if (edges.size() != hashes.size() + 1) return false;
    for (std::size_t i = 0; i < hashes.size(); ++i) {
        const Edge first = edges[i];
        const Edge end = edges[i + 1];
        if (first < 0 || end < first || static_cast<std::size_t>(end) > octets.size()) return false;
        hashes[i] = hash(
            octets.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(end - first)),
            salt);
    }
    return true;
}

}  // namespace

bool hash_texts(std::span<const std::int32_t> edges, std::span<const std::uint8_t> octets,
                std::uint64_t salt, std::span<std::uint64_t> hashes) {
    return hash_all(edges, octets, salt, hashes);
}

bool hash_texts(std::span<const std::int64_t> edges, std::span<const std::uint8_t> octets,
                std::uint64_t salt, std::span<std::uint64_t> hashes) {
    return hash_all(edges, octets, salt, hashes);
}

}  // namespace weft::pruning
