// The aggregation protocol's packets, as p4/programs/aggregation/allreduce.p4 parses them: what
// follows the UDP header. Big-endian, a header of 24 bytes and, in all kinds but kWait, as many
// signed 32 bit values as it says: a job's number of them, or none. decode() trusts nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace weft::innet {

constexpr std::uint16_t kPort = 22353;  // of the switch
constexpr std::uint8_t kVersion = 3;
constexpr std::size_t kHeaderSize = 24;
constexpr std::uint16_t kMaxWorkers = 32;  // of one switch: a worker is a bit of a 32 bit word
constexpr std::uint16_t kMaxValues = 256;  // per packet

enum class Kind : std::uint8_t { kAdd = 1, kResult = 2, kClose = 3, kWait = 4 };

struct Header {
    Kind kind = Kind::kAdd;
    std::uint16_t job = 0;
    std::uint32_t epoch = 0;
    std::uint8_t worker = 0;
    std::int8_t exponent = 0;  // of the block that this slot carries next
    std::uint16_t slot = 0;
    std::uint16_t contributors = 1;  // how many workers the values are the sum of
    std::uint16_t values = 0;        // how many follow (in kWait: would)
    std::uint32_t round = 0;         // of the slot; wraps
    std::uint32_t arrived = 0;       // answers: which workers of this switch came
    bool operator==(const Header&) const = default;
};

constexpr std::size_t packet_size(std::uint16_t values) noexcept {
    return kHeaderSize + std::size_t{4} * values;
}

enum class DecodeStatus : std::uint8_t {
    kOk,
    kTooShort,
    kWrongVersion,
    kUnknownKind,
    kWrongLength
};

// `payload` then holds 4 * header.values bytes (none in kWait).
DecodeStatus decode(std::span<const std::uint8_t> datagram, Header& header,
                    std::span<const std::uint8_t>& payload) noexcept;
// Needs kHeaderSize bytes.
void encode(const Header& header, std::span<std::uint8_t> out) noexcept;

inline std::uint32_t load32(const std::uint8_t* at) noexcept {
    std::uint32_t word;
    __builtin_memcpy(&word, at, sizeof word);
    return __builtin_bswap32(word);
}
inline void store32(std::uint8_t* at, std::uint32_t word) noexcept {
    word = __builtin_bswap32(word);
    __builtin_memcpy(at, &word, sizeof word);
}

}  // namespace weft::innet
