// What a peer needs to know to send datagrams to this process: its addresses, with the ports behind
// each. Travels inside the process's address blob.
//
// Layout (little-endian): u8 version (1), u8 count, then per address: u8 family (4, 6), u8 device
// (addresses with one number share a network device), u8 prefix, u32 mtu, the address (4 or 16
// bytes), u8 ports, u16 port ...
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "datapath/udp/endpoint.h"

namespace weft::datapath::udp {

struct LocalAddress {
    Endpoint address;  // port 0
    std::uint8_t device = 0;
    std::uint8_t prefix = 0;
    std::uint32_t mtu = 0;
    std::vector<std::uint16_t> ports;  // at least one
};

std::string encode_addresses(const std::vector<LocalAddress>& addresses);
// Throws Error INVALID on anything that encode_addresses() did not write.
std::vector<LocalAddress> decode_addresses(std::string_view blob);

// Whether datagrams could pass between the two at all: one family, and loopback only with loopback.
bool compatible(const Endpoint& a, const Endpoint& b);

// "10.0.0.1:5000, [fd00::1]:5000" with the first port of each.
std::string describe(const std::vector<LocalAddress>& addresses);

}  // namespace weft::datapath::udp
