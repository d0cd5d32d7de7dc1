// Round robin: bursts go over the usable paths in turn.
#pragma once

#include "transport/paths/scheduler.h"

namespace weft::transport {

class RoundRobin final : public PathScheduler {
  public:
    // Connections start at different paths, lest many of them, started together, march in step.
    RoundRobin(ParameterReader&, const PolicyContext& context)
        : next_(context.seed % context.paths) {}

    PathId pick(const PickRequest& request, std::span<const Path> paths) override {
        const PathId path = first_usable(next_, request.avoid, paths);
        if (path != kNoPath) {
            next_ = path + std::size_t{1};
        }
        return path;
    }

  private:
    std::size_t next_;
};

}  // namespace weft::transport
