// How policies are chosen by name and given their numbers, the same way for all three shelves
// (paths/, congestion/, recovery/): a table of names and makers per shelf, and one typed error for
// what is not there.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "transport/config.h"

namespace weft::transport {

// What a policy may want to know about the connection that it is made for.
struct PolicyContext {
    std::uint16_t paths = 1;
    std::uint32_t chunk_size = 0;   // bytes
    std::uint32_t window = 0;       // chunks that can be in flight at most
    std::uint64_t destination = 0;  // peer id
    std::uint64_t seed = 0;
    double link_rate = 0;        // bytes per second; 0: not known
    std::uint64_t credited = 0;  // bytes of credit that the peer granted so far
    Time rto_min = kMillisecond;
};

// Reads the parameters of one policy, with defaults and ranges, and refuses those that nobody asked
// for.
class ParameterReader {
  public:
    // `shelf` is the word for error messages, e.g. "congestion control".
    ParameterReader(std::string_view shelf, const PolicyChoice& choice);

    // Throws ConfigError when the value given is outside [low, high].
    double number(std::string_view name, double fallback, double low, double high);
    bool flag(std::string_view name, bool fallback) {
        return number(name, fallback ? 1 : 0, 0, 1) != 0;
    }

    // The parameters NAME0, NAME1, ... of a policy with a number for each of `count` things.
    std::vector<double> numbers(std::string_view name, std::size_t count, double fallback,
                                double low, double high);

    // Throws ConfigError when a parameter was given that nobody asked for.
    void finish() const;

  private:
    std::string_view shelf_;
    const PolicyChoice& choice_;
    std::vector<std::string> known_;
};

[[noreturn]] void throw_unknown_policy(std::string_view shelf, const std::string& name,
                                       std::span<const std::string> known);

template <typename Policy>
struct PolicyEntry {
    const char* name;
    std::unique_ptr<Policy> (*make)(ParameterReader& parameters, const PolicyContext& context);
};

template <typename Policy, std::size_t N>
std::vector<std::string> policy_names(const PolicyEntry<Policy> (&shelf)[N]) {
    std::vector<std::string> names;
    for (const auto& entry : shelf) {
        names.emplace_back(entry.name);
    }
    return names;
}

template <typename Policy, std::size_t N>
std::unique_ptr<Policy> make_policy(std::string_view shelf_name,
                                    const PolicyEntry<Policy> (&shelf)[N],
                                    const PolicyChoice& choice, const PolicyContext& context) {
    for (const auto& entry : shelf) {
        if (choice.name == entry.name) {
            ParameterReader parameters(shelf_name, choice);
            auto policy = entry.make(parameters, context);
            parameters.finish();
            return policy;
        }
    }
    throw_unknown_policy(shelf_name, choice.name, policy_names(shelf));
}

}  // namespace weft::transport
