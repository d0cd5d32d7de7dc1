#include "engine/engine.h"

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "engine/futex.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace weft::engine {
namespace {

constexpr Time kBackgroundPatience = 50 * kMicrosecond;  // nobody waits for it
constexpr Time kDeadlineCheck = kMillisecond;
constexpr int kRoundsPerClockRead = 32;
constexpr int kCrowdedRounds = 8;  // the same where ranks share cores: then the core is passed on

// All engines of the process, so that a forked child can let go of them.
std::mutex& registry_lock() {
    static std::mutex lock;
    return lock;
}
std::vector<Engine*>& registry() {
    static std::vector<Engine*> engines;
    return engines;
}
void prepare_fork() {
    registry_lock().lock();
}
void parent_after_fork() {
    registry_lock().unlock();
}
void child_after_fork() {
    for (Engine* engine : registry()) {
        engine->abandon();
    }
    registry().clear();
    registry_lock().unlock();
}

}  // namespace

// ---------------------------------------------------------------- operations

void Operation::finish(ErrorPtr error) {
    const std::shared_ptr<Operation> self =
        shared_from_this();  // the engine's may be the last reference
    error_ = std::move(error);
    engine_->ended(*this);
    state_.store(kFinished, std::memory_order_release);
}

void Operation::on_done(Engine& engine, std::function<void()> done) {
    const bool queued = engine.call([&] {
        if (finished()) {
            return false;
        }
        done_.push_back(done);
        return true;
    });
    if (!queued) {
        done();
    }
}

// ---------------------------------------------------------------- life

Engine::Engine(Settings settings) : settings_(settings) {
    static const int registered = pthread_atfork(prepare_fork, parent_after_fork, child_after_fork);
    static_cast<void>(registered);
    wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    poll_fd_ = epoll_create1(EPOLL_CLOEXEC);
    if (wake_fd_ < 0 || poll_fd_ < 0) {
        throw Error(WEFT_ERR_RESOURCES,
                    std::string("cannot create the engine's event descriptors: ") +
                        std::strerror(errno) + "; raise the limit on open files (ulimit -n)");
    }
    epoll_event event{.events = EPOLLIN, .data = {.fd = wake_fd_}};
    epoll_ctl(poll_fd_, EPOLL_CTL_ADD, wake_fd_, &event);
    std::lock_guard guard(registry_lock());
    registry().push_back(this);
}

Engine::~Engine() {
    {
        std::lock_guard guard(registry_lock());
        std::erase(registry(), this);
    }
    stop();
    if (abandoned()) {
        // Locked by a thread that exists only in the parent, perhaps: let the child leak what it
        // must not touch.
        for (auto& datapath : datapaths_) {
            static_cast<void>(datapath.release());
        }
        return;
    }
    datapaths_.clear();
    close(poll_fd_);
    close(wake_fd_);
}

void Engine::add(std::unique_ptr<datapath::Datapath> datapath) {
    for (int fd : datapath->wait_fds()) {
        epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
        epoll_ctl(poll_fd_, EPOLL_CTL_ADD, fd, &event);
    }
    datapaths_.push_back(std::move(datapath));
}

void Engine::start() {
    thread_ = std::thread([this] {
        pthread_setname_np(pthread_self(), "weft-engine");
        background_loop();
        thread_left_ = true;
    });
}

void Engine::stop() {
    if (abandoned() || !thread_.joinable()) {
        return;
    }
    stopping_ = true;
    while (!thread_left_.load()) {  // it may be between two rests
        wake_thread();
        sched_yield();
    }
    thread_.join();
}

void Engine::abandon() noexcept {
    abandoned_ = true;
    for (auto& datapath : datapaths_) {
        datapath->abandon();
    }
    close(poll_fd_);
    close(wake_fd_);
    if (thread_.joinable()) {
        thread_.detach();  // it does not exist here
    }
}

void Engine::set_local_processes(int count) noexcept {
    cpu_set_t set;
    const int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    oversubscribed_ = count > cores;
    if (settings_.spin != 0) {
        spins_ = oversubscribed_ ? kSpins / 5 : kSpins;
    }
}

