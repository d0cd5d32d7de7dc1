#include "simulator/frames.h"

#include <algorithm>

namespace weft::simulator {

namespace {

// Preamble 8, frame check sequence 4, inter-frame gap 12: on the wire, but not in the frame.
constexpr std::size_t kWireOverhead = 24;
constexpr std::size_t kEthernet = 14;
constexpr std::size_t kIpv4 = 20;
constexpr std::size_t kUdp = 8;
constexpr std::size_t kHeaders = kEthernet + kIpv4 + kUdp;
constexpr std::uint16_t kUdpPort = 4793;
constexpr std::uint8_t kCongestionExperienced = 3;  // RFC 3168
constexpr std::uint8_t kEcnCapable = 2;             // ECT(0)

void put16(std::uint8_t* to, std::size_t value) {
    to[0] = static_cast<std::uint8_t>(value >> 8);
    to[1] = static_cast<std::uint8_t>(value);
}

void put32(std::uint8_t* to, std::uint32_t value) {
    put16(to, value >> 16);
    put16(to + 2, value & 0xFFFF);
}

std::uint32_t address(fabric::HostId host) {
    return 0x0A00'0001U + host;
}

void put_mac(std::uint8_t* to, fabric::HostId host) {
    to[0] = 0x02;
    to[1] = 0x00;
    put32(to + 2, host + 1);
}

// RFC 1071, over an IPv4 header whose checksum field is zero.
std::uint16_t checksum(const std::uint8_t* header) {
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < kIpv4; i += 2) sum += std::uint32_t{header[i]} << 8 | header[i + 1];
    while (sum >> 16 != 0) sum = (sum & 0xFFFF) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

}  // namespace

std::span<const std::uint8_t> SimulatedFrames::read(const fabric::Packet& packet) {
    const fabric::HostId source = source_of_(packet);
    const std::size_t length =
        std::max<std::size_t>(packet.size, kHeaders + kWireOverhead) - kWireOverhead;
    std::uint8_t* ethernet = frame_.data();
    put_mac(ethernet, packet.destination);
    put_mac(ethernet + 6, source);
    put16(ethernet + 12, 0x0800);
    std::uint8_t* ip = ethernet + kEthernet;
    ip[0] = 0x45;
    ip[1] = (packet.flags & fabric::kMarked) != 0     ? kCongestionExperienced
            : (packet.flags & fabric::kMarkable) != 0 ? kEcnCapable
                                                      : 0;
    put16(ip + 2, length - kEthernet);
    put16(ip + 4, 0);
    put16(ip + 6, 0x4000);  // do not fragment
    ip[8] = 64;
    ip[9] = 17;
    put16(ip + 10, 0);
    put32(ip + 12, address(source));
    put32(ip + 16, address(packet.destination));
    put16(ip + 10, checksum(ip));
    std::uint8_t* udp = ip + kIpv4;
    put16(udp, 0xC000 | (packet.entropy & 0x3FFF));
    put16(udp + 2, kUdpPort);
    put16(udp + 4, length - kEthernet - kIpv4);
    put16(udp + 6, 0);
    return {frame_.data(), length};
}

bool SimulatedFrames::write(fabric::Packet& packet, std::span<const std::uint8_t> bytes,
                            std::uint32_t copies) {
    if (copies > 0) return false;
    const bool is_ipv4 = bytes.size() >= kEthernet + kIpv4 && bytes[12] == 0x08 && bytes[13] == 0;
    if (is_ipv4 && (bytes[kEthernet + 1] & 3) == kCongestionExperienced)
        packet.flags |= fabric::kMarked;
    packet.size =
        static_cast<std::uint16_t>(std::min<std::size_t>(bytes.size() + kWireOverhead, 0xFFFF));
    return true;
}

}  // namespace weft::simulator
