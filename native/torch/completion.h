// Where the ends of operations are carried out: copies into the user's tensors and callbacks of
// futures. They may take the GIL, block, or wait for another collective (PowerSGD's hook does), so
// they must run neither on the engine's thread nor behind one another: a thread is added whenever
// all are busy, and leaves after a while without work.
#pragma once

#include <functional>

namespace weft::torch_backend {

// Runs `task` soon, on a thread of its own choice. Never blocks. Tasks must not throw.
void complete_later(std::function<void()> task);

}  // namespace weft::torch_backend
