// A switch that decides by itself where packets go, in place of the fabric's routing.
#pragma once

#include <cstdint>
#include <vector>

#include "fabric/packet.h"
#include "fabric/time.h"

namespace weft::fabric {

class SwitchProgram {
  public:
    // A packet that leaves, and by which of the switch's ports.
    struct Departure {
        std::uint32_t port = 0;
        Packet packet;
    };

    // The packet has come in by `port`. What is put into `out` (empty before) leaves, each with a
    // cargo of its own; nothing there: the packet is dropped (kNoRoute). Ports are the switch's
    // links, counted from 0 in the topology's order; others than those drop, too. One switch's
    // packets come one after another. `packet` is a copy: it lives as long as the call.
    virtual void process(std::uint32_t port, const Packet& packet, Time now,
                         std::vector<Departure>& out) = 0;

  protected:
    ~SwitchProgram() = default;
};

}  // namespace weft::fabric
