// CUBIC (RFC 9438; Ha, Rhee and Xu, Operating Systems Review 2008): after a loss the window climbs
// along a cubic curve of time back to where it was, dwells there, and then probes beyond; never
// slower than Reno would (section 4.3), which in a data centre's round trips is what mostly counts.
// ECN marks count as losses (section 4.6 and RFC 8511).
#pragma once

#include <cmath>

#include "transport/congestion/chunk_window.h"

namespace weft::transport {

// Parameters (defaults): `c` (0.4) of equation (1), chunks per second cubed; `beta` (0.7), section
// 4.6; `ecn` (1); and those of ChunkWindow.
class Cubic final : public CongestionControl {
  public:
    Cubic(ParameterReader& parameters, const PolicyContext& context)
        : c_(parameters.number("c", 0.4, 1e-3, 1e9)),
          beta_(parameters.number("beta", 0.7, 0.1, 0.99)),
          ecn_(parameters.flag("ecn", true)),
          window_(parameters, context) {}

    void on_ack(const AckSample& sample, std::span<Path>) override {
        rtt_ = sample.rtt != 0 ? sample.rtt : rtt_;
        if (ecn_ && sample.marked != 0) {
            decrease(sample.now);
            return;
        }
        const double acked = window_.in_chunks(sample.bytes);
        const double cwnd = window_.chunks();
        if (cwnd < threshold_) {
            window_.set(cwnd + acked);
            return;
        }
        if (epoch_ < 0) {  // congestion avoidance without a loss before it
            begin_epoch(sample.now, cwnd);
        }
        // Section 4.4: the curve one round trip from now; equation (4) for Reno's window.
        const double now = cubic(sample.now + rtt_);
        const double target = std::min(std::max(now, cwnd), 1.5 * cwnd);
        const double alpha = reno_ < peak_ ? 3 * (1 - beta_) / (1 + beta_) : 1;
        reno_ += alpha * acked / cwnd;
        window_.set(std::max(cwnd + (target - cwnd) * acked / cwnd, reno_));
    }

    void on_loss(const LossSample& sample, std::span<Path>) override {
        if (sample.cause != LossCause::kTailProbe) {
            decrease(sample.now);
        }
    }

    std::uint64_t window() const override { return window_.bytes(); }
    double cwnd() const { return window_.chunks(); }

  private:
    static double seconds(Time time) {
        return static_cast<double>(time) / static_cast<double>(kSecond);
    }

    // Equation (1).
    double cubic(Time now) const {
        const double t = seconds(now - epoch_) - k_;
        return c_ * t * t * t + peak_;
    }

    void begin_epoch(Time now, double peak) {
        epoch_ = now;
        peak_ = peak;
        k_ = std::cbrt((peak_ - window_.chunks()) / c_);  // equation (2)
        reno_ = window_.chunks();
    }

    // Section 4.6, at most once per round trip; section 4.7, fast convergence: who lost before it
    // was back at its peak makes room.
    void decrease(Time now) {
        if (epoch_ >= 0 && now - decreased_at_ < rtt_) {
            return;
        }
        decreased_at_ = now;
        const double cwnd = window_.chunks();
        const double peak = cwnd < peak_ ? cwnd * (1 + beta_) / 2 : cwnd;
        window_.set(cwnd * beta_);
        threshold_ = window_.chunks();
        begin_epoch(now, peak);
    }

    const double c_;
    const double beta_;
    const bool ecn_;
    ChunkWindow window_;
    Time rtt_ = 0;
    double threshold_ = 1e18;  // chunks; slow start below
    double peak_ = 0;          // the window before the last decrease, W_max
    double k_ = 0;             // seconds from a decrease until the curve is back at the peak
    double reno_ = 0;          // W_est
    Time epoch_ = -1;          // when the curve began; negative: not yet
    Time decreased_at_ = 0;
};

}  // namespace weft::transport
