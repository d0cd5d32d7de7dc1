// What the rate-based controls have in common: a sending rate between bounds, in bytes per second,
// and the window that goes with it, which only stops a sender that hears nothing any more.
#pragma once

#include <algorithm>

#include "transport/congestion/congestion.h"

namespace weft::transport {

// Parameters (defaults), Gbit/s: `line_gbit` (the link's rate if it is known, else 100) at which
// sending begins and which it never exceeds; `min_gbit` (0.01).
class SendingRate {
  public:
    SendingRate(ParameterReader& parameters, const PolicyContext& context)
        : most_(kGbit * parameters.number("line_gbit",
                                          context.link_rate > 0 ? context.link_rate / kGbit : 100,
                                          1e-3, 1e5)),
          least_(kGbit * parameters.number("min_gbit", 0.01, 1e-6, 1e3)),
          rate_(most_),
          window_(std::uint64_t{context.window} * context.chunk_size) {}

    static constexpr double kGbit = 1e9 / 8;  // bytes per second

    double get() const { return rate_; }
    void set(double rate) { rate_ = std::max(std::min(rate, most_), least_); }
    std::uint64_t window() const { return window_; }

  private:
    double most_;
    double least_;
    double rate_;
    std::uint64_t window_;
};

}  // namespace weft::transport
