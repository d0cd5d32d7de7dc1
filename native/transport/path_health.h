// The health of paths, a loop of its own beside rate control and loss recovery: a path that timed
// out repeatedly is suspect and carries nothing but probes; the first answer brings it back. The
// last good path never becomes suspect, so that there is always one to use (if that one is dead
// too, so is the peer). A denied path is neither used nor probed.
#pragma once

#include "transport/shared.h"

namespace weft::transport {

class PathHealthLoop {
  public:
    explicit PathHealthLoop(Shared& shared) : shared_(shared) {}

    // The path timed out once more; true when that made it suspect.
    bool on_timeout(Time now, PathId path);

    // Takes the path out of use, or back into it; false when there is no such path, or no good one
    // would be left.
    bool set_denied(Time now, PathId path, bool denied);

    // It has a new way: what is known of the old one says nothing.
    void on_renewal(Time now, PathId path);

    // A probe was answered.
    void on_reply(Time now, PathId path);

    // The path whose probe is due, or kNoPath; each is given out once per interval.
    PathId poll_probe(Time now);

    Time next_timeout() const { return timer_; }

  private:
    void set_health(Time now, PathId path, PathHealth health);

    Shared& shared_;
    std::size_t out_of_use_ = 0;  // paths that are not good
    Time timer_ = kNever;         // of the next probe
};

}  // namespace weft::transport
