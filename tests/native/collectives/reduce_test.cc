// The reduction kernels: every instruction set gives the portable one's bits, and that one agrees
// with exact arithmetic.
#include "collectives/reduce/reduce.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <complex>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "datapath/error.h"

namespace weft::collectives {
namespace {

constexpr weft_reduction kReductions[] = {WEFT_SUM,  WEFT_AVG, WEFT_PROD, WEFT_MIN,       WEFT_MAX,
                                          WEFT_BAND, WEFT_BOR, WEFT_BXOR, WEFT_PREMUL_SUM};
constexpr weft_dtype kDtypes[] = {WEFT_U8,      WEFT_I8,      WEFT_I16,  WEFT_I32, WEFT_I64,
                                  WEFT_BOOL,    WEFT_F16,     WEFT_BF16, WEFT_F32, WEFT_F64,
                                  WEFT_F8_E4M3, WEFT_F8_E5M2, WEFT_C64,  WEFT_C128};

std::size_t size_of(weft_dtype dtype) {
    constexpr std::size_t kSizes[] = {1, 1, 2, 4, 8, 1, 2, 2, 4, 8, 1, 1, 8, 16};
    return kSizes[dtype];
}

bool is_defined(weft_reduction op, weft_dtype dtype) {
    const bool fp8 = dtype == WEFT_F8_E4M3 || dtype == WEFT_F8_E5M2;
    const bool complex = dtype == WEFT_C64 || dtype == WEFT_C128;
    const bool floating =
        dtype == WEFT_F16 || dtype == WEFT_BF16 || dtype == WEFT_F32 || dtype == WEFT_F64;
    if (fp8) return false;
    if (op == WEFT_BAND || op == WEFT_BOR || op == WEFT_BXOR) return !complex && !floating;
    if (op == WEFT_MIN || op == WEFT_MAX) return !complex;
    if (op == WEFT_AVG || op == WEFT_PREMUL_SUM) return dtype != WEFT_BOOL;
    return true;
}

template <typename Visit>
void for_defined(Visit visit) {
    for (const weft_dtype dtype : kDtypes) {
        for (const weft_reduction op : kReductions) {
            if (!is_defined(op, dtype)) continue;
            CAPTURE(std::string(reduction_name(op)));
            CAPTURE(std::string(dtype_name(dtype)));
            visit(op, dtype);
        }
    }
}

std::vector<Isa> wide_isas() {
    std::vector<Isa> result;
    for (const Isa isa : {Isa::kAvx2, Isa::kAvx512}) {
        if (isa_available(isa))
            result.push_back(isa);
        else
            MESSAGE("not compared, this CPU or build has no " << isa_name(isa));
    }
    return result;
}

// Random bits, and often the values at which arithmetic is hard.
std::vector<std::byte> hard_bytes(std::mt19937_64& random, weft_dtype dtype, std::size_t count) {
    std::vector<std::byte> bytes(count * size_of(dtype));
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    const auto put = [&](auto sample) {
        using T = decltype(sample);
        for (std::size_t i = 0; i + sizeof(T) <= bytes.size(); i += sizeof(T)) {
            using Limits = std::numeric_limits<T>;
            const T specials[] = {T(0),
                                  -T(0),
                                  Limits::infinity(),
                                  -Limits::infinity(),
                                  Limits::quiet_NaN(),
                                  -Limits::quiet_NaN(),
                                  Limits::denorm_min(),
                                  -Limits::denorm_min(),
                                  Limits::min(),
                                  Limits::max(),
                                  T(1),
                                  T(-1)};
            if (random() % 2 == 0)
                std::memcpy(bytes.data() + i, &specials[random() % std::size(specials)], sizeof(T));
        }
    };
    if (dtype == WEFT_F32 || dtype == WEFT_C64) put(float{});
    if (dtype == WEFT_F64 || dtype == WEFT_C128) put(double{});
    if (dtype == WEFT_F16 || dtype == WEFT_BF16) {
        const std::uint16_t f16[] = {0, 0x8000, 0x7c00, 0xfc00, 0x7e00, 0xfe01, 0x7c01,
                                     1, 0x8001, 0x3ff,  0x400,  0x7bff, 0x3c00};
        const std::uint16_t bf16[] = {0, 0x8000, 0x7f80, 0xff80, 0x7fc0, 0xffc1, 0x7f81,
                                      1, 0x8001, 0x7f,   0x80,   0x7f7f, 0x3f80};
        const std::uint16_t* const specials = dtype == WEFT_F16 ? f16 : bf16;
        for (std::size_t i = 0; i + 2 <= bytes.size(); i += 2) {
            if (random() % 2 == 0)
                std::memcpy(bytes.data() + i, &specials[random() % std::size(f16)], 2);
        }
    }
    return bytes;
}

TEST_CASE("all instruction sets give the portable kernels' bits, at every length and alignment") {
    std::mt19937_64 random(1);
    for (const Isa isa : wide_isas()) {
        CAPTURE(std::string(isa_name(isa)));
        for_defined([&](weft_reduction op, weft_dtype dtype) {
            for (const std::size_t count :
                 {0U, 1U, 3U, 7U, 8U, 15U, 16U, 17U, 31U, 64U, 65U, 255U, 256U, 257U, 1000U}) {
                const std::vector<std::byte> a = hard_bytes(random, dtype, count + 1);
                const std::vector<std::byte> b = hard_bytes(random, dtype, count + 1);
                std::vector<std::byte> wanted(a.size() + 1);
                std::vector<std::byte> got(a.size() + 1);
                const std::size_t shift = random() % (size_of(dtype) + 1);  // any alignment
                combine_function(op, dtype, Isa::kPortable)(wanted.data() + 1, a.data() + shift,
                                                            b.data(), count);
                combine_function(op, dtype, isa)(got.data() + 1, a.data() + shift, b.data(), count);
                REQUIRE(got == wanted);
            }
        });
    }
}

TEST_CASE("operands may be swapped, and the result may replace either") {
    std::mt19937_64 random(2);
    for_defined([&](weft_reduction op, weft_dtype dtype) {
        const std::size_t count = 999;
        const std::vector<std::byte> a = hard_bytes(random, dtype, count);
        const std::vector<std::byte> b = hard_bytes(random, dtype, count);
        std::vector<std::byte> forward(a.size());
        std::vector<std::byte> backward(a.size());
        const CombineFunction function = combine_function(op, dtype);
        function(forward.data(), a.data(), b.data(), count);
        function(backward.data(), b.data(), a.data(), count);
        REQUIRE(forward == backward);
        std::vector<std::byte> in_a = a;
        std::vector<std::byte> in_b = b;
        function(in_a.data(), in_a.data(), b.data(), count);
        function(in_b.data(), a.data(), in_b.data(), count);
        REQUIRE(in_a == forward);
        REQUIRE(in_b == forward);
        std::vector<std::byte> reduced = a;
        reduce(op, dtype, reduced.data(), b.data(), count);
        REQUIRE(reduced == forward);
    });
}

template <typename T>
T combined(weft_reduction op, weft_dtype dtype, T a, T b) {
    T out{};
    combine_function(op, dtype, Isa::kPortable)(reinterpret_cast<std::byte*>(&out),
                                                reinterpret_cast<const std::byte*>(&a),
                                                reinterpret_cast<const std::byte*>(&b), 1);
    return out;
}

template <typename T>
void check_integers(weft_dtype dtype, std::mt19937_64& random) {
    for (int i = 0; i < 2000; ++i) {
        const T a = static_cast<T>(random());
        const T b = i % 3 == 0 ? std::numeric_limits<T>::min() : static_cast<T>(random());
        const auto wide = [](T value) { return static_cast<std::uint64_t>(value); };
        REQUIRE(combined(WEFT_SUM, dtype, a, b) == static_cast<T>(wide(a) + wide(b)));
        REQUIRE(combined(WEFT_PROD, dtype, a, b) == static_cast<T>(wide(a) * wide(b)));
        REQUIRE(combined(WEFT_MIN, dtype, a, b) == std::min(a, b));
        REQUIRE(combined(WEFT_MAX, dtype, a, b) == std::max(a, b));
        REQUIRE(combined(WEFT_BAND, dtype, a, b) == static_cast<T>(a & b));
        REQUIRE(combined(WEFT_BOR, dtype, a, b) == static_cast<T>(a | b));
        REQUIRE(combined(WEFT_BXOR, dtype, a, b) == static_cast<T>(a ^ b));
    }
}

TEST_CASE("integers wrap around, bools are logical") {
    std::mt19937_64 random(3);
    check_integers<std::uint8_t>(WEFT_U8, random);
    check_integers<std::int8_t>(WEFT_I8, random);
    check_integers<std::int16_t>(WEFT_I16, random);
    check_integers<std::int32_t>(WEFT_I32, random);
    check_integers<std::int64_t>(WEFT_I64, random);
    constexpr std::uint8_t kBytes[] = {0, 1, 2, 255};
    for (const std::uint8_t a : kBytes) {
        for (const std::uint8_t b : kBytes) {
            for (const weft_reduction op : {WEFT_SUM, WEFT_MAX, WEFT_BOR})
                CHECK((combined(op, WEFT_BOOL, a, b) == 1) == (a || b));
            for (const weft_reduction op : {WEFT_PROD, WEFT_MIN, WEFT_BAND})
                CHECK((combined(op, WEFT_BOOL, a, b) == 1) == (a && b));
            CHECK(combined(WEFT_BXOR, WEFT_BOOL, a, b) == (!a != !b));
        }
    }
}

// What one op must give: exact (double is wide enough for one op on two floats), then rounded by
// the caller.
double exact(weft_reduction op, double a, double b) {
    if (op == WEFT_SUM) return a + b;
    if (op == WEFT_PROD) return a * b;
    if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<double>::quiet_NaN();
    if (a == b) return (op == WEFT_MIN) == std::signbit(a) ? a : b;
    return (a < b) == (op == WEFT_MIN) ? a : b;
}

constexpr weft_reduction kArithmetic[] = {WEFT_SUM, WEFT_PROD, WEFT_MIN, WEFT_MAX};

TEST_CASE("f32 and f64 are rounded once; NaN is canonical and wins") {
    std::mt19937_64 random(4);
    const std::vector<std::byte> bytes = hard_bytes(random, WEFT_F32, 40000);
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), bytes.size());
    for (std::size_t i = 0; i + 1 < values.size(); i += 2) {
        for (const weft_reduction op : kArithmetic) {
            const float got = combined(op, WEFT_F32, values[i], values[i + 1]);
            const auto wanted = static_cast<float>(exact(op, values[i], values[i + 1]));
            const std::uint32_t bits =
                std::isnan(wanted) ? 0x7fc00000 : std::bit_cast<std::uint32_t>(wanted);
            CAPTURE(values[i]);
            CAPTURE(values[i + 1]);
            REQUIRE(std::bit_cast<std::uint32_t>(got) == bits);
            const double wide = combined(op, WEFT_F64, static_cast<double>(values[i]),
                                         static_cast<double>(values[i + 1]));
            const double wide_wanted = exact(op, values[i], values[i + 1]);
            const std::uint64_t wide_bits = std::isnan(wide_wanted)
                                                ? 0x7ff8000000000000
                                                : std::bit_cast<std::uint64_t>(wide_wanted);
            REQUIRE(std::bit_cast<std::uint64_t>(wide) == wide_bits);
        }
    }
    CHECK(std::signbit(combined(WEFT_MIN, WEFT_F32, 0.0F, -0.0F)));
    CHECK(!std::signbit(combined(WEFT_MAX, WEFT_F32, -0.0F, 0.0F)));
}

