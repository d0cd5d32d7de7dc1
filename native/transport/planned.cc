#include "transport/planned.h"

#include <algorithm>
#include <numeric>

namespace weft::transport {

PlannedBurst planned_burst(const SendRequest& request, std::uint64_t offset,
                           std::uint64_t max_burst) {
    constexpr double kGolden = 0.6180339887498949;
    const std::uint64_t left = request.size - std::min(offset, request.size);
    if (request.shares.size() == 1) return {request.shares[0].path, left};
    const std::uint64_t blocks =
        std::max<std::uint64_t>(1, (request.size + max_burst - 1) / max_burst);
    auto stride = static_cast<std::uint64_t>(static_cast<double>(blocks) * kGolden);
    while (std::gcd(++stride, blocks) != 1) {
    }
    const std::uint64_t block = offset / max_burst;
    const std::uint64_t place = block * stride % blocks * max_burst;
    std::uint64_t end = 0;
    for (const PathShare& share : request.shares) {
        end += share.bytes;
        if (place < end) return {share.path, std::min(left, max_burst - offset % max_burst)};
    }
    return {request.shares.back().path, left};
}

}  // namespace weft::transport
