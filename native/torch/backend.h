// The c10d::Backend named "weft". Torch's Python front end, DDP, FSDP, DTensor and compiled code
// all arrive here; every method makes a Call (call.h) out of its tensors and submits it. Torch
// calls a backend from one thread at a time.
#pragma once

#include <atomic>
#include <optional>

#include "torch/options.h"
#include "torch/work.h"

namespace weft::torch_backend {

class StagingLane;

class Backend final : public c10d::Backend {
  public:
    // Collective over `size` ranks that share `store`.
    Backend(c10::intrusive_ptr<c10d::Store> store, int rank, int size,
            c10::intrusive_ptr<GroupOptions> options);
    ~Backend() override;

    const std::string getBackendName() const override { return "weft"; }
    c10::intrusive_ptr<c10d::Backend::Options> getBackendOptions() override { return options_; }

    using WorkPtr = c10::intrusive_ptr<c10d::Work>;
    using Tensors = std::vector<at::Tensor>;
    using TensorLists = std::vector<std::vector<at::Tensor>>;

    // ---- collectives (collectives.cc)
    WorkPtr broadcast(Tensors& tensors, const c10d::BroadcastOptions& options) override;
    WorkPtr allreduce(Tensors& tensors, const c10d::AllreduceOptions& options) override;
    WorkPtr allreduce_coalesced(Tensors& tensors,
                                const c10d::AllreduceCoalescedOptions& options) override;
    WorkPtr allreduce_sparse(Tensors& tensors, const c10d::AllreduceOptions& options) override;
    WorkPtr reduce(Tensors& tensors, const c10d::ReduceOptions& options) override;
    WorkPtr allgather(TensorLists& outputs, Tensors& inputs,
                      const c10d::AllgatherOptions& options) override;
    WorkPtr _allgather_base(at::Tensor& output, at::Tensor& input,
                            const c10d::AllgatherOptions& options) override;
    WorkPtr allgather_coalesced(TensorLists& outputs, Tensors& inputs,
                                const c10d::AllgatherOptions& options) override;
    WorkPtr allgather_into_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                            const c10d::AllgatherOptions& options) override;
    WorkPtr gather(TensorLists& outputs, Tensors& inputs,
                   const c10d::GatherOptions& options) override;
#if WEFT_TORCH_AT_LEAST(2, 14)
    WorkPtr gather_single(at::Tensor& output, at::Tensor& input,
                          const c10d::GatherOptions& options) override;
#endif
    WorkPtr scatter(Tensors& outputs, TensorLists& inputs,
                    const c10d::ScatterOptions& options) override;
    WorkPtr reduce_scatter(Tensors& outputs, TensorLists& inputs,
                           const c10d::ReduceScatterOptions& options) override;
    WorkPtr _reduce_scatter_base(at::Tensor& output, at::Tensor& input,
                                 const c10d::ReduceScatterOptions& options) override;
    WorkPtr reduce_scatter_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                            const c10d::ReduceScatterOptions& options) override;
    WorkPtr alltoall_base(at::Tensor& output, at::Tensor& input,
                          std::vector<int64_t>& output_splits, std::vector<int64_t>& input_splits,
                          const c10d::AllToAllOptions& options) override;
    WorkPtr alltoall(Tensors& outputs, Tensors& inputs,
                     const c10d::AllToAllOptions& options) override;
    WorkPtr barrier(const c10d::BarrierOptions& options) override;

    // ---- point to point (point_to_point.cc)
    WorkPtr send(Tensors& tensors, int to, int tag) override;
    WorkPtr recv(Tensors& tensors, int from, int tag) override;
    WorkPtr recvAnysource(Tensors& tensors, int tag) override;
    void monitoredBarrier(const c10d::BarrierOptions& options, bool wait_all_ranks) override;

    // ---- life of the group (backend.cc)
    bool supportsSplitting() const override { return true; }
    bool supportsCoalescing() const override { return true; }
    bool supportsShrinking() const override { return true; }
    void startCoalescing() override;
    WorkPtr endCoalescing() override;
    void setTimeout(std::chrono::milliseconds timeout) override;
    void setSequenceNumberForGroup() override {}  // all ranks begin at 0 and count alike
    uint64_t getSequenceNumberForGroup() override { return sequence_; }
    c10d::ErrorType getError() override;
    void abort() override;
    void shutdown() override;
    c10::intrusive_ptr<c10d::Backend> split(
        const c10::intrusive_ptr<c10d::Store>& store, const std::vector<int>& ranks,
        const c10::intrusive_ptr<c10d::Backend::Options>& options) override;
    c10::intrusive_ptr<c10d::Backend> merge(
        const c10::intrusive_ptr<c10d::Store>& store,
        const c10::intrusive_ptr<c10d::Backend::Options>& options, const int& rank,
        const int& size) override;
    c10::intrusive_ptr<c10d::Backend> shrink(
        const std::vector<int64_t>& ranks_to_exclude, int shrink_flags,
        const c10::intrusive_ptr<c10d::Backend::Options>& options) override;

  private:
    const std::shared_ptr<Group>& group() const;  // throws after shutdown
    WorkPtr submit(Call call);
    WorkPtr issue(Call call, bool collective);
    c10::intrusive_ptr<GroupOptions> options_for(
        const c10::intrusive_ptr<c10d::Backend::Options>& given) const;

    c10::intrusive_ptr<c10d::Store> store_;
    c10::intrusive_ptr<GroupOptions> options_;
    std::shared_ptr<Group> group_;
    std::unique_ptr<StagingLane> staging_;  // made by the first operation on accelerator tensors
    uint64_t sequence_ = 0;                 // collectives so far
    int shrinks_ = 0;
    std::optional<std::vector<WorkPtr>> coalescing_;  // works since startCoalescing
    std::shared_ptr<std::atomic<int>> last_failure_;
    std::shared_ptr<const FailureListener> on_failure_;
};

}  // namespace weft::torch_backend
