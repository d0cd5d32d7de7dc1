// The shelf of congestion controls. A new one is a file of its own and a line here.
#include "transport/congestion/congestion.h"
#include "transport/congestion/cubic.h"
#include "transport/congestion/dcqcn.h"
#include "transport/congestion/dctcp.h"
#include "transport/congestion/eqds.h"
#include "transport/congestion/none.h"
#include "transport/congestion/nscc.h"
#include "transport/congestion/swift.h"
#include "transport/congestion/timely.h"

namespace weft::transport {
namespace {

template <typename Policy>
std::unique_ptr<CongestionControl> make(ParameterReader& parameters, const PolicyContext& context) {
    return std::make_unique<Policy>(parameters, context);
}

constexpr PolicyEntry<CongestionControl> kShelf[] = {
    {"none", make<FixedWindow>}, {"swift", make<Swift>}, {"timely", make<Timely>},
    {"dctcp", make<Dctcp>},      {"dcqcn", make<Dcqcn>}, {"nscc", make<Nscc>},
    {"eqds", make<Eqds>},        {"cubic", make<Cubic>},
};

}  // namespace

std::unique_ptr<CongestionControl> make_congestion_control(const PolicyChoice& choice,
                                                           const PolicyContext& context) {
    return make_policy("congestion control", kShelf, choice, context);
}

std::vector<std::string> congestion_controls() {
    return policy_names(kShelf);
}

}  // namespace weft::transport
