// The addresses of this machine (as this network namespace sees it) that datagrams can be sent
// from.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datapath/udp/endpoint.h"

namespace weft::datapath::udp {

struct Interface {
    std::string name;
    std::uint32_t index = 0;  // the kernel's number: addresses with one index share a device
    Endpoint address;         // port 0
    std::uint8_t prefix = 0;  // bits of the subnet
    std::uint32_t mtu = 0;    // bytes of the largest IP packet
};

// Every address of `wanted` (addresses or interface names); for empty `wanted`, the first IPv4 and
// the first IPv6 address of each interface that is up. Link-local addresses count only where
// `wanted` names them (IPv4) or not at all (IPv6: they mean nothing without a zone). Throws Error:
// INVALID for a name that does not exist here (the text lists what does), UNSUPPORTED when nothing
// is left, SYSTEM.
std::vector<Interface> usable_interfaces(const std::vector<std::string>& wanted);

}  // namespace weft::datapath::udp
