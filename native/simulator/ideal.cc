#include "simulator/ideal.h"

#include <algorithm>
#include <limits>

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

// A set of links that some messages must cross, and what they bring to it.
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

// For every host its interfaces, for every switch of tier 0 the links to the switches above: in
// either direction.
Time busiest_cut(const fabric::Topology& topology, const Workload& workload,
                 const Framing& framing) {
    std::vector<Cut> out(topology.nodes());
    std::vector<Cut> in(topology.nodes());
    std::vector<NodeId> leaf(topology.hosts, 0);
    std::vector<std::uint32_t> attachments(topology.hosts, 0);
    for (const fabric::Link& link : topology.links) {
        const auto tier = [&](NodeId node) {
            return node < topology.hosts
                       ? -1
                       : static_cast<int>(topology.switches[node - topology.hosts].tier);
        };
        const double rate = link.rate / 8e12;
        for (const auto& [lower, upper] : {std::pair(link.a, link.b), std::pair(link.b, link.a)}) {
            if (tier(lower) < tier(upper) || (tier(lower) == 0 && tier(upper) == 0)) {
                out[lower].rate += rate;
                in[lower].rate += rate;
            }
            if (lower < topology.hosts) {
                leaf[lower] = upper;
                ++attachments[lower];
            }
        }
    }
    for (const Message& message : workload.messages) {
        if (message.source == message.destination) continue;
        const auto bytes = static_cast<double>(framing.wire_bytes(message.size));
        out[message.source].add(message, bytes);
        in[message.destination].add(message, bytes);
        const bool one_home =
            attachments[message.source] == 1 && attachments[message.destination] == 1;
        if (one_home && leaf[message.source] != leaf[message.destination]) {
            out[leaf[message.source]].add(message, bytes);
            in[leaf[message.destination]].add(message, bytes);
        }
    }
    Time busiest = 0;
    for (NodeId node = 0; node < topology.nodes(); ++node)
        busiest = std::max({busiest, out[node].end(), in[node].end()});
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
