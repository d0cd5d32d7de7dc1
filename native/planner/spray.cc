// Oblivious spraying, as a plan: every flow over all paths in proportion to their weights, without
// looking at the other flows (Dixit et al., "On the impact of packet spraying in data center
// networks", INFOCOM 2013). With a minimum piece a flow takes as many paths as it can fill; the
// next one begins where it ended.
#include <algorithm>

#include "planner/plan.h"

namespace weft::planner {

std::vector<Piece> plan_spray(const Request& request) {
    const auto paths = static_cast<std::uint32_t>(request.weights.size());
    std::vector<Piece> pieces;
    std::uint32_t first = 0;
    for (std::uint32_t flow = 0; flow < request.flows.size(); ++flow) {
        const std::uint64_t size = request.flows[flow];
        const std::uint64_t least = std::max(request.minimum_piece, request.granularity);
        const auto parts =
            static_cast<std::uint32_t>(std::clamp<std::uint64_t>(size / least, 1, paths));
        std::uint64_t weight = 0;
        for (std::uint32_t k = 0; k < parts; ++k) weight += request.weights[(first + k) % paths];
        std::uint64_t from = 0;
        std::uint64_t weight_before = 0;
        for (std::uint32_t k = 0; k < parts; ++k) {
            const std::uint32_t path = (first + k) % paths;
            weight_before += request.weights[path];
            const std::uint64_t target = proportion(size, weight_before, weight);
            const std::uint64_t cut =
                k + 1 == parts ? size : allowed_cut(request, std::max(target, from), 0, from, size);
            if (cut > from || size == 0) pieces.push_back({flow, path, from, cut - from});
            from = cut;
        }
        first = (first + parts) % paths;
    }
    return pieces;
}

}  // namespace weft::planner
