// Ctrl-C for waits that block in C++: without this, Python would see the signal only after the
// operation's deadline.
#pragma once

namespace weft::torch_backend {

// Lets Python run its signal handlers if the calling thread is one of Python's; throws what they
// raised (KeyboardInterrupt).
void check_interrupts();

}  // namespace weft::torch_backend
