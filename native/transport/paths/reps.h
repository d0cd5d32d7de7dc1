// REPS, recycled entropies (Bonato et al., arXiv 2407.21625, section 3, Algorithms 1 and 2): a path
// whose chunk arrived without a congestion mark is kept in a small ring and used once more, the
// oldest first; with an empty ring a path is drawn at random. After a timeout the ring is frozen
// for a while: only paths known to have worked are used, again and again, and none is explored.
//
// The paper's sender hears an acknowledgement per packet. Where one covers several chunks and says
// that none of them was marked, all of their paths are kept; else only the echoed one is known.
#pragma once

#include <algorithm>
#include <array>

#include "transport/paths/scheduler.h"
#include "transport/random.h"

namespace weft::transport {

// Parameters (defaults): `explore` (128 or the window, if that is less) chunks drawn at random
// before the first is recycled, about a bandwidth-delay product; `freeze_us` (1000), how long the
// ring stays frozen; `congested_rtt_us` (0: off): without trimming switches a timeout may also be a
// full queue, so one on a path whose last round trip was longer than this does not freeze.
class Reps final : public PathScheduler {
  public:
    Reps(ParameterReader& parameters, const PolicyContext& context)
        : explore_chunks_(static_cast<int>(
              parameters.number("explore", std::min<double>(context.window, 128), 0, 1 << 20))),
          freeze_(static_cast<Time>(parameters.number("freeze_us", 1000, 0, 1e7) * kMicrosecond)),
          congested_rtt_(
              static_cast<Time>(parameters.number("congested_rtt_us", 0, 0, 1e6) * kMicrosecond)),
          explore_(explore_chunks_),
          random_(context.seed) {}

    PathId pick(const PickRequest& request, std::span<const Path> paths) override {
        const PathId path = next_entropy(paths.size());
        return first_usable(path, request.avoid, paths);
    }

    void on_echo(const PathEcho& echo, std::span<const Path>) override {
        if (frozen_ && echo.now > thaw_at_) {
            frozen_ = false;
            explore_ = explore_chunks_;
        }
        if (echo.marked_chunks == 0) {
            for (const PathId path : echo.delivered) {
                keep(path);
            }
        } else if (!echo.marked) {
            keep(echo.path);
        }
    }

    void on_loss(const LossSample& loss, std::span<const Path> paths) override {
        const Time rtt = paths[loss.path].rtt.latest();
        const bool congested = congested_rtt_ != 0 && rtt > congested_rtt_;
        if (loss.cause == LossCause::kTimeout && !congested && !frozen_ && explore_ == 0) {
            frozen_ = true;
            thaw_at_ = loss.now + freeze_;
        }
    }

    bool frozen() const { return frozen_; }

  private:
    static constexpr std::size_t kSlots = 8;

    void keep(PathId path) {
        ring_[head_] = path;
        head_ = (head_ + 1) % kSlots;
        valid_ = std::min(valid_ + 1, kSlots);
        written_ = std::min(written_ + 1, kSlots);
    }

    PathId next_entropy(std::size_t paths) {
        if (explore_ > 0) {
            --explore_;
        } else if (valid_ > 0) {
            return ring_[(head_ + kSlots - valid_--) % kSlots];
        } else if (frozen_ && written_ > 0) {
            reuse_ = (reuse_ + 1) % written_;
            return ring_[reuse_];
        }
        return static_cast<PathId>(random_.below(paths));
    }

    const int explore_chunks_;
    const Time freeze_;
    const Time congested_rtt_;
    std::array<PathId, kSlots> ring_{};
    std::size_t head_ = 0;     // where the next one is put
    std::size_t valid_ = 0;    // the last so many were not used again yet
    std::size_t written_ = 0;  // slots that ever held one
    std::size_t reuse_ = 0;
    int explore_;
    bool frozen_ = false;
    Time thaw_at_ = 0;
    Random random_;
};

}  // namespace weft::transport
