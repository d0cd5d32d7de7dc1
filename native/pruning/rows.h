// Rows in the order of packets: one row of each lane per packet, as the switch's program reads
// them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace weft::pruning {

inline constexpr std::size_t kLanes = 8;
inline constexpr std::size_t kWords = 4;  // of a row: id, a, b, c; big-endian

using LaneCounts = std::array<std::size_t, kLanes>;

// For each row an earlier one of the same a and b, or itself: of rows whose fate their key decides,
// one may go for all. `codes` are three per row. Keys are remembered until another takes their
// place, so that rows of a key far apart may each stand for themselves.
void first_alike(std::span<const std::uint32_t> codes, std::span<std::uint32_t> first);

// How many rows each lane has; lanes are below kLanes.
LaneCounts count_lanes(std::span<const std::uint8_t> lanes);

// Row i is (ids[i], three codes), and the n-th row of a lane lies in packet n, in its lane's place:
// rows[packet][lane][word]. Places that no row takes are left as they are. `masks` has one octet
// per packet, of the lanes that have a row. Rows are visited `stride` apart, around their end: all
// of them if it has no divisor with their number.
void lay_out(std::span<const std::uint32_t> ids, std::span<const std::uint32_t> codes,
             std::span<const std::uint8_t> lanes, const LaneCounts& counts,
             std::span<std::uint32_t> rows, std::span<std::uint8_t> masks, std::size_t stride = 1);

}  // namespace weft::pruning
