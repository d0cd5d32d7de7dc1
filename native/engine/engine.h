// The engine of one context: "whoever waits, drives".
//
// All channels, groups and operations are touched only under the driver lock. A thread that waits
// for an operation takes that lock and makes progress itself, so the latency path has no hand-over
// between threads (a futex wake costs tens of microseconds). The background thread carries on only
// what nobody waits for, and sleeps while somebody drives or nothing is under way.
//
// Locking rules
//  - try_lock succeeds: run inline. It fails: push a command (never wait), the present driver runs
//  it.
//  - A driver gives the lock up when another thread needs it for a call() (contenders_), to run
//  completion callbacks, and to sleep.
//  - Callbacks and wake-ups run outside the lock.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "datapath/channel.h"
#include "engine/command_queue.h"
#include "engine/operation.h"
#include "engine/patience.h"

namespace weft::engine {

// Something besides datapaths that moves when looked at (boards in shared memory, a switch's
// answers). Under the driver lock.
class Poller {
  public:
    virtual bool poll() = 0;  // true if anything moved
    // When to look again although nothing rang.
    virtual Time next_wakeup() const noexcept { return kNever; }

  protected:
    ~Poller() = default;
};

class Engine {
  public:
    struct Settings {
        Time spin = -1;  // before a waiter sleeps; -1: adaptive
    };

    explicit Engine(Settings settings);
    ~Engine();
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    // Before the first operation. The engine drives datapaths in this order.
    void add(std::unique_ptr<datapath::Datapath> datapath);
    const std::vector<std::unique_ptr<datapath::Datapath>>& datapaths() const noexcept {
        return datapaths_;
    }
    void start();  // the background thread
    void stop();   // joins it; idempotent

    // `background`: nobody is about to wait, wake the engine's thread.
    void submit(const std::shared_ptr<Operation>& operation, bool background);

    // True once finished; false when `deadline` came first (the operation goes on).
    bool wait(Operation& operation, Time deadline);

    // One round of progress, if nobody else drives.
    void poll();

    // Runs f() under the driver lock. Not from inside callbacks of channels.
    template <typename F>
    auto call(F&& f) {
        Exclusive exclusive(*this);
        return f();
    }
    // Runs it under the lock as soon as possible, without waiting.
    void post(std::function<void()> command);
    // The same from where the lock may be held by this very thread (destructors): the next driver
    // runs it.
    void defer(std::function<void()> command) { commands_.push(std::move(command)); }

    // Under the lock.
    // `fd`: wakes us when it is readable; -1: none.
    void add_poller(Poller& poller, int fd = -1);
    void remove_poller(Poller& poller, int fd = -1);

    // Spins on `step` (under the lock, as a driver) as long as a waiter would spin; true once it
    // returned true. False at once when another thread drives: the caller then submits an operation
    // instead.
    template <typename Step>
    bool spin_on(Step&& step) {
        if (!driver_.try_lock()) {
            return false;
        }
        const DrivingUser driving(*this);
        disarm_all();
        commands_.run_all();
        bool done = step();
        for (int i = 1; !done && i <= spins_; ++i) {
            relax(i);
            done = step();
        }
        const bool more = !ended_.empty() || !commands_.empty();
        driver_.unlock();
        if (more) {
            after_unlock();
        }
        return done;
    }

    // How many processes share this machine's cores with us, as far as we know: decides how long a
    // waiter spins.
    void set_local_processes(int count) noexcept;
    bool oversubscribed() const noexcept { return oversubscribed_; }

    // After fork() in a child the context is unusable: threads and connections stayed with the
    // parent.
    bool abandoned() const noexcept { return abandoned_.load(std::memory_order_relaxed); }
    void abandon() noexcept;

    struct Counters {
        std::uint64_t rounds = 0, sleeps = 0, kicks = 0, commands = 0, operations = 0;
    };
    Counters counters() const noexcept { return counters_; }

  private:
    friend class Operation;

    // The driver lock for a short call, by priority over a driver that spins.
    class Exclusive {
      public:
        explicit Exclusive(Engine& engine);
        ~Exclusive();

      private:
        Engine& engine_;
    };

    // A thread that waits and therefore drives; the background thread keeps out of its way.
    class DrivingUser {
      public:
        explicit DrivingUser(Engine& engine);
        ~DrivingUser();

      private:
        Engine& engine_;
    };

    static constexpr int kSpins = 1000;        // looks before a tiny collective queues up
    static constexpr int kSelfishSpins = 128;  // of these without letting others run

    enum class Pause { kNone, kYieldLock, kSleep };
    enum class Rest : std::uint8_t { kAwake, kNapping, kSleeping };  // of the background thread

    // Between two looks of a waiter: at first next to nothing; later it lets others run, since
    // what it waits for may well stand in line for this very core.
    void relax(int round) const noexcept;
    bool progress(Time now);
    void check_deadlines(Time now);
    // Drives under the lock until `operation` is finished (null: until nothing is under way or a
    // user drives) or a pause is due.
    Pause drive(const Operation* operation, Time deadline);
    void after_unlock();
    bool arm_all();
    void disarm_all();
    void sleep(Time deadline);
    void nap();
    void wake_thread() noexcept;
    void background_loop();
    void begin(const std::shared_ptr<Operation>& operation);
    void ended(Operation& operation);

    const Settings settings_;
    std::vector<std::unique_ptr<datapath::Datapath>> datapaths_;
    std::mutex driver_;
    std::atomic<int> contenders_{0};
    std::atomic<int> users_driving_{0};
    CommandQueue commands_;

    // Under the driver lock.
    std::vector<Poller*> pollers_;
    std::vector<std::shared_ptr<Operation>> active_;
    std::vector<std::shared_ptr<Operation>> ended_;  // callbacks and wake-ups still due
    Time next_deadline_check_ = 0;
    Patience patience_;
    Time slept_since_ = kNever;  // when the wait began in which a waiter has gone to sleep
    bool armed_ = false;
    Counters counters_;

    std::atomic<std::uint32_t> ended_epoch_{0};  // parked waiters sleep on it
    std::atomic<int> parked_{0};
    std::atomic<int> active_count_{0};
    std::atomic<std::uint32_t> drives_{0};  // how often a user has driven
    std::atomic<Rest> rest_{Rest::kAwake};
    std::atomic<bool> thread_left_{false};
    std::atomic<bool> stopping_{false};
    std::atomic<bool> abandoned_{false};
    std::atomic<std::uint32_t> nap_word_{0};
    bool oversubscribed_ = false;
    int spins_ = settings_.spin == 0 ? 0 : kSpins;  // 0: who waits sleeps at once
    int wake_fd_ = -1;
    int poll_fd_ = -1;
    std::thread thread_;
};

}  // namespace weft::engine