// A 16-bit floating point format, straight from the definition.
struct Format {
    int exponent_bits;
    int fraction_bits;

    double decode(std::uint16_t code) const {
        const int exponent = code >> fraction_bits & ((1 << exponent_bits) - 1);
        const int fraction = code & ((1 << fraction_bits) - 1);
        const int bias = (1 << (exponent_bits - 1)) - 1;
        const double sign = code >> 15 != 0 ? -1.0 : 1.0;
        if (exponent == (1 << exponent_bits) - 1) {
            return fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                                 : sign * std::numeric_limits<double>::infinity();
        }
        const double digits = fraction + (exponent > 0 ? 1 << fraction_bits : 0);
        return sign * std::ldexp(digits, std::max(exponent, 1) - bias - fraction_bits);
    }

    // To the nearest code, ties to the even one; beyond the last by half a step: infinity.
    std::uint16_t encode(double value) const {
        const auto infinity =
            static_cast<std::uint16_t>(((1 << exponent_bits) - 1) << fraction_bits);
        if (std::isnan(value))
            return static_cast<std::uint16_t>(infinity | 1 << (fraction_bits - 1));
        const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? 0x8000 : 0);
        std::uint16_t low = 0;  // positive codes are in the order of their values
        std::uint16_t high = infinity;
        while (high - low > 1) {
            const auto middle = static_cast<std::uint16_t>((low + high) / 2);
            (decode(middle) <= std::abs(value) ? low : high) = middle;
        }
        if (std::abs(value) == decode(infinity)) return static_cast<std::uint16_t>(sign | infinity);
        const double above = high == infinity
                                 ? 2 * decode(low) - decode(static_cast<std::uint16_t>(low - 1))
                                 : decode(high);
        const double half_way = (decode(low) + above) / 2;
        const bool up = std::abs(value) > half_way || (std::abs(value) == half_way && low % 2 == 1);
        return static_cast<std::uint16_t>(sign | (up ? high : low));
    }
};

