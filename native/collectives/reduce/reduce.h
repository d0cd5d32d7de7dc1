// Element-wise reduction: out = a op b, and the scalings of AVG and PREMUL_SUM.
//
// Exactness, which the collectives' promise of bit-identical results rests on:
//  - Every implementation (portable, AVX2, AVX-512) gives the same bits as the others, for all
//  inputs.
//  - a op b and b op a have the same bits, so only the tree of a reduction matters, not the order
//  of the two operands: NaN
//    results are the one canonical quiet NaN, min(-0, +0) is -0 and max(-0, +0) is +0, and products
//    are never fused into FMAs.
//  - MIN and MAX propagate NaN (as torch does).
//  - f16 and bf16 are widened to f32, combined, and rounded to nearest even once per op. f32 and
//  f64 are combined as such.
//  - Integers wrap around. bool: SUM, MAX, BOR are "or"; PROD, MIN, BAND "and"; BXOR "exclusive
//  or"; nonzero counts as true.
//  - SUM, AVG and PREMUL_SUM combine alike; AVG divides at the end, PREMUL_SUM scales each input
//  before.
#pragma once

#include <cstddef>
#include <string_view>

#include "weft/weft.h"

namespace weft::collectives {

// out[i] = a[i] op b[i] for `count` elements. out may be a or b (but not overlap them otherwise).
// No alignment is needed.
using CombineFunction = void (*)(std::byte* out, const std::byte* a, const std::byte* b,
                                 std::size_t count) noexcept;
// out[i] = in[i] * factor, rounded to the type once; integers by the factor's integer part. out may
// be in.
using ScaleFunction = void (*)(std::byte* out, const std::byte* in, double factor,
                               std::size_t count) noexcept;
// out[i] = in[i] / divisor (> 0); integers truncate towards zero. out may be in.
using DivideFunction = void (*)(std::byte* out, const std::byte* in, std::size_t divisor,
                                std::size_t count) noexcept;

enum class Isa : unsigned char { kPortable, kAvx2, kAvx512 };
std::string_view isa_name(Isa isa) noexcept;
// Built in, and this CPU can.
bool isa_available(Isa isa) noexcept;
// The widest that is available; found out once.
Isa best_isa() noexcept;

// All throw Error(UNSUPPORTED), which says why, where an operation has no meaning for a type (fp8
// is for transport only, no bitwise operations on floating point, no order of complex numbers, no
// average of bools).
CombineFunction combine_function(weft_reduction op, weft_dtype dtype, Isa isa = best_isa());
ScaleFunction scale_function(weft_dtype dtype, Isa isa = best_isa());
DivideFunction divide_function(weft_dtype dtype, Isa isa = best_isa());

// dst = dst op src. Looks the function up each time: for one-off use.
void reduce(weft_reduction op, weft_dtype dtype, std::byte* dst, const std::byte* src,
            std::size_t count);

std::string_view reduction_name(weft_reduction op) noexcept;  // "sum", ...
std::string_view dtype_name(weft_dtype dtype) noexcept;       // "f32", ...

}  // namespace weft::collectives
