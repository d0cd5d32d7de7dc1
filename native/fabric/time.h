// The fabric's unit of time. Picoseconds, because a 64-byte header lasts 1.28 ns at 400 Gbit/s and
// rounding each hop to nanoseconds would bend rates by per cents; 63 bits of them are 106 days.
#pragma once

#include <cstdint>
#include <limits>

namespace weft::fabric {

using Time = std::int64_t;
inline constexpr Time kPicosecond = 1;
inline constexpr Time kNanosecond = 1000;
inline constexpr Time kMicrosecond = 1000 * kNanosecond;
inline constexpr Time kMillisecond = 1000 * kMicrosecond;
inline constexpr Time kSecond = 1000 * kMillisecond;
inline constexpr Time kNever = std::numeric_limits<Time>::max();

}  // namespace weft::fabric
