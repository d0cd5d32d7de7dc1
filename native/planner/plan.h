// The flow planner: cuts flows whose sizes are known in advance into pieces and pins each to a
// path, so that the most loaded path carries as little as possible.
//
// A plan is made per source and set of equally long paths (in a leaf-spine: per destination rack).
// Paths differ in capacity by their weights; a failed path has weight zero and gets nothing.
//
// Invariants of every plan: the pieces of a flow cover it exactly, without overlap, in order of
// their offsets; no piece is empty unless its flow is; none is on a path of weight zero.
#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace weft::planner {

// The request cannot be planned: the text names the argument and what would be accepted.
class PlanError : public std::invalid_argument {
  public:
    using std::invalid_argument::invalid_argument;
};

enum class Strategy : std::uint8_t {
    kWhole,       // no flow is cut; the longest first, each on the path that ends it soonest
    kEthereal,    // equal flows and paths: what is left over is cut into equal parts
    kWrapAround,  // McNaughton's rule: any sizes and weights, fewest pieces
    kSpray,       // every flow over all paths in proportion to their weights
};
inline constexpr Strategy kStrategies[] = {Strategy::kWhole, Strategy::kEthereal,
                                           Strategy::kWrapAround, Strategy::kSpray};
const char* to_string(Strategy strategy);
Strategy parse_strategy(std::string_view name);  // throws PlanError, naming those that exist

struct Request {
    std::span<const std::uint64_t> flows;    // bytes
    std::span<const std::uint64_t> weights;  // [path] capacity in any one unit, 0: failed; < 2^48
    // Bytes below which a piece is not worth its overhead; a flow that is itself smaller stays
    // whole. The balance is then as good as that allows: see Plan::ratio().
    std::uint64_t minimum_piece = 1;
    std::uint64_t granularity = 1;  // pieces begin at multiples of it (an element, a chunk)
    // Where the round of paths begins. Sources that plan independently should begin at different
    // paths, so that what cannot be balanced does not pile up on the first.
    std::uint32_t first_path = 0;
};

struct Piece {
    std::uint32_t flow = 0;
    std::uint32_t path = 0;
    std::uint64_t offset = 0;  // within the flow
    std::uint64_t size = 0;
};

struct Plan {
    std::vector<Piece> pieces;        // by flow, then by offset
    std::vector<std::uint64_t> load;  // [path] bytes
    double ideal = 0;                 // bytes per unit of weight if all paths ended together
    double worst = 0;                 // and of the path that ends last
    // How much later than ideally the last path ends; 1 is perfect.
    double ratio() const { return ideal > 0 ? worst / ideal : 1; }
};

// Throws PlanError: no path, all of them failed, granularity or minimum_piece zero, or (Ethereal)
// unequal flows or weights.
Plan plan(Strategy strategy, const Request& request);

// The strategies. The caller, plan(), has checked the request, left out the failed paths and turned
// the round of paths; each returns pieces in any order.
std::vector<Piece> plan_whole(const Request& request);
std::vector<Piece> plan_ethereal(const Request& request);
std::vector<Piece> plan_wrap_around(const Request& request);
std::vector<Piece> plan_spray(const Request& request);

// `position` moved to the nearest place in [low, high] where a cut leaves no piece below the
// minimum on either side, or at the border low or high itself. `start`: where the flow begins.
std::uint64_t allowed_cut(const Request& request, std::uint64_t position, std::uint64_t start,
                          std::uint64_t low, std::uint64_t high);

// `total * part / whole` rounded down, without overflow.
std::uint64_t proportion(std::uint64_t total, std::uint64_t part, std::uint64_t whole);

}  // namespace weft::planner
