// How long before its next event the fabric stops sleeping and watches the clock instead.
//
// A timer fires late: on a virtual machine, whose CPU has halted and must be resumed by its host,
// by 40 us in the middle and 100 us and more at the 99th percentile, on bare metal by a few. The
// window follows that percentile as it is observed, one step of a known size per observation
// (stochastic approximation: Robbins and Monro, 1951), between bounds.
//
// Spinning takes a CPU from the hosts' programs. What it may take is a share of the time that has
// passed, saved up for a while (a token bucket); beyond that the window is at its least.
#pragma once

#include <algorithm>
#include <cstdint>

namespace weft::emulator {

// Times in nanoseconds.
class SpinWindow {
  public:
    explicit SpinWindow(std::int64_t most) : most_(std::max(most, kLeast)) {}

    std::int64_t width(std::int64_t now) {
        credit_ = std::min(credit_ + (now - refilled_) / kShare, kMostCredit);
        refilled_ = now;
        return credit_ > 0 ? width_ : kLeast;
    }

    // A timer was so much late.
    void woke(std::int64_t late) {
        const std::int64_t step = late > width_ ? 99 * kStep : -kStep;
        width_ = std::clamp(width_ + step, kLeast, most_);
    }

    // So much of the time went into watching the clock.
    void spun(std::int64_t time) { credit_ -= time; }

  private:
    static constexpr std::int64_t kLeast = 8'000;
    static constexpr std::int64_t kStep = 50;
    static constexpr std::int64_t kShare = 4;  // a quarter of the time at most
    static constexpr std::int64_t kMostCredit = 50'000'000;

    std::int64_t most_;
    std::int64_t width_ = std::min<std::int64_t>(most_, 100'000);
    std::int64_t credit_ = kMostCredit;
    std::int64_t refilled_ = 0;
};

}  // namespace weft::emulator
