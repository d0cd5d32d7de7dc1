#include "innet/packet.h"

#include <bit>

namespace weft::innet {
namespace {

static_assert(std::endian::native == std::endian::little, "load32 and store32 swap");

std::uint16_t load16(const std::uint8_t* at) noexcept {
    return static_cast<std::uint16_t>(at[0] << 8 | at[1]);
}
void store16(std::uint8_t* at, std::uint16_t half) noexcept {
    at[0] = static_cast<std::uint8_t>(half >> 8);
    at[1] = static_cast<std::uint8_t>(half);
}

}  // namespace

DecodeStatus decode(std::span<const std::uint8_t> datagram, Header& header,
                    std::span<const std::uint8_t>& payload) noexcept {
    if (datagram.size() < kHeaderSize) return DecodeStatus::kTooShort;
    const std::uint8_t* at = datagram.data();
    if (at[0] != kVersion) return DecodeStatus::kWrongVersion;
    if (at[1] < static_cast<std::uint8_t>(Kind::kAdd) ||
        at[1] > static_cast<std::uint8_t>(Kind::kWait)) {
        return DecodeStatus::kUnknownKind;
    }
    header.kind = static_cast<Kind>(at[1]);
    header.job = load16(at + 2);
    header.epoch = load32(at + 4);
    header.worker = at[8];
    header.exponent = static_cast<std::int8_t>(at[9]);
    header.slot = load16(at + 10);
    header.contributors = load16(at + 12);
    header.values = load16(at + 14);
    header.round = load32(at + 16);
    header.arrived = load32(at + 20);
    const std::size_t follow = header.kind == Kind::kWait ? 0 : std::size_t{4} * header.values;
    payload = datagram.subspan(kHeaderSize);
    return payload.size() == follow ? DecodeStatus::kOk : DecodeStatus::kWrongLength;
}

void encode(const Header& header, std::span<std::uint8_t> out) noexcept {
    std::uint8_t* at = out.data();
    at[0] = kVersion;
    at[1] = static_cast<std::uint8_t>(header.kind);
    store16(at + 2, header.job);
    store32(at + 4, header.epoch);
    at[8] = header.worker;
    at[9] = static_cast<std::uint8_t>(header.exponent);
    store16(at + 10, header.slot);
    store16(at + 12, header.contributors);
    store16(at + 14, header.values);
    store32(at + 16, header.round);
    store32(at + 20, header.arrived);
}

}  // namespace weft::innet
