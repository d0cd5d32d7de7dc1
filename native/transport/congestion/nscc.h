// NSCC, network-signalled congestion control (Ultra Ethernet specification 1.0, transport layer;
// also the window of MRC). Two signals, an ECN mark and the queueing delay, make four cases:
//
//                delay below target          delay above target
//   no mark      grow with the distance      grow a little, equally for all
//   mark         hold: a queue is draining   shrink with the smoothed excess
//
// A fast way down, quick adapt: after losses, when less than an eighth of the window got through
// in a round trip that began with it in flight, the window becomes what got through. And a fast way
// up, fast increase (FASTFLOW: Bonato et al., arXiv 2404.01630): once a whole window came back
// without a mark and without having waited, it grows with all that comes back.
#pragma once

#include <algorithm>

#include "transport/congestion/congestion.h"

namespace weft::transport {

// Parameters (defaults): `base_rtt_us` (0: the shortest seen); `target_us` (0: three quarters of
// the base round trip) queueing delay aimed at; `gamma` (0.8) of the decrease, at most half at a
// time; `fair_chunks` (1) and `proportional_chunks` (4) growth per round trip, the latter at zero
// delay, both for a bandwidth-delay product of 150 kB (100 Gbit/s, 12 us) and scaled with ours;
// `eta_chunks` (0.15) likewise, unconditionally; `fast_fraction` (0.25) growth per byte that comes
// back through empty queues (0: off); `delay_weight` (0.0125) per chunk of the smoothed
// delay; `initial_window`, `max_window` (chunks; 1.5 bandwidth-delay products where rate and round
// trip are known, else the sequence window).
class Nscc final : public CongestionControl {
  public:
    Nscc(ParameterReader& parameters, const PolicyContext& context);
    void on_ack(const AckSample& sample, std::span<Path> paths) override;
    void on_loss(const LossSample& sample, std::span<Path> paths) override;
    std::uint64_t window() const override { return static_cast<std::uint64_t>(cwnd_); }
    double cwnd() const { return cwnd_; }              // bytes
    double average_delay() const { return average_; }  // ns
    double target_delay() const;                       // ns

  private:
    double scale() const;
    void set(double cwnd);
    void adjust(const AckSample& sample, double delay);
    bool fast_increase(const AckSample& sample, double delay);
    bool quick_adapt(const AckSample& sample, double delay);

    const double chunk_;
    const double given_base_;    // ns; 0: measured
    const double given_target_;  // ns; 0: from the base
    const double gamma_;
    const double fair_;  // bytes per round trip at the reference product
    const double proportional_;
    const double eta_;
    const double fast_;
    const double delay_weight_;
    const double most_;
    const double link_rate_;      // bytes per ns; 0: unknown
    double cwnd_;                 // bytes
    double base_ = 0;             // ns; 0: not measured yet
    double average_ = 0;          // smoothed queueing delay, ns
    struct Growth {               // collected until the next adjustment
        double product = 0;       // bytes of growth times window
        std::uint64_t bytes = 0;  // acknowledged, that it was collected from
    } growth_;
    std::uint64_t unqueued_ = 0;  // bytes that came back since one waited or was marked
    Time adjusted_at_ = 0;
    Time decreased_at_ = 0;
    bool lost_ = false;           // since the interval of quick adapt began
    std::uint64_t achieved_ = 0;  // bytes acknowledged in it
    std::uint64_t offered_ = 0;   // bytes in flight at its begin
    Time interval_ends_ = 0;
    std::uint64_t ignored_ = 0;  // bytes still to be acknowledged that were sent before the fall
};

}  // namespace weft::transport
