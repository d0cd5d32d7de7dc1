// An operation of torch.distributed as data: which calls of the C API make it up, on which host
// buffers, and what is copied into those before and out of them after. The same Call runs on host
// tensors (work.h), where most copies vanish, and on accelerator tensors (staging.h), where the
// copies are the copy engines' work and the stages form a pipeline.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "torch/torch_api.h"
#include "weft/weft.h"

namespace weft::torch_backend {

// One call of the C API; the options carry time-out and background flag.
using Issue = std::function<weft_status(weft_comm*, const weft_op_options*, weft_request**)>;

struct Copy {
    at::Tensor to;
    at::Tensor from;
};

// Host buffers of one C API call. A tensor that already is contiguous host memory is used where it
// lies; any other gets a mirror (pinned where the tensor is an accelerator's) and the copies that
// go with it.
class Stage {
  public:
    std::vector<Copy> before;
    Issue issue;
    std::vector<Copy> after;

    at::Tensor in(const at::Tensor& tensor);     // host elements to read
    at::Tensor out(const at::Tensor& tensor);    // host room to write
    at::Tensor inout(const at::Tensor& tensor);  // both

    // Lists: one buffer with the tensors one behind the other.
    at::Tensor in(at::TensorList tensors);
    at::Tensor out(at::TensorList tensors);
};

struct Call {
    const char* name;  // a literal, as torch names it: "all_reduce"
    c10d::OpType type;
    std::chrono::milliseconds timeout = c10d::kUnsetTimeout;
    bool async = true;  // somebody may wait later or never: the engine's thread carries it on
    std::vector<at::Tensor> inputs = {};   // for the profiler
    std::vector<at::Tensor> results = {};  // what the future carries
    at::Device device = at::kCPU;
    std::vector<Stage> stages = {};
    std::function<void()> conclude =
        nullptr;  // computes results from what arrived, after the last copy
};

// A host tensor at which the C API can read and write directly.
bool is_plain(const at::Tensor& tensor);

// An accelerator's tensor cut into parts of about `kPipelineBytes` that move independently; a host
// tensor whole.
inline constexpr int64_t kPipelineBytes = int64_t{4} << 20;
std::vector<at::Tensor> pipeline_parts(const at::Tensor& tensor);

void run_copies(const std::vector<Copy>& copies);

}  // namespace weft::torch_backend
