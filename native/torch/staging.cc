#include "torch/staging.h"

#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>

#include "torch/completion.h"
#include "torch/errors.h"
#include "torch/interrupt.h"

namespace weft::torch_backend {
namespace {

// Tells the siblings of a group apart (Group::sibling): the communicator of its accelerator
// collectives.
constexpr uint64_t kStagingSalt = 0x9e37'79b9'7f4a'7c15;
constexpr auto kInterruptPeriod = std::chrono::milliseconds(100);

void record_on(const c10::Stream& stream, const at::Tensor& tensor) {
    if (!tensor.is_cpu()) {
        const c10::impl::VirtualGuardImpl device(tensor.device().type());
        device.recordDataPtrOnStream(tensor.storage().data_ptr(), stream);
    }
}

c10::Stream side_stream(c10::Device device) {
    return c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device, true);
}

}  // namespace

void LateFailure::keep(std::exception_ptr failure) {
    const std::lock_guard lock(mutex_);
    failure_ = std::move(failure);
}

void LateFailure::throw_if_any() {
    const std::lock_guard lock(mutex_);
    if (failure_ != nullptr) {
        std::rethrow_exception(std::exchange(failure_, nullptr));
    }
}

class StagedWork final : public Work {
  public:
    // With a gate, which is that of `to_device`, all that the device has to do is enqueued here.
    StagedWork(Call call, WorkContext context, bool collective, c10::Stream to_host,
               c10::Stream to_device, std::shared_ptr<StreamGate> gate,
               std::shared_ptr<LateFailure> late_failure)
        : Work(call, std::move(context)),
          call_(std::move(call)),
          collective_(collective),
          to_device_(to_device),
          gate_(std::move(gate)),
          late_failure_(std::move(late_failure)),
          called_(to_device.device_type()),
          done_(to_device.device_type()) {
        devices_ = {to_device.device()};
        const c10::impl::VirtualGuardImpl device(to_device.device_type());
        called_.record(device.getStream(to_device.device()));
        called_.block(to_host);
        const c10::StreamGuard on(to_host);
        for (const Stage& stage : call_.stages) {
            for (const Copy& copy : stage.before) {
                record_on(to_host, copy.from);
            }
            run_copies(stage.before);
            arrived_.emplace_back(to_device.device_type()).record(to_host);
        }
        if (gate_ != nullptr) {
            enqueue_behind_gate();
        }
    }

    bool collective() const { return collective_; }

    // On the lane's thread: issues each stage once its data is on the host.
    void run(const std::shared_ptr<Group>& group) {
        context_.group = group;
        unfinished_ = call_.stages.size();
        requests_.resize(call_.stages.size());
        for (size_t i = 0; i < call_.stages.size(); ++i) {
            try {
                if (!arrives(arrived_[i], context_.timeout)) {
                    std::rethrow_exception(make_exception(
                        WEFT_ERR_TIMEOUT,
                        "the accelerator has not finished what was launched before it",
                        describe()));
                }
                issue(i);
            } catch (...) {
                fail(WEFT_ERR_STATE, std::current_exception());
                stage_ended(i);
            }
        }
    }

    // Ends the work before anything was issued.
    void refuse(const std::exception_ptr& exception) {
        unfinished_ = call_.stages.size();
        for (size_t i = 0; i < call_.stages.size(); ++i) {
            fail(WEFT_ERR_STATE, exception);
            stage_ended(i);
        }
    }

    bool isCompleted() override { return c10d::Work::isCompleted() && (failed() || done_.query()); }
    bool isSuccess() const override { return exception() == nullptr; }
    void synchronize() override { wait(); }

    // With a gate, only who gives a time-out waits for the host.
    bool wait(std::chrono::milliseconds timeout = kNoTimeout) override {
        if (timeout > kNoTimeout || !let_go()) {
            wait_for_host(timeout);
        }
        const c10::impl::VirtualGuardImpl device(to_device_.device_type());
        done_.block(device.getStream(to_device_.device()));
        return true;
    }

    // Whoever waits for the future is ordered after the copies back, as by wait().
    c10::intrusive_ptr<c10::ivalue::Future> getFuture() override {
        if (!let_go()) {
            return Work::getFuture();
        }
        auto future = c10::make_intrusive<c10::ivalue::Future>(
            c10::ListType::create(c10::TensorType::get()), devices_);
        const c10::StreamGuard on(to_device_);  // it records its event on the current stream
        future->markCompleted(c10::IValue(results_));
        return future;
    }

  private:
    // True if the caller need not wait for the host, and then a later failure is the next
    // operation's to tell.
    bool let_go() {
        const std::lock_guard lock(failure_mutex_);
        if (gate_ == nullptr || failure_ != nullptr) {
            return false;
        }
        let_go_ = true;
        return true;
    }

    void wait_for_host(std::chrono::milliseconds timeout) {
        const auto began = std::chrono::steady_clock::now();
        std::unique_lock lock(mutex_);
        while (!cv_.wait_for(lock, kInterruptPeriod, [this] { return completed_; })) {
            if (timeout > kNoTimeout && std::chrono::steady_clock::now() - began >= timeout) {
                std::rethrow_exception(make_exception(
                    WEFT_ERR_TIMEOUT,
                    "not done after " + std::to_string(timeout.count()) + " ms; it goes on",
                    "waiting for " + describe()));
            }
            lock.unlock();
            check_interrupts();
            lock.lock();
        }
        lock.unlock();
        if (exception_ != nullptr) {
            std::rethrow_exception(exception_);
        }
    }

