// What policies hear: acknowledgements, echoes and losses.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

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
    Time queued_back = 0;      // of it, what the acknowledgement spent in queues on its way
    std::uint64_t bytes = 0;   // newly acknowledged, over all paths
    std::uint32_t chunks = 0;  // likewise
    std::uint32_t marked =
        0;  // chunks that arrived with an ECN mark since the last acknowledgement
    bool echo_marked = false;     // whether the triggering chunk had one
    std::uint64_t in_flight = 0;  // bytes, after this acknowledgement

    // What our own sending can change: queues of the way back are the other direction's matter. No
    // error of two clocks hides more than half of the round trip, though; where both directions
    // keep queues of one length, the way back has no more of it anyway.
    Time delay() const { return std::max(rtt - queued_back, rtt / 2); }
    // The same as far as the clocks can be believed: for who looks for the shortest.
    Time least_delay() const { return std::max<Time>(rtt - queued_back, 1); }
};

// One lost chunk; of a timeout, all chunks of one path that it took.
struct LossSample {
    Time now = 0;
    PathId path = 0;
    LossCause cause = LossCause::kReordered;
    std::uint64_t bytes = 0;
    double share = 1;                // of all that was in flight, what was on this path
    std::uint8_t path_timeouts = 0;  // in a row on this path, this one included
};

// What an acknowledgement says about paths: surely about that of the chunk that triggered it, and
// about those of the other chunks that it covers as far as marks are counted, not named.
struct PathEcho {
    Time now = 0;
    PathId path = 0;                      // of the chunk that triggered it
    Time rtt = 0;                         // its round trip; 0 when unknown
    bool marked = false;                  // whether it came with an ECN mark
    std::uint32_t marked_chunks = 0;      // all that came so since the last acknowledgement
    std::span<const PathId> delivered{};  // paths of the chunks newly acknowledged that were sent
                                          // once; of very many, the first 64
};

}  // namespace weft::transport
