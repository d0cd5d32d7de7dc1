// 64 bits that say which collective a rank called. Every message carries its operation's; where two
// ranks' differ, the receiver can tell the user who called what instead of adding up apples and
// pears.
//
// Bits: 63-59 collective, 58-54 data type, 53-50 reduction, 49-34 root, 33-26 history (a hash of
// the group's earlier calls, so that ranks which only sent find out, too), 25-0 count (saturated;
// v-forms: a hash of all counts).
#pragma once

#include <cstdint>
#include <string>

#include "communicator/arguments.h"

namespace weft::communicator {

constexpr std::uint64_t kPointToPointSignature = std::uint64_t{31} << 59;

// Without history.
std::uint64_t make_signature(const Arguments& arguments) noexcept;
std::uint64_t with_history(std::uint64_t signature, std::uint64_t history) noexcept;
// Whether they differ in nothing but history.
bool same_call(std::uint64_t a, std::uint64_t b) noexcept;

// e.g. "all_reduce(1024 x f32, sum)"
std::string describe_signature(std::uint64_t signature);

}  // namespace weft::communicator
