// Is a peer that we wait for still alive? Judged by the heartbeat in its segment, while it is
// watched.
//
// Only time in which we ourselves ran counts as the peer's silence: after a pause of this process
// (SIGSTOP, a suspended machine, a long absence from progress()) the peer gets a fresh chance to be
// heard.
#pragma once

#include <algorithm>
#include <cstdint>

#include "datapath/channel.h"

namespace weft::datapath::shm {

// Who is watched moves its heartbeat at least this often.
constexpr Time heartbeat_interval(Time peer_timeout) {
    return std::min<Time>(100'000'000, peer_timeout / 6);
}

class Liveness {
  public:
    explicit Liveness(Time peer_timeout) noexcept
        : timeout_(peer_timeout), interval_(heartbeat_interval(peer_timeout)) {}

    void start() noexcept { next_look_ = 0; }

    Time next_look() const noexcept { return next_look_; }
    Time silence() const noexcept { return silence_; }

    // Call at next_look() or later, with the peer's heartbeat. False: the peer is to be given up.
    bool look(std::uint64_t heartbeat, Time now) noexcept {
        if (next_look_ == 0 || heartbeat != last_beat_) {
            silence_ = 0;
        } else {
            silence_ += std::min(now - last_look_, 2 * interval_);
        }
        last_beat_ = heartbeat;
        last_look_ = now;
        next_look_ = now + interval_;
        return silence_ < timeout_;
    }

  private:
    Time timeout_;
    Time interval_;
    Time next_look_ = 0;  // 0: begin at the next opportunity
    Time last_look_ = 0;
    Time silence_ = 0;
    std::uint64_t last_beat_ = 0;
};

}  // namespace weft::datapath::shm
