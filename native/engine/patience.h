// How long a waiter lets others run before it sleeps, by what waiting has turned out to be worth.
//
// Looking again and again beats a sleep when what is awaited comes soon, and wastes a core when it
// does not: the links may be slow, or ranks in other containers may share this machine unseen. As
// Linux's halt polling does (virt/kvm/kvm_main.c, halt_poll_ns), the span doubles after a sleep
// that a patient waiter would have been spared, and halves after one that no patience would have.
#pragma once

#include <algorithm>

#include "engine/clock.h"

namespace weft::engine {

class Patience {
  public:
    static constexpr Time kMost = 200 * kMicrosecond;

    Time span() const noexcept { return span_; }

    // A waiter slept, and what it waited for came so long after it had begun to wait.
    void slept(Time waited) noexcept {
        span_ = waited < kMost ? std::clamp(2 * span_, kFirst, kMost) : span_ / 2;
    }

    // Somebody else had the core for so long. Whoever takes it for longer than any waiter is
    // patient will do so again, while the kernel gives it at once to a sleeper that wakes up.
    void yielded(Time away) noexcept {
        if (away > kMost) {
            span_ = 0;
        }
    }

  private:
    static constexpr Time kFirst = 10 * kMicrosecond;

    Time span_ = kMost;
};

}  // namespace weft::engine
