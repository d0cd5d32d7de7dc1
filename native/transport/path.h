// The state of one path of a connection, as schedulers and congestion controls read it.
#pragma once

#include <cstdint>
#include <limits>

#include "transport/rtt.h"
#include "transport/types.h"

namespace weft::transport {

enum class PathHealth : std::uint8_t {
    kGood,
    kSuspect,  // timed out repeatedly: carries probes only, until one is answered
};
const char* to_string(PathHealth health);

struct Path {
    RttEstimator rtt;
    std::uint64_t in_flight = 0;  // bytes sent on it and neither acknowledged nor declared lost
    // Bytes that may be in flight on it; a congestion control with one window for the whole
    // connection leaves it.
    std::uint64_t window = std::numeric_limits<std::uint64_t>::max();
    PathHealth health = PathHealth::kGood;
    std::uint8_t timeouts = 0;      // in a row: no acknowledgement came in between
    std::uint32_t sent_order = 0;   // transmissions ever made on it, modulo 2^32
    std::uint32_t acked_order = 0;  // highest of them known to have arrived (0: none yet)
    std::uint32_t oldest = kNil;    // first and last chunk in flight on it (slots of the sent ring)
    std::uint32_t newest = kNil;
    Time probe_at = kNever;  // when a suspect path is probed next
    std::uint64_t chunks_sent = 0;
    std::uint64_t chunks_lost = 0;
    std::uint64_t marks = 0;  // echoed ECN marks

    static constexpr std::uint32_t kNil = std::numeric_limits<std::uint32_t>::max();

    bool usable() const { return health == PathHealth::kGood && in_flight < window; }
};

}  // namespace weft::transport
