// Weighted: bursts in proportion to given weights, spread as evenly as possible, for paths that are
// not equally fast. Stride scheduling (Waldspurger and Weihl, MIT TM-528, 1995): every path keeps
// the moment of its next turn, which a turn moves on by the inverse of its weight; the earliest
// goes.
#pragma once

#include <algorithm>

#include "transport/paths/scheduler.h"

namespace weft::transport {

// Parameters: `w0`, `w1`, ... (1 each) weights of the paths, only relative to each other; 0 leaves
// a path out while others are good.
class Weighted final : public PathScheduler {
  public:
    Weighted(ParameterReader& parameters, const PolicyContext& context)
        : strides_(parameters.numbers("w", context.paths, 1, 0, 1e9)), turns_(context.paths) {
        for (std::size_t i = 0; i < strides_.size(); ++i) {
            strides_[i] = strides_[i] > 0 ? 1 / strides_[i] : 0;
            turns_[i] = strides_[i] / 2;  // half a stride of delay interleaves them
        }
    }

    PathId pick(const PickRequest& request, std::span<const Path> paths) override {
        PathId best = kNoPath;
        for (std::size_t path = 0; path < paths.size(); ++path) {
            const bool possible =
                strides_[path] > 0 && paths[path].usable() && path != request.avoid;
            if (possible && (best == kNoPath || turns_[path] < turns_[best])) {
                best = static_cast<PathId>(path);
            }
        }
        if (best == kNoPath) {
            return first_usable(0, request.avoid, paths);
        }
        // A path that could not be used for a while does not get the turns that it missed.
        clock_ = std::max(clock_, turns_[best]);
        turns_[best] = clock_ + strides_[best];
        return best;
    }

  private:
    std::vector<double> strides_;  // 0: no weight
    std::vector<double> turns_;
    double clock_ = 0;  // of the latest turn taken
};

}  // namespace weft::transport
