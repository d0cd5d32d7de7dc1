// Is the peer alive? While something here waits for it, silence leads to probes, and at last to the
// verdict kPeerSilent. A connection that waits for nothing keeps quiet and never fails.
#pragma once

#include <algorithm>
#include <utility>

#include "transport/shared.h"

namespace weft::transport {

// Probes are sent this many to a timeout: enough to get one through a bad network, few enough to be
// free.
inline constexpr Time kProbes = 8;

class Liveness {
  public:
    explicit Liveness(Shared& shared)
        : shared_(shared), interval_(shared.config.peer_timeout / kProbes) {}

    // To be told whenever that may have changed.
    void set_waiting(Time now, bool waiting) {
        if (!waiting) {
            timer_ = kNever;
            probe_due_ = false;
        } else if (timer_ == kNever) {
            waiting_since_ = now;
            timer_ = now + interval_;
        }
    }

    void on_timer(Time now) {
        if (now < timer_) {
            return;
        }
        // Silence counts from when we began to listen.
        const Time heard = std::max(shared_.last_heard, waiting_since_);
        const Time death = heard + shared_.config.peer_timeout;
        if (now >= death) {
            shared_.verdict = FailureReason::kPeerSilent;
            timer_ = kNever;
        } else if (now - heard >= interval_) {
            probe_due_ = true;
            timer_ = std::min(now + interval_, death);
        } else {
            timer_ = heard + interval_;
        }
    }

    bool take_probe() { return std::exchange(probe_due_, false); }
    bool probe_due() const { return probe_due_; }
    Time next_timeout() const { return timer_; }

  private:
    Shared& shared_;
    Time interval_;  // of probes
    Time waiting_since_ = 0;
    Time timer_ = kNever;  // kNever: nobody waits
    bool probe_due_ = false;
};

}  // namespace weft::transport
