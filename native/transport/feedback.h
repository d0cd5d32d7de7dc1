// What policies hear: acknowledgements, echoes and losses.
#pragma once

#include <cstdint>

#include "transport/types.h"

namespace weft::transport {

enum class LossCause : std::uint8_t {
    kReordered,  // later transmissions on the same path arrived
    kTimeout,
    kTrimmed,    // the receiver saw the header, without its payload
    kTailProbe,  // only suspected: sent again to provoke an acknowledgement
};
const char* to_string(LossCause cause);

struct AckSample {
    Time now = 0;
    PathId path = 0;           // of the chunk that triggered the acknowledgement
    Time rtt = 0;              // its round trip without the receiver's holding time; 0 when unknown
    std::uint64_t bytes = 0;   // newly acknowledged, over all paths
    std::uint32_t chunks = 0;  // likewise
    std::uint32_t marked =
        0;  // chunks that arrived with an ECN mark since the last acknowledgement
    bool echo_marked = false;     // whether the triggering chunk had one
    std::uint64_t in_flight = 0;  // bytes, after this acknowledgement
};

// One lost chunk; of a timeout, all chunks of one path that it took.
struct LossSample {
    Time now = 0;
    PathId path = 0;
    LossCause cause = LossCause::kReordered;
    std::uint64_t bytes = 0;
    std::uint8_t path_timeouts = 0;  // in a row on this path, this one included
};

// What an acknowledgement says about the path of the chunk that triggered it.
struct PathEcho {
    Time now = 0;
    PathId path = 0;
    Time rtt = 0;  // 0 when unknown
    bool marked = false;
};

}  // namespace weft::transport
