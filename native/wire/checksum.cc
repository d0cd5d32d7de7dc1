// CRC-32C by the SSE4.2 instruction where the processor has it, by slicing tables where not.
#include "wire/checksum.h"

#include <array>
#include <cstddef>
#include <cstring>

namespace weft::wire {
namespace {

using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

// tables[k][b]: what byte b does to the CRC when k further bytes follow it ("slicing by 8",
// Kounavis and Berry, ISCC 2005).
constexpr Tables make_tables() {
    constexpr std::uint32_t kReversedPolynomial = 0x82F63B78;
    Tables tables{};
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
        std::uint32_t crc = byte;
        for (int bit = 0; bit < 8; ++bit) {
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? kReversedPolynomial : 0);
        }
        tables[0][byte] = crc;
    }
    for (std::size_t k = 1; k < 8; ++k) {
        for (std::size_t byte = 0; byte < 256; ++byte) {
            const std::uint32_t crc = tables[k - 1][byte];
            tables[k][byte] = (crc >> 8) ^ tables[0][crc & 0xFF];
        }
    }
    return tables;
}

constexpr Tables kTables = make_tables();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t crc32c_sse42(std::uint32_t before,
                                                             std::span<const std::uint8_t> bytes) {
    std::uint64_t crc = ~before;
    const std::uint8_t* at = bytes.data();
    std::size_t left = bytes.size();
    for (; left >= 8; left -= 8, at += 8) {
        std::uint64_t word;
        std::memcpy(&word, at, 8);
        crc = __builtin_ia32_crc32di(crc, word);
    }
    std::uint32_t tail = static_cast<std::uint32_t>(crc);
    for (; left > 0; --left, ++at) {
        tail = __builtin_ia32_crc32qi(tail, *at);
    }
    return ~tail;
}
#endif

}  // namespace

std::uint32_t crc32c_portable(std::uint32_t before, std::span<const std::uint8_t> bytes) {
    std::uint32_t crc = ~before;
    const std::uint8_t* at = bytes.data();
    std::size_t left = bytes.size();
    for (; left >= 8; left -= 8, at += 8) {
        std::uint32_t next = 0;
        for (std::size_t i = 0; i < 4; ++i) {
            next ^= kTables[7 - i][at[i] ^ ((crc >> (8 * i)) & 0xFF)];
            next ^= kTables[3 - i][at[4 + i]];
        }
        crc = next;
    }
    for (; left > 0; --left, ++at) {
        crc = (crc >> 8) ^ kTables[0][(crc ^ *at) & 0xFF];
    }
    return ~crc;
}

std::uint32_t crc32c(std::uint32_t before, std::span<const std::uint8_t> bytes) {
#if defined(__x86_64__)
    static const bool has_instruction = __builtin_cpu_supports("sse4.2") != 0;
    if (has_instruction) {
        return crc32c_sse42(before, bytes);
    }
#endif
    return crc32c_portable(before, bytes);
}

}  // namespace weft::wire
