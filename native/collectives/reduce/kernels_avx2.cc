// The kernels for CPUs with AVX2 and F16C. flags.cmake compiles this file, and no other, for them.
#if defined(__AVX2__) && defined(__F16C__)
#define WEFT_KERNELS
#endif
#include "collectives/reduce/kernels.h"

namespace weft::collectives {

#if defined(WEFT_KERNELS)
const Kernels* avx2_kernels() noexcept {
    return &kKernels;
}
#else
const Kernels* avx2_kernels() noexcept {
    return nullptr;
}
#endif

}  // namespace weft::collectives
