// From tensors to calls of the C API: each function appends to `call.stages` what one collective
// needs, cut into parts that form a pipeline where the tensors are an accelerator's. Arguments have
// been checked (collectives.cc).
#pragma once

#include "torch/call.h"

namespace weft::torch_backend {

void add_broadcast(Call& call, const at::Tensor& tensor, int root, bool at_root);
void add_all_reduce(Call& call, const at::Tensor& tensor, const c10d::ReduceOp& op);
void add_reduce(Call& call, const at::Tensor& tensor, const c10d::ReduceOp& op, int root,
                bool at_root);

// `output` holds `size` times the elements of `input`.
void add_all_gather(Call& call, const at::Tensor& output, const at::Tensor& input, int size);
// `outputs` may differ in size: outputs[r] has as many elements as the input of rank r.
void add_all_gather(Call& call, at::TensorList outputs, const at::Tensor& input);

// `input` holds `size` times the elements of `output`.
void add_reduce_scatter(Call& call, const at::Tensor& output, const at::Tensor& input,
                        const c10d::ReduceOp& op, int size);
void add_reduce_scatter(Call& call, const at::Tensor& output, at::TensorList inputs,
                        const c10d::ReduceOp& op);

// `outputs` and `inputs` are empty but at the root.
void add_gather(Call& call, at::TensorList outputs, const at::Tensor& input, int root);
void add_scatter(Call& call, const at::Tensor& output, at::TensorList inputs, int root);

void add_all_to_all(Call& call, const at::Tensor& output, const at::Tensor& input, int size);
void add_all_to_all(Call& call, at::TensorList outputs, at::TensorList inputs);
// Rows (of the first dimension) to and from each rank.
void add_all_to_all(Call& call, const at::Tensor& output, const std::vector<int64_t>& output_rows,
                    const at::Tensor& input, const std::vector<int64_t>& input_rows);

}  // namespace weft::torch_backend