void check_half(weft_dtype dtype, const Format& format, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    for (std::uint32_t code = 0; code <= 0xffff; ++code) {
        const auto own = static_cast<std::uint16_t>(code);
        CAPTURE(code);
        REQUIRE(combined(WEFT_MIN, dtype, own, own) ==
                format.encode(format.decode(own)));  // widened and narrowed
        for (const weft_reduction op : kArithmetic) {
            const auto other = static_cast<std::uint16_t>(random());
            CAPTURE(other);
            REQUIRE(combined(op, dtype, own, other) ==
                    format.encode(exact(op, format.decode(own), format.decode(other))));
        }
    }
}

TEST_CASE("f16: all 65536 values, correctly rounded") {
    check_half(WEFT_F16, {5, 10}, 5);
}

TEST_CASE("bf16: all 65536 values, correctly rounded") {
    check_half(WEFT_BF16, {8, 7}, 6);
}

TEST_CASE("complex numbers are summed by parts and multiplied without fusing") {
    const std::complex<double> a(1.5, -2.0);
    const std::complex<double> b(0.25, 3.0);
    CHECK(combined(WEFT_SUM, WEFT_C128, a, b) == std::complex<double>(1.75, 1.0));
    CHECK(combined(WEFT_PROD, WEFT_C128, a, b) ==
          std::complex<double>(1.5 * 0.25 + 6.0, 4.5 - 0.5));
    const std::complex<float> c(3.0F, 4.0F);
    CHECK(combined(WEFT_PROD, WEFT_C64, c, c) == std::complex<float>(-7.0F, 24.0F));
}

