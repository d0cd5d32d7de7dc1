// How fast the reduction kernels are: dst = dst op src in GB/s of dst, per type and instruction
// set, for operands in the second-level cache and in memory. One line each; best of several short
// runs.
#include "collectives/reduce/reduce.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

namespace {

using weft::collectives::CombineFunction;
using weft::collectives::Isa;

double gigabytes_per_second(CombineFunction function, std::size_t bytes, std::size_t element) {
    std::vector<std::byte> dst(bytes, std::byte{0});
    const std::vector<std::byte> src(bytes, std::byte{0});
    const int repeats = static_cast<int>(std::max<std::size_t>(1, (std::size_t{32} << 20) / bytes));
    double best = 0;
    for (int run = 0; run < 5; ++run) {
        const auto start = std::chrono::steady_clock::now();
        for (int i = 0; i < repeats; ++i)
            function(dst.data(), dst.data(), src.data(), bytes / element);
        const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
        best = std::max(best, static_cast<double>(bytes) * repeats / taken.count() / 1e9);
    }
    return best;
}

}  // namespace

int main() {
    struct Case {
        weft_reduction op;
        weft_dtype dtype;
        std::size_t element;
    };
    constexpr Case kCases[] = {
        {WEFT_SUM, WEFT_F32, 4},  {WEFT_SUM, WEFT_F64, 8},  {WEFT_SUM, WEFT_F16, 2},
        {WEFT_SUM, WEFT_BF16, 2}, {WEFT_MIN, WEFT_F32, 4},  {WEFT_SUM, WEFT_I32, 4},
        {WEFT_SUM, WEFT_U8, 1},   {WEFT_PROD, WEFT_I64, 8}, {WEFT_PROD, WEFT_C64, 8}};
    std::printf("%-6s %-5s %-9s %14s %14s\n", "op", "type", "isa", "256 KiB GB/s", "64 MiB GB/s");
    for (const Case& each : kCases) {
        for (const Isa isa : {Isa::kPortable, Isa::kAvx2, Isa::kAvx512}) {
            if (!weft::collectives::isa_available(isa)) continue;
            const CombineFunction function =
                weft::collectives::combine_function(each.op, each.dtype, isa);
            std::printf("%-6s %-5s %-9s %14.1f %14.1f\n",
                        weft::collectives::reduction_name(each.op).data(),
                        weft::collectives::dtype_name(each.dtype).data(),
                        weft::collectives::isa_name(isa).data(),
                        gigabytes_per_second(function, std::size_t{256} << 10, each.element),
                        gigabytes_per_second(function, std::size_t{64} << 20, each.element));
        }
    }
    return 0;
}
