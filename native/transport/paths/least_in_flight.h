// Least in flight: a burst goes to the usable path with the fewest bytes in flight, so that a slow
// path, which holds on to its bytes longer, is given less (join-the-shortest-queue over what the
// sender can see).
#pragma once

#include "transport/paths/scheduler.h"

namespace weft::transport {

class LeastInFlight final : public PathScheduler {
  public:
    LeastInFlight(ParameterReader&, const PolicyContext& context)
        : start_(static_cast<PathId>(context.seed % context.paths)) {}
    PathId pick(const PickRequest& request, std::span<const Path> paths) override;

  private:
    PathId start_;  // ties are broken in turn, lest idle paths starve behind path 0
};

}  // namespace weft::transport
