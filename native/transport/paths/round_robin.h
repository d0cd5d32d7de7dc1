// Round robin: bursts go over the usable paths in turn.
#pragma once

#include "transport/paths/scheduler.h"

namespace weft::transport {

class RoundRobin final : public PathScheduler {
  public:
    explicit RoundRobin(PathId first) : next_(first) {}
    PathId pick(const PickRequest& request, std::span<const Path> paths) override;

  private:
    PathId next_;
};

}  // namespace weft::transport
