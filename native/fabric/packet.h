// A packet on its way, as far as the fabric needs to know it, and the pool where packets live.
// What it carries stays with the edge, under `cargo`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "fabric/random.h"

namespace weft::fabric {

using HostId = std::uint32_t;       // 0 .. hosts - 1
using NodeId = std::uint32_t;       // hosts first, then switches
using PortId = std::uint32_t;       // 2 * link + direction (0: from a to b)
using PacketIndex = std::uint32_t;  // into the pool

// Strict priorities; class 0 goes first. Trimmed headers and, if the edge so wishes, control
// packets travel in class 0.
inline constexpr std::uint8_t kClasses = 4;

enum PacketFlag : std::uint8_t {
    kMarkable = 1,      // ECN-capable transport
    kMarked = 2,        // ECN congestion experienced
    kTrimmable = 4,     // a full queue may cut the payload off
    kTrimmed = 8,       // it did
    kCorrupted = 16,    // bits flipped on the way
    kSourceRouted = 32  // `entropy` is a path number instead of a hash
};

// 32 bytes: two to a cache line, for the scale of a run is decided by cache misses.
struct alignas(32) Packet {
    // Hash of the five-tuple. With kSourceRouted the number of a path, in mixed radix: a node with
    // n equal ways takes number entropy % n and leaves entropy / n to the next.
    std::uint32_t entropy = 0;
    HostId destination = 0;
    std::uint32_t cargo = 0;               // the edge's own
    std::uint16_t size = 0;                // bytes on the wire, all headers counted
    std::uint16_t trimmed_size = 64;       // what remains after trimming
    std::uint8_t flags = 0;                // PacketFlag
    std::uint8_t priority = kClasses - 1;  // class, below kClasses

    // The fabric's own from here on.
    std::uint16_t wire_epoch = 0;  // of the port when it left: differs on arrival if the link fell
    PortId port = 0;               // where it is queued, or by which it left
    PortId ingress = 0;            // by which it came to where it is queued
    PacketIndex next = 0;          // in its queue
};
static_assert(sizeof(Packet) == 32);

class PacketPool {
  public:
    static constexpr PacketIndex kNil = 0xFFFFFFFF;

    PacketIndex add(const Packet& packet) {
        PacketIndex index = free_;
        if (index == kNil) {
            index = static_cast<PacketIndex>(packets_.size());
            packets_.push_back(packet);
        } else {
            free_ = packets_[index].next;
            packets_[index] = packet;
        }
        ++live_;
        return index;
    }

    void remove(PacketIndex index) {
        packets_[index].next = free_;
        free_ = index;
        --live_;
    }

    void prefetch(PacketIndex index) const { __builtin_prefetch(&packets_[index]); }
    Packet& operator[](PacketIndex index) { return packets_[index]; }
    const Packet& operator[](PacketIndex index) const { return packets_[index]; }
    std::size_t live() const { return live_; }
    std::size_t peak() const { return packets_.size(); }

  private:
    std::vector<Packet> packets_;
    PacketIndex free_ = kNil;
    std::size_t live_ = 0;
};

}  // namespace weft::fabric
