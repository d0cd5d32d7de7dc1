// The shelf of path schedulers. A new one is a file of its own and a line here.
#include "transport/paths/destination_rotation.h"
#include "transport/paths/flowlet.h"
#include "transport/paths/least_in_flight.h"
#include "transport/paths/mrc.h"
#include "transport/paths/plb.h"
#include "transport/paths/power_of_two.h"
#include "transport/paths/random_spray.h"
#include "transport/paths/reps.h"
#include "transport/paths/round_robin.h"
#include "transport/paths/scheduler.h"
#include "transport/paths/single.h"
#include "transport/paths/weighted.h"

namespace weft::transport {
namespace {

template <typename Policy>
std::unique_ptr<PathScheduler> make(ParameterReader& parameters, const PolicyContext& context) {
    return std::make_unique<Policy>(parameters, context);
}

constexpr PolicyEntry<PathScheduler> kShelf[] = {
    {"single", make<SinglePath>},
    {"round_robin", make<RoundRobin>},
    {"random", make<RandomSpray>},
    {"least_in_flight", make<LeastInFlight>},
    {"power_of_two", make<PowerOfTwo>},
    {"reps", make<Reps>},
    {"plb", make<Plb>},
    {"flowlet", make<Flowlet>},
    {"mrc", make<MrcPaths>},
    {"destination_rotation", make<DestinationRotation>},
    {"weighted", make<Weighted>},
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
