// PLB, protective load balancing (Qureshi et al., SIGCOMM 2022, section 3): one path at a time; a
// round trip in which at least a fraction K of the chunks came back marked is a congested round;
// after M of them in a row, fewer when the connection happens to be idle, another path is drawn.
// After a timeout the path changes at once, and PLB then holds still for a while, for the network
// may be under repair.
#pragma once

#include <algorithm>

#include "transport/paths/scheduler.h"
#include "transport/random.h"

namespace weft::transport {

// Parameters (defaults are those of Linux, net.ipv4.tcp_plb_*): `threshold` (0.5) the K above;
// `rounds` (12) the M; `idle_rounds` (3) enough of them when nothing is in flight; `suspend_us`
// (60 s) the time of holding still; `delay_us` (0: off) a chunk with a longer round trip also
// counts as marked, for networks without ECN.
class Plb final : public PathScheduler {
  public:
    Plb(ParameterReader& parameters, const PolicyContext& context)
        : threshold_(parameters.number("threshold", 0.5, 1e-3, 1)),
          rounds_(static_cast<int>(parameters.number("rounds", 12, 1, 1000))),
          idle_rounds_(static_cast<int>(parameters.number("idle_rounds", 3, 1, 1000))),
          suspend_(
              static_cast<Time>(parameters.number("suspend_us", 60e6, 0, 600e6) * kMicrosecond)),
          delay_(static_cast<Time>(parameters.number("delay_us", 0, 0, 1e6) * kMicrosecond)),
          random_(context.seed),
          path_(static_cast<PathId>(random_.below(context.paths))) {}

    PathId pick(const PickRequest& request, std::span<const Path> paths) override {
        const bool sick = paths[path_].health != PathHealth::kGood;
        const int enough = paths[path_].in_flight == 0 ? idle_rounds_ : rounds_;
        if (sick || (congested_ >= enough && request.now >= resume_at_)) {
            move(paths);
        }
        return paths[path_].usable() ? path_ : kNoPath;
    }

    void on_echo(const PathEcho& echo, std::span<const Path> paths) override {
        if (echo.path != path_) {
            return;  // of the path before
        }
        const bool slow = delay_ != 0 && echo.rtt > delay_;
        const std::size_t chunks = std::max<std::size_t>(echo.delivered.size(), 1);
        chunks_ += chunks;
        marked_ += slow ? chunks : std::min<std::size_t>(echo.marked_chunks, chunks);
        if (echo.now - round_began_ < paths[path_].rtt.smoothed()) {
            return;
        }
        const bool congested =
            static_cast<double>(marked_) >= threshold_ * static_cast<double>(chunks_);
        congested_ = congested ? congested_ + 1 : 0;
        begin_round(echo.now);
    }

    void on_loss(const LossSample& loss, std::span<const Path> paths) override {
        if (loss.cause == LossCause::kTimeout && loss.path == path_) {
            move(paths);
            resume_at_ = loss.now + suspend_;
        }
    }

  private:
    void begin_round(Time now) {
        round_began_ = now;
        chunks_ = marked_ = 0;
    }

    void move(std::span<const Path> paths) {
        const PathId other = first_usable(random_.below(paths.size()), path_, paths);
        path_ = other != kNoPath ? other : path_;
        congested_ = 0;
        chunks_ = marked_ = 0;
    }

    const double threshold_;
    const int rounds_;
    const int idle_rounds_;
    const Time suspend_;
    const Time delay_;
    Random random_;
    PathId path_;
    int congested_ = 0;       // rounds in a row
    std::size_t chunks_ = 0;  // of this round
    std::size_t marked_ = 0;
    Time round_began_ = 0;
    Time resume_at_ = 0;
};

}  // namespace weft::transport
