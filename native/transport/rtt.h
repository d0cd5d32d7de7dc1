// Round-trip time estimation and the retransmission timeout: RFC 6298 with a variable floor.
#pragma once

#include <algorithm>
#include <cstdint>

#include "transport/types.h"

namespace weft::transport {

class RttEstimator {
  public:
    // A new measurement, ns > 0 (RFC 6298 section 2.2 and 2.3, with alpha 1/8 and beta 1/4).
    void add(Time sample) {
        latest_ = sample;
        minimum_ = std::min(minimum_, sample);
        if (smoothed_ == 0) {
            smoothed_ = sample;
            variation_ = sample / 2;
            return;
        }
        const Time error = sample - smoothed_;
        variation_ += ((error < 0 ? -error : error) - variation_) / 4;
        smoothed_ += error / 8;
    }

    bool known() const { return smoothed_ != 0; }
    Time latest() const { return latest_; }
    Time smoothed() const { return smoothed_; }
    Time variation() const { return variation_; }
    Time minimum() const { return known() ? minimum_ : 0; }  // 0: nothing measured yet

    // Smoothed time plus four variations; meaningless before the first sample.
    Time timeout() const { return smoothed_ + 4 * variation_; }

  private:
    Time latest_ = 0;
    Time smoothed_ = 0;
    Time variation_ = 0;
    Time minimum_ = kNever;
};

}  // namespace weft::transport
