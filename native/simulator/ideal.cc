#include "simulator/ideal.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace weft::simulator {
namespace {

using fabric::HostId;
using fabric::NodeId;
using fabric::PortId;
using fabric::Time;

double time_per_byte(const fabric::Topology& topology, PortId port) {
    return 8e12 / topology.links[port / 2].rate;
}

NodeId end_of(const fabric::Topology& topology, PortId port) {
    const fabric::Link& link = topology.links[port / 2];
    return port % 2 == 0 ? link.b : link.a;
}

// The links that lead out of a part of the network, or into it, and what must cross them.
struct Cut {
    double rate = 0;  // bytes per picosecond
    double bytes = 0;
    Time first = std::numeric_limits<Time>::max();  // earliest start of a message that crosses it

    void add(const Message& message, double wire_bytes) {
        bytes += wire_bytes;
        first = std::min(first, message.start);
    }
    Time end() const { return bytes == 0 ? 0 : first + static_cast<Time>(bytes / rate); }
};

// A division of the nodes into parts: part[node].
using Parts = std::vector<NodeId>;

// The parts that remain connected when only links with `keep` are left.
template <typename Keep>
Parts components(const fabric::Topology& topology, Keep keep) {
    Parts parent(topology.nodes());
    std::iota(parent.begin(), parent.end(), NodeId{0});
    const auto find = [&](NodeId node) {
        while (parent[node] != node) node = parent[node] = parent[parent[node]];
        return node;
    };
    for (const fabric::Link& link : topology.links) {
        if (keep(link)) parent[find(link.a)] = find(link.b);
    }
    for (NodeId node = 0; node < parent.size(); ++node) parent[node] = find(node);
    return parent;
}

// The divisions whose borders are looked at: single hosts; single switches with their hosts; and
// for every tier what hangs together below the next one (racks, pods).
std::vector<Parts> divisions(const fabric::Topology& topology) {
    const auto tier = [&](NodeId node) {
        return node < topology.hosts
                   ? -1
                   : static_cast<int>(topology.switches[node - topology.hosts].tier);
    };
    int top = 0;
    for (const fabric::Switch& node : topology.switches)
        top = std::max(top, static_cast<int>(node.tier));
    std::vector<Parts> result;
    result.push_back(components(topology, [](const fabric::Link&) { return false; }));
    for (int t = 0; t < top; ++t) {
        result.push_back(components(topology, [&](const fabric::Link& link) {
            return tier(link.a) <= t && tier(link.b) <= t;
        }));
    }
    const bool flat = top == 0;  // a torus, a dumbbell: there is no tier above
    if (flat) {
        result.push_back(components(topology, [&](const fabric::Link& link) {
            return link.a < topology.hosts || link.b < topology.hosts;
        }));
    }
    return result;
}

// Every byte from one part to another crosses the border of both: no routing can do better than
// fill all links of the busiest border (the easy half of max-flow min-cut).
Time busiest_cut(const fabric::Topology& topology, const Workload& workload,
                 const Framing& framing) {
    Time busiest = 0;
    for (const Parts& part : divisions(topology)) {
        std::vector<Cut> out(topology.nodes());
        std::vector<Cut> in(topology.nodes());
        for (const fabric::Link& link : topology.links) {
            if (part[link.a] == part[link.b]) continue;
            for (const NodeId end : {link.a, link.b}) {
                out[part[end]].rate += link.rate / 8e12;
                in[part[end]].rate += link.rate / 8e12;
            }
        }
        for (const Message& message : workload.messages) {
            const NodeId from = part[message.source];
            const NodeId to = part[message.destination];
            if (from == to) continue;
            const auto bytes = static_cast<double>(framing.wire_bytes(message.size));
            out[from].add(message, bytes);
            in[to].add(message, bytes);
        }
        for (NodeId node = 0; node < topology.nodes(); ++node)
            busiest = std::max({busiest, out[node].end(), in[node].end()});
    }
    return busiest;
}

Time critical_path(const Workload& workload, const std::vector<Time>& durations) {
    const Successors successors(workload);
    const std::size_t count = workload.messages.size();
    std::vector<std::uint32_t> waits(count, 0);
    std::vector<Time> after(count, 0);  // end of the last dependency
    std::vector<std::uint32_t> ready;
    for (std::uint32_t m = 0; m < count; ++m) {
        if (!workload.dependency_begin.empty())
            waits[m] = workload.dependency_begin[m + 1] - workload.dependency_begin[m];
        if (waits[m] == 0) ready.push_back(m);
    }
    Time last = 0;
    for (std::size_t i = 0; i < ready.size(); ++i) {
        const std::uint32_t m = ready[i];
        const Message& message = workload.messages[m];
        const Time end = std::max(message.start, after[m] + message.delay) + durations[m];
        last = std::max(last, end);
        for (std::uint32_t s = successors.begin[m]; s < successors.begin[m + 1]; ++s) {
            const std::uint32_t next = successors.messages[s];
            after[next] = std::max(after[next], end);
            if (--waits[next] == 0) ready.push_back(next);
        }
    }
    return last;
}

}  // namespace

Time packet_latency(const fabric::Topology& topology, const fabric::Routing& routing, HostId a,
                    HostId b, std::uint64_t bytes) {
    Time latency = 0;
    for (NodeId node = a; node != b;) {
        const auto ways = routing.ways(node, b);
        if (ways.empty()) return fabric::kNever;
        latency += topology.links[ways[0] / 2].delay +
                   static_cast<Time>(time_per_byte(topology, ways[0]) * static_cast<double>(bytes));
        node = end_of(topology, ways[0]);
    }
    return latency;
}

Ideal ideal(const fabric::Topology& topology, const Workload& workload, const Framing& framing) {
    const fabric::Routing routing(topology);
    std::vector<double> host_time(topology.hosts,
                                  0);  // picoseconds a byte, all interfaces together
    for (HostId host = 0; host < topology.hosts; ++host) {
        double rate = 0;
        for (const PortId port : routing.ways(host, host))
            rate += 1 / time_per_byte(topology, port);
        host_time[host] = 1 / rate;
    }
    Ideal result;
    for (const Message& message : workload.messages) {
        if (message.source == message.destination) {
            result.messages.push_back(0);
            continue;
        }
        // The first packet hop by hop, the others behind it at the slower interface's pace.
        const std::uint64_t packet =
            std::min<std::uint64_t>(message.size, framing.chunk_size) + framing.overhead;
        const std::uint64_t rest = framing.wire_bytes(message.size) - packet;
        const double pace = std::max(host_time[message.source], host_time[message.destination]);
        result.messages.push_back(
            packet_latency(topology, routing, message.source, message.destination, packet) +
            static_cast<Time>(pace * static_cast<double>(rest)));
    }
    result.critical_path = critical_path(workload, result.messages);
    result.load = busiest_cut(topology, workload, framing);
    return result;
}

}  // namespace weft::simulator
