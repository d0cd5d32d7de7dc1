// How long packets queue on one way of a path, from time stamps of two clocks that agree on nothing
// but their pace: the least difference seen of late is an empty way, and what a packet took longer
// than that it spent in queues (RFC 6817, LEDBAT, section 3.4.1, which forgets old minima for the
// same reason: clocks drift, by up to some 50 us per second, and routes change).
#pragma once

#include <cstdint>

#include "transport/types.h"

namespace weft::transport {

class OneWayDelay {
  public:
    // `difference`: arrival by the one clock less departure by the other, ns modulo 2^32. Returns
    // the queueing, at least 0.
    Time queueing(std::uint32_t difference) {
        if (!recent_known_ || earlier(difference, recent_)) {
            recent_ = difference;
            recent_known_ = true;
        }
        const bool by_old = old_known_ && earlier(old_, recent_);
        return static_cast<std::int32_t>(difference - (by_old ? old_ : recent_));
    }

    // A period is over: what was seen before it is forgotten.
    void age() {
        old_ = recent_;
        old_known_ = recent_known_;
        recent_known_ = false;
    }

  private:
    static bool earlier(std::uint32_t a, std::uint32_t b) {
        return static_cast<std::int32_t>(a - b) < 0;
    }

    std::uint32_t recent_ = 0;  // least difference of this period
    std::uint32_t old_ = 0;     // and of the one before
    bool recent_known_ = false;
    bool old_known_ = false;
};

}  // namespace weft::transport
