// How the engine rests: the background thread's naps and sleeps, and what ends them.
#include <sched.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>

#include "engine/engine.h"
#include "engine/futex.h"

namespace weft::engine {
namespace {

constexpr Time kNap = kMillisecond;                 // background thread, while a user drives
constexpr Time kLongestSleep = 100 * kMillisecond;  // bounds the harm of any lost wake-up

}  // namespace

bool Engine::arm_all() {
    for (auto& datapath : datapaths_) {
        if (!datapath->arm()) {
            armed_ = true;  // some are
            disarm_all();
            return false;
        }
    }
    armed_ = true;
    for (std::size_t i = 0; i < pollers_.size(); ++i) {
        if (pollers_[i]->poll()) {
            disarm_all();
            return false;
        }
    }
    return true;
}

void Engine::disarm_all() {
    if (armed_) {
        for (auto& datapath : datapaths_) {
            datapath->disarm();
        }
        armed_ = false;
    }
}

// Without the lock. The descriptors are level-triggered: whatever came between arm_all and here
// wakes us at once.
void Engine::sleep(Time deadline) {
    Time wake = std::min(deadline, clock_now() + kLongestSleep);
    if (driver_.try_lock()) {
        ++counters_.sleeps;
        for (auto& datapath : datapaths_) {
            wake = std::min(wake, datapath->next_wakeup());
        }
        for (const Poller* poller : pollers_) {
            wake = std::min(wake, poller->next_wakeup());
        }
        for (auto& operation : active_) {
            wake = std::min(wake, operation->deadline());
        }
        driver_.unlock();
    }
    const Time timeout = std::max<Time>(wake - clock_now(), 0);
    const timespec ts{.tv_sec = static_cast<time_t>(timeout / kSecond),
                      .tv_nsec = static_cast<long>(timeout % kSecond)};
    epoll_event events[8];
    const int ready = epoll_pwait2(poll_fd_, events, 8, &ts, nullptr);
    for (int i = 0; i < ready; ++i) {
        if (events[i].data.fd == wake_fd_) {
            std::uint64_t count;
            static_cast<void>(!read(wake_fd_, &count, sizeof count));
        }
    }
}

void Engine::wake_thread() noexcept {
    switch (rest_.load()) {
        case Rest::kAwake:
            return;
        case Rest::kNapping:
            nap_word_.fetch_add(1);
            futex_wake_all(nap_word_);
            return;
        case Rest::kSleeping: {
            const std::uint64_t one = 1;
            static_cast<void>(!write(wake_fd_, &one, sizeof one));
            return;
        }
    }
}

void Engine::nap() {
    const std::uint32_t word = nap_word_.load();
    rest_.store(Rest::kNapping);
    if (!stopping_.load()) {
        futex_wait(nap_word_, word, kNap);
    }
    rest_.store(Rest::kAwake);
}

// While users drive, peers need not ring us (ringing costs them a system call each time), so the
// thread naps unarmed and looks again every millisecond; only after a whole nap without a driver
// does it arm the doorbells and sleep for long.
void Engine::background_loop() {
    std::uint32_t drives_seen = 0;
    while (!stopping_.load()) {
        const std::uint32_t drives = drives_.load();
        const bool user_was_here = users_driving_.load() > 0 || drives != drives_seen;
        drives_seen = drives;
        if ((user_was_here && active_count_.load() == 0) || users_driving_.load() > 0 ||
            !driver_.try_lock()) {
            nap();
            continue;
        }
        disarm_all();
        commands_.run_all();
        const Pause pause = drive(nullptr, kNever);
        // Announce the sleep before the last look: a submitter sees the flag and kicks, or we see
        // its operation.
        rest_.store(Rest::kSleeping);
        const bool idle = pause == Pause::kSleep || active_.empty();
        const bool will_sleep = idle && users_driving_.load() == 0 && arm_all();
        const bool more = !ended_.empty() || !commands_.empty();
        driver_.unlock();
        if (more) {
            rest_.store(Rest::kAwake);
            after_unlock();
        } else if (will_sleep && !stopping_.load()) {
            sleep(kNever);
        }
        rest_.store(Rest::kAwake);
        while (contenders_.load() > 0) {
            sched_yield();
        }
    }
}

}  // namespace weft::engine
