// What a user may choose for a group: `pg_options` of init_process_group and new_group.
#pragma once

#include "torch/context.h"
#include "torch/torch_api.h"

namespace weft::torch_backend {

struct GroupOptions final : c10d::Backend::Options {
    explicit GroupOptions(std::chrono::milliseconds timeout = kBackendDefaultTimeout)
        : c10d::Backend::Options("weft", timeout) {}

    ContextSettings context;
    std::string algorithms;  // "all_reduce=ring,...": weft_comm_options.algorithms
};

}  // namespace weft::torch_backend
