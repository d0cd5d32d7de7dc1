// Flowlet switching: a flow changes its path only where it pauses for longer than paths differ in
// delay, so that nothing is overtaken (Kandula et al., "Dynamic load balancing without packet
// reordering", CCR 2007); the new path is drawn at random, and flowlets on slow paths end sooner by
// themselves (Vanini et al., "Let it flow", NSDI 2017).
#pragma once

#include "transport/paths/scheduler.h"
#include "transport/random.h"

namespace weft::transport {

// Parameter: `gap_us` (0), the pause that ends a flowlet; 0 is the path's smoothed round trip.
class Flowlet final : public PathScheduler {
  public:
    Flowlet(ParameterReader& parameters, const PolicyContext& context)
        : gap_(static_cast<Time>(parameters.number("gap_us", 0, 0, 1e6) * kMicrosecond)),
          random_(context.seed),
          path_(static_cast<PathId>(random_.below(context.paths))) {}

    PathId pick(const PickRequest& request, std::span<const Path> paths) override {
        const Time gap = gap_ != 0 ? gap_ : paths[path_].rtt.smoothed();
        const bool paused = gap != 0 && request.now - last_ > gap;
        const bool sick = paths[path_].health != PathHealth::kGood;
        if (paused || sick) {
            const PathId other = first_usable(random_.below(paths.size()), kNoPath, paths);
            path_ = other != kNoPath ? other : path_;
        }
        if (!paths[path_].usable()) {
            return kNoPath;
        }
        last_ = request.now;
        return path_;
    }

  private:
    const Time gap_;
    Random random_;
    PathId path_;
    Time last_ = 0;  // when the last burst left
};

}  // namespace weft::transport
