// The shelf of congestion controls. A new one is a file of its own and a line here.
#include <algorithm>
#include <iterator>

#include "transport/congestion/congestion.h"
#include "transport/congestion/cubic.h"
#include "transport/congestion/dcqcn.h"
#include "transport/congestion/dctcp.h"
#include "transport/congestion/eqds.h"
#include "transport/congestion/median.h"
#include "transport/congestion/none.h"
#include "transport/congestion/nscc.h"
#include "transport/congestion/per_path.h"
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

constexpr const char* kShelfName = "congestion control";

std::unique_ptr<CongestionControl> for_each_path(const PolicyEntry<CongestionControl>& entry,
                                                 const PolicyChoice& choice,
                                                 const PolicyContext& context) {
    PolicyContext share = context;
    share.paths = 1;
    share.window = std::max(context.window / context.paths, 1U);
    share.link_rate = context.link_rate / context.paths;
    std::vector<std::unique_ptr<CongestionControl>> controls;
    for (int path = 0; path < context.paths; ++path) {
        ParameterReader parameters(kShelfName, choice);
        controls.push_back(entry.make(parameters, share));
    }
    return std::make_unique<PerPath>(std::move(controls));
}

}  // namespace

std::unique_ptr<CongestionControl> make_congestion_control(const PolicyChoice& choice,
                                                           const PolicyContext& context) {
    const auto entry = std::find_if(std::begin(kShelf), std::end(kShelf),
                                    [&](const auto& each) { return choice.name == each.name; });
    if (entry == std::end(kShelf)) {
        throw_unknown_policy(kShelfName, choice.name, policy_names(kShelf));
    }
    ParameterReader parameters(kShelfName, choice);
    auto control = entry->make(parameters, context);
    const bool per_path = parameters.flag("per_path", false);
    const auto median =
        static_cast<std::size_t>(parameters.number("median", 0, 0, MedianFeedback::kMost));
    parameters.finish();
    if (control->by_credit() && (per_path || median != 0)) {
        throw ConfigError("congestion control '" + choice.name +
                          "' lives on credits for the whole connection: it has neither a per-path "
                          "form nor one with median feedback");
    }
    if (per_path && median != 0) {
        throw ConfigError("congestion control '" + choice.name +
                          "': a path has no median; choose per_path or median");
    }
    if (median != 0) {
        return std::make_unique<MedianFeedback>(std::move(control), median);
    }
    return per_path ? for_each_path(*entry, choice, context) : std::move(control);
}

std::vector<std::string> congestion_controls() {
    return policy_names(kShelf);
}

}  // namespace weft::transport
