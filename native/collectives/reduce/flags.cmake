# Per-file flags of the reduction kernels, to be included before the collectives library is defined.
# -ffp-contract=off: FMAs would round otherwise than the portable kernels do, and all must give the same bits.
# -O3: the loops are written to be vectorised, in every build type.
set(weft_kernels ${CMAKE_CURRENT_LIST_DIR}/kernels_)
set(weft_kernel_flags -O3 -ffp-contract=off -fno-trapping-math)
set_property(SOURCE ${weft_kernels}portable.cc APPEND PROPERTY COMPILE_OPTIONS ${weft_kernel_flags})
set_property(SOURCE ${weft_kernels}avx2.cc APPEND PROPERTY COMPILE_OPTIONS ${weft_kernel_flags})
set_property(SOURCE ${weft_kernels}avx512.cc APPEND PROPERTY COMPILE_OPTIONS ${weft_kernel_flags})
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set_property(SOURCE ${weft_kernels}avx2.cc APPEND PROPERTY COMPILE_OPTIONS -mavx2 -mf16c)
  set_property(SOURCE ${weft_kernels}avx512.cc APPEND PROPERTY COMPILE_OPTIONS
    -mavx512f -mavx512bw -mavx512dq -mavx512vl -mf16c -mprefer-vector-width=512)
endif()
