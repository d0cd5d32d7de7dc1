// The shelf of path schedulers. A new one is a file of its own and a line here.
#include "transport/paths/least_in_flight.h"
#include "transport/paths/round_robin.h"
#include "transport/paths/scheduler.h"

namespace weft::transport {
namespace {

// Connections start at different paths, lest many of them, started together, march in step.
PathId first_path(const PolicyContext& context) {
    return static_cast<PathId>(context.seed % context.paths);
}

constexpr PolicyEntry<PathScheduler> kShelf[] = {
    {"round_robin",
     [](ParameterReader&, const PolicyContext& context) -> std::unique_ptr<PathScheduler> {
         return std::make_unique<RoundRobin>(first_path(context));
     }},
    {"least_in_flight",
     [](ParameterReader&, const PolicyContext& context) -> std::unique_ptr<PathScheduler> {
         return std::make_unique<LeastInFlight>(first_path(context));
     }},
};

}  // namespace

std::unique_ptr<PathScheduler> make_path_scheduler(const PolicyChoice& choice,
                                                   const PolicyContext& context) {
    return make_policy("path scheduler", kShelf, choice, context);
}

std::vector<std::string> path_schedulers() {
    return policy_names(kShelf);
}

}  // namespace weft::transport
