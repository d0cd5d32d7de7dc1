// Waking a peer that sleeps, without a system call while it is awake.
//
// Sleeper: sleeping = 1 (seq_cst); look at everything that may have come (seq_cst); sleep on the
// eventfd. Poster:  publish; full_fence(); if sleeping, write the eventfd. Either the poster sees
// the flag or the sleeper sees what was published (the store-load pattern of Dekker's algorithm);
// the fence between the poster's store and its load is what makes that so.
#pragma once

#include <atomic>
#include <cstdint>

#include "datapath/shm/fd.h"

namespace weft::datapath::shm {

inline void full_fence() noexcept {
#if defined(__SANITIZE_THREAD__)
    static std::atomic<int> order{0};  // TSan knows no fences, but it knows this
    order.fetch_add(1, std::memory_order_seq_cst);
#else
    std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

// Makes the descriptor readable. Safe on any descriptor: a peer gave it to us.
void ring_doorbell(int event_fd) noexcept;

// Makes it unreadable again.
void drain_doorbell(int event_fd) noexcept;

}  // namespace weft::datapath::shm
