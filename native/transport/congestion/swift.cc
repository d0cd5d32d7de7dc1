#include "transport/congestion/swift.h"

#include <algorithm>
#include <cmath>

namespace weft::transport {
namespace {

// After so many timeouts in a row the window falls to its minimum (the paper's
// RETX_RESET_THRESHOLD).
constexpr int kResetThreshold = 5;

constexpr Time kDefaultTarget = 500 * kMicrosecond;
// Chunks that may queue on each way: as many as a receiver lets pass between two acknowledgements.
constexpr Time kQueuedChunks = 8;
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
      last_decrease_(-kSecond) {
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
    const Time base = base_target_ != 0 ? base_target_ : automatic_target();
    return base + hops_target_ + static_cast<Time>(std::clamp(scaling, 0.0, scaling_range_));
}

// How much longer a full chunk takes than a few bytes is what the links need to put it on the wire.
// Where that is long, a window worth one and a half round trips is a handful of chunks: fewer than
// the receiver acknowledges at once, with acknowledgements that wait behind the other direction's
// chunks. Such a window runs dry again and again.
Time Swift::automatic_target() const {
    const bool both_measured = full_measured_ && brief_rtt_ != 0;
    const Time on_the_wire = both_measured ? std::max<Time>(minimum_rtt_ - brief_rtt_, 0) : Time{0};
    return std::max({kDefaultTarget, minimum_rtt_ + minimum_rtt_ / 2,
                     minimum_rtt_ + kQueuedChunks * on_the_wire});
}

void Swift::on_ack(const AckSample& sample, std::span<Path>) {
    timeouts_ = 0;
    if (sample.rtt == 0) {
        return;
    }
    const Time delay = sample.rtt;
    rtt_ = delay;
    note_minimum(delay, static_cast<double>(sample.bytes) >= chunk_size_);
    const Time target = target_delay();
    if (delay < target) {
        const double acked = static_cast<double>(sample.bytes) / chunk_size_;
        const double share = cwnd_ >= 1 ? acked / cwnd_ : acked;
        set_cwnd(cwnd_ + additive_increase_ * share, sample.now);
    } else if (can_decrease(sample.now)) {
        const double excess = static_cast<double>(delay - target) / static_cast<double>(delay);
        set_cwnd(cwnd_ * std::max(1 - beta_ * excess, 1 - max_decrease_), sample.now);
    }
}

// Once full chunks were measured only they count: on a slow link small messages come back so much
// sooner that their round trip would set a target which no full chunk can meet.
void Swift::note_minimum(Time delay, bool full) {
    if (!full && (brief_rtt_ == 0 || delay < brief_rtt_)) {
        brief_rtt_ = delay;
    }
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
        set_cwnd(min_cwnd_, sample.now);
    } else if (can_decrease(sample.now)) {
        set_cwnd(cwnd_ * (1 - max_decrease_), sample.now);
    }
}

void Swift::set_cwnd(double cwnd, Time now) {
    const double before = cwnd_;
    cwnd_ = std::clamp(cwnd, min_cwnd_, max_cwnd_);
    if (cwnd_ < before) {
        last_decrease_ = now;
    }
}

std::uint64_t Swift::window() const {
    return static_cast<std::uint64_t>(std::max(cwnd_, 1.0) * chunk_size_);
}

double Swift::pacing_rate() const {
    if (cwnd_ >= 1 || rtt_ == 0) {
        return 0;
    }
    return cwnd_ * chunk_size_ * static_cast<double>(kSecond) / static_cast<double>(rtt_);
}

}  // namespace weft::transport
