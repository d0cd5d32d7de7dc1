// Random spray: every burst takes a path drawn uniformly, whatever is known of it (oblivious packet
// spraying: Dixit et al., "On the impact of packet spraying in data center networks", INFOCOM
// 2013).
#pragma once

#include "transport/paths/scheduler.h"
#include "transport/random.h"

namespace weft::transport {

class RandomSpray final : public PathScheduler {
  public:
    RandomSpray(ParameterReader&, const PolicyContext& context) : random_(context.seed) {}

    PathId pick(const PickRequest& request, std::span<const Path> paths) override {
        return first_usable(random_.below(paths.size()), request.avoid, paths);
    }

  private:
    Random random_;
};

}  // namespace weft::transport
