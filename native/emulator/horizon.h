// When something may leave the fabric next.
//
// What happens between two switches concerns nobody outside: it may be worked out late, as long as
// it is worked out in order (conservative lookahead: Chandy and Misra, CACM'81). A packet cannot
// leave sooner than its shortest way takes; until then the thread may sleep, however many events
// its hops are. A packet that must queue is late for that: it is followed event by event.
#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

#include "fabric/time.h"
#include "fabric/topology.h"

namespace weft::emulator {

// The least time that a packet needs from host to host.
class ShortestWays {
  public:
    explicit ShortestWays(const fabric::Topology& topology);

    fabric::Time least(fabric::HostId source, fabric::HostId destination,
                       std::uint32_t bytes) const;

  private:
    struct Cost {
        fabric::Time delay;
        double per_byte;  // of serialization; each the least, maybe of two different ways
    };
    struct Access {
        std::uint32_t at;  // number of the switch
        Cost cost;
    };

    std::vector<Cost> between(const fabric::Topology& topology, std::uint32_t from) const;

    std::vector<std::vector<Access>> hosts_;
    std::vector<std::vector<Cost>> switches_;  // [switch with hosts][switch]
    bool direct_ = false;                      // some host is joined to another one
};

// Packets by their cargo.
class Horizon {
  public:
    void entered(std::uint32_t cargo, fabric::Time earliest) {
        if (packets_.size() <= cargo) packets_.resize(cargo + 1);
        Packet& packet = packets_[cargo];
        packet.state = State::kUnderWay;
        ++packet.visit;
        queue_.push({earliest, cargo, packet.visit});
    }

    void left(std::uint32_t cargo) {
        if (cargo >= packets_.size()) return;
        Packet& packet = packets_[cargo];
        if (packet.state == State::kOverdue) --overdue_;
        packet.state = State::kAway;
    }

    // From now on earliest times are not believed: links have become faster.
    void doubt() {
        while (!queue_.empty()) take();
    }

    // `event`: when anything happens next inside.
    fabric::Time next(fabric::Time now, fabric::Time event) {
        while (!queue_.empty() && (queue_.top().at <= now || stale(queue_.top()))) take();
        const fabric::Time first = queue_.empty() ? fabric::kNever : queue_.top().at;
        return overdue_ > 0 ? std::min(first, event) : first;
    }

  private:
    enum class State : std::uint8_t { kAway, kUnderWay, kOverdue };
    struct Packet {
        std::uint32_t visit = 0;  // tells packets of one cargo apart
        State state = State::kAway;
    };
    struct Expected {
        fabric::Time at;
        std::uint32_t cargo;
        std::uint32_t visit;
        bool operator>(const Expected& other) const { return at > other.at; }
    };

    bool stale(const Expected& expected) const {
        const Packet& packet = packets_[expected.cargo];
        return packet.visit != expected.visit || packet.state != State::kUnderWay;
    }

    void take() {
        const Expected first = queue_.top();
        queue_.pop();
        if (stale(first)) return;
        packets_[first.cargo].state = State::kOverdue;
        ++overdue_;
    }

    std::vector<Packet> packets_;  // [cargo]
    std::priority_queue<Expected, std::vector<Expected>, std::greater<>> queue_;
    std::size_t overdue_ = 0;
};

}  // namespace weft::emulator
