#include "torch/fork.h"

#include <pthread.h>

#include <atomic>

namespace weft::torch_backend {
namespace {

std::atomic<uint64_t> generation{0};

// Counted in the child only: the parent's handles stay good.
[[maybe_unused]] const int registered =
    pthread_atfork(nullptr, nullptr, [] { generation.fetch_add(1, std::memory_order_relaxed); });

}  // namespace

uint64_t fork_generation() {
    return generation.load(std::memory_order_relaxed);
}

}  // namespace weft::torch_backend
