// What torch holds of an operation under way. Common to all kinds: it ends exactly once, on
// whichever thread comes first, and then futures, waiters and the profiler are told; nobody needs
// to wait on it or even to keep it for that.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "torch/call.h"
#include "torch/context.h"
#include "torch/torch_api.h"

namespace weft::torch_backend {

// Told of every failed operation of a group, for Backend::getError. Called from any thread.
using FailureListener = std::function<void(weft_status)>;

// What a work needs to know of the group it runs on.
struct WorkContext {
    std::shared_ptr<Group> group;
    std::chrono::milliseconds timeout;  // deadline of the operation
    uint64_t sequence = 0;
    std::shared_ptr<const FailureListener> on_failure;
};

struct RequestFree {
    ProcessBound process;

    void operator()(weft_request* request) const {
        if (!process.inherited()) {
            weft_request_free(request);
        }
    }
};
using Request = std::unique_ptr<weft_request, RequestFree>;

class Work : public c10d::Work {
  public:
    Work(const Call& call, WorkContext context);

    std::vector<at::Tensor> result() override { return results_; }
    uint64_t getSequencenumber() const override { return context_.sequence; }
#if WEFT_TORCH_AT_LEAST(2, 15)
    std::chrono::milliseconds getTimeout() const override { return context_.timeout; }
#endif
    c10::intrusive_ptr<c10::ivalue::Future> getFuture() override;
    c10::intrusive_ptr<c10::ivalue::Future> getFutureResult() override;

  protected:
    // Ends the work, to be called once; then settle_futures, by the same thread, completes the
    // futures that were asked for by then, whose callbacks it runs.
    void end(weft_status status, std::exception_ptr exception);
    void settle_futures();

    std::string describe() const;
    weft_op_options op_options(bool background) const;

    const char* name_;
    WorkContext context_;
    std::vector<at::Tensor> results_;
    std::vector<c10::Device> devices_;  // accelerators whose streams the results are ordered on

  private:
    void settle(c10::ivalue::Future& future);
    void settle_result(c10::ivalue::Future& future);

    std::mutex futures_;
    bool ended_ = false;
    weft_status status_ = WEFT_IN_PROGRESS;
    c10::intrusive_ptr<c10::ivalue::Future> future_;
    c10::intrusive_ptr<c10::ivalue::Future> future_result_;
    c10::intrusive_ptr<c10::ivalue::Future> waiting_;  // what of the two existed at the end
    c10::intrusive_ptr<c10::ivalue::Future> waiting_result_;
};

// Operation on host tensors. A waiter drives the engine itself; without one, the completion hook
// ends the work.
class HostWork final : public Work {
  public:
    // Issues the call. Throws, with nothing left behind, if the C API refuses it.
    static c10::intrusive_ptr<HostWork> start(Call call, WorkContext context);

    HostWork(Call call, WorkContext context);
    ~HostWork() override;

    bool isCompleted() override;
    bool isSuccess() const override;
    bool wait(std::chrono::milliseconds timeout = kNoTimeout) override;
    void synchronize() override { wait(); }
    int sourceRank() const override;
    c10::intrusive_ptr<c10::ivalue::Future> getFuture() override;
    c10::intrusive_ptr<c10::ivalue::Future> getFutureResult() override;

  private:
    void issue();
    void end_without_waiter();
    void conclude();
    weft_status poll(int64_t timeout_ns);

    Call call_;
    std::vector<Request> requests_;
    std::atomic<size_t> unfinished_{0};  // requests whose hook has not been called
    std::once_flag hooked_;
    std::once_flag concluded_;
};

// Several works as one: what endCoalescing returns.
class CoalescedWork final : public c10d::Work {
  public:
    CoalescedWork(int rank, std::vector<c10::intrusive_ptr<c10d::Work>> works);

    bool isCompleted() override;
    bool isSuccess() const override;
    std::exception_ptr exception() const override;
    bool wait(std::chrono::milliseconds timeout = kNoTimeout) override;
    void synchronize() override;
    std::vector<at::Tensor> result() override;
    c10::intrusive_ptr<c10::ivalue::Future> getFuture() override;

  private:
    std::vector<c10::intrusive_ptr<c10d::Work>> works_;
};

}  // namespace weft::torch_backend
