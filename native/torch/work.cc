#include "torch/work.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "torch/completion.h"
#include "torch/errors.h"
#include "torch/interrupt.h"

namespace weft::torch_backend {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kNanosPerMilli = 1'000'000;
// How long a waiter stays in the C API before it lets Python look for signals.
constexpr auto kInterruptPeriod = std::chrono::milliseconds(100);

std::optional<std::vector<at::Tensor>> for_profiler(const std::vector<at::Tensor>& inputs) {
    return inputs.empty() ? std::nullopt : std::make_optional(inputs);
}

// The operation as profilers show it, "weft:all_reduce". They keep the pointer, so titles are never
// freed.
const char* profiler_title(const char* name) {
    static std::mutex mutex;
    static auto& titles = *std::make_unique<std::map<std::string_view, std::string>>().release();
    const std::lock_guard lock(mutex);
    return titles.try_emplace(name, std::string("weft:") + name).first->second.c_str();
}

c10d::WorkResult work_result(weft_status status) {
    switch (status) {
        case WEFT_OK:
            return c10d::WorkResult::SUCCESS;
        case WEFT_ERR_TIMEOUT:
            return c10d::WorkResult::TIMEOUT;
        default:
            return c10d::WorkResult::COMM_ERROR;
    }
}

}  // namespace

// ---------------------------------------------------------------- Work

Work::Work(const Call& call, WorkContext context)
    : c10d::Work(context.group->membership().rank, call.type, profiler_title(call.name),
                 for_profiler(call.inputs)),
      name_(call.name),
      context_(std::move(context)),
      results_(call.results) {}

std::string Work::describe() const {
    return context_.group->describe(std::string(name_) + " #" + std::to_string(context_.sequence));
}

weft_op_options Work::op_options(bool background) const {
    weft_op_options options = WEFT_OP_OPTIONS_INIT;
    options.timeout_ns = context_.timeout.count() * kNanosPerMilli;
    options.background = background ? 1 : 0;
    return options;
}

void Work::end(weft_status status, std::exception_ptr exception) {
    if (status < WEFT_OK && context_.on_failure != nullptr) {
        (*context_.on_failure)(status);
    }
    finish(std::move(exception));
    const std::lock_guard lock(futures_);
    ended_ = true;
    status_ = status;
    waiting_ = future_;  // a future that is asked for from now on is completed by whoever asks
    waiting_result_ = future_result_;
}

void Work::settle_futures() {
    if (waiting_ != nullptr) {
        settle(*waiting_);
    }
    if (waiting_result_ != nullptr) {
        settle_result(*waiting_result_);
    }
}

void Work::settle(c10::ivalue::Future& future) {
    if (exception_ != nullptr) {
        future.setError(exception_);
    } else {
        future.markCompleted(c10::IValue(results_));
    }
}

void Work::settle_result(c10::ivalue::Future& future) {
    future.markCompleted(c10::IValue(static_cast<int64_t>(work_result(status_))));
}

c10::intrusive_ptr<c10::ivalue::Future> Work::getFuture() {
    std::unique_lock lock(futures_);
    if (future_ == nullptr) {
        future_ = c10::make_intrusive<c10::ivalue::Future>(
            c10::ListType::create(c10::TensorType::get()), devices_);
        if (ended_) {
            lock.unlock();
            settle(*future_);
        }
    }
    return future_;
}

c10::intrusive_ptr<c10::ivalue::Future> Work::getFutureResult() {
    std::unique_lock lock(futures_);
    if (future_result_ == nullptr) {
        future_result_ = c10::make_intrusive<c10::ivalue::Future>(c10::IntType::get());
        if (ended_) {
            lock.unlock();
            settle_result(*future_result_);
        }
    }
    return future_result_;
}

// ---------------------------------------------------------------- HostWork

HostWork::HostWork(Call call, WorkContext context)
    : Work(call, std::move(context)), call_(std::move(call)) {}

