// The engine reads the clock and hands the time down.
#pragma once

#include "datapath/clock.h"

namespace weft::engine {

using datapath::clock_now;
using datapath::kNever;
using datapath::Time;

constexpr Time kMicrosecond = 1'000;
constexpr Time kMillisecond = 1'000'000;
constexpr Time kSecond = 1'000'000'000;

// now + timeout, saturating: INT64_MAX means "for ever" only as an intermediate value, callers
// bound it.
inline Time deadline_after(Time now, Time timeout) noexcept {
    return timeout > kNever - now ? kNever : now + timeout;
}

}  // namespace weft::engine
