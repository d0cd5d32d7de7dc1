// Collectives: each checks its tensors, names its host buffers and says which C API call runs on
// them.
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <torch/csrc/distributed/c10d/Utils.hpp>

#include "torch/backend.h"
#include "torch/stages.h"

namespace weft::torch_backend {
namespace {

using Tensors = Backend::Tensors;
using TensorLists = Backend::TensorLists;

const at::Tensor& only(const char* name, const Tensors& tensors) {
    TORCH_CHECK_VALUE(tensors.size() == 1, "weft: ", name,
                      " takes a list of exactly one tensor, not ", tensors.size());
    return tensors[0];
}

void check_dense(const char* name, at::TensorList tensors) {
    for (const at::Tensor& tensor : tensors) {
        TORCH_CHECK_VALUE(tensor.layout() == at::kStrided, "weft: ", name,
                          " takes dense tensors, not ", tensor.layout());
        TORCH_CHECK_VALUE(tensor.scalar_type() == tensors[0].scalar_type(), "weft: ", name,
                          " takes tensors of one type, not ", tensors[0].scalar_type(), " and ",
                          tensor.scalar_type());
        TORCH_CHECK_VALUE(tensor.device() == tensors[0].device(), "weft: ", name,
                          " takes tensors on one device, not ", tensors[0].device(), " and ",
                          tensor.device());
    }
}

void check_same_type(const char* name, const at::Tensor& output, const at::Tensor& input) {
    check_dense(name, Tensors{output, input});
}

void check_numel(const char* name, const char* what, const at::Tensor& tensor, int64_t expected) {
    TORCH_CHECK_VALUE(tensor.numel() == expected, "weft: ", name, ": the ", what, " has ",
                      tensor.numel(), " elements, but must have ", expected);
}

void check_list(const char* name, const char* what, const Tensors& tensors, int size) {
    TORCH_CHECK_VALUE(tensors.size() == static_cast<size_t>(size), "weft: ", name, ": the list of ",
                      what, "s has ", tensors.size(), " tensors, but the group has ", size,
                      " ranks");
    check_dense(name, tensors);
}

void check_root(const char* name, int64_t root, int size) {
    TORCH_CHECK_VALUE(root >= 0 && root < size, "weft: ", name, ": root ", root,
                      " is not a rank of this group of ", size);
}

void append(Tensors& all, const Tensors& some) {
    all.insert(all.end(), some.begin(), some.end());
}

// Rows of each rank: what the user gave, or equal parts.
std::vector<int64_t> rows_of(const at::Tensor& tensor, const std::vector<int64_t>& splits,
                             int size) {
    return splits.empty() ? std::vector<int64_t>(static_cast<size_t>(size), tensor.size(0) / size)
                          : splits;
}

template <typename OpOptions>
Call begin(const char* name, c10d::OpType type, const Tensors& inputs, const Tensors& results,
           const OpOptions& options) {
    Call call{name, type};
    call.timeout = options.timeout;
    call.async = options.asyncOp;
    call.inputs = inputs;
    call.results = results;
    const at::Tensor* any = !results.empty() ? &results[0] : inputs.empty() ? nullptr : &inputs[0];
    if (any != nullptr) {
        call.device = any->device();
    }
    return call;
}

}  // namespace

Backend::WorkPtr Backend::broadcast(Tensors& tensors, const c10d::BroadcastOptions& options) {
    constexpr const char* kName = "broadcast";
    const at::Tensor& tensor = only(kName, tensors);
    check_dense(kName, tensors);
    check_root(kName, options.rootRank, size_);
    Call call = begin(kName, c10d::OpType::BROADCAST, tensors, tensors, options);
    add_broadcast(call, tensor, static_cast<int>(options.rootRank), options.rootRank == rank_);
    return submit(std::move(call));
}

Backend::WorkPtr Backend::allreduce(Tensors& tensors, const c10d::AllreduceOptions& options) {
    constexpr const char* kName = "all_reduce";
    const at::Tensor& tensor = only(kName, tensors);
    if (tensor.is_sparse()) {
        return allreduce_sparse(tensors, options);
    }
    check_dense(kName, tensors);
    Call call = begin(kName, c10d::OpType::ALLREDUCE, tensors, tensors, options);
    add_all_reduce(call, tensor, options.reduceOp);
    return submit(std::move(call));
}

Backend::WorkPtr Backend::allreduce_coalesced(Tensors& tensors,
                                              const c10d::AllreduceCoalescedOptions& options) {
    constexpr const char* kName = "all_reduce_coalesced";
    check_dense(kName, tensors);
    Call call = begin(kName, c10d::OpType::ALLREDUCE_COALESCED, tensors, tensors, options);
    for (const at::Tensor& tensor : tensors) {
        add_all_reduce(call, tensor, options.reduceOp);
    }
    return submit(std::move(call));
}

Backend::WorkPtr Backend::reduce(Tensors& tensors, const c10d::ReduceOptions& options) {
    constexpr const char* kName = "reduce";
    const at::Tensor& tensor = only(kName, tensors);
    check_dense(kName, tensors);
    check_root(kName, options.rootRank, size_);
    Call call = begin(kName, c10d::OpType::REDUCE, tensors, tensors, options);
    add_reduce(call, tensor, options.reduceOp, static_cast<int>(options.rootRank),
               options.rootRank == rank_);
    return submit(std::move(call));
}

Backend::WorkPtr Backend::allgather(TensorLists& outputs, Tensors& inputs,
                                    const c10d::AllgatherOptions& options) {
    constexpr const char* kName = "all_gather";
    const at::Tensor& input = only(kName, inputs);
    TORCH_CHECK_VALUE(outputs.size() == 1, "weft: all_gather takes one list of outputs, not ",
                      outputs.size());
    check_list(kName, "output", outputs[0], size_);
    check_same_type(kName, outputs[0][0], input);
    check_numel(kName, "own output", outputs[0][static_cast<size_t>(rank_)], input.numel());
    Call call = begin(kName, c10d::OpType::ALLGATHER, inputs, outputs[0], options);
    add_all_gather(call, at::TensorList(outputs[0]), input);
    return submit(std::move(call));
}

Backend::WorkPtr Backend::_allgather_base(at::Tensor& output, at::Tensor& input,
                                          const c10d::AllgatherOptions& options) {
    constexpr const char* kName = "all_gather_into_tensor";
    check_same_type(kName, output, input);
    check_numel(kName, "output", output, input.numel() * size_);
    Call call = begin(kName, c10d::OpType::_ALLGATHER_BASE, {input}, {output}, options);
    add_all_gather(call, output, input, size_);
    return submit(std::move(call));
}

// Inputs of different types or sizes travel one by one; outputs[rank][i] is input i of that rank.
Backend::WorkPtr Backend::allgather_coalesced(TensorLists& outputs, Tensors& inputs,
                                              const c10d::AllgatherOptions& options) {
    constexpr const char* kName = "all_gather_coalesced";
    TORCH_CHECK_VALUE(outputs.size() == static_cast<size_t>(size_), "weft: ", kName,
                      " needs one list of outputs per rank, ", size_, ", not ", outputs.size());
    Tensors results;
    for (const Tensors& of_rank : outputs) {
        TORCH_CHECK_VALUE(of_rank.size() == inputs.size(), "weft: ", kName,
                          ": a list of outputs has ", of_rank.size(), " tensors, but there are ",
                          inputs.size(), " inputs");
        append(results, of_rank);
    }
    Call call = begin(kName, c10d::OpType::ALLGATHER_COALESCED, inputs, results, options);
    for (size_t i = 0; i < inputs.size(); ++i) {
        Tensors gathered;
        for (const Tensors& of_rank : outputs) {
            gathered.push_back(of_rank[i]);
        }
        check_dense(kName, gathered);
        check_same_type(kName, gathered[0], inputs[i]);
        check_numel(kName, "own output", gathered[static_cast<size_t>(rank_)], inputs[i].numel());
        add_all_gather(call, at::TensorList(gathered), inputs[i]);
    }
    return submit(std::move(call));
}

Backend::WorkPtr Backend::allgather_into_tensor_coalesced(Tensors& outputs, Tensors& inputs,
                                                          const c10d::AllgatherOptions& options) {
    constexpr const char* kName = "all_gather_into_tensor_coalesced";
    TORCH_CHECK_VALUE(outputs.size() == inputs.size(), "weft: ", kName, " has ", outputs.size(),
                      " outputs but ", inputs.size(), " inputs");
    Call call = begin(kName, c10d::OpType::ALLGATHER_COALESCED, inputs, outputs, options);
    for (size_t i = 0; i < inputs.size(); ++i) {
        check_same_type(kName, outputs[i], inputs[i]);
        check_numel(kName, "output", outputs[i], inputs[i].numel() * size_);
        add_all_gather(call, outputs[i], inputs[i], size_);
    }
    return submit(std::move(call));
}

Backend::WorkPtr Backend::gather(TensorLists& outputs, Tensors& inputs,
                                 const c10d::GatherOptions& options) {
    constexpr const char* kName = "gather";
    const at::Tensor& input = only(kName, inputs);
    check_root(kName, options.rootRank, size_);
    check_dense(kName, inputs);
    const bool at_root = options.rootRank == rank_;
    if (at_root) {
        TORCH_CHECK_VALUE(outputs.size() == 1,
                          "weft: gather takes one list of outputs at the root, not ",
                          outputs.size());
        check_list(kName, "output", outputs[0], size_);
        for (const at::Tensor& output : outputs[0]) {
            check_same_type(kName, output, input);
            check_numel(kName, "output", output, input.numel());
        }
    } else {
        TORCH_CHECK_VALUE(outputs.empty(),
                          "weft: gather takes outputs at the root only, which is rank ",
                          options.rootRank);
    }
    Call call =
        begin(kName, c10d::OpType::GATHER, inputs, at_root ? outputs[0] : Tensors{}, options);
    add_gather(call, call.results, input, static_cast<int>(options.rootRank));
    return submit(std::move(call));
}

#if WEFT_TORCH_AT_LEAST(2, 14)
// At the root, `output` holds the inputs of all ranks one behind the other; elsewhere it does not
// matter.
Backend::WorkPtr Backend::gather_single(at::Tensor& output, at::Tensor& input,
                                        const c10d::GatherOptions& options) {
    constexpr const char* kName = "gather_single";
    check_root(kName, options.rootRank, size_);
    check_dense(kName, Tensors{input});
    const bool at_root = options.rootRank == rank_;
    if (at_root) {
        check_same_type(kName, output, input);
        check_numel(kName, "output", output, input.numel() * size_);
    }
    Call call =
        begin(kName, c10d::OpType::GATHER, {input}, at_root ? Tensors{output} : Tensors{}, options);
    add_gather(call, call.results, input, static_cast<int>(options.rootRank));
    return submit(std::move(call));
}
#endif

Backend::WorkPtr Backend::scatter(Tensors& outputs, TensorLists& inputs,
                                  const c10d::ScatterOptions& options) {
    constexpr const char* kName = "scatter";
    const at::Tensor& output = only(kName, outputs);
    check_root(kName, options.rootRank, size_);
    check_dense(kName, outputs);
    const bool at_root = options.rootRank == rank_;
    if (at_root) {
        TORCH_CHECK_VALUE(inputs.size() == 1,
                          "weft: scatter takes one list of inputs at the root, not ",
                          inputs.size());
        check_list(kName, "input", inputs[0], size_);
        for (const at::Tensor& input : inputs[0]) {
            check_same_type(kName, output, input);
            check_numel(kName, "input", input, output.numel());
        }
    } else {
        TORCH_CHECK_VALUE(inputs.empty(),
                          "weft: scatter takes inputs at the root only, which is rank ",
                          options.rootRank);
    }
    Call call =
        begin(kName, c10d::OpType::SCATTER, at_root ? inputs[0] : Tensors{}, outputs, options);
    add_scatter(call, output, call.inputs, static_cast<int>(options.rootRank));
    return submit(std::move(call));
}

Backend::WorkPtr Backend::reduce_scatter(Tensors& outputs, TensorLists& inputs,
                                         const c10d::ReduceScatterOptions& options) {
    constexpr const char* kName = "reduce_scatter";
    const at::Tensor& output = only(kName, outputs);
    TORCH_CHECK_VALUE(inputs.size() == 1, "weft: reduce_scatter takes one list of inputs, not ",
                      inputs.size());
    check_list(kName, "input", inputs[0], size_);
    check_same_type(kName, output, inputs[0][0]);
    check_numel(kName, "output", output, inputs[0][static_cast<size_t>(rank_)].numel());
    Call call = begin(kName, c10d::OpType::REDUCE_SCATTER, inputs[0], outputs, options);
    add_reduce_scatter(call, output, at::TensorList(inputs[0]), options.reduceOp);
    return submit(std::move(call));
}

Backend::WorkPtr Backend::_reduce_scatter_base(at::Tensor& output, at::Tensor& input,
                                               const c10d::ReduceScatterOptions& options) {
    constexpr const char* kName = "reduce_scatter_tensor";
    check_same_type(kName, output, input);
    check_numel(kName, "input", input, output.numel() * size_);
    Call call = begin(kName, c10d::OpType::_REDUCE_SCATTER_BASE, {input}, {output}, options);
    add_reduce_scatter(call, output, input, options.reduceOp, size_);
    return submit(std::move(call));
}

Backend::WorkPtr Backend::reduce_scatter_tensor_coalesced(
    Tensors& outputs, Tensors& inputs, const c10d::ReduceScatterOptions& options) {
    constexpr const char* kName = "reduce_scatter_tensor_coalesced";
    TORCH_CHECK_VALUE(outputs.size() == inputs.size(), "weft: ", kName, " has ", outputs.size(),
                      " outputs but ", inputs.size(), " inputs");
    Call call = begin(kName, kReduceScatterCoalesced, inputs, outputs, options);
    for (size_t i = 0; i < inputs.size(); ++i) {
        check_same_type(kName, outputs[i], inputs[i]);
        check_numel(kName, "input", inputs[i], outputs[i].numel() * size_);
        add_reduce_scatter(call, outputs[i], inputs[i], options.reduceOp, size_);
    }
    return submit(std::move(call));
}

Backend::WorkPtr Backend::alltoall_base(at::Tensor& output, at::Tensor& input,
                                        std::vector<int64_t>& output_splits,
                                        std::vector<int64_t>& input_splits,
                                        const c10d::AllToAllOptions& options) {
    constexpr const char* kName = "all_to_all_single";
    check_same_type(kName, output, input);
    const at::Tensor source =
        input.is_alias_of(output) ? input.clone() : input;  // the C API has no all_to_all in place
    c10d::checkSplitSizes(input_splits, input, size_);
    c10d::checkSplitSizes(output_splits, output, size_);
    Call call = begin(kName, c10d::OpType::ALLTOALL_BASE, {input}, {output}, options);
    if (input_splits.empty() && output_splits.empty()) {
        check_numel(kName, "output", output, input.numel());
        add_all_to_all(call, output, source, size_);
    } else {
        add_all_to_all(call, output, rows_of(output, output_splits, size_), source,
                       rows_of(input, input_splits, size_));
    }
    return submit(std::move(call));
}

Backend::WorkPtr Backend::alltoall(Tensors& outputs, Tensors& inputs,
                                   const c10d::AllToAllOptions& options) {
    constexpr const char* kName = "all_to_all";
    check_list(kName, "output", outputs, size_);
    check_list(kName, "input", inputs, size_);
    check_same_type(kName, outputs[0], inputs[0]);
    Call call = begin(kName, c10d::OpType::ALLTOALL, inputs, outputs, options);
    add_all_to_all(call, at::TensorList(outputs), at::TensorList(inputs));
    return submit(std::move(call));
}

Backend::WorkPtr Backend::barrier(const c10d::BarrierOptions& options) {
    Call call{"barrier", c10d::OpType::BARRIER};
    call.timeout = options.timeout;
    call.async = options.asyncOp;
    // What was launched on the device before the barrier belongs before it: users time and delete
    // files by that.
    if (options.device.has_value() && !options.device->is_cpu()) {
        const c10::impl::VirtualGuardImpl device(options.device->type());
        device.getStream(*options.device).synchronize();
    }
    Stage stage;
    stage.issue = [](weft_comm* comm, const weft_op_options* op_options, weft_request** request) {
        return weft_barrier(comm, op_options, request);
    };
    call.stages.push_back(std::move(stage));
    return submit(std::move(call));
}

}  // namespace weft::torch_backend
