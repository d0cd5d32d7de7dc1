// The pace at which one host hands out credits to those who send to it (EQDS, Olteanu et al., NSDI
// 2022, section 3): together they may not exceed what its links carry. Shared by all connections
// that end there. Each of them that has credits to give holds one turn at a time, taken at the end
// of the line; that alone makes them take turns, and no connection needs to know of another.
#pragma once

#include <algorithm>
#include <cstdint>

#include "transport/types.h"

namespace weft::transport {

class CreditPacer {
  public:
    // Bytes of payload per second; 0: not known, nothing is held back.
    explicit CreditPacer(double rate) : rate_(kShare * rate / static_cast<double>(kSecond)) {}

    bool paces() const { return rate_ > 0; }

    // When a credit of so many bytes may be given: now at the earliest.
    Time reserve(Time now, std::uint64_t bytes) {
        if (!paces()) {
            return now;
        }
        const double turn = std::max(free_at_, static_cast<double>(now));
        free_at_ = turn + static_cast<double>(bytes) / rate_;
        return static_cast<Time>(turn);
    }

  private:
    // Slightly less than all, so that what came uncredited drains.
    static constexpr double kShare = 0.99;

    double rate_;         // bytes per nanosecond
    double free_at_ = 0;  // the end of the line, ns: fractions must not add up to an error
};

}  // namespace weft::transport