c10::intrusive_ptr<HostWork> HostWork::start(Call call, WorkContext context) {
    const bool async = call.async;
    auto work = c10::make_intrusive<HostWork>(std::move(call), std::move(context));
    work->issue();
    if (async) {
        work->end_without_waiter();
    }
    return work;
}

void HostWork::issue() {
    const weft_op_options options = op_options(call_.async);
    weft_comm* comm = context_.group->handle();
    for (const Stage& stage : call_.stages) {
        run_copies(stage.before);
        weft_request* request = nullptr;
        check(stage.issue(comm, &options, &request), describe());
        requests_.emplace_back(request);
    }
    if (requests_.empty()) {  // an empty list of tensors
        conclude();
    }
}

HostWork::~HostWork() {
    if (requests_.empty() || requests_[0].get_deleter().process.inherited() || isCompleted()) {
        return;
    }
    // Given up before its end (an interrupted wait, a refused later stage): the buffers belong to
    // Weft until then.
    struct Remains {
        Call call;
        std::vector<Request> requests;
        std::shared_ptr<Group> group;
        std::atomic<size_t> unfinished;
    };
    auto remains =
        std::make_unique<Remains>(std::move(call_), std::move(requests_), context_.group, 0);
    Remains* held = remains.release();  // released by the last hook
    held->unfinished = held->requests.size();
    for (size_t i = 0, count = held->requests.size(); i < count; ++i) {
        weft_request_on_done(
            held->requests[i].get(),
            [](void* argument) {
                auto* mine = static_cast<Remains*>(argument);
                if (mine->unfinished.fetch_sub(1) == 1) {
                    complete_later([mine] { const std::unique_ptr<Remains> last(mine); });
                }
            },
            held);
    }
}

// Hooks the end of every request; the last one has the work concluded on a completion thread. The
// hooks share one reference to this work, so that a work that was dropped lives until then.
void HostWork::end_without_waiter() {
    std::call_once(hooked_, [this] {
        if (requests_.empty()) {
            return;
        }
        unfinished_ = requests_.size();
        c10::raw::intrusive_ptr::incref(this);
        for (const Request& request : requests_) {
            weft_request_on_done(
                request.get(),
                [](void* argument) {
                    auto* self = static_cast<HostWork*>(argument);
                    if (self->unfinished_.fetch_sub(1) == 1) {
                        complete_later([self] {
                            const auto last = c10::intrusive_ptr<HostWork>::reclaim(self);
                            last->conclude();
                        });
                    }
                },
                this);
        }
    });
}

// Called once all requests have ended. Whoever comes first does it; futures' callbacks, which may
// take long, hold nobody up.
void HostWork::conclude() {
    bool first = false;
    std::call_once(concluded_, [this, &first] {
        first = true;
        weft_status status = WEFT_OK;
        std::exception_ptr exception;
        for (const Request& request : requests_) {
            weft_error error{};
            weft_request_error(request.get(), &error);
            if (error.status < WEFT_OK && status == WEFT_OK) {
                status = error.status;
                exception = make_exception(error, describe());
            }
        }
        if (status == WEFT_OK) {
            try {
                for (const Stage& stage : call_.stages) {
                    run_copies(stage.after);
                }
                if (call_.conclude) {
                    call_.conclude();
                }
            } catch (...) {
                status = WEFT_ERR_INTERNAL;
                exception = std::current_exception();
            }
        }
        call_.stages.clear();
        end(status, std::move(exception));
    });
    if (first) {
        settle_futures();
    }
}

weft_status HostWork::poll(int64_t timeout_ns) {
    std::vector<weft_request*> requests;
    for (const Request& request : requests_) {
        requests.push_back(request.get());
    }
    return requests.size() == 1 ? weft_wait(requests[0], timeout_ns)
                                : weft_wait_all(requests.data(), requests.size(), timeout_ns);
}

bool HostWork::isCompleted() {
    if (!c10d::Work::isCompleted()) {
        for (const Request& request : requests_) {
            if (weft_test(request.get()) == WEFT_IN_PROGRESS) {
                return false;
            }
        }
        conclude();
    }
    return true;
}

bool HostWork::isSuccess() const {
    return exception() == nullptr;
}

