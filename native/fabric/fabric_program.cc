// Switches that run a program: which packets go to it, and what becomes of what it gives back.
#include <string>

#include "fabric/fabric.h"

namespace weft::fabric {

void Fabric::run_program(NodeId node, SwitchProgram& program) {
    if (node < topology_.hosts || node >= topology_.nodes()) {
        throw TopologyError("a program needs a switch, and node " + std::to_string(node) +
                            " is none; switches are " + std::to_string(topology_.hosts) + " to " +
                            std::to_string(topology_.nodes() - 1));
    }
    if (programs_.empty()) {
        programs_.resize(topology_.nodes(), nullptr);
        node_ports_.resize(topology_.nodes());
        port_numbers_.resize(ports_.size());
        for (PortId id = 0; id < ports_.size(); ++id) {
            std::vector<PortId>& ports = node_ports_[from(id)];
            port_numbers_[id] = static_cast<std::uint32_t>(ports.size());
            ports.push_back(id);
        }
    }
    programs_[node] = &program;
}

void Fabric::process(NodeId node, PacketIndex index) {
    const Packet packet = packets_[index];
    const PortId came_by = packet.ingress;
    departures_.clear();
    programs_[node]->process(port_numbers_[came_by ^ 1], packet, now_, departures_);
    if (departures_.empty()) {
        drop(index, DropReason::kNoRoute);
        return;
    }
    const std::vector<PortId>& ports = node_ports_[node];
    for (std::size_t i = 0; i < departures_.size(); ++i) {
        const SwitchProgram::Departure& leaves = departures_[i];
        PacketIndex at = index;
        if (i == 0) {
            packets_[index] = leaves.packet;
        } else {
            at = packets_.add(leaves.packet);
        }
        packets_[at].ingress = came_by;
        if (leaves.port < ports.size()) {
            enqueue(ports[leaves.port], at);
        } else {
            drop(at, DropReason::kNoRoute);
        }
    }
}

}  // namespace weft::fabric
