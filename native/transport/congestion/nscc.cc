#include "transport/congestion/nscc.h"

namespace weft::transport {
namespace {

constexpr double kNsPerUs = static_cast<double>(kMicrosecond);
constexpr double kReferenceProduct = 150e3;  // bytes: 100 Gbit/s for 12 us
constexpr double kAdjustChunks = 8;  // growth is applied after so many, or once per round trip
constexpr double kMaxDecrease = 0.5;
constexpr double kQuickAdaptDelay = 4;     // targets of delay that also ask for it
constexpr double kQuickAdaptFraction = 8;  // of the window that must get through
constexpr double kNoQueue = 1.0 / 12;      // of the base round trip: a delay that means no queue

}  // namespace

Nscc::Nscc(ParameterReader& parameters, const PolicyContext& context)
    : chunk_(context.chunk_size),
      given_base_(kNsPerUs * parameters.number("base_rtt_us", 0, 0, 1e6)),
      given_target_(kNsPerUs * parameters.number("target_us", 0, 0, 1e6)),
      gamma_(parameters.number("gamma", 0.8, 0.01, 1)),
      fair_(chunk_ * parameters.number("fair_chunks", 1, 0, 1e3)),
      proportional_(chunk_ * parameters.number("proportional_chunks", 4, 0, 1e3)),
      eta_(chunk_ * parameters.number("eta_chunks", 0.15, 0, 1e3)),
      fast_(parameters.number("fast_fraction", 0.25, 0, 1)),
      delay_weight_(parameters.number("delay_weight", 0.0125, 1e-4, 1)),
      most_(chunk_ * parameters.number("max_window", context.window, 1, 1 << 20)),
      link_rate_(context.link_rate / static_cast<double>(kSecond)),
      cwnd_(std::min(chunk_ * parameters.number("initial_window",
                                                std::min<double>(context.window, 64), 1, 1 << 20),
                     most_)),
      base_(given_base_) {}

double Nscc::target_delay() const {
    return given_target_ != 0 ? given_target_ : 0.75 * base_;
}

// Our bandwidth-delay product over the one that the constants are given for; 1 while unknown.
double Nscc::scale() const {
    const double product = link_rate_ * base_;
    return product > 0 ? product / kReferenceProduct : 1;
}

void Nscc::set(double cwnd) {
    const double product = 1.5 * link_rate_ * base_;
    const double most = product > 0 ? std::min(most_, std::max(product, 2 * chunk_)) : most_;
    cwnd_ = std::max(std::min(cwnd, most), chunk_);
}

void Nscc::on_ack(const AckSample& sample, std::span<Path>) {
    achieved_ += sample.bytes;
    ignored_ -= std::min(ignored_, sample.bytes);
    if (sample.rtt == 0) {
        return;
    }
    const auto rtt = static_cast<double>(sample.delay());
    if (given_base_ == 0 && (base_ == 0 || rtt < base_)) {
        base_ = rtt;
    }
    const double delay = std::max(rtt - base_, 0.0);
    const double weight = std::min(delay_weight_ * std::max(sample.chunks, 1U), 1.0);
    average_ += weight * (delay - average_);
    if (quick_adapt(sample, delay) || ignored_ != 0) {
        return;
    }
    if (!fast_increase(sample, delay)) {
        adjust(sample, delay);
    }
}

// True when a whole window came back without having waited: then all that comes back makes room for
// a part of itself more, until something waits.
bool Nscc::fast_increase(const AckSample& sample, double delay) {
    if (sample.marked != 0 || sample.echo_marked || delay > kNoQueue * base_) {
        unqueued_ = 0;
        return false;
    }
    unqueued_ += sample.bytes;
    if (fast_ == 0 || static_cast<double>(unqueued_) <= cwnd_) {
        return false;
    }
    set(cwnd_ + fast_ * static_cast<double>(sample.bytes));
    growth_ = {};
    return true;
}

void Nscc::adjust(const AckSample& sample, double delay) {
    const double target = target_delay();
    const auto acked = static_cast<double>(sample.bytes);
    if (!sample.echo_marked) {
        const bool below = delay < target;
        const double step = below ? proportional_ * (target - delay) / target : fair_;
        growth_.product += step * scale() * acked;
        growth_.bytes += sample.bytes;
    } else if (delay >= target && average_ > target &&
               static_cast<double>(sample.now - decreased_at_) >= base_ + delay) {
        const double excess = (average_ - target) / average_;
        set(cwnd_ * std::max(1 - gamma_ * excess, kMaxDecrease));
        decreased_at_ = sample.now;
    }
    const bool full_trip = static_cast<double>(sample.now - adjusted_at_) >= base_;
    if (full_trip || static_cast<double>(growth_.bytes) >= kAdjustChunks * chunk_) {
        set(cwnd_ + growth_.product / cwnd_ + (full_trip ? eta_ * scale() : 0));
        adjusted_at_ = full_trip ? sample.now : adjusted_at_;
        growth_ = {};
    }
}

// At the end of every interval, a round trip with a full queue: true when the window fell. Of a
// window that was not filled less gets through for want of more (RFC 7661 section 4.3): the last
// chunk of a message, late on a slow path, does not tell what the others could carry.
bool Nscc::quick_adapt(const AckSample& sample, double delay) {
    const bool asked = lost_ || delay > kQuickAdaptDelay * target_delay();
    if (sample.now < interval_ends_) {
        return false;
    }
    const auto achieved = static_cast<double>(achieved_);
    const double expected = std::min(cwnd_, static_cast<double>(offered_));
    const bool falls = asked && interval_ends_ != 0 && achieved * kQuickAdaptFraction < expected;
    offered_ = sample.in_flight;
    interval_ends_ = sample.now + static_cast<Time>(base_ + target_delay());
    achieved_ = 0;
    lost_ = false;
    if (falls) {
        set(achieved);
        ignored_ = sample.in_flight;
        growth_ = {};
    }
    return falls;
}

// What was lost is no longer on its way, and must not make room for as much again.
void Nscc::on_loss(const LossSample& sample, std::span<Path>) {
    if (sample.cause != LossCause::kTailProbe) {
        lost_ = true;
        set(cwnd_ - static_cast<double>(sample.bytes));
    }
}

}  // namespace weft::transport
