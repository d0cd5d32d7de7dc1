// The state of one path of a connection, as schedulers and congestion controls read it.
#pragma once

#include <cstdint>
#include <limits>

#include "transport/one_way.h"
#include "transport/rtt.h"
#include "transport/types.h"

namespace weft::transport {

enum class PathHealth : std::uint8_t {
    kGood,
    kSuspect,  // timed out repeatedly: carries probes only, until one is answered
    kDenied,   // by decree: carries nothing until it is allowed again
};
const char* to_string(PathHealth health);

// First and last of a list that runs through the records of the sent ring (sent_ring.h).
struct ChunkList {
    static constexpr std::uint32_t kNil = std::numeric_limits<std::uint32_t>::max();
    std::uint32_t first = kNil;
    std::uint32_t last = kNil;
    bool empty() const { return first == kNil; }
};

struct Path {
    RttEstimator rtt;             // from sending to acknowledgement, without the time it was held
    OneWayDelay back;             // of what comes from the peer by it
    std::uint64_t in_flight = 0;  // bytes sent on it and neither acknowledged nor declared lost
    // Bytes that may be in flight on it; a congestion control with one window for the whole
    // connection leaves it.
    std::uint64_t window = std::numeric_limits<std::uint64_t>::max();
    PathHealth health = PathHealth::kGood;
    std::uint8_t timeouts = 0;      // in a row: no acknowledgement came in between
    std::uint32_t sent_order = 0;   // transmissions ever made on it, modulo 2^32
    std::uint32_t acked_order = 0;  // highest of them known to have arrived (0: none yet)
    ChunkList flying;               // what is in flight on it, in order of transmission
    bool tail_probed = false;       // a tail-loss probe was sent since the last acknowledgement
    Time probe_at = kNever;         // when a suspect path is probed next
    Time probe_wait = 0;            // and how long after that again
    std::uint64_t chunks_sent = 0;
    std::uint64_t bytes_acked = 0;   // of chunks last sent on it
    std::uint32_t chunks_acked = 0;  // likewise, modulo 2^32
    std::uint64_t chunks_lost = 0;
    std::uint64_t marks = 0;  // echoed ECN marks

    bool usable() const { return health == PathHealth::kGood && in_flight < window; }
};

}  // namespace weft::transport
