// Power of two choices on delay: draw a few paths at random and take the one with the lowest
// smoothed round-trip time. The rule of UCCL-Tran (arXiv 2504.17307, "extensible multipath
// transport"), with the bound of Mitzenmacher, "The power of two choices in randomized load
// balancing", TPDS 2001.
#pragma once

#include "transport/paths/scheduler.h"
#include "transport/random.h"

namespace weft::transport {

// Parameter: `choices` (2), how many are drawn. A path not measured yet counts as the fastest, so
// that all are tried.
class PowerOfTwo final : public PathScheduler {
  public:
    PowerOfTwo(ParameterReader& parameters, const PolicyContext& context)
        : choices_(static_cast<int>(parameters.number("choices", 2, 1, 64))),
          random_(context.seed) {}

    PathId pick(const PickRequest& request, std::span<const Path> paths) override {
        PathId best = kNoPath;
        for (int i = 0; i < choices_; ++i) {
            const auto path = static_cast<PathId>(random_.below(paths.size()));
            const bool possible = paths[path].usable() && path != request.avoid;
            if (possible &&
                (best == kNoPath || paths[path].rtt.smoothed() < paths[best].rtt.smoothed())) {
                best = path;
            }
        }
        return best != kNoPath ? best
                               : first_usable(random_.below(paths.size()), request.avoid, paths);
    }

  private:
    int choices_;
    Random random_;
};

}  // namespace weft::transport