void Engine::relax(int round) const noexcept {
    const bool lets_others_run =
        oversubscribed_ ? round > kSelfishSpins / 16 : round > kSelfishSpins && round % 16 == 0;
    if (lets_others_run) {
        sched_yield();
        return;
    }
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// ---------------------------------------------------------------- the lock

Engine::Exclusive::Exclusive(Engine& engine) : engine_(engine) {
    if (!engine_.driver_.try_lock()) {
        engine_.contenders_.fetch_add(1);
        engine_.driver_.lock();
        engine_.contenders_.fetch_sub(1);
    }
    engine_.commands_.run_all();
}

Engine::Exclusive::~Exclusive() {
    engine_.driver_.unlock();
    engine_.after_unlock();
}

void Engine::post(std::function<void()> command) {
    commands_.push(std::move(command));
    if (driver_.try_lock()) {
        commands_.run_all();
        driver_.unlock();
        after_unlock();
    }
}

// What ended under the lock gets its callbacks and wake-ups now. Also takes over commands that were
// pushed while we held the lock and found it taken (the pusher does not wait, so somebody must
// look).
void Engine::after_unlock() {
    for (;;) {
        std::vector<std::shared_ptr<Operation>> ended;
        if (!driver_.try_lock()) {
            return;  // the new holder comes by here, too
        }
        commands_.run_all();
        ended.swap(ended_);
        driver_.unlock();
        if (ended.empty()) {
            if (commands_.empty()) {
                return;
            }
            continue;
        }
        ended_epoch_.fetch_add(1);
        if (parked_.load() > 0) {
            futex_wake_all(ended_epoch_);
        }
        for (auto& operation : ended) {
            for (auto& done : operation->done_) {
                done();
            }
            operation->done_.clear();
        }
    }
}

// ---------------------------------------------------------------- operations under the lock

void Engine::submit(const std::shared_ptr<Operation>& operation, bool background) {
    operation->engine_ = this;
    if (driver_.try_lock()) {
        commands_.run_all();
        begin(operation);
        const bool more = !ended_.empty() || !commands_.empty();
        driver_.unlock();
        if (more) {
            after_unlock();
        }
    } else {
        post([this, operation] { begin(operation); });
    }
    if (background && !operation->finished()) {
        wake_thread();
    }
}

void Engine::begin(const std::shared_ptr<Operation>& operation) {
    ++counters_.operations;
    operation->active_index_ = active_.size();
    active_.push_back(operation);
    active_count_.store(static_cast<int>(active_.size()), std::memory_order_relaxed);
    operation->start(*this);
}

void Engine::ended(Operation& operation) {
    const std::size_t index = operation.active_index_;
    if (!operation.done_.empty() || parked_.load(std::memory_order_relaxed) > 0) {
        ended_.push_back(active_[index]);
    }
    if (index + 1 != active_.size()) {
        active_[index] = std::move(active_.back());
        active_[index]->active_index_ = index;
    }
    active_.pop_back();
    active_count_.store(static_cast<int>(active_.size()), std::memory_order_relaxed);
}

void Engine::add_poller(Poller& poller, int fd) {
    pollers_.push_back(&poller);
    if (fd >= 0) {
        epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
        epoll_ctl(poll_fd_, EPOLL_CTL_ADD, fd, &event);
    }
}

void Engine::remove_poller(Poller& poller, int fd) {
    if (std::erase(pollers_, &poller) > 0 && fd >= 0) {
        epoll_ctl(poll_fd_, EPOLL_CTL_DEL, fd, nullptr);
    }
}

bool Engine::progress(Time now) {
    ++counters_.rounds;
    bool moved = false;
    for (auto& datapath : datapaths_) {
        moved |= datapath->progress(now);
    }
    for (std::size_t i = 0; i < pollers_.size(); ++i) {
        moved |= pollers_[i]->poll();
    }
    if (now >= next_deadline_check_) {
        check_deadlines(now);
    }
    return moved;
}

void Engine::check_deadlines(Time now) {
    next_deadline_check_ = now + kDeadlineCheck;
    for (std::size_t i = 0; i < active_.size();) {
        const std::shared_ptr<Operation> operation = active_[i];
        if (now >= operation->deadline()) {
            operation->expire();
            i = 0;  // failing one may end others
        } else {
            ++i;
        }
    }
}

// ---------------------------------------------------------------- driving

Engine::Pause Engine::drive(const Operation* operation, Time deadline) {
    // A waiter must soon let others run: the peer it waits for may stand in line for this core. So
    // it goes on for a while by yielding; where the user said how long, it sleeps then.
    const bool adaptive = settings_.spin < 0;
    const Time spin =
        !adaptive ? settings_.spin : (oversubscribed_ ? kMicrosecond : 5 * kMicrosecond);
    // Ranks that are known to share cores pass them on among themselves.
    const Time span = oversubscribed_ ? Patience::kMost : patience_.span();
    const Time most = operation == nullptr ? kBackgroundPatience : Patience::kMost;
    const Time patience = spin + (adaptive ? std::min(span, most) : 0);
    Time now = clock_now();
    Time idle_since = now;
    const int rounds = oversubscribed_ ? kCrowdedRounds : kRoundsPerClockRead;
    for (int round = 1;; ++round) {
        const bool moved = progress(now);
        if (moved && slept_since_ != kNever) {
            patience_.slept(clock_now() - std::exchange(slept_since_, kNever));
        }
        if (operation != nullptr
                ? operation->finished()
                : (active_.empty() || users_driving_.load(std::memory_order_relaxed) > 0)) {
            return Pause::kNone;
        }
        if (contenders_.load(std::memory_order_relaxed) > 0 || !commands_.empty() ||
            !ended_.empty()) {
            return Pause::kYieldLock;
        }
        if (moved) {
            idle_since = now = clock_now();
            continue;
        }
        if (round % rounds != 0) {
            relax(1);
            continue;
        }
        now = clock_now();
        if (now >= deadline) {
            return Pause::kNone;
        }
        if (now - idle_since > patience) {
            slept_since_ = std::min(slept_since_, idle_since);
            return Pause::kSleep;
        }
        if (now - idle_since > spin || oversubscribed_) {
            sched_yield();
            patience_.yielded(clock_now() - now);
        }
    }
}

bool Engine::wait(Operation& operation, Time deadline) {
    if (operation.finished()) {
        return true;
    }
    const DrivingUser driving(*this);
    while (!operation.finished()) {
        if (driver_.try_lock()) {
            disarm_all();
            commands_.run_all();
            const Pause pause = drive(&operation, deadline);
            const bool will_sleep = pause == Pause::kSleep && arm_all();
            const bool more = !ended_.empty() || !commands_.empty();
            driver_.unlock();
            if (more) {
                after_unlock();
            }
            if (will_sleep && !more) {
                sleep(deadline);
            } else if (pause == Pause::kYieldLock) {
                while (contenders_.load() > 0) {
                    sched_yield();
                }
            }
        } else {
            // Somebody else drives and will finish our operation as well; look again when anything
            // ended, or soon, to take over from a driver that left.
            parked_.fetch_add(1);
            const std::uint32_t epoch = ended_epoch_.load();
            if (!operation.finished()) {
                futex_wait(ended_epoch_, epoch, 100 * kMicrosecond);
            }
            parked_.fetch_sub(1);
        }
        if (clock_now() >= deadline) {
            break;
        }
    }
    return operation.finished();
}

Engine::DrivingUser::DrivingUser(Engine& engine) : engine_(engine) {
    engine_.users_driving_.fetch_add(1);
}

Engine::DrivingUser::~DrivingUser() {
    engine_.drives_.fetch_add(1, std::memory_order_relaxed);
    engine_.users_driving_.fetch_sub(1);
    // We may have silenced the doorbells under a sleeping thread's feet: once per burst of work,
    // tell it to nap instead.
    if (engine_.rest_.load() == Rest::kSleeping) {
        engine_.wake_thread();
    }
}

void Engine::poll() {
    if (!driver_.try_lock()) {
        return;
    }
    disarm_all();
    commands_.run_all();
    progress(clock_now());
    driver_.unlock();
    after_unlock();
}

}  // namespace weft::engine
