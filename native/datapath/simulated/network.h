// A network between two hosts, in virtual time: per path and direction it delays, loses, repeats,
// reorders, corrupts, marks and trims datagrams, all from one seed. It carries the real bytes.
// Invariants: the same seed and the same calls give the same arrivals; nothing arrives before it
// was sent.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "transport/types.h"

namespace weft::datapath::simulated {

using transport::PathId;
using transport::Time;

enum class Side : std::uint8_t { kClient = 0, kServer = 1 };
constexpr Side other(Side side) {
    return side == Side::kClient ? Side::kServer : Side::kClient;
}

// One direction of one path. Probabilities are per datagram, 0 .. 1.
struct Link {
    Time delay = 10 * transport::kMicrosecond;
    Time jitter = 0;  // uniform extra delay, 0 .. jitter: reorders
    double rate = 0;  // bytes per second; 0 is infinitely fast
    Time queue_limit =
        transport::kNever;  // a datagram that would wait longer for its turn is dropped
    Time mark_above = transport::kNever;  // and one that waits longer than this gets an ECN mark
    double loss = 0;
    double duplicate = 0;
    double corrupt = 0;   // one random bit flips
    double mark = 0;      // ECN mark at random
    double trim = 0;      // a data packet loses its payload and keeps its header
    bool down = false;    // loses everything
    Time busy_until = 0;  // when the link has sent what it was given
};

struct Datagram {
    Time at = 0;               // when it arrives
    std::uint64_t serial = 0;  // order of sending: breaks ties of time
    Side to = Side::kClient;
    bool marked = false;
    bool trimmed = false;
    std::vector<std::uint8_t> bytes;
};

struct NetworkCounters {
    std::uint64_t sent = 0;
    std::uint64_t delivered = 0;
    std::uint64_t lost = 0;
    std::uint64_t duplicated = 0;
    std::uint64_t corrupted = 0;
    std::uint64_t trimmed = 0;
};

class Network {
  public:
    Network(std::uint64_t seed, std::uint16_t paths, const Link& link);

    Link& link(Side from, PathId path);

    // `header` and `payload` go as one datagram.
    void send(Time now, Side from, PathId path, std::span<const std::uint8_t> header,
              std::span<const std::uint8_t> payload);

    // When the next datagram arrives; kNever when none is on its way.
    Time next_arrival() const;

    // Takes the datagram that arrives next; it must have one. recycle() gives its buffer back.
    Datagram receive();
    void recycle(Datagram&& datagram) { buffers_.push_back(std::move(datagram.bytes)); }

    const NetworkCounters& counters() const { return counters_; }

    // A running hash over all arrivals (time, side, bytes): equal runs have equal hashes.
    std::uint64_t trace_hash() const { return trace_hash_; }

  private:
    bool chance(double probability);
    void deliver(Time at, Side to, bool marked, bool trimmed, std::span<const std::uint8_t> header,
                 std::span<const std::uint8_t> payload, bool corrupt);

    std::mt19937_64 random_;
    std::vector<Link> links_;           // by side and path
    std::vector<Datagram> on_the_way_;  // a heap: the earliest first
    std::vector<std::vector<std::uint8_t>> buffers_;
    NetworkCounters counters_;
    std::uint64_t serial_ = 0;
    std::uint64_t trace_hash_ = 0;
};

}  // namespace weft::datapath::simulated
