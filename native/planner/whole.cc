// No flow is cut. Longest processing time first (Graham: "Bounds on multiprocessing timing
// anomalies", SIAM J. Appl. Math. 1969): at most 4/3 of the best such plan on equal paths. Equal
// flows on equal paths come out round-robin.
#include <algorithm>
#include <functional>
#include <numeric>

#include "planner/plan.h"

namespace weft::planner {

std::vector<Piece> plan_whole(const Request& request) {
    std::vector<std::uint32_t> order(request.flows.size());
    std::iota(order.begin(), order.end(), 0U);
    std::ranges::stable_sort(order, std::greater<>(),
                             [&](std::uint32_t flow) { return request.flows[flow]; });
    std::vector<std::uint64_t> load(request.weights.size(), 0);
    std::vector<Piece> pieces;
    for (const std::uint32_t flow : order) {
        const std::uint64_t size = request.flows[flow];
        std::uint32_t best = 0;
        double soonest = 0;
        for (std::uint32_t path = 0; path < load.size(); ++path) {
            const double end =
                static_cast<double>(load[path] + size) / static_cast<double>(request.weights[path]);
            if (path == 0 || end < soonest) {
                best = path;
                soonest = end;
            }
        }
        load[best] += size;
        pieces.push_back({flow, best, 0, size});
    }
    return pieces;
}

}  // namespace weft::planner
