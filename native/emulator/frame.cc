#include "emulator/frame.h"

#include <algorithm>
#include <cstring>

#include "fabric/ecmp.h"
#include "fabric/random.h"

namespace weft::emulator {
namespace {

constexpr std::uint16_t kTypeIpv4 = 0x0800;
constexpr std::uint16_t kTypeArp = 0x0806;
constexpr std::uint16_t kTypeIpv6 = 0x86DD;
constexpr std::uint8_t kProtocolTcp = 6;
constexpr std::uint8_t kProtocolUdp = 17;
constexpr std::uint8_t kProtocolIcmpv6 = 58;
constexpr std::uint8_t kNeighbourSolicitationType = 135;
constexpr std::size_t kIpv4Header = 20;
constexpr std::size_t kIpv6Header = 40;
constexpr std::size_t kUdpHeader = 8;

std::uint16_t load16(ConstBytes bytes, std::size_t at) {
    return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

std::uint32_t load32(ConstBytes bytes, std::size_t at) {
    return std::uint32_t{load16(bytes, at)} << 16 | load16(bytes, at + 2);
}

void store16(Bytes bytes, std::size_t at, std::uint16_t value) {
    bytes[at] = static_cast<std::uint8_t>(value >> 8);
    bytes[at + 1] = static_cast<std::uint8_t>(value);
}

// The Internet checksum (RFC 1071), not yet folded.
std::uint64_t sum(ConstBytes bytes, std::uint64_t start = 0) {
    std::uint64_t total = start;
    std::size_t at = 0;
    for (; at + 1 < bytes.size(); at += 2) total += load16(bytes, at);
    if (at < bytes.size()) total += std::uint64_t{bytes[at]} << 8;
    return total;
}

std::uint16_t fold(std::uint64_t total) {
    while (total >> 16 != 0) total = (total & 0xFFFF) + (total >> 16);
    return static_cast<std::uint16_t>(~total);
}

// Ports of TCP and UDP, 0 for what has none.
std::uint32_t ports(ConstBytes frame, FrameView& view, std::size_t transport) {
    const bool has_ports = view.protocol == kProtocolTcp || view.protocol == kProtocolUdp;
    if (!has_ports || frame.size() < transport + kUdpHeader) return 0;
    view.transport = static_cast<std::uint16_t>(transport);
    view.trimmable = view.protocol == kProtocolUdp;
    return load32(frame, transport);
}

void parse_ipv4(ConstBytes frame, FrameView& view) {
    const std::size_t at = view.network;
    if (frame.size() < at + kIpv4Header || frame[at] >> 4 != 4) return;
    const std::size_t header = std::size_t{frame[at] & 0x0FU} * 4;
    if (header < kIpv4Header || frame.size() < at + header) return;
    view.kind = FrameKind::kIpv4;
    view.ecn_capable = (frame[at + 1] & 3) == 1 || (frame[at + 1] & 3) == 2;
    view.protocol = frame[at + 9];
    view.ipv4 = load32(frame, at + 16);
    // Fragments but the first carry no ports, so that no fragment may be told by them.
    const bool fragment = (load16(frame, at + 6) & 0x3FFF) != 0;
    const std::uint32_t flow = fragment ? 0 : ports(frame, view, at + header);
    const std::uint64_t addresses = std::uint64_t{load32(frame, at + 12)} << 32 | view.ipv4;
    view.entropy = fabric::flow_entropy(addresses, flow, view.protocol);
}

void parse_ipv6(ConstBytes frame, FrameView& view) {
    const std::size_t at = view.network;
    if (frame.size() < at + kIpv6Header || frame[at] >> 4 != 6) return;
    view.kind = FrameKind::kIpv6;
    const unsigned ecn = frame[at + 1] >> 4 & 3U;
    view.ecn_capable = ecn == 1 || ecn == 2;
    view.protocol = frame[at + 6];  // extension headers count as a protocol without ports
    std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(at) + 24, 16, view.ipv6.begin());
    const std::size_t transport = at + kIpv6Header;
    const std::uint32_t flow = ports(frame, view, transport);
    std::uint64_t addresses = 0;
    for (std::size_t i = 8; i < kIpv6Header; i += 8) {
        addresses = fabric::mix(
            addresses ^ (std::uint64_t{load32(frame, at + i)} << 32 | load32(frame, at + i + 4)));
    }
    view.entropy = fabric::flow_entropy(addresses, flow, view.protocol);
    if (view.protocol == kProtocolIcmpv6 && frame.size() >= transport + 24 &&
        frame[transport] == kNeighbourSolicitationType) {
        view.kind = FrameKind::kNeighbourSolicitation;
    }
}

// Sum of the pseudo-header that TCP and UDP checksum with their own bytes (RFC 768, RFC 8200).
std::uint64_t pseudo_header(ConstBytes frame, const FrameView& view, std::size_t length) {
    const std::size_t at = view.network;
    const ConstBytes addresses =
        view.kind == FrameKind::kIpv4 ? frame.subspan(at + 12, 8) : frame.subspan(at + 8, 32);
    return sum(addresses, view.protocol + length);
}

}  // namespace

FrameView parse(ConstBytes frame) {
    FrameView view;
    if (frame.size() < kEthernetHeader) return view;
    std::copy_n(frame.begin(), 6, view.destination.begin());
    view.network = kEthernetHeader;
    switch (load16(frame, 12)) {
        case kTypeIpv4:
            parse_ipv4(frame, view);
            break;
        case kTypeIpv6:
            parse_ipv6(frame, view);
            break;
        case kTypeArp:
            view.kind = FrameKind::kArp;
            break;
        default:
            view.entropy = fabric::flow_entropy(load32(frame, 0), load32(frame, 8), 0);
            break;
    }
    return view;
}

void mark_congestion(Bytes frame, const FrameView& view) {
    const std::size_t at = view.network;
    if (view.kind == FrameKind::kIpv6) {
        frame[at + 1] |= 0x30;
    } else if (view.kind == FrameKind::kIpv4) {
        const std::uint16_t before = load16(frame, at);
        frame[at + 1] |= 3;
        const std::uint64_t total =
            std::uint64_t{static_cast<std::uint16_t>(~load16(frame, at + 10))} +
            static_cast<std::uint16_t>(~before) + load16(frame, at);
        store16(frame, at + 10, fold(total));
    }
}

std::size_t trim(Bytes frame, const FrameView& view, std::size_t keep) {
    keep = std::max(keep, std::size_t{view.transport} + kUdpHeader);
    if (!view.trimmable || keep >= frame.size()) return frame.size();
    const std::size_t length = keep - view.transport;  // of the datagram
    store16(frame, view.transport + 4, static_cast<std::uint16_t>(length));
    const std::size_t at = view.network;
    if (view.kind == FrameKind::kIpv4) {
        store16(frame, at + 2, static_cast<std::uint16_t>(keep - at));
        store16(frame, at + 10, 0);
        store16(frame, at + 10, fold(sum(frame.subspan(at, view.transport - at))));
    } else {
        store16(frame, at + 4, static_cast<std::uint16_t>(length));
    }
    store16(frame, view.transport + 6, 0);
    const std::uint16_t checksum =
        fold(sum(frame.subspan(view.transport, length), pseudo_header(frame, view, length)));
    store16(frame, view.transport + 6, checksum == 0 ? 0xFFFF : checksum);
    return keep;
}

void complete_checksum(Bytes frame, const Offload& offload) {
    const std::size_t start = offload.checksum_start;
    const std::size_t offset = offload.checksum_offset;
    if ((offload.flags & Offload::kNeedsChecksum) == 0 || start + offset + 2 > frame.size()) return;
    // The field holds the pseudo-header's sum already. UDP writes a sum of 0 as 0xFFFF, and TCP
    // takes that for the same number.
    const std::uint16_t checksum = fold(sum(frame.subspan(start)));
    store16(frame, start + offset, checksum == 0 ? 0xFFFF : checksum);
}

void damage(Bytes frame, const FrameView& view, std::uint64_t random) {
    const std::size_t first = view.transport != 0 ? std::size_t{view.transport} + kUdpHeader
                                                  : kEthernetHeader + kIpv4Header;
    if (frame.empty()) return;
    const std::size_t from = std::min(first, frame.size() - 1);
    const std::size_t bit = random % ((frame.size() - from) * 8);
    frame[from + bit / 8] ^= static_cast<std::uint8_t>(1U << bit % 8);
}

}  // namespace weft::emulator
