// Congestion control: how many bytes may be in flight, and how fast they may leave. It hears of
// every acknowledgement and loss and answers with a window; what is in flight is counted by its
// caller.
//
// One connection joins a pair of hosts, so that its window is at once the destination's. Any
// control also has a form with a window per path (per_path.h, which writes Path::window), and one
// that hears the median of all paths (median.h); the receiver's credits are a window of what was
// credited (eqds.h).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "transport/feedback.h"
#include "transport/path.h"
#include "transport/policy.h"
#include "transport/types.h"

namespace weft::transport {

class CongestionControl {
  public:
    virtual ~CongestionControl() = default;
    // Called once, before anything else.
    virtual void begin(std::span<Path>) {}
    virtual void on_sent(Time, PathId, std::uint32_t /*bytes*/) {}
    virtual void on_ack(const AckSample& sample, std::span<Path> paths) = 0;
    virtual void on_loss(const LossSample& sample, std::span<Path> paths) = 0;

    // Bytes that may be in flight over all paths. One chunk may go out whenever nothing is in
    // flight, however small the window: pacing_rate() is what slows down below one chunk per round
    // trip.
    virtual std::uint64_t window() const = 0;

    // Bytes per second; 0 does not pace.
    virtual double pacing_rate() const { return 0; }

    // Controls that live on credits of the receiver: what is in flight may not exceed the window
    // even when nothing is. The sender passes credits on and, whenever it may have changed, tells
    // how many bytes wait to be sent; the answer is the total to ask the receiver for, or 0. Due
    // again at next_timeout().
    virtual bool by_credit() const { return false; }
    virtual void on_credit(Time, std::uint64_t /*total*/) {}
    virtual std::uint64_t poll_demand(Time, std::uint64_t /*backlog*/) { return 0; }
    virtual Time next_timeout() const { return kNever; }
};

// Throw ConfigError for a name or a parameter that does not exist, naming those that do.
std::unique_ptr<CongestionControl> make_congestion_control(const PolicyChoice& choice,
                                                           const PolicyContext& context);
std::vector<std::string> congestion_controls();

}  // namespace weft::transport
