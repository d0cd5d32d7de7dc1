// The receiver's half of credit-based congestion control: answers the peer's demands with credits,
// at the host's pace. Passive: a peer whose control does not ask never gets any. Both demand and
// credit are totals since the start of the connection, so that losing one costs only time.
#pragma once

#include "transport/credit_pacer.h"
#include "transport/shared.h"

namespace weft::transport {

class CreditSource {
  public:
    explicit CreditSource(Shared& shared) : shared_(shared) {}

    void on_demand(Time now, std::uint64_t total) {
        if (total <= granted_) {
            repeat_ = total != 0;  // the last credit was lost, it seems
            return;
        }
        demand_ = std::max(demand_, total);
        if (turn_ == kNever) {
            turn_ = pacer().reserve(now, shared_.config.credit_quantum);
        }
    }

    bool poll(Time now, PathId path, Transmit& transmit) {
        if (now >= turn_) {
            const std::uint64_t left = demand_ - granted_;
            const std::uint64_t quantum = shared_.config.credit_quantum;
            granted_ += pacer().paces() ? std::min(left, quantum) : left;
            // From our turn on, not from now: a host that was late catches up, within reason.
            const Time since = std::max(turn_, now - kMaxLateness);
            turn_ = granted_ < demand_ ? pacer().reserve(since, quantum) : kNever;
        } else if (!repeat_) {
            return false;
        }
        repeat_ = false;
        shared_.address(transmit.packet, wire::PacketKind::kCredit, path, now);
        transmit.packet.total.bytes = granted_;
        transmit.cookie = 0;
        transmit.burst_remaining = 0;
        return true;
    }

    bool due(Time now) const { return now >= turn_ || repeat_; }
    Time next_timeout() const { return turn_; }

  private:
    static constexpr Time kMaxLateness = kMillisecond;

    CreditPacer& pacer() { return *shared_.config.credit_pacer; }

    Shared& shared_;
    std::uint64_t demand_ = 0;
    std::uint64_t granted_ = 0;
    Time turn_ = kNever;  // of our next credit
    bool repeat_ = false;
};

}  // namespace weft::transport
