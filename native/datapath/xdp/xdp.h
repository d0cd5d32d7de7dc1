// Messages between hosts over AF_XDP: the UDP datapath with the kernel's network stack taken out of
// the way. Packets, connections, paths and options are the UDP datapath's (udp.h), and the two
// reach each other; what differs is that a datagram is written into a ring of the network device
// together with its headers, and read from one. No special NIC is needed, but privileges are, and
// a device belongs to one process.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "datapath/udp/udp.h"

namespace weft::datapath {

struct XdpOptions {
    enum class Mode : std::uint8_t {
        kAuto,      // the best that the device offers, of the others in this order
        kZeroCopy,  // the driver moves packets between the device and our frames
        kCopy,      // the program runs in the driver; the kernel copies
        kGeneric,   // the program runs behind the driver: any device
    };

    UdpOptions udp;
    Mode mode = Mode::kAuto;
    std::uint16_t queues = 0;  // of each device, 1..64; 0: all, but at most 8

    // From the pairs of weft_context_options.transport: xdp.mode=auto|zero_copy|copy|generic,
    // xdp.queues=N, and all that UdpOptions::parse knows. Throws Error INVALID.
    static XdpOptions parse(const std::map<std::string, std::string>& pairs,
                            std::string_view interfaces = {});
    // The pairs that are not xdp's own.
    static std::map<std::string, std::string> without(std::map<std::string, std::string> pairs);
};

class XdpDatapath final : public UdpDatapath {
  public:
    // Opens the devices of all addresses (but loopback, which goes through the kernel). Throws what
    // UdpDatapath throws, and Error: UNSUPPORTED (a capability is missing, which the text names; a
    // device that is no Ethernet device or has not that mode), RESOURCES (a device that has an XDP
    // program, locked memory).
    XdpDatapath(const Identity& identity, Acceptor& acceptor, XdpOptions options = {});
};

}  // namespace weft::datapath