TEST_CASE("averages divide and premultiplication scales, alike on all instruction sets") {
    std::mt19937_64 random(7);
    for (const weft_dtype dtype : kDtypes) {
        if (!is_defined(WEFT_AVG, dtype)) continue;
        CAPTURE(std::string(dtype_name(dtype)));
        const std::vector<std::byte> in = hard_bytes(random, dtype, 777);
        std::vector<std::byte> wanted(in.size());
        std::vector<std::byte> got(in.size());
        for (const Isa isa : wide_isas()) {
            divide_function(dtype, Isa::kPortable)(wanted.data(), in.data(), 300, 777);
            divide_function(dtype, isa)(got.data(), in.data(), 300, 777);
            REQUIRE(got == wanted);
            scale_function(dtype, Isa::kPortable)(wanted.data(), in.data(), -3.0, 777);
            scale_function(dtype, isa)(got.data(), in.data(), -3.0, 777);
            REQUIRE(got == wanted);
        }
    }
    float value = 10.0F;
    const auto bytes = [](auto* pointer) { return reinterpret_cast<std::byte*>(pointer); };
    divide_function(WEFT_F32)(bytes(&value), bytes(&value), 3, 1);
    CHECK(value == 10.0F / 3.0F);
    std::int32_t whole = -7;
    divide_function(WEFT_I32)(bytes(&whole), bytes(&whole), 2, 1);
    CHECK(whole == -3);
    std::uint8_t small = 255;
    divide_function(WEFT_U8)(bytes(&small), bytes(&small), 300, 1);
    CHECK(small == 0);
    std::complex<double> number(1.0, -2.0);
    scale_function(WEFT_C128)(bytes(&number), bytes(&number), 0.5, 1);
    CHECK(number == std::complex<double>(0.5, -1.0));
}

TEST_CASE("what has no meaning is refused with a reason") {
    const auto message_of = [](auto call) {
        try {
            call();
        } catch (const Error& error) {
            CHECK(error.info()->status == WEFT_ERR_UNSUPPORTED);
            return std::string(error.what());
        }
        return std::string("nothing was thrown");
    };
    for (const weft_dtype dtype : kDtypes) {
        for (const weft_reduction op : kReductions) {
            if (is_defined(op, dtype))
                CHECK_NOTHROW(combine_function(op, dtype));
            else
                CHECK(message_of([&] { combine_function(op, dtype); }).find(dtype_name(dtype)) !=
                      std::string::npos);
        }
    }
    CHECK(message_of([] { combine_function(WEFT_SUM, WEFT_F8_E4M3); }).find("transport only") !=
          std::string::npos);
    CHECK(message_of([] { divide_function(WEFT_BOOL); }).find("avg") != std::string::npos);
    CHECK_THROWS_AS(combine_function(static_cast<weft_reduction>(15), WEFT_F32), Error);
}

}  // namespace
}  // namespace weft::collectives
