// Parameters by name, and the errors for wrong ones.
#include "transport/policy.h"

#include <algorithm>

namespace weft::transport {
namespace {

template <typename Names>
std::string joined(const Names& names) {
    constexpr std::size_t kMost = 32;  // a policy may have a parameter per path
    std::string text;
    for (std::size_t i = 0; i < std::min(names.size(), kMost); ++i) {
        text += (text.empty() ? "" : ", ") + std::string(names[i]);
    }
    return names.empty() ? "none" : names.size() > kMost ? text + ", ..." : text;
}

// Shortest form that people write: no trailing zeros.
std::string number_text(double value) {
    std::string text = std::to_string(value);
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') {
        text.pop_back();
    }
    return text;
}

}  // namespace

ParameterReader::ParameterReader(std::string_view shelf, const PolicyChoice& choice)
    : shelf_(shelf), choice_(choice) {}

double ParameterReader::number(std::string_view name, double fallback, double low, double high) {
    known_.emplace_back(name);
    for (const auto& [given, value] : choice_.parameters) {
        if (given != name) {
            continue;
        }
        if (!(value >= low && value <= high)) {  // also refuses NaN
            throw ConfigError(std::string(shelf_) + " '" + choice_.name + "': parameter '" + given +
                              "' is " + number_text(value) + ", but must lie between " +
                              number_text(low) + " and " + number_text(high));
        }
        return value;
    }
    return fallback;
}

std::vector<double> ParameterReader::numbers(std::string_view name, std::size_t count,
                                             double fallback, double low, double high) {
    std::vector<double> values;
    for (std::size_t i = 0; i < count; ++i) {
        values.push_back(number(std::string(name) + std::to_string(i), fallback, low, high));
    }
    return values;
}

void ParameterReader::finish() const {
    for (const auto& [given, value] : choice_.parameters) {
        if (std::find(known_.begin(), known_.end(), given) == known_.end()) {
            throw ConfigError(std::string(shelf_) + " '" + choice_.name + "' has no parameter '" +
                              given + "'; it has: " + joined(known_));
        }
    }
}

void throw_unknown_policy(std::string_view shelf, const std::string& name,
                          std::span<const std::string> known) {
    throw ConfigError("unknown " + std::string(shelf) + " '" + name +
                      "'; there are: " + joined(known));
}

}  // namespace weft::transport