bool HostWork::wait(std::chrono::milliseconds timeout) {
    const auto began = Clock::now();
    while (!c10d::Work::isCompleted()) {
        auto slice = kInterruptPeriod;
        if (timeout > kNoTimeout) {
            const auto waited =
                std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began);
            if (waited >= timeout) {
                std::rethrow_exception(make_exception(
                    WEFT_ERR_TIMEOUT,
                    "not done after " + std::to_string(timeout.count()) + " ms; it goes on",
                    "waiting for " + describe()));
            }
            slice = std::min(slice, timeout - waited);
        }
        if (poll(slice.count() * kNanosPerMilli) != WEFT_IN_PROGRESS) {
            conclude();
            break;
        }
        check_interrupts();
    }
    if (const std::exception_ptr failure = exception()) {
        std::rethrow_exception(failure);
    }
    return true;
}

int HostWork::sourceRank() const {
    TORCH_CHECK(call_.type == c10d::OpType::RECVANYSOURCE && requests_.size() == 1,
                "weft: only a receive from any source has a source rank");
    return weft_request_source(requests_[0].get());
}

c10::intrusive_ptr<c10::ivalue::Future> HostWork::getFuture() {
    end_without_waiter();
    return Work::getFuture();
}

c10::intrusive_ptr<c10::ivalue::Future> HostWork::getFutureResult() {
    end_without_waiter();
    return Work::getFutureResult();
}

// ---------------------------------------------------------------- CoalescedWork

CoalescedWork::CoalescedWork(int rank, std::vector<c10::intrusive_ptr<c10d::Work>> works)
    : c10d::Work(rank, c10d::OpType::COALESCED), works_(std::move(works)) {}

bool CoalescedWork::isCompleted() {
    return std::all_of(works_.begin(), works_.end(),
                       [](const auto& work) { return work->isCompleted(); });
}

bool CoalescedWork::isSuccess() const {
    return exception() == nullptr;
}

std::exception_ptr CoalescedWork::exception() const {
    for (const auto& work : works_) {
        if (const std::exception_ptr failure = work->exception()) {
            return failure;
        }
    }
    return nullptr;
}

// Every work gets what is left of the time-out; the first failure is thrown after all have been
// waited for.
bool CoalescedWork::wait(std::chrono::milliseconds timeout) {
    const auto began = Clock::now();
    std::exception_ptr failure;
    for (const auto& work : works_) {
        auto left = timeout;
        if (timeout > kNoTimeout) {
            const auto waited =
                std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - began);
            left = std::max(timeout - waited, std::chrono::milliseconds(1));
        }
        try {
            work->wait(left);
        } catch (const c10::Error&) {
            failure = failure != nullptr ? failure : std::current_exception();
        }
    }
    if (failure != nullptr) {
        std::rethrow_exception(failure);
    }
    return true;
}

void CoalescedWork::synchronize() {
    for (const auto& work : works_) {
        work->synchronize();
    }
}

std::vector<at::Tensor> CoalescedWork::result() {
    std::vector<at::Tensor> results;
    for (const auto& work : works_) {
        const std::vector<at::Tensor> some = work->result();
        results.insert(results.end(), some.begin(), some.end());
    }
    return results;
}

c10::intrusive_ptr<c10::ivalue::Future> CoalescedWork::getFuture() {
    c10::List<c10::intrusive_ptr<c10::ivalue::Future>> futures(
        c10::FutureType::create(c10::ListType::create(c10::TensorType::get())));
    for (const auto& work : works_) {
        futures.push_back(work->getFuture());
    }
    return c10::collectAll(futures)->then(
        [](c10::ivalue::Future& all) {
            c10::List<at::Tensor> results;
            for (const c10::IValue& each : all.value().toList()) {
                const auto future = each.toFuture();
                future->waitAndThrow();  // done already: this only throws
                results.append(future->value().toTensorList());
            }
            return c10::IValue(results);
        },
        c10::ListType::create(c10::TensorType::get()));
}

}  // namespace weft::torch_backend
