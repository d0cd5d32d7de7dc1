// TIMELY (Mittal et al., SIGCOMM 2015, Algorithm 1): the gradient of the round-trip time decides.
// Below T_low the rate grows whatever the gradient, above T_high it falls; between them it grows
// while queues shrink and falls in proportion to their growth.
#pragma once

#include "transport/congestion/rate.h"

namespace weft::transport {

// Parameters (defaults of the paper, section 5): `alpha` (0.875) weight of a new difference; `beta`
// (0.8); `add_gbit` (0.01) the additive step; `low_us` (50), `high_us` (500); `min_rtt_us` (20)
// against which the gradient is normalised; `hyper_after` (5) steps without a positive gradient;
// `segment_bytes` (16384) per decision; `line_gbit`, `min_gbit`: see SendingRate.
class Timely final : public CongestionControl {
  public:
    Timely(ParameterReader& parameters, const PolicyContext& context)
        : alpha_(parameters.number("alpha", 0.875, 0.01, 1)),
          beta_(parameters.number("beta", 0.8, 0.01, 1)),
          step_(SendingRate::kGbit * parameters.number("add_gbit", 0.01, 1e-6, 100)),
          low_(kUs * parameters.number("low_us", 50, 0, 1e6)),
          high_(kUs * parameters.number("high_us", 500, 1, 1e6)),
          min_rtt_(kUs * parameters.number("min_rtt_us", 20, 0.1, 1e6)),
          hyper_after_(static_cast<int>(parameters.number("hyper_after", 5, 1, 1000))),
          segment_(
              static_cast<std::uint64_t>(parameters.number("segment_bytes", 16384, 1, 1 << 24))),
          rate_(parameters, context) {}

    void on_ack(const AckSample& sample, std::span<Path>) override {
        acked_ += sample.bytes;
        if (sample.rtt == 0 || acked_ < segment_) {
            return;
        }
        acked_ = 0;
        const auto rtt = static_cast<double>(sample.delay());
        if (previous_ != 0) {
            difference_ = (1 - alpha_) * difference_ + alpha_ * (rtt - previous_);
            update(rtt, difference_ / min_rtt_);
        }
        previous_ = rtt;
    }

    // The paper leaves losses to its lossless fabric; here one counts as a round trip far above
    // T_high would, once per round trip.
    void on_loss(const LossSample& sample, std::span<Path>) override {
        if (sample.cause != LossCause::kTailProbe &&
            static_cast<double>(sample.now - lost_at_) >= std::max(previous_, min_rtt_)) {
            lost_at_ = sample.now;
            rate_.set(rate_.get() * (1 - beta_ / 2));
        }
    }

    std::uint64_t window() const override { return rate_.window(); }
    double pacing_rate() const override { return rate_.get(); }

  private:
    static constexpr double kUs = static_cast<double>(kMicrosecond);

    void update(double rtt, double gradient) {
        if (rtt < low_) {
            rate_.set(rate_.get() + step_);
        } else if (rtt > high_) {
            rate_.set(rate_.get() * (1 - beta_ * (1 - high_ / rtt)));
        } else if (gradient <= 0) {
            falling_ = falling_ + 1;
            rate_.set(rate_.get() + (falling_ >= hyper_after_ ? 5 : 1) * step_);
            return;
        } else {
            rate_.set(rate_.get() * std::max(1 - beta_ * gradient, 0.0));
        }
        falling_ = 0;
    }

    const double alpha_;
    const double beta_;
    const double step_;  // bytes per second
    const double low_;   // ns
    const double high_;
    const double min_rtt_;
    const int hyper_after_;
    const std::uint64_t segment_;
    SendingRate rate_;
    std::uint64_t acked_ = 0;  // since the last decision
    double previous_ = 0;      // round trip at the last decision, ns; 0: none yet
    double difference_ = 0;    // smoothed, ns
    int falling_ = 0;          // decisions in a row without a positive gradient
    Time lost_at_ = 0;
};

}  // namespace weft::transport
