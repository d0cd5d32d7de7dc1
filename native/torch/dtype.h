// Torch's element types and reductions in the C API's terms.
#pragma once

#include <optional>

#include "torch/torch_api.h"
#include "weft/weft.h"

namespace weft::torch_backend {

// How `count` elements of a tensor travel.
struct Elements {
    weft_dtype dtype;
    size_t per_element;  // `dtype`s in one element of the tensor: 2 for complex halves, its bytes
                         // for a type sent as bytes
};

// For operations that move data: every type goes, those that the C API does not know as bytes.
Elements moved_as(at::ScalarType type);

// For operations that compute. Throws NotImplementedError for a type that cannot be reduced.
Elements reduced_as(at::ScalarType type, const c10d::ReduceOp& op);

struct Reduction {
    weft_reduction op;
    double scale = 1.0;  // PREMUL_SUM's factor
};

// Throws ValueError for an operation that torch itself leaves unused.
Reduction reduction_of(const c10d::ReduceOp& op);

}  // namespace weft::torch_backend
