// Swift (Kumar et al., SIGCOMM 2020): keep the delay at a target. Below it the window grows by a
// fixed number of chunks per round trip; above it the window shrinks in proportion to the excess,
// once per round trip. Windows below one chunk are kept by pacing. Names in the code are those of
// the paper's Algorithm 1.
#pragma once

#include "transport/congestion/congestion.h"

namespace weft::transport {

// Parameters (defaults): `base_target_us` (0) delay aimed at; 0 is the shortest delay of a full
// chunk and four times that for queues, though at least 1 ms and at most 5 ms of these, so that
// neither a long network nor a slow link is strangled (but whoever never saw the network empty aims
// too high: give a target where fairness counts); `additive_increase` (1) chunks per round trip;
// `beta` (0.8) and `max_decrease` (0.5), section 3.1; `initial_window` (32), `min_window` (0.1),
// `max_window` (the sequence window), chunks; `flow_scaling_us` (0: off), `flow_scaling_min` (0.1),
// `flow_scaling_max` (100), section 3.5: the target rises by up to that much as the window falls
// from max to min, so that many flows on one queue find room; `hop_us` (0) and `hops` (0),
// section 3.5's topology scaling. The delay is the round trip without the time the receiver held
// the acknowledgement and without what that waited in queues on its way back (the paper's
// deployment gives acknowledgements a priority instead). A loss speaks of its path: it takes that
// path's share of the decrease, as of subflows each halves its own window (RFC 6356, section 3);
// but nothing within a round trip of a decrease for delay, which answered the same queue already
// (can_decrease of Algorithm 1). All decreases of one round trip together take no more than
// `max_decrease`.
class Swift final : public CongestionControl {
  public:
    Swift(ParameterReader& parameters, const PolicyContext& context);
    void on_ack(const AckSample& sample, std::span<Path> paths) override;
    void on_loss(const LossSample& sample, std::span<Path> paths) override;
    std::uint64_t window() const override;
    double pacing_rate() const override;

    double cwnd() const { return cwnd_; }  // chunks
    Time target_delay() const;

  private:
    bool can_decrease(Time now) const { return now - last_decrease_ >= rtt_; }
    void decrease(double fraction, Time now);
    void note_minimum(Time delay, bool full);

    const double chunk_size_;
    const Time base_target_;  // 0: automatic
    const Time hops_target_;
    const double additive_increase_;
    const double beta_;
    const double max_decrease_;
    const double min_cwnd_;
    const double max_cwnd_;
    const double scaling_range_;  // ns; 0 switches flow scaling off
    double scaling_alpha_ = 0;
    double scaling_beta_ = 0;
    double cwnd_;                 // chunks
    Time rtt_ = 0;                // last delay measured
    Time minimum_rtt_ = 0;        // shortest; 0: none yet
    bool full_measured_ = false;  // minimum_rtt_ is of full chunks
    Time last_decrease_;          // because of delay
    Time round_began_;            // with the first decrease for whatever reason
    double floor_ = 0;            // the least window of that round trip
    int timeouts_ = 0;            // in a row
};

}  // namespace weft::transport
