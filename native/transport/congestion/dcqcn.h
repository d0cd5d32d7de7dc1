// DCQCN (Zhu et al., SIGCOMM 2015, section 3.1): the receiver's notice of congestion cuts the rate
// by half of an estimate of how congested it is; then the rate recovers towards where it was, then
// beyond, in steps driven by a timer and by a byte counter. The notice is an acknowledgement with
// marked chunks, taken for one at most once per `notice_us`, as the paper's receiver sends it.
#pragma once

#include "transport/congestion/rate.h"

namespace weft::transport {

// Parameters (defaults of the paper, section 5): `gain` (1/256) the g of equation (1); `notice_us`
// (50); `alpha_us` (55) after which alpha decays without a notice, equation (2); `timer_us` (55)
// and `counter_bytes` (10e6), which drive the increase; `fast_steps` (5) the F; `add_gbit` (0.04)
// and `hyper_gbit` (0.4) the steps; `line_gbit`, `min_gbit`: see SendingRate.
class Dcqcn final : public CongestionControl {
  public:
    Dcqcn(ParameterReader& parameters, const PolicyContext& context)
        : gain_(parameters.number("gain", 1.0 / 256, 1e-5, 1)),
          notice_(microseconds(parameters.number("notice_us", 50, 0, 1e6))),
          alpha_timer_(microseconds(parameters.number("alpha_us", 55, 1, 1e6))),
          timer_(microseconds(parameters.number("timer_us", 55, 1, 1e6))),
          counter_(static_cast<std::uint64_t>(parameters.number("counter_bytes", 10e6, 1e3, 1e12))),
          fast_steps_(static_cast<int>(parameters.number("fast_steps", 5, 1, 100))),
          add_(SendingRate::kGbit * parameters.number("add_gbit", 0.04, 1e-6, 100)),
          hyper_(SendingRate::kGbit * parameters.number("hyper_gbit", 0.4, 1e-6, 1000)),
          rate_(parameters, context),
          target_(rate_.get()) {}

    void on_ack(const AckSample& sample, std::span<Path>) override {
        catch_up(sample.now);
        bytes_ += sample.bytes;
        while (bytes_ >= counter_) {
            bytes_ -= counter_;
            ++counter_steps_;
            increase();
        }
        if (sample.marked != 0 && (!noticed_ || sample.now - noticed_at_ >= notice_)) {
            cut(sample.now);
        }
    }

    void on_loss(const LossSample& sample, std::span<Path>) override {
        if (sample.cause != LossCause::kTailProbe &&
            (!noticed_ || sample.now - noticed_at_ >= notice_)) {
            cut(sample.now);
        }
    }

    std::uint64_t window() const override { return rate_.window(); }
    double pacing_rate() const override { return rate_.get(); }
    double alpha() const { return alpha_; }

  private:
    static Time microseconds(double value) {
        return static_cast<Time>(value * static_cast<double>(kMicrosecond));
    }

    void cut(Time now) {
        noticed_ = true;
        noticed_at_ = now;
        target_ = rate_.get();
        rate_.set(rate_.get() * (1 - alpha_ / 2));
        alpha_ = (1 - gain_) * alpha_ + gain_;  // equation (1)
        alpha_due_ = now + alpha_timer_;
        timer_due_ = now + timer_;
        timer_steps_ = counter_steps_ = 0;
        bytes_ = 0;
    }

    // The timers that ran out since the last call; after a long silence only the first thousand,
    // when all has long converged.
    void catch_up(Time now) {
        if (!noticed_) {
            return;  // at line rate since the start
        }
        for (int i = 0; i < 1000 && alpha_due_ <= now; ++i, alpha_due_ += alpha_timer_) {
            alpha_ *= 1 - gain_;  // equation (2)
        }
        for (int i = 0; i < 1000 && timer_due_ <= now; ++i, timer_due_ += timer_) {
            ++timer_steps_;
            increase();
        }
        alpha_due_ = std::max(alpha_due_, now);
        timer_due_ = std::max(timer_due_, now);
    }

    // Fast recovery while both stand below F, hyper increase once both are above it (equations (3)
    // to (5)).
    void increase() {
        const int least = std::min(timer_steps_, counter_steps_);
        const int most = std::max(timer_steps_, counter_steps_);
        if (least > fast_steps_) {
            target_ += hyper_ * (least - fast_steps_);
        } else if (most > fast_steps_) {
            target_ += add_;
        }
        rate_.set((target_ + rate_.get()) / 2);
        target_ = std::max(target_, rate_.get());
    }

    const double gain_;
    const Time notice_;
    const Time alpha_timer_;
    const Time timer_;
    const std::uint64_t counter_;
    const int fast_steps_;
    const double add_;  // bytes per second
    const double hyper_;
    SendingRate rate_;
    double target_;
    double alpha_ = 1;
    bool noticed_ = false;
    Time noticed_at_ = 0;
    Time alpha_due_ = 0;
    Time timer_due_ = 0;
    int timer_steps_ = 0;
    int counter_steps_ = 0;
    std::uint64_t bytes_ = 0;
};

}  // namespace weft::transport
