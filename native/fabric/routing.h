// Which ways lead on: for every node and destination the ports on shortest paths, from
// breadth-first search over the links that are up.
//
// Hosts that hang on the same switches form a group and share their entries, so that the table of a
// 16,384-host fat-tree stays in cache. Weights are replicated entries (WCMP: Zhou et al.,
// EuroSys'14), so that a lookup does not know of them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "fabric/topology.h"

namespace weft::fabric {

class Routing {
  public:
    explicit Routing(const Topology& topology);

    // Computes all entries anew from the ports for which `port_up` is true.
    void update(const std::vector<bool>& port_up);

    // The ports by which `node` sends on towards `destination`; empty when there is no way. A port
    // of weight w is there w times. A host may use any of its own.
    std::span<const PortId> ways(NodeId node, HostId destination) const {
        if (node < hosts_.size()) {
            const HostEntry& host = hosts_[node];
            return {&uplinks_[host.first_port], host.ports};
        }
        const HostEntry& host = hosts_[destination];
        const std::size_t at = node - hosts_.size();
        const std::uint32_t set = table_[at * groups_ + host.group];
        if (set < attachments_) return {&last_hops_[host.first_port + set], 1};
        const Set& ways = sets_[set_begin_[at] + set - attachments_];
        return {ports_.data() + ways.first, ways.count};
    }

    // Bring into cache what ways() will read: first this, ...
    void prefetch(HostId destination) const { __builtin_prefetch(&hosts_[destination]); }
    // ... then, once it is there, this.
    void prefetch(NodeId node, HostId destination) const {
        const std::size_t at = node - hosts_.size();
        __builtin_prefetch(&table_[at * groups_ + hosts_[destination].group]);
        __builtin_prefetch(&set_begin_[at]);
    }

  private:
    struct HostEntry {
        std::uint32_t group;
        std::uint32_t first_port;  // into uplinks_ and last_hops_
        std::uint32_t ports;
    };
    struct Set {
        std::uint32_t first;
        std::uint32_t count;
    };

    void make_groups();
    void route_group(std::uint32_t group, const std::vector<bool>& port_up,
                     std::vector<std::vector<Set>>& sets);
    std::uint32_t find_set(std::vector<Set>& known, const std::vector<PortId>& ports,
                           std::size_t at);

    const Topology* topology_;
    std::vector<std::vector<PortId>> outgoing_;  // [node] its ports
    std::vector<NodeId> to_;                     // [port] node at the far end
    std::vector<HostEntry> hosts_;
    std::vector<PortId> uplinks_;    // from hosts to the switches on which they hang
    std::vector<PortId> last_hops_;  // and back
    std::vector<HostId> group_example_;
    std::size_t groups_ = 0;
    std::uint32_t attachments_ = 0;  // most switches that any host hangs on

    // Entries below attachments_ stand for "the k-th switch of the host's own", the others for sets
    // of the switch; its set number 0 is the empty one.
    std::vector<std::uint16_t> table_;      // [switch * groups + group]
    std::vector<std::uint32_t> set_begin_;  // [switch] its first one in sets_
    std::vector<Set> sets_;
    std::vector<PortId> ports_;
};

}  // namespace weft::fabric
