// DCTCP (Alizadeh et al., SIGCOMM 2010, section 3.1; RFC 8257): the window shrinks in proportion to
// the fraction of chunks that came back with an ECN mark, once per window of data, and grows like
// Reno's otherwise. Wants switches that mark from a low threshold on.
#pragma once

#include "transport/congestion/chunk_window.h"

namespace weft::transport {

// Parameters (defaults): `gain` (0.0625) the g of equation (1), and those of ChunkWindow.
class Dctcp final : public CongestionControl {
  public:
    Dctcp(ParameterReader& parameters, const PolicyContext& context)
        : gain_(parameters.number("gain", 1.0 / 16, 1e-4, 1)), window_(parameters, context) {
        begin_round();
    }

    void on_ack(const AckSample& sample, std::span<Path>) override {
        const double acked = window_.in_chunks(sample.bytes);
        round_acked_ += acked;
        round_marked_ += std::min<double>(sample.marked, acked);
        if (sample.marked != 0) {
            decrease(alpha_ / 2);  // section 3.1, equation (2)
        } else {
            const double step = slow_start_ ? acked : acked / window_.chunks();
            window_.set(window_.chunks() + step);
        }
        if (round_acked_ >= round_size_) {
            const double fraction = round_marked_ / round_acked_;
            alpha_ = (1 - gain_) * alpha_ + gain_ * fraction;  // equation (1)
            begin_round();
        }
    }

    void on_loss(const LossSample& sample, std::span<Path>) override {
        if (sample.cause != LossCause::kTailProbe) {
            decrease(0.5);  // RFC 8257 section 3.5
        }
    }

    std::uint64_t window() const override { return window_.bytes(); }
    double cwnd() const { return window_.chunks(); }
    double alpha() const { return alpha_; }

  private:
    // At most once per window of data: the next marks are of chunks sent before this decrease.
    void decrease(double fraction) {
        slow_start_ = false;
        if (!decreased_) {
            decreased_ = true;
            window_.set(window_.chunks() * (1 - fraction));
        }
    }

    void begin_round() {
        round_size_ = window_.chunks();
        round_acked_ = round_marked_ = 0;
        decreased_ = false;
    }

    const double gain_;
    ChunkWindow window_;
    double alpha_ = 1;  // estimate of the fraction of marked chunks (RFC 8257 section 4.2)
    bool slow_start_ = true;
    bool decreased_ = false;   // in this round
    double round_size_ = 0;    // chunks: the window when the round began
    double round_acked_ = 0;   // of them
    double round_marked_ = 0;  // of those
};

}  // namespace weft::transport
