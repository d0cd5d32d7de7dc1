// Fork safety. A child inherits copies of the parent's handles, but neither its threads nor its
// connections: it must touch none of them, and makes its own when it builds a group. So whatever is
// bound to a process remembers the generation.
#pragma once

#include <cstdint>

namespace weft::torch_backend {

// Grows by one in the child of every fork. Costs one load.
uint64_t fork_generation();

// True in a forked child for whatever was made in its parent.
class ProcessBound {
  public:
    bool inherited() const { return generation_ != fork_generation(); }

  private:
    uint64_t generation_ = fork_generation();
};

}  // namespace weft::torch_backend
