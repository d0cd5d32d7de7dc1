#include "torch/stages.h"

#include <ATen/core/LegacyTypeDispatch.h>

#include <algorithm>

#include "torch/dtype.h"

namespace weft::torch_backend {
namespace {

size_t count_of(const at::Tensor& buffer, Elements elements) {
    return static_cast<size_t>(buffer.numel()) * elements.per_element;
}

std::vector<size_t> counts_of(at::TensorList tensors, Elements elements) {
    std::vector<size_t> counts;
    for (const at::Tensor& tensor : tensors) {
        counts.push_back(count_of(tensor, elements));
    }
    return counts;
}

bool all_equal(const std::vector<size_t>& counts) {
    return std::all_of(counts.begin(), counts.end(),
                       [&](size_t count) { return count == counts[0]; });
}

weft_op_options with_scale(const weft_op_options& options, const Reduction& reduction) {
    weft_op_options scaled = options;
    scaled.scale = reduction.scale;
    return scaled;
}

// The address of a buffer that exists only at the root.
void* address_of(const at::Tensor& buffer) {
    return buffer.defined() ? buffer.data_ptr() : nullptr;
}

Issue all_gather(const at::Tensor& from, const at::Tensor& to) {
    const Elements elements = moved_as(from.scalar_type());
    return [=](weft_comm* comm, const weft_op_options* options, weft_request** request) {
        return weft_all_gather(comm, from.const_data_ptr(), to.data_ptr(), count_of(from, elements),
                               elements.dtype, options, request);
    };
}

Issue reduce_scatter(const at::Tensor& from, const at::Tensor& to, const c10d::ReduceOp& op) {
    const Elements elements = reduced_as(from.scalar_type(), op);
    const Reduction reduction = reduction_of(op);
    return [=](weft_comm* comm, const weft_op_options* options, weft_request** request) {
        const weft_op_options scaled = with_scale(*options, reduction);
        return weft_reduce_scatter(comm, from.const_data_ptr(), to.data_ptr(),
                                   count_of(to, elements), elements.dtype, reduction.op, &scaled,
                                   request);
    };
}

Issue all_to_allv(const at::Tensor& from, std::vector<size_t> send, const at::Tensor& to,
                  std::vector<size_t> recv, Elements elements) {
    return [=, send = std::move(send), recv = std::move(recv)](
               weft_comm* comm, const weft_op_options* options, weft_request** request) {
        return weft_all_to_allv(comm, from.const_data_ptr(), send.data(), to.data_ptr(),
                                recv.data(), elements.dtype, options, request);
    };
}

void add(Call& call, Stage stage, Issue issue) {
    stage.issue = std::move(issue);
    call.stages.push_back(std::move(stage));
}

// Parts of `tensor`, if the slots of `whole` can be cut alike.
std::vector<at::Tensor> parts_beside(const at::Tensor& tensor, const at::Tensor& whole) {
    return whole.is_contiguous() ? pipeline_parts(tensor) : std::vector<at::Tensor>{tensor};
}

// The same part of every rank's slot of `whole`. A device's buffer is staged slot by slot: one
// strided copy would be a kernel and not the copy engine's work.
std::vector<at::Tensor> part_of_slots(const at::Tensor& whole, int64_t begin, int64_t elements,
                                      int size) {
    const at::AutoDispatchBelowADInplaceOrView below;
    std::vector<at::Tensor> slots;
    const at::Tensor rows = whole.view({size, -1});
    for (int rank = 0; rank < size; ++rank) {
        slots.push_back(rows.select(0, rank).narrow(0, begin, elements));
    }
    return slots;
}

}  // namespace

void add_broadcast(Call& call, const at::Tensor& tensor, int root, bool at_root) {
    const Elements elements = moved_as(tensor.scalar_type());
    for (const at::Tensor& part : pipeline_parts(tensor)) {
        Stage stage;
        const at::Tensor buffer = at_root ? stage.in(part) : stage.out(part);
        add(call, std::move(stage),
            [=](weft_comm* comm, const weft_op_options* options, weft_request** request) {
                return weft_broadcast(comm, buffer.data_ptr(), buffer.data_ptr(),
                                      count_of(buffer, elements), elements.dtype, root, options,
                                      request);
            });
    }
}

void add_all_reduce(Call& call, const at::Tensor& tensor, const c10d::ReduceOp& op) {
    const Elements elements = reduced_as(tensor.scalar_type(), op);
    const Reduction reduction = reduction_of(op);
    for (const at::Tensor& part : pipeline_parts(tensor)) {
        Stage stage;
        const at::Tensor buffer = stage.inout(part);
        add(call, std::move(stage),
            [=](weft_comm* comm, const weft_op_options* options, weft_request** request) {
                const weft_op_options scaled = with_scale(*options, reduction);
                return weft_all_reduce(comm, buffer.data_ptr(), buffer.data_ptr(),
                                       count_of(buffer, elements), elements.dtype, reduction.op,
                                       &scaled, request);
            });
    }
}

void add_reduce(Call& call, const at::Tensor& tensor, const c10d::ReduceOp& op, int root,
                bool at_root) {
    const Elements elements = reduced_as(tensor.scalar_type(), op);
    const Reduction reduction = reduction_of(op);
    for (const at::Tensor& part : pipeline_parts(tensor)) {
        Stage stage;
        const at::Tensor buffer = at_root ? stage.inout(part) : stage.in(part);
        add(call, std::move(stage),
            [=](weft_comm* comm, const weft_op_options* options, weft_request** request) {
                const weft_op_options scaled = with_scale(*options, reduction);
                return weft_reduce(comm, buffer.data_ptr(), at_root ? buffer.data_ptr() : nullptr,
                                   count_of(buffer, elements), elements.dtype, reduction.op, root,
                                   &scaled, request);
            });
    }
}

void add_all_gather(Call& call, const at::Tensor& output, const at::Tensor& input, int size) {
    const std::vector<at::Tensor> parts = parts_beside(input, output);
    int64_t begin = 0;
    for (const at::Tensor& part : parts) {
        const bool whole = parts.size() == 1;
        Stage stage;
        const at::Tensor from = stage.in(whole ? input : part);
        const at::Tensor to =
            whole ? stage.out(output)
                  : stage.out(at::TensorList(part_of_slots(output, begin, part.numel(), size)));
        add(call, std::move(stage), all_gather(from, to));
        begin += part.numel();
    }
}

void add_all_gather(Call& call, at::TensorList outputs, const at::Tensor& input) {
    Stage stage;
    const at::Tensor from = stage.in(input);
    const at::Tensor to = stage.out(outputs);
    const Elements elements = moved_as(input.scalar_type());
    std::vector<size_t> counts = counts_of(outputs, elements);
    if (all_equal(counts)) {
        return add(call, std::move(stage), all_gather(from, to));
    }
    add(call, std::move(stage),
        [=, counts = std::move(counts)](weft_comm* comm, const weft_op_options* options,
                                        weft_request** request) {
            return weft_all_gatherv(comm, from.const_data_ptr(), to.data_ptr(), counts.data(),
                                    elements.dtype, options, request);
        });
}

void add_reduce_scatter(Call& call, const at::Tensor& output, const at::Tensor& input,
                        const c10d::ReduceOp& op, int size) {
    const std::vector<at::Tensor> parts = parts_beside(output, input);
    int64_t begin = 0;
    for (const at::Tensor& part : parts) {
        const bool whole = parts.size() == 1;
        Stage stage;
        const at::Tensor from =
            whole ? stage.in(input)
                  : stage.in(at::TensorList(part_of_slots(input, begin, part.numel(), size)));
        const at::Tensor to = stage.out(whole ? output : part);
        add(call, std::move(stage), reduce_scatter(from, to, op));
        begin += part.numel();
    }
}

void add_reduce_scatter(Call& call, const at::Tensor& output, at::TensorList inputs,
                        const c10d::ReduceOp& op) {
    Stage stage;
    const at::Tensor from = stage.in(inputs);
    const at::Tensor to = stage.out(output);
    const Elements elements = reduced_as(output.scalar_type(), op);
    std::vector<size_t> counts = counts_of(inputs, elements);
    if (all_equal(counts)) {
        return add(call, std::move(stage), reduce_scatter(from, to, op));
    }
    const Reduction reduction = reduction_of(op);
    add(call, std::move(stage),
        [=, counts = std::move(counts)](weft_comm* comm, const weft_op_options* options,
                                        weft_request** request) {
            const weft_op_options scaled = with_scale(*options, reduction);
            return weft_reduce_scatterv(comm, from.const_data_ptr(), to.data_ptr(), counts.data(),
                                        elements.dtype, reduction.op, &scaled, request);
        });
}

void add_gather(Call& call, at::TensorList outputs, const at::Tensor& input, int root) {
    const Elements elements = moved_as(input.scalar_type());
    Stage stage;
    const at::Tensor from = stage.in(input);
    const at::Tensor to = outputs.empty() ? at::Tensor() : stage.out(outputs);
    add(call, std::move(stage),
        [=](weft_comm* comm, const weft_op_options* options, weft_request** request) {
            return weft_gather(comm, from.const_data_ptr(), address_of(to),
                               count_of(from, elements), elements.dtype, root, options, request);
        });
}

void add_scatter(Call& call, const at::Tensor& output, at::TensorList inputs, int root) {
    const Elements elements = moved_as(output.scalar_type());
    Stage stage;
    const at::Tensor from = inputs.empty() ? at::Tensor() : stage.in(inputs);
    const at::Tensor to = stage.out(output);
    add(call, std::move(stage),
        [=](weft_comm* comm, const weft_op_options* options, weft_request** request) {
            return weft_scatter(comm, address_of(from), to.data_ptr(), count_of(to, elements),
                                elements.dtype, root, options, request);
        });
}

void add_all_to_all(Call& call, const at::Tensor& output, const at::Tensor& input, int size) {
    const Elements elements = moved_as(input.scalar_type());
    Stage stage;
    const at::Tensor from = stage.in(input);
    const at::Tensor to = stage.out(output);
    const size_t count = count_of(from, elements) / static_cast<size_t>(size);
    add(call, std::move(stage),
        [=](weft_comm* comm, const weft_op_options* options, weft_request** request) {
            return weft_all_to_all(comm, from.const_data_ptr(), to.data_ptr(), count,
                                   elements.dtype, options, request);
        });
}

void add_all_to_all(Call& call, at::TensorList outputs, at::TensorList inputs) {
    const Elements elements = moved_as(inputs[0].scalar_type());
    Stage stage;
    const at::Tensor from = stage.in(inputs);
    const at::Tensor to = stage.out(outputs);
    add(call, std::move(stage),
        all_to_allv(from, counts_of(inputs, elements), to, counts_of(outputs, elements), elements));
}

void add_all_to_all(Call& call, const at::Tensor& output, const std::vector<int64_t>& output_rows,
                    const at::Tensor& input, const std::vector<int64_t>& input_rows) {
    const Elements elements = moved_as(input.scalar_type());
    const auto counts = [&](const at::Tensor& tensor, const std::vector<int64_t>& rows) {
        const int64_t row = tensor.size(0) == 0 ? 0 : tensor.numel() / tensor.size(0);
        std::vector<size_t> result;
        for (const int64_t of_rank : rows) {
            result.push_back(static_cast<size_t>(of_rank * row) * elements.per_element);
        }
        return result;
    };
    Stage stage;
    const at::Tensor from = stage.in(input);
    const at::Tensor to = stage.out(output);
    add(call, std::move(stage),
        all_to_allv(from, counts(input, input_rows), to, counts(output, output_rows), elements));
}

}  // namespace weft::torch_backend
