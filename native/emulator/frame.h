// Ethernet frames as the emulator needs to see them: whom they are for, which flow they belong to,
// and the three things that a network does to a packet on its way: mark it, trim it, damage it.
//
// Everything here works on bytes in place and trusts nothing: a frame may be cut off anywhere.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace weft::emulator {

using Bytes = std::span<std::uint8_t>;
using ConstBytes = std::span<const std::uint8_t>;
using Mac = std::array<std::uint8_t, 6>;
using Ipv6 = std::array<std::uint8_t, 16>;

inline constexpr std::size_t kEthernetHeader = 14;
// Preamble 8, frame check sequence 4, inter-frame gap 12: on the wire, but not in the frame.
inline constexpr std::uint32_t kWireOverhead = 24;
inline constexpr std::uint32_t kMinFrame = 60;  // shorter ones are padded on the wire

enum class FrameKind : std::uint8_t { kIpv4, kIpv6, kArp, kNeighbourSolicitation, kOther };

struct FrameView {
    FrameKind kind = FrameKind::kOther;
    bool ecn_capable = false;     // ECT(0) or ECT(1) (RFC 3168)
    bool trimmable = false;       // UDP, unfragmented: has a payload that can go (NDP, SIGCOMM'17)
    std::uint16_t network = 0;    // where the IP header begins
    std::uint16_t transport = 0;  // where the TCP or UDP header begins; 0: there is none
    std::uint8_t protocol = 0;    // of IP
    std::uint32_t entropy = 0;    // hash of the five-tuple, or of the addresses where ports lack
    std::uint32_t ipv4 = 0;       // destination, host byte order
    Ipv6 ipv6{};                  // destination
    Mac destination{};
};

// What a sender left for its network card to do: struct virtio_net_hdr (virtio 1.2, section 5.1.6;
// the kernel's own header for it is not C++).
struct Offload {
    static constexpr std::uint8_t kNeedsChecksum = 1;

    std::uint8_t flags = 0;
    std::uint8_t segmentation = 0;      // 0: none
    std::uint16_t header_length = 0;    // of what every segment repeats
    std::uint16_t segment_size = 0;     // payload of a segment
    std::uint16_t checksum_start = 0;   // the sum over everything from here on ...
    std::uint16_t checksum_offset = 0;  // ... goes so far behind
};
static_assert(sizeof(Offload) == 10);

FrameView parse(ConstBytes frame);

// Sets "congestion experienced" in the IP header, mending IPv4's checksum (RFC 1624).
void mark_congestion(Bytes frame, const FrameView& view);

// Cuts a UDP datagram's payload so that the frame keeps `keep` bytes, mending lengths and
// checksums. Returns the new length; that of the frame if there is nothing to cut.
std::size_t trim(Bytes frame, const FrameView& view, std::size_t keep);

// Finishes a checksum that the sender left to its network card, if it did.
void complete_checksum(Bytes frame, const Offload& offload);

// Flips one bit behind the headers that route the frame; `random` says which.
void damage(Bytes frame, const FrameView& view, std::uint64_t random);

}  // namespace weft::emulator
