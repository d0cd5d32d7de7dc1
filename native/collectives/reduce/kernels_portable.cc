// The kernels for any CPU of the architecture.
#define WEFT_KERNELS
#include "collectives/reduce/kernels.h"

namespace weft::collectives {

const Kernels* portable_kernels() noexcept {
    return &kKernels;
}

}  // namespace weft::collectives
