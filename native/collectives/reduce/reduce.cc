#include "collectives/reduce/reduce.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <array>
#include <string>

#include "collectives/reduce/kernels.h"
#include "datapath/error.h"

namespace weft::collectives {

namespace {

constexpr std::array<std::string_view, kReductions> kReductionNames = {
    "sum", "avg", "prod", "min", "max", "band", "bor", "bxor", "premul_sum"};
constexpr std::array<std::string_view, kDtypes> kDtypeNames = {
    "u8",   "i8",  "i16", "i32",     "i64",     "bool", "f16",
    "bf16", "f32", "f64", "f8_e4m3", "f8_e5m2", "c64",  "c128"};

const Kernels* kernels_for(Isa isa) noexcept {
    switch (isa) {
        case Isa::kPortable:
            return portable_kernels();
        case Isa::kAvx2:
            return avx2_kernels();
        case Isa::kAvx512:
            return avx512_kernels();
    }
    return nullptr;
}

#if defined(__x86_64__)
// Older compilers' __builtin_cpu_supports does not know this one.
bool has_f16c() noexcept {
    unsigned int eax = 0;
    unsigned int ebx = 0;
    unsigned int ecx = 0;
    unsigned int edx = 0;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}
#endif

bool cpu_can(Isa isa) noexcept {
#if defined(__x86_64__)
    switch (isa) {
        case Isa::kPortable:
            return true;
        case Isa::kAvx2:
            return __builtin_cpu_supports("avx2") && has_f16c();
        case Isa::kAvx512:
            return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    }
    return false;
#else
    return isa == Isa::kPortable;
#endif
}

const Kernels& available_kernels(Isa isa) {
    if (!isa_available(isa)) {
        throw Error(WEFT_ERR_UNSUPPORTED,
                    "this build or CPU has no " + std::string(isa_name(isa)) + " kernels");
    }
    return *kernels_for(isa);
}

void check_dtype(weft_dtype dtype) {
    if (dtype < 0 || dtype >= kDtypes)
        throw Error(WEFT_ERR_INVALID, "there is no data type " + std::to_string(dtype));
}

[[noreturn]] void refuse(std::string_view what, weft_dtype dtype) {
    std::string message =
        std::string(what) + " is not defined for " + std::string(dtype_name(dtype));
    if (dtype == WEFT_F8_E4M3 || dtype == WEFT_F8_E5M2)
        message += ": fp8 is for transport only; reduce in f16, bf16 or f32";
    if (dtype == WEFT_C64 || dtype == WEFT_C128)
        message += ": complex numbers can be summed, averaged, scaled and multiplied";
    if (dtype == WEFT_BOOL) message += ": take a wider type, or bor, band, bxor";
    throw Error(WEFT_ERR_UNSUPPORTED, message);
}

}  // namespace

std::string_view isa_name(Isa isa) noexcept {
    constexpr std::array<std::string_view, 3> kNames = {"portable", "avx2", "avx512"};
    return kNames[static_cast<std::size_t>(isa)];
}

bool isa_available(Isa isa) noexcept {
    return kernels_for(isa) != nullptr && cpu_can(isa);
}

Isa best_isa() noexcept {
    static const Isa best = isa_available(Isa::kAvx512) ? Isa::kAvx512
                            : isa_available(Isa::kAvx2) ? Isa::kAvx2
                                                        : Isa::kPortable;
    return best;
}

CombineFunction combine_function(weft_reduction op, weft_dtype dtype, Isa isa) {
    check_dtype(dtype);
    if (op < 0 || op >= kReductions)
        throw Error(WEFT_ERR_INVALID, "there is no reduction " + std::to_string(op));
    const CombineFunction function = available_kernels(isa).combine[op][dtype];
    if (function == nullptr) refuse("reduction " + std::string(reduction_name(op)), dtype);
    return function;
}

ScaleFunction scale_function(weft_dtype dtype, Isa isa) {
    check_dtype(dtype);
    const ScaleFunction function = available_kernels(isa).scale[dtype];
    if (function == nullptr) refuse("scaling (premul_sum)", dtype);
    return function;
}

DivideFunction divide_function(weft_dtype dtype, Isa isa) {
    check_dtype(dtype);
    const DivideFunction function = available_kernels(isa).divide[dtype];
    if (function == nullptr) refuse("averaging (avg)", dtype);
    return function;
}

void reduce(weft_reduction op, weft_dtype dtype, std::byte* dst, const std::byte* src,
            std::size_t count) {
    combine_function(op, dtype)(dst, dst, src, count);
}

std::string_view reduction_name(weft_reduction op) noexcept {
    return kReductionNames[static_cast<std::size_t>(op)];
}

std::string_view dtype_name(weft_dtype dtype) noexcept {
    return kDtypeNames[static_cast<std::size_t>(dtype)];
}

}  // namespace weft::collectives
