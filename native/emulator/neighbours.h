// Who stands where: addresses of hosts, and the answers to "who has this address?" that a real
// network would get from the host itself (ARP: RFC 826; neighbour discovery: RFC 4861).
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "emulator/frame.h"
#include "fabric/packet.h"

namespace weft::emulator {

class Neighbours {
  public:
    // Throws std::invalid_argument when another host has one of the addresses already.
    void add(fabric::HostId host, const Mac& mac, std::uint32_t ipv4, const Ipv6& ipv6);

    // For whom a frame is: by IP address, else by MAC address. Nobody: group addresses, strangers.
    std::optional<fabric::HostId> destination(const FrameView& view) const;
    const Mac& mac(fabric::HostId host) const { return macs_[host]; }

    // The answer to an ARP request or a neighbour solicitation; empty if it asks for nobody here.
    std::vector<std::uint8_t> answer(ConstBytes frame, const FrameView& view) const;

  private:
    struct Ipv6Hash {
        std::size_t operator()(const Ipv6& address) const noexcept;
    };

    std::vector<std::uint8_t> answer_arp(ConstBytes frame) const;
    std::vector<std::uint8_t> answer_solicitation(ConstBytes frame, const FrameView& view) const;

    std::vector<Mac> macs_;
    std::unordered_map<std::uint32_t, fabric::HostId> by_ipv4_;
    std::unordered_map<Ipv6, fabric::HostId, Ipv6Hash> by_ipv6_;
    std::unordered_map<std::uint64_t, fabric::HostId> by_mac_;
};

}  // namespace weft::emulator
