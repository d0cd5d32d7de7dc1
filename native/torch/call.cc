#include "torch/call.h"

#include <ATen/core/LegacyTypeDispatch.h>

#include <algorithm>

namespace weft::torch_backend {
namespace {

at::Tensor host_buffer(int64_t elements, const at::Tensor& like) {
    return at::empty({elements},
                     at::TensorOptions().dtype(like.scalar_type()).pinned_memory(!like.is_cpu()));
}

// True where `tensors` are plain and each begins where the one before it ends: then they already
// are one buffer.
bool lie_in_a_row(at::TensorList tensors) {
    const char* expected = nullptr;
    for (const at::Tensor& tensor : tensors) {
        const char* begin = static_cast<const char*>(tensor.const_data_ptr());
        if (!is_plain(tensor) || (expected != nullptr && begin != expected) ||
            !tensor.storage().is_alias_of(tensors[0].storage())) {
            return false;
        }
        expected = begin + tensor.nbytes();
    }
    return true;
}

int64_t total_elements(at::TensorList tensors) {
    int64_t total = 0;
    for (const at::Tensor& tensor : tensors) {
        total += tensor.numel();
    }
    return total;
}

at::Tensor one_view(at::TensorList tensors, int64_t elements) {
    const at::AutoDispatchBelowADInplaceOrView below;
    return tensors[0].as_strided({elements}, {1}, tensors[0].storage_offset());
}

// A mirror's element order is the tensor's own, row by row, whatever its strides are.
at::Tensor in_shape_of(const at::Tensor& buffer, const at::Tensor& tensor) {
    return buffer.view(tensor.sizes());
}

}  // namespace

bool is_plain(const at::Tensor& tensor) {
    return tensor.is_cpu() && tensor.is_contiguous() && !tensor.is_conj() && !tensor.is_neg();
}

at::Tensor Stage::in(const at::Tensor& tensor) {
    if (is_plain(tensor)) {
        return tensor;
    }
    at::Tensor buffer = host_buffer(tensor.numel(), tensor);
    before.push_back({in_shape_of(buffer, tensor), tensor});
    return buffer;
}

at::Tensor Stage::out(const at::Tensor& tensor) {
    if (is_plain(tensor)) {
        return tensor;
    }
    at::Tensor buffer = host_buffer(tensor.numel(), tensor);
    after.push_back({tensor, in_shape_of(buffer, tensor)});
    return buffer;
}

at::Tensor Stage::inout(const at::Tensor& tensor) {
    at::Tensor buffer = in(tensor);
    if (!is_plain(tensor)) {
        after.push_back({tensor, in_shape_of(buffer, tensor)});
    }
    return buffer;
}

at::Tensor Stage::in(at::TensorList tensors) {
    const int64_t elements = total_elements(tensors);
    if (lie_in_a_row(tensors)) {
        return one_view(tensors, elements);
    }
    at::Tensor buffer = host_buffer(elements, tensors[0]);
    int64_t offset = 0;
    for (const at::Tensor& tensor : tensors) {
        before.push_back({in_shape_of(buffer.narrow(0, offset, tensor.numel()), tensor), tensor});
        offset += tensor.numel();
    }
    return buffer;
}

at::Tensor Stage::out(at::TensorList tensors) {
    const int64_t elements = total_elements(tensors);
    if (lie_in_a_row(tensors)) {
        return one_view(tensors, elements);
    }
    at::Tensor buffer = host_buffer(elements, tensors[0]);
    int64_t offset = 0;
    for (const at::Tensor& tensor : tensors) {
        after.push_back({tensor, in_shape_of(buffer.narrow(0, offset, tensor.numel()), tensor)});
        offset += tensor.numel();
    }
    return buffer;
}

std::vector<at::Tensor> pipeline_parts(const at::Tensor& tensor) {
    const int64_t part =
        std::max<int64_t>(1, kPipelineBytes / static_cast<int64_t>(tensor.element_size()));
    if (tensor.is_cpu() || !tensor.is_contiguous() || tensor.numel() <= part) {
        return {tensor};
    }
    const at::AutoDispatchBelowADInplaceOrView below;
    std::vector<at::Tensor> parts;
    const at::Tensor flat = tensor.view({tensor.numel()});
    for (int64_t begin = 0; begin < flat.numel(); begin += part) {
        parts.push_back(flat.narrow(0, begin, std::min(part, flat.numel() - begin)));
    }
    return parts;
}

void run_copies(const std::vector<Copy>& copies) {
    // Below autograd and version counting, as every collective's writes are: the user's tensors may
    // be leaves or inference tensors, and this thread may not be the one that made them.
    const at::AutoDispatchBelowADInplaceOrView below;
    for (const Copy& copy : copies) {
        copy.to.copy_(copy.from, /*non_blocking=*/true);
    }
}

}  // namespace weft::torch_backend
