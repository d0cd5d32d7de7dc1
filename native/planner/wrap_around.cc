// The wrap-around rule (McNaughton: "Scheduling with deadlines and loss functions", Management
// Science 1959): lay the flows end to end and cut the line in proportion to the paths' weights.
// No plan has a lower maximum, and every cut makes at most one piece more: at most n + s - 1
// pieces for n flows on s paths, n + s - gcd(n, s) when all are equal, since then gcd(n, s) - 1
// cuts fall between flows.
#include <algorithm>
#include <numeric>

#include "planner/plan.h"

namespace weft::planner {

std::vector<Piece> plan_wrap_around(const Request& request) {
    const std::uint64_t total =
        std::reduce(request.flows.begin(), request.flows.end(), std::uint64_t{0});
    const std::uint64_t weight =
        std::reduce(request.weights.begin(), request.weights.end(), std::uint64_t{0});
    const auto last = static_cast<std::uint32_t>(request.weights.size() - 1);
    std::vector<Piece> pieces;
    std::uint32_t path = 0;
    std::uint64_t weight_before = request.weights[0];  // of this path and those before it
    std::uint64_t start = 0;                           // of the flow, on the line
    for (std::uint32_t flow = 0; flow < request.flows.size(); ++flow) {
        const std::uint64_t end = start + request.flows[flow];
        std::uint64_t from = start;
        while (path < last && from < end) {
            const std::uint64_t target = proportion(total, weight_before, weight);
            if (target >= end) break;
            const std::uint64_t cut =
                allowed_cut(request, std::max(target, from), start, from, end);
            if (cut > from) pieces.push_back({flow, path, from - start, cut - from});
            from = cut;
            weight_before += request.weights[++path];
        }
        if (from < end || start == end) pieces.push_back({flow, path, from - start, end - from});
        start = end;
    }
    return pieces;
}

}  // namespace weft::planner
