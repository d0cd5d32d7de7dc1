#include "datapath/policies.h"

#include <array>
#include <string_view>

#include "datapath/error.h"
#include "datapath/option_text.h"
#include "transport/connection.h"

namespace weft::datapath {
namespace {

using Shelf = std::optional<transport::PolicyChoice> transport::PolicyChange::*;

constexpr std::array<std::pair<std::string_view, Shelf>, 3> kShelves{{
    {"scheduler", &transport::PolicyChange::scheduler},
    {"congestion", &transport::PolicyChange::congestion},
    {"recovery", &transport::PolicyChange::recovery},
}};

}  // namespace

bool take_policy(transport::PolicyChange& change, const std::string& key,
                 const std::string& value) {
    for (const auto& [name, shelf] : kShelves) {
        if (!key.starts_with(name)) continue;
        const std::string_view rest = std::string_view(key).substr(name.size());
        auto& choice = change.*shelf;
        if (rest.empty()) {
            if (!choice) choice.emplace();
            choice->name = value;
            return true;
        }
        if (rest.size() > 1 && rest.front() == '.') {
            if (!choice) choice.emplace();
            choice->parameters.emplace_back(rest.substr(1), option_text::real(key, value));
            return true;
        }
    }
    return false;
}

transport::PolicyChange policy_change(const std::map<std::string, std::string>& pairs) {
    transport::PolicyChange change;
    for (const auto& [key, value] : pairs) {
        if (!take_policy(change, key, value)) {
            throw Error(WEFT_ERR_INVALID,
                        "\"" + key +
                            "\" is no policy that can be exchanged; there are: scheduler, "
                            "congestion, recovery, and the parameters of each (scheduler.NAME)");
        }
    }
    for (const auto& [name, shelf] : kShelves) {
        if (change.*shelf && (change.*shelf)->name.empty()) {
            throw Error(WEFT_ERR_INVALID,
                        "parameters of " + std::string(name) +
                            ", but which? Name it in the same call: " + std::string(name) + "=...");
        }
    }
    if (pairs.empty()) {
        throw Error(WEFT_ERR_INVALID, "no policies are given, e.g. \"scheduler=reps\"");
    }
    return change;
}

void check_policies(const transport::Config& config) {
    try {
        transport::Connection::client(config, [] { return std::uint64_t{1}; }, 0);
    } catch (const transport::ConfigError& error) {
        throw Error(WEFT_ERR_INVALID, error.what());
    }
}

}  // namespace weft::datapath
