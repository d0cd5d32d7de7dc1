#include "torch/completion.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "torch/fork.h"

namespace weft::torch_backend {
namespace {

constexpr auto kIdleLife = std::chrono::seconds(5);

class CompletionThreads : public ProcessBound {
  public:
    void post(std::function<void()> task) {
        {
            const std::lock_guard lock(mutex_);
            tasks_.push_back(std::move(task));
            if (tasks_.size() <= idle_) {
                wake_.notify_one();
                return;
            }
            ++threads_;
        }
        try {
            std::thread([this] { run(); }).detach();
        } catch (const std::system_error&) {  // no more threads to be had: the existing ones will
                                              // come to it,
            std::unique_lock lock(mutex_);    // and where there is none, late is worse than here
            if (--threads_ == 0) {
                lock.unlock();
                drain();
            }
        }
    }

  private:
    void run() {
        std::unique_lock lock(mutex_);
        while (true) {
            ++idle_;
            const bool found = wake_.wait_for(lock, kIdleLife, [this] { return !tasks_.empty(); });
            --idle_;
            if (!found) {
                --threads_;
                return;
            }
            run_one(lock);
        }
    }

    void drain() {
        std::unique_lock lock(mutex_);
        while (!tasks_.empty()) {
            run_one(lock);
        }
    }

    void run_one(std::unique_lock<std::mutex>& lock) {
        std::function<void()> task = std::move(tasks_.front());
        tasks_.pop_front();
        lock.unlock();
        task();
        task = nullptr;  // what it holds is released without the lock
        lock.lock();
    }

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::function<void()>> tasks_;
    size_t idle_ = 0;
    size_t threads_ = 0;
};

// Never destroyed: its threads may outlive main. A forked child leaves the parent's behind and
// starts anew.
CompletionThreads& completion_threads() {
    static std::atomic<CompletionThreads*> current{std::make_unique<CompletionThreads>().release()};
    CompletionThreads* threads = current.load(std::memory_order_acquire);
    if (threads->inherited()) {
        auto fresh = std::make_unique<CompletionThreads>();
        if (current.compare_exchange_strong(threads, fresh.get())) {
            threads = fresh.release();
        }
    }
    return *threads;
}

}  // namespace

void complete_later(std::function<void()> task) {
    completion_threads().post(std::move(task));
}

}  // namespace weft::torch_backend
