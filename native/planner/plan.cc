#include "planner/plan.h"

#include <algorithm>
#include <numeric>
#include <tuple>

namespace weft::planner {

const char* to_string(Strategy strategy) {
    switch (strategy) {
        case Strategy::kWhole:
            return "whole";
        case Strategy::kEthereal:
            return "ethereal";
        case Strategy::kWrapAround:
            return "wrap_around";
        case Strategy::kSpray:
            return "spray";
    }
    return "unknown";
}

Strategy parse_strategy(std::string_view name) {
    std::string known;
    for (const Strategy strategy : kStrategies) {
        if (name == to_string(strategy)) return strategy;
        known.append(known.empty() ? "" : ", ").append(to_string(strategy));
    }
    throw PlanError("plan: there is no strategy '" + std::string(name) + "'; there are " + known);
}

std::uint64_t proportion(std::uint64_t total, std::uint64_t part, std::uint64_t whole) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>(Wide{total} * part / whole);
}

std::uint64_t allowed_cut(const Request& request, std::uint64_t position, std::uint64_t start,
                          std::uint64_t low, std::uint64_t high) {
    const std::uint64_t unit = request.granularity;
    const std::uint64_t steps = (position - start + unit / 2) / unit;
    position = std::clamp(start + steps * unit, low, high);
    const auto nearest = [&](std::uint64_t a, std::uint64_t b) {
        return position - std::min(position, a) < std::max(b, position) - position ? a : b;
    };
    const std::uint64_t least = (request.minimum_piece + unit - 1) / unit * unit;
    const bool room = high - low >= 2 * least;  // for a cut between the borders
    if (position - low < least) return nearest(low, room ? low + least : high);
    if (high - position < least) {
        const std::uint64_t last = start + (high - least - start) / unit * unit;
        return nearest(room && last >= low + least ? last : low, high);
    }
    return position;
}

namespace {

constexpr std::uint64_t kWeightLimit = std::uint64_t{1} << 48;

// The paths that work, beginning with first_path.
std::vector<std::uint32_t> healthy_paths(const Request& request) {
    const auto count = static_cast<std::uint32_t>(request.weights.size());
    if (count == 0) throw PlanError("plan: there is no path");
    std::vector<std::uint32_t> paths;
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::uint32_t path = (request.first_path % count + i) % count;
        if (request.weights[path] >= kWeightLimit)
            throw PlanError("plan: the weight of path " + std::to_string(path) + " exceeds 2^48");
        if (request.weights[path] > 0) paths.push_back(path);
    }
    if (paths.empty())
        throw PlanError("plan: all " + std::to_string(count) + " paths have weight 0");
    return paths;
}

std::vector<Piece> pieces_of(Strategy strategy, const Request& request) {
    switch (strategy) {
        case Strategy::kWhole:
            return plan_whole(request);
        case Strategy::kEthereal:
            return plan_ethereal(request);
        case Strategy::kWrapAround:
            return plan_wrap_around(request);
        case Strategy::kSpray:
            return plan_spray(request);
    }
    return {};
}

}  // namespace

Plan plan(Strategy strategy, const Request& request) {
    if (request.granularity == 0) throw PlanError("plan: granularity must be at least 1 byte");
    if (request.minimum_piece == 0) throw PlanError("plan: minimum_piece must be at least 1 byte");
    const std::vector<std::uint32_t> paths = healthy_paths(request);
    std::vector<std::uint64_t> weights;
    for (const std::uint32_t path : paths) weights.push_back(request.weights[path]);
    Request inner = request;
    inner.weights = weights;

    Plan result;
    result.pieces = pieces_of(strategy, inner);
    result.load.resize(request.weights.size(), 0);
    for (Piece& piece : result.pieces) {
        piece.path = paths[piece.path];
        result.load[piece.path] += piece.size;
    }
    std::ranges::sort(result.pieces, {},
                      [](const Piece& piece) { return std::tie(piece.flow, piece.offset); });

    double total = 0;
    for (const std::uint64_t size : request.flows) total += static_cast<double>(size);
    result.ideal = total / static_cast<double>(std::reduce(weights.begin(), weights.end()));
    for (const std::uint32_t path : paths) {
        result.worst = std::max(result.worst, static_cast<double>(result.load[path]) /
                                                  static_cast<double>(request.weights[path]));
    }
    return result;
}

}  // namespace weft::planner
