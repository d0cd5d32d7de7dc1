// The packet parser: any bytes are read without harm, and whatever decodes encodes to the same
// bytes again.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "wire/packet.h"

namespace {

using namespace weft::wire;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

void check_round_trip(std::span<const std::uint8_t> bytes, const Packet& packet,
                      std::span<const std::uint8_t> payload) {
    std::vector<std::uint8_t> again(encoded_size(packet));
    require(encode(packet, again) == again.size());
    require(again.size() + payload.size() == bytes.size());
    for (std::size_t i = 0; i < again.size(); ++i) {
        const bool checksum = i >= 16 && i < 20;
        require(checksum || again[i] == bytes[i]);
    }
    require(packet.kind != PacketKind::kData ||
            packet.data.offset + packet.data.length <= packet.data.size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // A copy of exactly this size, so that the address sanitizer sees the first byte read beyond
    // it.
    std::vector<std::uint8_t> bytes(data, data + size);
    Packet packet;
    std::span<const std::uint8_t> payload;
    for (const bool header_only : {false, true}) {
        decode(bytes, packet, payload, ChecksumRule::kRequired, header_only);
        const auto status = decode(bytes, packet, payload, ChecksumRule::kIfPresent, header_only);
        if (status == DecodeStatus::kOk && !header_only) {
            check_round_trip(bytes, packet, payload);
        }
    }
    peek_route(bytes);
    // Sealed as they are, the same bytes pass the checksum and come to the checks behind it.
    if (size >= kCommonHeaderSize) {
        seal(bytes, {});
        const auto status = decode(bytes, packet, payload, ChecksumRule::kRequired);
        require(status != DecodeStatus::kCorrupt && status != DecodeStatus::kUnsealed);
    }
    return 0;
}
