#include "torch/staging.h"

#include <algorithm>

#include "torch/completion.h"
#include "torch/errors.h"
#include "torch/interrupt.h"

namespace weft::torch_backend {
namespace {

// Tells the siblings of a group apart (Group::sibling): the communicator of its accelerator
// collectives.
constexpr uint64_t kStagingSalt = 0x9e37'79b9'7f4a'7c15;
constexpr auto kInterruptPeriod = std::chrono::milliseconds(100);

// Waits on the host without burning a core, which is what drivers do in Event::synchronize: what
// comes before the copy may be a long computation. False if the event does not come in time.
bool arrives(const c10::Event& event, std::chrono::milliseconds timeout) {
    constexpr auto kLongest = std::chrono::microseconds(200);
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    for (auto pause = std::chrono::microseconds(10); !event.query();
         pause = std::min(pause * 2, kLongest)) {
        if (std::chrono::steady_clock::now() >= deadline) {
            return false;
        }
        std::this_thread::sleep_for(pause);
    }
    return true;
}

void record_on(const c10::Stream& stream, const at::Tensor& tensor) {
    if (!tensor.is_cpu()) {
        const c10::impl::VirtualGuardImpl device(tensor.device().type());
        device.recordDataPtrOnStream(tensor.storage().data_ptr(), stream);
    }
}

}  // namespace

class StagedWork final : public Work {
  public:
    StagedWork(Call call, WorkContext context, bool collective, c10::Stream to_host,
               c10::Stream to_device)
        : Work(call, std::move(context)),
          call_(std::move(call)),
          collective_(collective),
          to_device_(to_device),
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
                stage_ended();
            }
        }
    }

    // Ends the work before anything was issued.
    void refuse(std::exception_ptr exception) {
        fail(WEFT_ERR_STATE, std::move(exception));
        unfinished_ = 1;
        stage_ended();
    }

    bool isCompleted() override { return c10d::Work::isCompleted() && (failed() || done_.query()); }
    bool isSuccess() const override { return exception() == nullptr; }
    void synchronize() override { wait(); }

    bool wait(std::chrono::milliseconds timeout = kNoTimeout) override {
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
        const c10::impl::VirtualGuardImpl device(to_device_.device_type());
        done_.block(device.getStream(to_device_.device()));
        return true;
    }

  private:
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
        } else {
            try {
                called_.block(to_device_);  // earlier readers of the outputs
                const c10::StreamGuard on(to_device_);
                for (const Copy& copy : call_.stages[i].after) {
                    record_on(to_device_, copy.to);
                }
                run_copies(call_.stages[i].after);
            } catch (...) {
                fail(WEFT_ERR_INTERNAL, std::current_exception());
            }
        }
        stage_ended();
    }

    void stage_ended() {
        if (unfinished_.fetch_sub(1) != 1) {
            return;
        }
        const c10::StreamGuard on(to_device_);  // futures record their events on the current stream
        done_.record(to_device_);
        end(failure_status_, failure_);
        settle_futures();
    }

    void fail(weft_status status, std::exception_ptr exception) {
        const std::lock_guard lock(failure_mutex_);
        if (failure_ == nullptr) {
            failure_status_ = status;
            failure_ = std::move(exception);
        }
    }

    bool failed() const { return exception() != nullptr; }

    Call call_;
    bool collective_;
    c10::Stream to_device_;
    c10::Event called_;
    c10::Event done_;
    std::vector<c10::Event> arrived_;  // one per stage
    std::vector<Request> requests_;
    std::atomic<size_t> unfinished_{0};
    std::mutex failure_mutex_;
    weft_status failure_status_ = WEFT_OK;
    std::exception_ptr failure_;
};

StagingLane::StagingLane(std::shared_ptr<Group> group, c10::Device device)
    : group_(std::move(group)),
      to_host_(c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device, true)),
      to_device_(c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device, true)),
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
    auto work = c10::make_intrusive<StagedWork>(std::move(call), std::move(context), collective,
                                                to_host_, to_device_);
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
