// The kernels for CPUs with AVX-512 F, BW, DQ and VL. flags.cmake compiles this file, and no other,
// for them.
#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define WEFT_KERNELS
#endif
#include "collectives/reduce/kernels.h"

namespace weft::collectives {

#if defined(WEFT_KERNELS)
const Kernels* avx512_kernels() noexcept {
    return &kKernels;
}
#else
const Kernels* avx512_kernels() noexcept {
    return nullptr;
}
#endif

}  // namespace weft::collectives
