// Anything that starts, takes a while and ends: a collective, a message, a connection set-up.
//
// Life: created by a caller, handed to Engine::submit (start() runs under the driver lock), ended
// exactly once by finish() under the driver lock, after which no thread but its owners touches it.
// Waiters look at finished() only.
#pragma once

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "datapath/error.h"
#include "engine/clock.h"

namespace weft::engine {

class Engine;

class Operation : public std::enable_shared_from_this<Operation> {
  public:
    explicit Operation(Time deadline) : deadline_(deadline) {}
    virtual ~Operation() = default;
    Operation(const Operation&) = delete;
    Operation& operator=(const Operation&) = delete;

    bool finished() const noexcept { return state_.load(std::memory_order_acquire) == kFinished; }
    // Valid once finished; null: it succeeded.
    const ErrorPtr& error() const noexcept { return error_; }
    Time deadline() const noexcept { return deadline_; }
    std::int32_t source() const noexcept { return source_; }

    // Calls `done` once when the operation ends (outside the driver lock), or at once if it has
    // ended already.
    void on_done(Engine& engine, std::function<void()> done);

    // Under the driver lock: give everything back to the channels (cancel) and finish(error).
    virtual void fail(const ErrorPtr& error) = 0;

    // Whether its owner may call it off alone, without leaving peers behind in the middle of
    // something.
    virtual bool cancellable() const noexcept { return false; }

  protected:
    friend class Engine;

    // Under the driver lock. Must not throw: what is wrong with the arguments was found before.
    virtual void start(Engine& engine) = 0;
    // The deadline passed. timeout_error() says whom it waits for.
    virtual void expire() { fail(timeout_error()); }
    virtual ErrorPtr timeout_error() const = 0;

    void finish(ErrorPtr error);
    // Brings the deadline forward (under the driver lock).
    void hurry(Time deadline) noexcept { deadline_ = std::min(deadline_, deadline); }

    std::int32_t source_ = WEFT_NO_RANK;

  private:
    static constexpr std::uint32_t kRunning = 0;
    static constexpr std::uint32_t kFinished = 1;

    std::atomic<std::uint32_t> state_{kRunning};
    ErrorPtr error_;
    Time deadline_;
    Engine* engine_ = nullptr;      // set by submit
    std::size_t active_index_ = 0;  // place in Engine::active_
    std::vector<std::function<void()>> done_;
};

}  // namespace weft::engine
