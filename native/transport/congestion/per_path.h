// Any control, once per path instead of once per connection: every path has a window of its own,
// and a congested one slows down alone (the per-path form of UCCL's and MP-RDMA's controls).
//
// What an acknowledgement says about delay and marks is about one path; its control is told, along
// with all that this path got through since it was last told.
#pragma once

#include <algorithm>

#include "transport/congestion/congestion.h"

namespace weft::transport {

class PerPath final : public CongestionControl {
  public:
    // One control for each path.
    explicit PerPath(std::vector<std::unique_ptr<CongestionControl>> controls)
        : controls_(std::move(controls)), seen_(controls_.size()) {
        for (const auto& control : controls_) {
            window_ += control->window();
            rate_ += control->pacing_rate();
            unpaced_ += control->pacing_rate() == 0 ? 1 : 0;
        }
    }

    void begin(std::span<Path> paths) override {
        for (std::size_t path = 0; path < paths.size(); ++path) {
            paths[path].window = controls_[path]->window();
            seen_[path] = {paths[path].bytes_acked, paths[path].chunks_acked};
        }
    }

    void on_sent(Time now, PathId path, std::uint32_t bytes) override {
        controls_[path]->on_sent(now, path, bytes);
    }

    void on_ack(const AckSample& sample, std::span<Path> paths) override {
        if (sample.path >= paths.size()) {
            return;
        }
        Path& path = paths[sample.path];
        AckSample own = sample;
        own.bytes = path.bytes_acked - seen_[sample.path].bytes;
        own.chunks = path.chunks_acked - seen_[sample.path].chunks;
        own.marked = sample.echo_marked ? std::max(own.chunks, 1U) : 0;
        own.in_flight = path.in_flight;
        seen_[sample.path] = {path.bytes_acked, path.chunks_acked};
        update(sample.path, path, [&](CongestionControl& control) { control.on_ack(own, paths); });
    }

    void on_loss(const LossSample& sample, std::span<Path> paths) override {
        LossSample own = sample;
        own.share = 1;
        update(sample.path, paths[sample.path],
               [&](CongestionControl& control) { control.on_loss(own, paths); });
    }

    // Of all paths together; each is held to its own by Path::window.
    std::uint64_t window() const override { return window_; }
    double pacing_rate() const override { return unpaced_ == 0 ? rate_ : 0; }

  private:
    struct Seen {
        std::uint64_t bytes = 0;
        std::uint32_t chunks = 0;
    };

    template <typename Tell>
    void update(PathId id, Path& path, Tell tell) {
        CongestionControl& control = *controls_[id];
        const std::uint64_t window = control.window();
        const double rate = control.pacing_rate();
        tell(control);
        window_ += control.window() - window;
        rate_ += control.pacing_rate() - rate;
        unpaced_ += (control.pacing_rate() == 0 ? 1 : 0) - (rate == 0 ? 1 : 0);
        path.window = control.window();
    }

    std::vector<std::unique_ptr<CongestionControl>> controls_;
    std::vector<Seen> seen_;    // of each path: what its control knows to be acknowledged
    std::uint64_t window_ = 0;  // sums over the paths
    double rate_ = 0;
    int unpaced_ = 0;  // paths that may send at once: while there are any, nothing waits
};

}  // namespace weft::transport
