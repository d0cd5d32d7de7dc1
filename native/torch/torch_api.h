// The one door to torch's headers. What differs between the supported versions (2.11, 2.13 to 2.15)
// is asked of the macros here and nowhere else, so that a new torch is one file to read.
#pragma once

#include <ATen/ATen.h>
#include <torch/version.h>

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>
#include <torch/csrc/distributed/c10d/Types.hpp>
#include <torch/csrc/distributed/c10d/Work.hpp>

#define WEFT_TORCH_AT_LEAST(major, minor) \
    (TORCH_VERSION_MAJOR > (major) ||     \
     (TORCH_VERSION_MAJOR == (major) && TORCH_VERSION_MINOR >= (minor)))

namespace weft::torch_backend {

#if WEFT_TORCH_AT_LEAST(2, 13)
inline constexpr auto kReduceScatterCoalesced = c10d::OpType::REDUCE_SCATTER_TENSOR_COALESCED;
#else
inline constexpr auto kReduceScatterCoalesced = c10d::OpType::COALESCED;
#endif

}  // namespace weft::torch_backend
