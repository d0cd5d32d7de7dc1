#include "torch/dtype.h"

namespace weft::torch_backend {
namespace {

std::optional<weft_dtype> same_type(at::ScalarType type) {
    switch (type) {
        case at::kByte:
            return WEFT_U8;
        case at::kChar:
            return WEFT_I8;
        case at::kShort:
            return WEFT_I16;
        case at::kInt:
            return WEFT_I32;
        case at::kLong:
            return WEFT_I64;
        case at::kBool:
            return WEFT_BOOL;
        case at::kHalf:
            return WEFT_F16;
        case at::kBFloat16:
            return WEFT_BF16;
        case at::kFloat:
            return WEFT_F32;
        case at::kDouble:
            return WEFT_F64;
        case at::ScalarType::Float8_e4m3fn:
            return WEFT_F8_E4M3;
        case at::ScalarType::Float8_e5m2:
            return WEFT_F8_E5M2;
        case at::kComplexFloat:
            return WEFT_C64;
        case at::kComplexDouble:
            return WEFT_C128;
        default:
            return std::nullopt;
    }
}

// Sums act on the two parts of a complex number alike, so its parts may travel as twice as many
// reals.
bool acts_on_parts(const c10d::ReduceOp& op) {
    return op.op_ == c10d::ReduceOp::SUM || op.op_ == c10d::ReduceOp::AVG ||
           op.op_ == c10d::ReduceOp::PREMUL_SUM;
}

}  // namespace

Elements moved_as(at::ScalarType type) {
    if (const auto same = same_type(type)) {
        return {*same, 1};
    }
    return {WEFT_U8, c10::elementSize(type)};
}

Elements reduced_as(at::ScalarType type, const c10d::ReduceOp& op) {
    if (const auto same = same_type(type)) {
        return {*same, 1};
    }
    if (type == at::kComplexHalf && acts_on_parts(op)) {
        return {WEFT_F16, 2};
    }
    TORCH_CHECK_NOT_IMPLEMENTED(
        false, "weft: tensors of type ", type,
        " cannot be reduced; convert them to a type of at least 8 bits that can "
        "(float16, bfloat16, float32, ...)");
}

Reduction reduction_of(const c10d::ReduceOp& op) {
    switch (op.op_) {
        case c10d::ReduceOp::SUM:
            return {WEFT_SUM};
        case c10d::ReduceOp::AVG:
            return {WEFT_AVG};
        case c10d::ReduceOp::PRODUCT:
            return {WEFT_PROD};
        case c10d::ReduceOp::MIN:
            return {WEFT_MIN};
        case c10d::ReduceOp::MAX:
            return {WEFT_MAX};
        case c10d::ReduceOp::BAND:
            return {WEFT_BAND};
        case c10d::ReduceOp::BOR:
            return {WEFT_BOR};
        case c10d::ReduceOp::BXOR:
            return {WEFT_BXOR};
        case c10d::ReduceOp::PREMUL_SUM: {
            const auto* factor =
                dynamic_cast<const c10d::NCCLPreMulSumSupplement*>(op.supplement_.get());
            TORCH_CHECK_VALUE(factor != nullptr,
                              "weft: PREMUL_SUM without its factor; make it with "
                              "torch.distributed._make_nccl_premul_sum(factor)");
            const bool by_tensor = factor->tensor_factor.defined();
            return {WEFT_PREMUL_SUM,
                    by_tensor ? factor->tensor_factor.item<double>() : factor->double_factor};
        }
        default:
            TORCH_CHECK_VALUE(false, "weft: unknown reduction ", static_cast<int>(op.op_));
    }
}

}  // namespace weft::torch_backend
