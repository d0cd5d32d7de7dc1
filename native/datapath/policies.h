// The transport's policies by name, as users write them: "scheduler=reps",
// "scheduler.freeze_us=500".
#pragma once

#include <map>
#include <optional>
#include <string>

#include "datapath/channel.h"
#include "transport/config.h"

namespace weft::datapath {

// Takes one pair; false when the key is not of a policy. Parameters belong to the policy that is
// named in the same call. Throws Error INVALID for a parameter that is no number.
bool take_policy(transport::PolicyChange& change, const std::string& key, const std::string& value);

// All pairs must be of policies. Throws Error INVALID: another key, parameters of a policy that is
// not named, nothing at all. Whether names and parameters exist is for who makes the policies.
transport::PolicyChange policy_change(const std::map<std::string, std::string>& pairs);

// Puts what is given in the place of what an options structure or a configuration has. Parameters
// without a name are for the policy that it has.
template <typename Options>
void choose(Options& options, const transport::PolicyChange& given) {
    const auto take = [](transport::PolicyChoice& choice,
                         const std::optional<transport::PolicyChoice>& other) {
        if (!other) return;
        choice = {other->name.empty() ? choice.name : other->name, other->parameters};
    };
    take(options.scheduler, given.scheduler);
    take(options.congestion, given.congestion);
    take(options.recovery, given.recovery);
}

// Policies and their parameters are checked by whoever makes them: better at once than at the first
// edge. Throws Error INVALID.
void check_policies(const transport::Config& config);

// Exchanges the policies of a datapath: in the configuration of edges to come, and of those that
// are open. Throws Error INVALID, and changes nothing, for what does not exist.
template <typename Edges>
void exchange_policies(transport::Config& config, const Edges& edges,
                       const transport::PolicyChange& change) {
    transport::Config changed = config;
    choose(changed, change);
    check_policies(changed);
    config = std::move(changed);
    for (const auto& edge : edges) {
        if (edge->state() == Channel::State::kOpen) edge->set_policies(change);
    }
}

}  // namespace weft::datapath
