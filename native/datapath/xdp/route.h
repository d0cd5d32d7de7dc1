// What the kernel knows of the way to a host: the device, and the Ethernet address of the next hop.
// Routing tables, ARP and neighbour discovery are its business (RFC 826, RFC 4861); we ask, by
// rtnetlink(7).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "datapath/xdp/descriptor.h"
#include "datapath/xdp/frame.h"

namespace weft::datapath::xdp {

struct Hop {
    std::uint32_t interface = 0;
    Mac address{};
};

class RouteTable {
  public:
    // Throws Error: RESOURCES, SYSTEM.
    RouteTable();

    // For a datagram of these endpoints. Nothing where the kernel knows no way, the way ends in
    // this machine, or the next hop's address is not known (yet): the kernel finds it out when it
    // is given a datagram for it. Takes some 10 us and never waits.
    std::optional<Hop> find(const Endpoint& from, const Endpoint& to);

  private:
    std::optional<Mac> neighbour(std::uint32_t interface, const Endpoint& hop);
    bool ask(std::vector<std::uint8_t>& message);

    Descriptor fd_;
    std::uint32_t sequence_ = 0;
    std::vector<std::uint8_t> answer_;
    std::size_t answer_size_ = 0;
};

// The Ethernet address of one of this machine's devices; nothing where it is no Ethernet device.
std::optional<Mac> hardware_address(const std::string& device);
// On how many queues it both sends and receives; 1 where it does not say.
std::uint32_t queue_count(const std::string& device);

}  // namespace weft::datapath::xdp
