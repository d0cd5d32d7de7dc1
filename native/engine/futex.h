// Timed wait on a 32-bit word (futex(2)), which std::atomic::wait lacks a deadline for.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>

#include "engine/clock.h"

namespace weft::engine {

// Returns when the word may have changed from `expected`, or `timeout` nanoseconds have passed.
inline void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                       Time timeout) noexcept {
    timespec ts{.tv_sec = static_cast<time_t>(timeout / kSecond),
                .tv_nsec = static_cast<long>(timeout % kSecond)};
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, &ts, nullptr, 0);
}

inline void futex_wake_all(const std::atomic<std::uint32_t>& word) noexcept {
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace weft::engine
