// The engine is the only layer that reads a clock; it hands the time down.
#pragma once

#include <ctime>

#include "datapath/channel.h"

namespace weft::engine {

using datapath::kNever;
using datapath::Time;

constexpr Time kMicrosecond = 1'000;
constexpr Time kMillisecond = 1'000'000;
constexpr Time kSecond = 1'000'000'000;

inline Time clock_now() noexcept {
    timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return Time{ts.tv_sec} * kSecond + ts.tv_nsec;
}

// now + timeout, saturating: INT64_MAX means "for ever" only as an intermediate value, callers
// bound it.
inline Time deadline_after(Time now, Time timeout) noexcept {
    return timeout > kNever - now ? kNever : now + timeout;
}

}  // namespace weft::engine
