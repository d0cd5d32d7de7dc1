// Ethereal's split (Addanki et al., "Challenging the Need for Packet Spraying in Large-Scale
// Distributed Training", arXiv 2407.00550, section 3): n equal flows go round-robin over s equal
// paths; of the last round, r = n mod s flows, each is cut into s / gcd(r, s) equal parts, which go
// on round-robin. Every path then carries exactly n / s flows' worth.
#include <algorithm>
#include <numeric>

#include "planner/plan.h"

namespace weft::planner {
namespace {

void require_equal(std::span<const std::uint64_t> values, const char* what) {
    for (std::size_t i = 1; i < values.size(); ++i) {
        if (values[i] != values[0]) {
            throw PlanError("plan: ethereal needs equal " + std::string(what) + ", but " +
                            std::to_string(values[0]) + " and " + std::to_string(values[i]) +
                            " differ; wrap_around takes any");
        }
    }
}

}  // namespace

std::vector<Piece> plan_ethereal(const Request& request) {
    require_equal(request.flows, "flows");
    require_equal(request.weights, "paths");
    const auto flows = static_cast<std::uint32_t>(request.flows.size());
    const auto paths = static_cast<std::uint32_t>(request.weights.size());
    if (flows == 0) return {};
    const std::uint64_t size = request.flows[0];
    const std::uint32_t rest = flows % paths;

    std::vector<Piece> pieces;
    for (std::uint32_t flow = 0; flow < flows - rest; ++flow)
        pieces.push_back({flow, flow % paths, 0, size});
    if (rest == 0) return pieces;

    const std::uint64_t most =
        std::max<std::uint64_t>(1, size / std::max(request.minimum_piece, request.granularity));
    const std::uint64_t parts = std::min<std::uint64_t>(paths / std::gcd(rest, paths), most);
    const std::uint64_t part = size / parts / request.granularity * request.granularity;
    std::uint32_t path = 0;
    for (std::uint32_t flow = flows - rest; flow < flows; ++flow) {
        for (std::uint64_t k = 0; k < parts; ++k) {
            const std::uint64_t offset = k * part;
            pieces.push_back({flow, path, offset, k + 1 < parts ? part : size - offset});
            path = (path + 1) % paths;
        }
    }
    return pieces;
}

}  // namespace weft::planner
