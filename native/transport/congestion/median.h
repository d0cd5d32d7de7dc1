// Any control, fed with the median of what many paths say (median feedback for sprayed traffic,
// arXiv 2509.07907): a control made for one path takes every report for the state of the whole, so
// that a few bad paths among many would starve all of them. The round trip that it is told is the
// median of the last few, and a mark counts when most of them were marked; losses pass as they are.
#pragma once

#include <algorithm>
#include <array>

#include "transport/congestion/congestion.h"

namespace weft::transport {

class MedianFeedback final : public CongestionControl {
  public:
    static constexpr std::size_t kMost = 63;

    // Over the last `size` echoes, 1 .. kMost.
    MedianFeedback(std::unique_ptr<CongestionControl> control, std::size_t size)
        : control_(std::move(control)), size_(size) {}

    void on_ack(const AckSample& sample, std::span<Path> paths) override {
        if (sample.rtt == 0) {
            control_->on_ack(sample, paths);
            return;
        }
        Echo& place = echoes_[next_];
        marked_ += (sample.echo_marked ? 1U : 0U) - (place.marked ? 1U : 0U);
        place = {sample.delay(), sample.echo_marked};
        next_ = (next_ + 1) % size_;
        filled_ = std::min(filled_ + 1, size_);
        AckSample typical = sample;
        typical.rtt = median();
        typical.queued_back = 0;
        typical.echo_marked = 2 * marked_ > filled_;
        typical.marked = typical.echo_marked ? sample.marked : 0;
        control_->on_ack(typical, paths);
    }

    void on_sent(Time now, PathId path, std::uint32_t bytes) override {
        control_->on_sent(now, path, bytes);
    }
    void on_loss(const LossSample& sample, std::span<Path> paths) override {
        control_->on_loss(sample, paths);
    }
    std::uint64_t window() const override { return control_->window(); }
    double pacing_rate() const override { return control_->pacing_rate(); }

  private:
    struct Echo {
        Time rtt = 0;
        bool marked = false;
    };

    Time median() const {
        std::array<Time, kMost> times{};
        for (std::size_t i = 0; i < filled_; ++i) {
            times[i] = echoes_[i].rtt;
        }
        const auto middle = times.begin() + static_cast<std::ptrdiff_t>(filled_ / 2);
        std::nth_element(times.begin(), middle,
                         times.begin() + static_cast<std::ptrdiff_t>(filled_));
        return *middle;
    }

    std::unique_ptr<CongestionControl> control_;
    const std::size_t size_;
    std::array<Echo, kMost> echoes_{};
    std::size_t filled_ = 0;
    std::size_t next_ = 0;
    std::size_t marked_ = 0;  // of those kept
};

}  // namespace weft::transport
