// Path states after Multipath Reliable Connection (OCP specification 1.0, 2026; arXiv 2605.04333):
// a profile of many paths of which some are active and the others in reserve, scanned round and
// round in random order. A path is
//   good         used in its turn
//   to be skipped   its chunk came back with a congestion mark, or trimmed: it misses one turn
//   assumed bad  fell silent: probed until it answers, and a path in reserve takes its place
//   denied       by decree of the operator
// The first two are this file's; the last two are Path::health, which the connection keeps and
// probes for all schedulers (path_health.h). Paths belong to planes, path p to plane p modulo their
// number; the replacement comes from the same plane, so that the loss of one does not crowd
// another.
#pragma once

#include <algorithm>
#include <numeric>

#include "transport/paths/scheduler.h"
#include "transport/random.h"

namespace weft::transport {

// Parameters (defaults): `active` (128, or all paths if there are fewer); `planes` (1).
class MrcPaths final : public PathScheduler {
  public:
    MrcPaths(ParameterReader& parameters, const PolicyContext& context)
        : planes_(static_cast<std::size_t>(parameters.number("planes", 1, 1, context.paths))),
          active_(static_cast<std::size_t>(
              parameters.number("active", std::min<double>(context.paths, 128), 1, context.paths))),
          skip_(context.paths, false) {
        // Groups of one path of each plane, in random order: every plane has its equal share of any
        // stretch of the scan.
        std::vector<PathId> groups((context.paths + planes_ - 1) / planes_);
        std::iota(groups.begin(), groups.end(), PathId{0});
        Random(context.seed).shuffle(groups);
        profile_.reserve(context.paths);
        for (const PathId group : groups) {
            for (std::size_t plane = 0; plane < planes_; ++plane) {
                const std::size_t path = group * planes_ + plane;
                if (path < context.paths) {
                    profile_.push_back(static_cast<PathId>(path));
                }
            }
        }
    }

    PathId pick(const PickRequest& request, std::span<const Path> paths) override {
        bool avoided_usable = false;
        // Twice round: at the second time no path is left to be skipped.
        for (std::size_t tried = 0; tried < 2 * active_; ++tried) {
            turn_ = turn_ + 1 < active_ ? turn_ + 1 : 0;
            if (paths[profile_[turn_]].health != PathHealth::kGood) {
                replace(turn_, paths);
            }
            const PathId path = profile_[turn_];
            if (skip_[path]) {
                skip_[path] = false;
            } else if (paths[path].usable()) {
                if (path != request.avoid) {
                    return path;
                }
                avoided_usable = true;
            }
        }
        return avoided_usable ? request.avoid : first_usable(0, request.avoid, paths);
    }

    void on_echo(const PathEcho& echo, std::span<const Path>) override {
        skip_[echo.path] = skip_[echo.path] || echo.marked;
    }

    void on_loss(const LossSample& loss, std::span<const Path>) override {
        skip_[loss.path] = skip_[loss.path] || loss.cause == LossCause::kTrimmed;
    }

  private:
    // Exchanges the active path for one in reserve of its plane, if there is a good one.
    void replace(std::size_t place, std::span<const Path> paths) {
        const std::size_t plane = profile_[place] % planes_;
        const auto reserve = profile_.begin() + static_cast<std::ptrdiff_t>(active_);
        const auto other = std::find_if(reserve, profile_.end(), [&](PathId path) {
            return path % planes_ == plane && paths[path].health == PathHealth::kGood;
        });
        if (other != profile_.end()) {
            std::swap(profile_[place], *other);
        }
    }

    const std::size_t planes_;
    const std::size_t active_;
    std::vector<PathId> profile_;  // the first `active_` are active, the others in reserve
    std::vector<bool> skip_;
    std::size_t turn_ = 0;
};

}  // namespace weft::transport
