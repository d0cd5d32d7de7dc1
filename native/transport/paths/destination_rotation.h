// Destination rotation (the host's half of Ofan's destination-based rotation): the bursts to one
// destination visit all paths strictly in turn before any is visited again, each destination in an
// order of its own. So every stretch of traffic between two hosts is spread evenly, whatever else
// they do, and queues stay bounded where random draws would let them grow with the square root of
// the load, and one rotation shared by all destinations would let them fall into step. Unlike round
// robin it keeps its rhythm: what a path may not carry goes elsewhere without shifting the turns
// after it, and so do repeats.
#pragma once

#include <numeric>

#include "transport/paths/scheduler.h"
#include "transport/random.h"

namespace weft::transport {

class DestinationRotation final : public PathScheduler {
  public:
    DestinationRotation(ParameterReader&, const PolicyContext& context) : order_(context.paths) {
        std::iota(order_.begin(), order_.end(), PathId{0});
        Random(context.seed ^ context.destination).shuffle(order_);
    }

    PathId pick(const PickRequest& request, std::span<const Path> paths) override {
        const PathId due = order_[turn_];
        const PathId path = first_usable(due, request.avoid, paths);
        const bool repeat = request.avoid != kNoPath;
        if (path != kNoPath && !repeat) {
            turn_ = turn_ + 1 < order_.size() ? turn_ + 1 : 0;
        }
        return path;
    }

  private:
    std::vector<PathId> order_;
    std::size_t turn_ = 0;
};

}  // namespace weft::transport
