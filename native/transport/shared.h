// What the parts of one connection have in common: configuration, what was negotiated, the paths,
// the numbers for stats(), the queue of events, the observer. Plain data; each part writes its own
// fields.
#pragma once

#include <cstdint>
#include <vector>

#include "transport/config.h"
#include "transport/path.h"
#include "transport/ring_queue.h"
#include "transport/stats.h"
#include "transport/trace.h"
#include "transport/types.h"

namespace weft::transport {

struct Shared {
    Config config;
    std::uint64_t seed = 0;  // of the policies
    std::uint64_t local_id = 0;
    std::uint64_t remote_id = 0;       // 0 until the peer said it
    std::uint32_t local_sequence = 0;  // our first sequence number, low 32 bits
    wire::Handshake remote{};          // what the peer said of itself
    std::vector<Path> paths;
    Stats stats;  // live counters; `paths` is filled when somebody asks
    RingQueue<Event> events;
    TraceSink* trace = nullptr;
    Time last_heard = 0;  // when a packet of this connection last arrived

    // Set by the part that finds the connection dead; the connection acts on it.
    FailureReason verdict = FailureReason::kNone;
    std::uint32_t verdict_attempts = 0;
    std::uint32_t verdict_code = 0;

    void drop(Time now, Drop reason) {
        ++stats.drops[static_cast<std::size_t>(reason)];
        if (trace != nullptr) [[unlikely]] {
            trace->trace({.now = now,
                          .kind = TraceKind::kPacketDropped,
                          .value = static_cast<std::uint64_t>(reason)});
        }
    }

    void observe(const TraceEvent& event) {
        if (trace != nullptr) [[unlikely]] {
            trace->trace(event);
        }
    }

    // The common header of a packet to the peer.
    void address(wire::Packet& packet, wire::PacketKind kind, PathId path, Time now) const {
        packet.kind = kind;
        packet.flags = 0;
        packet.priority = wire::kMaxPriority;
        packet.path = path;
        packet.epoch = config.epoch;
        packet.connection = remote_id;
        packet.sequence = 0;
        packet.timestamp = static_cast<std::uint32_t>(now);
    }
};

}  // namespace weft::transport
