#include "emulator/neighbours.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "fabric/random.h"

namespace weft::emulator {
namespace {

std::uint64_t key(const Mac& mac) {
    std::uint64_t value = 0;
    for (const std::uint8_t byte : mac) value = value << 8 | byte;
    return value;
}

std::string text(std::uint32_t ipv4) {
    return std::to_string(ipv4 >> 24) + "." + std::to_string(ipv4 >> 16 & 255) + "." +
           std::to_string(ipv4 >> 8 & 255) + "." + std::to_string(ipv4 & 255);
}

void put(std::vector<std::uint8_t>& to, ConstBytes bytes) {
    to.insert(to.end(), bytes.begin(), bytes.end());
}

}  // namespace

std::size_t Neighbours::Ipv6Hash::operator()(const Ipv6& address) const noexcept {
    std::uint64_t halves[2];
    std::memcpy(halves, address.data(), sizeof halves);
    return fabric::mix(fabric::mix(halves[0]) ^ halves[1]);
}

void Neighbours::add(fabric::HostId host, const Mac& mac, std::uint32_t ipv4, const Ipv6& ipv6) {
    const auto clash = [host](const std::string& address, fabric::HostId other) {
        return std::invalid_argument("hosts h" + std::to_string(other) + " and h" +
                                     std::to_string(host) + " both have the address " + address);
    };
    if (const auto [at, fresh] = by_ipv4_.try_emplace(ipv4, host); !fresh)
        throw clash(text(ipv4), at->second);
    if (const auto [at, fresh] = by_ipv6_.try_emplace(ipv6, host); !fresh)
        throw clash("of IPv6", at->second);
    by_mac_[key(mac)] = host;
    if (macs_.size() <= host) macs_.resize(host + 1);
    macs_[host] = mac;
}

std::optional<fabric::HostId> Neighbours::destination(const FrameView& view) const {
    const auto find = [](const auto& table, const auto& address) -> std::optional<fabric::HostId> {
        const auto at = table.find(address);
        if (at == table.end()) return std::nullopt;
        return at->second;
    };
    switch (view.kind) {
        case FrameKind::kIpv4:
            return find(by_ipv4_, view.ipv4);
        case FrameKind::kIpv6:
        case FrameKind::kNeighbourSolicitation:
            return find(by_ipv6_, view.ipv6);
        default:
            return find(by_mac_, key(view.destination));
    }
}

std::vector<std::uint8_t> Neighbours::answer(ConstBytes frame, const FrameView& view) const {
    if (view.kind == FrameKind::kArp) return answer_arp(frame);
    if (view.kind == FrameKind::kNeighbourSolicitation) return answer_solicitation(frame, view);
    return {};
}

// Ethernet 14, then: hardware and protocol types and lengths 6, operation 2, sender's MAC 6 and IP
// 4, target's MAC 6 and IP 4.
std::vector<std::uint8_t> Neighbours::answer_arp(ConstBytes frame) const {
    constexpr std::size_t kLength = kEthernetHeader + 28;
    constexpr std::size_t kSender = kEthernetHeader + 8;
    constexpr std::size_t kTarget = kEthernetHeader + 18;
    if (frame.size() < kLength || frame[kEthernetHeader + 7] != 1) return {};
    std::uint32_t wanted = 0;
    for (std::size_t i = 0; i < 4; ++i) wanted = wanted << 8 | frame[kTarget + 6 + i];
    const auto found = by_ipv4_.find(wanted);
    if (found == by_ipv4_.end()) return {};
    const Mac& mac = macs_[found->second];
    // Who probes its own address (RFC 5227) must not hear that it is taken.
    if (std::equal(mac.begin(), mac.end(), frame.begin() + kSender)) return {};
    std::vector<std::uint8_t> reply;
    put(reply, frame.subspan(kSender, 6));
    put(reply, mac);
    put(reply, frame.subspan(12, 9));
    reply.push_back(2);  // a reply
    put(reply, mac);
    put(reply, frame.subspan(kTarget + 6, 4));
    put(reply, frame.subspan(kSender, 10));
    return reply;
}

// Ethernet 14, IPv6 40, then type, code, checksum 4, reserved 4, target 16, options.
std::vector<std::uint8_t> Neighbours::answer_solicitation(ConstBytes frame,
                                                          const FrameView& view) const {
    const std::size_t ip = view.network;
    const std::size_t target = ip + 48;
    Ipv6 wanted{};
    std::copy_n(frame.begin() + static_cast<std::ptrdiff_t>(target), 16, wanted.begin());
    const auto found = by_ipv6_.find(wanted);
    const ConstBytes asker = frame.subspan(ip + 8, 16);
    const bool probe = std::all_of(asker.begin(), asker.end(), [](auto b) { return b == 0; });
    if (found == by_ipv6_.end() || probe) return {};
    const Mac& mac = macs_[found->second];
    std::vector<std::uint8_t> reply;
    put(reply, frame.subspan(6, 6));
    put(reply, mac);
    put(reply, frame.subspan(12, 2));
    const std::uint8_t head[] = {0x60, 0, 0, 0, 0, 32, 58, 255};  // 32 bytes of ICMPv6, one hop
    put(reply, head);
    put(reply, wanted);
    put(reply, asker);
    const std::uint8_t body[] = {136, 0, 0, 0, 0x60, 0, 0, 0};  // solicited, override
    put(reply, body);
    put(reply, wanted);
    const std::uint8_t option[] = {2, 1};  // target's link-layer address, 8 bytes
    put(reply, option);
    put(reply, mac);
    // The pseudo-header (addresses, length, next header) goes where complete_checksum() expects it.
    std::uint32_t total = 32 + 58;
    for (std::size_t i = 0; i < 32; i += 2)
        total += static_cast<std::uint32_t>(reply[ip + 8 + i] << 8 | reply[ip + 9 + i]);
    while (total >> 16 != 0) total = (total & 0xFFFF) + (total >> 16);
    reply[ip + 42] = static_cast<std::uint8_t>(total >> 8);
    reply[ip + 43] = static_cast<std::uint8_t>(total);
    Offload offload;
    offload.flags = Offload::kNeedsChecksum;
    offload.checksum_start = static_cast<std::uint16_t>(ip + 40);
    offload.checksum_offset = 2;
    complete_checksum(reply, offload);
    return reply;
}

}  // namespace weft::emulator