    // The gate's order is not visible to the driver, which could put what comes before it behind
    // it; so the stream waits for the arrivals by events, too, as the driver's manual asks.
    void enqueue_behind_gate() {
        const c10::StreamGuard on(to_device_);
        called_.block(to_device_);  // earlier readers of the outputs
        try {
            for (size_t i = 0; i < call_.stages.size(); ++i) {
                arrived_[i].block(to_device_);
                tickets_.push_back(gate_->close());
                copy_back(i);
            }
            done_.record(to_device_);
        } catch (...) {
            for (const uint32_t ticket : tickets_) {
                gate_->open(ticket);
            }
            throw;
        }
    }

    void copy_back(size_t i) {
        for (const Copy& copy : call_.stages[i].after) {
            record_on(to_device_, copy.to);
        }
        run_copies(call_.stages[i].after);
    }

    void issue(size_t i) {
        const weft_op_options options = op_options(/*background=*/true);
        weft_request* request = nullptr;
        check(call_.stages[i].issue(context_.group->handle(), &options, &request), describe());
        requests_[i].reset(request);
        struct Hook {
            c10::intrusive_ptr<StagedWork> work;
            size_t stage;
        };
        auto hook = std::make_unique<Hook>(c10::intrusive_ptr<StagedWork>::reclaim_copy(this), i);
        weft_request_on_done(
            request,
            [](void* argument) {
                complete_later([hook = static_cast<Hook*>(argument)] {
                    const std::unique_ptr<Hook> last(hook);
                    last->work->bring_back(last->stage);
                });
            },
            hook.release());
    }

    // On a completion thread: the stage's results go to the device.
    void bring_back(size_t i) {
        weft_error error{};
        weft_request_error(requests_[i].get(), &error);
        if (error.status < WEFT_OK) {
            fail(error.status, make_exception(error, describe()));
        } else if (gate_ == nullptr) {
            try {
                called_.block(to_device_);  // earlier readers of the outputs
                const c10::StreamGuard on(to_device_);
                copy_back(i);
            } catch (...) {
                fail(WEFT_ERR_INTERNAL, std::current_exception());
            }
        }
        stage_ended(i);
    }

    void stage_ended(size_t i) {
        if (gate_ != nullptr) {
            gate_->open(tickets_[i]);  // after a failure, too: a stream that waits for ever would
                                       // take the process with it
        }
        if (unfinished_.fetch_sub(1) != 1) {
            return;
        }
        const c10::StreamGuard on(to_device_);  // futures record their events on the current stream
        if (gate_ == nullptr) {
            done_.record(to_device_);
        }
        end(failure_status_, failure_);
        settle_futures();
    }

    void fail(weft_status status, std::exception_ptr exception) {
        const std::lock_guard lock(failure_mutex_);
        if (failure_ == nullptr) {
            failure_status_ = status;
            failure_ = std::move(exception);
            if (let_go_) {
                late_failure_->keep(failure_);
            }
        }
    }

    bool failed() const { return exception() != nullptr; }

    Call call_;
    bool collective_;
    c10::Stream to_device_;
    std::shared_ptr<StreamGate> gate_;
    std::shared_ptr<LateFailure> late_failure_;
    c10::Event called_;
    c10::Event done_;
    std::vector<c10::Event> arrived_;  // one per stage
    std::vector<uint32_t> tickets_;    // one per stage, with a gate
    std::vector<Request> requests_;
    std::atomic<size_t> unfinished_{0};
    std::mutex failure_mutex_;
    weft_status failure_status_ = WEFT_OK;
    std::exception_ptr failure_;
    bool let_go_ = false;  // somebody went on without the host's result
};

StagingLane::StagingLane(std::shared_ptr<Group> group, c10::Device device)
    : group_(std::move(group)),
      to_host_(side_stream(device)),
      to_device_(side_stream(device)),
      messages_to_device_(side_stream(device)),
      gate_(StreamGate::make(to_device_)),
      thread_([this] { run(); }) {}

StagingLane::~StagingLane() {
    {
        const std::lock_guard lock(mutex_);
        closed_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

c10::intrusive_ptr<c10d::Work> StagingLane::submit(Call call, WorkContext context,
                                                   bool collective) {
    late_failure_->throw_if_any();
    auto work = c10::make_intrusive<StagedWork>(
        std::move(call), std::move(context), collective, to_host_,
        collective ? to_device_ : messages_to_device_, collective ? gate_ : nullptr, late_failure_);
    {
        const std::lock_guard lock(mutex_);
        queue_.push_back(work);
    }
    wake_.notify_one();
    return work;
}

// Works that are queued when the lane closes are still issued: their group is aborted by then, or
// serves them.
void StagingLane::run() {
    std::unique_lock lock(mutex_);
    while (true) {
        wake_.wait(lock, [this] { return closed_ || !queue_.empty(); });
        if (queue_.empty()) {
            return;
        }
        c10::intrusive_ptr<StagedWork> work = std::move(queue_.front());
        queue_.pop_front();
        lock.unlock();
        try {
            work->run(work->collective() ? collective_group() : group_);
        } catch (...) {  // the second communicator could not be made
            work->refuse(std::current_exception());
        }
        work.reset();
        lock.lock();
    }
}

const std::shared_ptr<Group>& StagingLane::collective_group() {
    if (collective_group_ == nullptr) {
        collective_group_ = group_->sibling(kStagingSalt);
    }
    return collective_group_;
}

}  // namespace weft::torch_backend
