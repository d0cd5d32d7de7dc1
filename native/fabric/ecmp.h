// How a switch chooses among equal ways: a hash of the five-tuple and a seed of the switch's own.
// Known to all, so that whoever wishes can find a five-tuple that goes a given way.
#pragma once

#include <cstdint>

#include "fabric/random.h"

namespace weft::fabric {

constexpr std::uint64_t ecmp_seed(std::uint64_t fabric_seed, std::uint32_t node) {
    return mix(fabric_seed * 0x9E3779B97F4A7C15U + node);
}

// What switches know of a flow: its two addresses, its two ports and its protocol.
constexpr std::uint32_t flow_entropy(std::uint64_t addresses, std::uint32_t ports,
                                     std::uint8_t protocol) {
    return static_cast<std::uint32_t>(
        mix(mix(addresses) + (std::uint64_t{ports} << 8 | protocol)) >> 32);
}

constexpr std::uint32_t ecmp_choice(std::uint64_t node_seed, std::uint32_t entropy,
                                    std::uint32_t ways) {
    return reduce(static_cast<std::uint32_t>(mix(node_seed ^ entropy)), ways);
}

}  // namespace weft::fabric
