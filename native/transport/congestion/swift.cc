#include "transport/congestion/swift.h"

#include <algorithm>
#include <cmath>

namespace weft::transport {
namespace {

// After so many timeouts in a row the window falls to its minimum (the paper's
// RETX_RESET_THRESHOLD).
constexpr int kResetThreshold = 5;

// What the automatic target leaves to queues. The shortest delay on a slow link is mostly the time
// that one chunk takes to be sent, and a few of them must wait there if it is not to run dry
// between acknowledgements. No less than a millisecond, for which hosts in software may stop
// looking (as much as Linux lets a TCP flow keep in its own device's queue), and no more than what
// CoDel (RFC 8289, section 3.2) bears with.
constexpr int kQueueTrips = 4;
constexpr Time kLeastQueueing = kMillisecond;
constexpr Time kMostQueueing = 5 * kMillisecond;
// Between two packets of a window below one. The last round trip may have been long because a host
// stood still, and for ten times as long nobody would ask how the network is now. One of CoDel's
// intervals (RFC 8289, section 3.2), which windows of 0.1 reach from round trips of 10 ms on.
constexpr Time kLongestGap = 100 * kMillisecond;
// A loss counts for at least this share of the window: more paths than so many cross each other.
constexpr double kLeastShare = 1.0 / 8;

constexpr double kNsPerUs = static_cast<double>(kMicrosecond);

}  // namespace

Swift::Swift(ParameterReader& parameters, const PolicyContext& context)
    : chunk_size_(context.chunk_size),
      base_target_(static_cast<Time>(kNsPerUs * parameters.number("base_target_us", 0, 0, 1e6))),
      hops_target_(static_cast<Time>(kNsPerUs * parameters.number("hop_us", 0, 0, 1e5) *
                                     parameters.number("hops", 0, 0, 64))),
      additive_increase_(parameters.number("additive_increase", 1, 1e-3, 1e3)),
      beta_(parameters.number("beta", 0.8, 0.01, 1)),
      max_decrease_(parameters.number("max_decrease", 0.5, 0.01, 0.99)),
      min_cwnd_(parameters.number("min_window", 0.1, 1e-4, 64)),
      max_cwnd_(parameters.number("max_window", context.window, 1, 1 << 20)),
      scaling_range_(kNsPerUs * parameters.number("flow_scaling_us", 0, 0, 1e6)),
      cwnd_(parameters.number("initial_window", std::min(32.0, max_cwnd_), min_cwnd_, max_cwnd_)),
      last_decrease_(-kSecond),
      round_began_(-kSecond) {
    const double least = parameters.number("flow_scaling_min", 0.1, 1e-3, 1e3);
    const double most = parameters.number("flow_scaling_max", 100, 1, 1e6);
    if (!(least < most)) {
        throw ConfigError(
            "congestion control 'swift': flow_scaling_min must be below flow_scaling_max");
    }
    // Section 3.5: alpha / sqrt(cwnd) + beta is the whole range at the smallest window, 0 at the
    // largest.
    scaling_alpha_ = scaling_range_ / (1 / std::sqrt(least) - 1 / std::sqrt(most));
    scaling_beta_ = -scaling_alpha_ / std::sqrt(most);
}

Time Swift::target_delay() const {
    const double scaling =
        scaling_range_ > 0 ? scaling_alpha_ / std::sqrt(cwnd_) + scaling_beta_ : 0;
    const Time automatic =
        minimum_rtt_ + std::clamp(kQueueTrips * minimum_rtt_, kLeastQueueing, kMostQueueing);
    const Time base = base_target_ != 0 ? base_target_ : automatic;
    return base + hops_target_ + static_cast<Time>(std::clamp(scaling, 0.0, scaling_range_));
}

void Swift::on_ack(const AckSample& sample, std::span<Path>) {
    timeouts_ = 0;
    if (sample.rtt == 0) {
        return;
    }
    const Time delay = sample.delay();
    rtt_ = sample.rtt;
    note_minimum(sample.least_delay(), static_cast<double>(sample.bytes) >= chunk_size_);
    const Time target = target_delay();
    if (delay < target) {
        const double acked = static_cast<double>(sample.bytes) / chunk_size_;
        const double share = cwnd_ >= 1 ? acked / cwnd_ : acked;
        cwnd_ = std::min(cwnd_ + additive_increase_ * share, max_cwnd_);
    } else if (can_decrease(sample.now)) {
        const double excess = static_cast<double>(delay - target) / static_cast<double>(delay);
        last_decrease_ = sample.now;
        decrease(beta_ * excess, sample.now);
    }
}

// Once full chunks were measured only they count: on a slow link small messages come back so much
// sooner that their round trip would set a target which no full chunk can meet.
void Swift::note_minimum(Time delay, bool full) {
    if (minimum_rtt_ == 0 || (full && !full_measured_)) {
        minimum_rtt_ = delay;
    } else if (full || !full_measured_) {
        minimum_rtt_ = std::min(minimum_rtt_, delay);
    }
    full_measured_ = full_measured_ || full;
}

void Swift::on_loss(const LossSample& sample, std::span<Path>) {
    if (sample.cause == LossCause::kTailProbe) {
        return;
    }
    if (sample.cause == LossCause::kTimeout && ++timeouts_ >= kResetThreshold) {
        cwnd_ = min_cwnd_;
    } else if (can_decrease(sample.now)) {
        decrease(max_decrease_ * std::max(sample.share, kLeastShare), sample.now);
    }
}

void Swift::decrease(double fraction, Time now) {
    if (now - round_began_ >= rtt_) {
        round_began_ = now;
        floor_ = std::max(cwnd_ * (1 - max_decrease_), min_cwnd_);
    }
    cwnd_ = std::min(cwnd_, std::max(cwnd_ * (1 - fraction), floor_));
}

std::uint64_t Swift::window() const {
    return static_cast<std::uint64_t>(std::max(cwnd_, 1.0) * chunk_size_);
}

double Swift::pacing_rate() const {
    if (cwnd_ >= 1 || rtt_ == 0) {
        return 0;
    }
    const double gap = std::min(static_cast<double>(rtt_) / cwnd_, double{kLongestGap});
    return chunk_size_ * static_cast<double>(kSecond) / gap;
}

}  // namespace weft::transport
