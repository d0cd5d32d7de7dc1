#include "fabric/routing.h"

#include <algorithm>
#include <limits>
#include <map>

namespace weft::fabric {

Routing::Routing(const Topology& topology) : topology_(&topology), outgoing_(topology.nodes()) {
    for (std::size_t l = 0; l < topology.links.size(); ++l) {
        const Link& link = topology.links[l];
        outgoing_[link.a].push_back(static_cast<PortId>(2 * l));
        outgoing_[link.b].push_back(static_cast<PortId>(2 * l + 1));
        to_.push_back(link.b);
        to_.push_back(link.a);
    }
    make_groups();
    update(std::vector<bool>(to_.size(), true));
}

void Routing::make_groups() {
    std::map<std::vector<NodeId>, std::uint32_t> known;
    for (HostId host = 0; host < topology_->hosts; ++host) {
        std::vector<NodeId> switches;
        const auto first = static_cast<std::uint32_t>(last_hops_.size());
        for (const PortId port : outgoing_[host]) {
            switches.push_back(to_[port]);
            uplinks_.push_back(port);
            last_hops_.push_back(port ^ 1);
        }
        attachments_ = std::max(attachments_, static_cast<std::uint32_t>(switches.size()));
        const auto [at, is_new] =
            known.try_emplace(std::move(switches), static_cast<std::uint32_t>(known.size()));
        if (is_new) group_example_.push_back(host);
        hosts_.push_back(
            {at->second, first, static_cast<std::uint32_t>(last_hops_.size()) - first});
    }
    groups_ = group_example_.size();
}

void Routing::update(const std::vector<bool>& port_up) {
    table_.assign(topology_->switches.size() * groups_, 0);
    ports_.clear();
    std::vector<std::vector<Set>> sets(topology_->switches.size(), {{0, 0}});
    for (std::uint32_t group = 0; group < groups_; ++group) route_group(group, port_up, sets);
    sets_.clear();
    set_begin_.clear();
    for (const std::vector<Set>& of_switch : sets) {
        set_begin_.push_back(static_cast<std::uint32_t>(sets_.size()));
        sets_.insert(sets_.end(), of_switch.begin(), of_switch.end());
    }
}

// Breadth-first from the group's switches outwards. A switch that has lost its link to one host of
// the group still counts as the group's: its packets to that host are dropped at the dead port, as
// in a real network whose routes are aggregated.
void Routing::route_group(std::uint32_t group, const std::vector<bool>& port_up,
                          std::vector<std::vector<Set>>& sets) {
    constexpr std::uint32_t kFar = std::numeric_limits<std::uint32_t>::max();
    std::vector<std::uint32_t> distance(topology_->nodes(), kFar);
    std::vector<NodeId> frontier;
    const HostId example = group_example_[group];
    std::uint32_t attachment = 0;
    for (const PortId port : outgoing_[example]) {
        const NodeId leaf = to_[port];
        if (distance[leaf] == kFar) {
            distance[leaf] = 0;
            frontier.push_back(leaf);
            table_[(leaf - topology_->hosts) * groups_ + group] =
                static_cast<std::uint16_t>(attachment);
        }
        ++attachment;
    }
    for (std::size_t i = 0; i < frontier.size(); ++i) {
        const NodeId node = frontier[i];
        for (const PortId port : outgoing_[node]) {
            const NodeId before = to_[port];
            if (before < topology_->hosts) continue;  // hosts do not forward
            if (!port_up[port ^ 1] || distance[before] != kFar) continue;
            distance[before] = distance[node] + 1;
            frontier.push_back(before);
        }
    }
    std::vector<PortId> ways;
    for (NodeId node = topology_->hosts; node < topology_->nodes(); ++node) {
        if (distance[node] == 0) continue;
        ways.clear();
        for (const PortId port : outgoing_[node]) {
            const NodeId next = to_[port];
            if (distance[node] == kFar || next < topology_->hosts || !port_up[port]) continue;
            if (distance[next] + 1 != distance[node]) continue;
            ways.insert(ways.end(), topology_->links[port / 2].weight, port);
        }
        const std::size_t at = node - topology_->hosts;
        table_[at * groups_ + group] =
            static_cast<std::uint16_t>(attachments_ + find_set(sets[at], ways, at));
    }
}

std::uint32_t Routing::find_set(std::vector<Set>& known, const std::vector<PortId>& ports,
                                std::size_t at) {
    for (std::uint32_t set = 0; set < known.size(); ++set) {
        const auto first = ports_.begin() + known[set].first;
        if (known[set].count == ports.size() && std::equal(ports.begin(), ports.end(), first))
            return set;
    }
    const auto set = static_cast<std::uint32_t>(known.size());
    if (attachments_ + set > std::numeric_limits<std::uint16_t>::max()) {
        throw TopologyError("topology: switch " + topology_->switches[at].name +
                            " needs more than 65,535 distinct sets of next hops");
    }
    known.push_back(
        {static_cast<std::uint32_t>(ports_.size()), static_cast<std::uint32_t>(ports.size())});
    ports_.insert(ports_.end(), ports.begin(), ports.end());
    return set;
}

}  // namespace weft::fabric
