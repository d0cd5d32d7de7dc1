// The transport's policies by name, as users write them: "scheduler=reps",
// "scheduler.freeze_us=500".
#pragma once

#include <map>
#include <string>

#include "transport/config.h"

namespace weft::datapath {

// Takes one pair; false when the key is not of a policy. Parameters belong to the policy that is
// named in the same call. Throws Error INVALID for a parameter that is no number.
bool take_policy(transport::PolicyChange& change, const std::string& key, const std::string& value);

// All pairs must be of policies. Throws Error INVALID: another key, parameters of a policy that is
// not named, nothing at all. Whether names and parameters exist is for who makes the policies.
transport::PolicyChange policy_change(const std::map<std::string, std::string>& pairs);

// The change, put into a configuration.
void apply(const transport::PolicyChange& change, transport::Config& config);

}  // namespace weft::datapath
