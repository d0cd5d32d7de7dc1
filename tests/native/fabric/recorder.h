// An edge that writes down what comes to it, for the tests.
#pragma once

#include <functional>
#include <vector>

#include "fabric/fabric.h"

namespace weft::fabric {

struct Arrived {
    HostId host;
    Packet packet;
    Time time;
};

class Recorder final : public Edge {
  public:
    void deliver(HostId host, const Packet& packet, Time now) override {
        delivered.push_back({host, packet, now});
    }
    void dropped(const Packet& packet, DropReason reason, Time now) override {
        drops.push_back({0, packet, now});
        reasons.push_back(reason);
    }
    void egress_ready(HostId host, Time now) override {
        if (on_ready) on_ready(host, now);
    }
    void wake(std::uint32_t token, Time now) override {
        if (on_wake) on_wake(token, now);
    }

    std::vector<Arrived> delivered;
    std::vector<Arrived> drops;
    std::vector<DropReason> reasons;
    std::function<void(HostId, Time)> on_ready;
    std::function<void(std::uint32_t, Time)> on_wake;
};

// A packet of `size` bytes; `cargo` tells packets apart.
inline Packet packet_to(HostId destination, std::uint32_t cargo, std::uint16_t size = 1000,
                        std::uint32_t entropy = 0) {
    Packet packet;
    packet.destination = destination;
    packet.cargo = cargo;
    packet.size = size;
    packet.entropy = entropy;
    return packet;
}

// The port that leads from node a to node b; the topology must have that link.
inline PortId port_between(const Topology& topology, NodeId a, NodeId b) {
    for (PortId link = 0; link < topology.links.size(); ++link) {
        if (topology.links[link].a == a && topology.links[link].b == b) return 2 * link;
        if (topology.links[link].a == b && topology.links[link].b == a) return 2 * link + 1;
    }
    throw TopologyError("no such link");
}

}  // namespace weft::fabric
