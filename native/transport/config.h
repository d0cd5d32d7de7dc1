// What a connection can be told before it starts, with the defaults and the error for bad values.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "transport/types.h"

namespace weft::transport {

class CreditPacer;

// Bad configuration: the text names the option, the value and what would be accepted.
class ConfigError : public std::invalid_argument {
  public:
    using std::invalid_argument::invalid_argument;
};

// A policy chosen by name, with numbers for its own knobs (each policy's header lists them with
// units).
struct PolicyChoice {
    std::string name;
    std::vector<std::pair<std::string, double>> parameters;
};

// What is to be exchanged on a living connection; what is absent stays.
struct PolicyChange {
    std::optional<PolicyChoice> scheduler = {}, congestion = {}, recovery = {};
};

// The shared 128-bit secret whose possession both sides prove to each other.
using Key = std::array<std::uint8_t, 16>;

// Source of unguessable 64-bit numbers (connection ids, first sequence number, seeds of policies).
// Tests and simulators inject a seeded one.
using RandomSource = std::function<std::uint64_t()>;

struct Config {
    // Who.
    std::uint64_t peer_id = 0;  // our own id
    std::uint32_t epoch = 0;    // packets of any other epoch are dropped
    Key key{};

    // Shape.
    std::uint16_t paths = 1;  // 1 .. 4096
    std::uint32_t chunk_size =
        1400;                     // bytes of payload per packet; the smaller of both sides is used
    std::uint32_t window = 1024;  // sequence numbers in flight or out of order, 64 .. 4096
    std::uint32_t max_burst = 64 * 1024;  // bytes sent on one path by one decision of the scheduler
    // Whether a burst is also held to half of its path's share of the window, so that a window too
    // small for a long burst on every path is spread over all of them nevertheless.
    bool spread_bursts = false;
    std::uint64_t eager_window =
        4 << 20;  // bytes we buffer for messages not yet accepted, all together
    std::uint64_t eager_limit = 256 << 10;  // and per message; 0: every message waits for accept()

    // Bytes of payload per second that the host's links carry; 0: not known. Where congestion
    // controls begin, and the pace of credits for those whose control asks for them.
    double link_rate = 0;

    // Credits for peers whose congestion control asks for them: bytes per credit, 1 KiB .. 1 MiB,
    // and the pace of the whole host, which its connections share. Null: a pace of link_rate for
    // each connection by itself.
    std::uint32_t credit_quantum = 16 << 10;
    std::shared_ptr<CreditPacer> credit_pacer;

    // Policies.
    PolicyChoice scheduler{"round_robin", {}};
    PolicyChoice congestion{"swift", {}};
    PolicyChoice recovery{"selective_repeat", {}};

    // Acknowledgements: after this many chunks, or when this many numbers lie between the first gap
    // and the last arrival, or after this delay, whatever comes first.
    std::uint32_t ack_every = 8;
    std::uint32_t ack_disorder = 16;
    Time ack_delay = 100 * kMicrosecond;

    // Retransmission (RFC 6298's estimator with data-centre bounds).
    Time rto_initial = 50 * kMillisecond;
    Time rto_min = 2 * kMillisecond;
    Time rto_max = 100 * kMillisecond;
    std::uint32_t max_attempts = 32;  // transmissions of one chunk before the connection fails

    // Path health: this many timeouts in a row make a path suspect; it is then probed, and used
    // again after the first answer.
    std::uint32_t path_timeouts = 2;
    Time probe_interval = 10 * kMillisecond;

    // Liveness.
    Time peer_timeout =
        1500 * kMillisecond;  // silence, while something waits for the peer, that means death
    Time handshake_timeout = 5 * kSecond;
    Time handshake_interval = 50 * kMillisecond;  // first repeat of a handshake packet; doubles
    Time close_timeout = 500 * kMillisecond;      // how long close() waits for the peer's answer

    // Throws ConfigError for the first value out of range. Policy names are checked by their
    // registries.
    void validate() const;
};

}  // namespace weft::transport
