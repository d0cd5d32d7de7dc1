// Sequence numbers: 32 bits on the wire, 64 inside, so that they never wrap where arithmetic is
// done.
#pragma once

#include <cstdint>

namespace weft::transport {

using Sequence = std::uint64_t;

// Numbers start one lap up, so that those slightly before the first one do not go below zero.
inline constexpr Sequence kFirstLap = Sequence{1} << 32;

// The number with these low 32 bits that is nearest to `near` (at most 2^31 away).
constexpr Sequence expand_sequence(std::uint32_t low, Sequence near) {
    const auto distance = static_cast<std::int32_t>(low - static_cast<std::uint32_t>(near));
    return near + static_cast<Sequence>(static_cast<std::int64_t>(distance));
}

}  // namespace weft::transport
