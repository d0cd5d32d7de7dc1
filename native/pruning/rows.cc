#include "pruning/rows.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "pruning/keys.h"

namespace weft::pruning {

namespace {

constexpr std::uint32_t big_endian(std::uint32_t value) {
    return std::endian::native == std::endian::little ? __builtin_bswap32(value) : value;
}

}  // namespace

void first_alike(std::span<const std::uint32_t> codes, std::span<std::uint32_t> first) {
    constexpr std::size_t kSlots = std::size_t{1} << 14;  // with the codes they name, in a cache
    std::vector<std::uint32_t> slots(kSlots);             // row number + 1
    const auto key = [&](std::size_t row) {
        return (std::uint64_t{codes[3 * row]} << 32) | codes[(3 * row) + 1];
    };
    for (std::size_t row = 0; row < first.size(); ++row) {
        const std::uint64_t mine = key(row);
        std::uint32_t& slot = slots[((mine * kGolden) >> 32) % kSlots];
        if (slot != 0 && key(slot - 1) == mine) {
            first[row] = slot - 1;
        } else {
            first[row] = static_cast<std::uint32_t>(row);
            slot = first[row] + 1;
        }
    }
}

LaneCounts count_lanes(std::span<const std::uint8_t> lanes) {
    LaneCounts counts{};
    for (const std::uint8_t lane : lanes) ++counts[lane];
    return counts;
}

void lay_out(std::span<const std::uint32_t> ids, std::span<const std::uint32_t> codes,
             std::span<const std::uint8_t> lanes, const LaneCounts& counts,
             std::span<std::uint32_t> rows, std::span<std::uint8_t> masks, std::size_t stride) {
    LaneCounts next{};  // the next packet of each lane
    std::size_t i = 0;
    for (std::size_t visited = 0; visited < ids.size(); ++visited) {
        const std::size_t lane = lanes[i];
        std::uint32_t* row = &rows[((next[lane]++ * kLanes) + lane) * kWords];
        row[0] = big_endian(ids[i]);
        for (std::size_t word = 1; word < kWords; ++word)
            row[word] = big_endian(codes[(i * (kWords - 1)) + word - 1]);
        i += stride;
        if (i >= ids.size()) i -= ids.size();
    }
    std::ranges::fill(masks, std::uint8_t{0});
    for (std::size_t lane = 0; lane < kLanes; ++lane)
        for (std::uint8_t& mask : masks.first(counts[lane]))
            mask = static_cast<std::uint8_t>(mask | (1U << lane));
}

}  // namespace weft::pruning
