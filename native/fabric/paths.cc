#include "fabric/paths.h"

#include <string>

#include "fabric/ecmp.h"

namespace weft::fabric {
namespace {

NodeId end_of(const Topology& topology, PortId port) {
    const Link& link = topology.links[port / 2];
    return port % 2 == 0 ? link.b : link.a;
}

struct Search {
    const Topology& topology;
    const Routing& routing;
    HostId destination;
    std::uint32_t limit;
    std::vector<FabricPath> found{};
    std::vector<PortId> ports{};

    // `scale`: what a digit of this node counts.
    void from(NodeId node, std::uint64_t number, std::uint64_t scale) {
        if (node == destination) {
            if (found.size() == limit || number > 0xFFFFFFFF) {
                throw TopologyError("fabric: there are more than " + std::to_string(limit) +
                                    " paths to host " + std::to_string(destination));
            }
            found.push_back({static_cast<std::uint32_t>(number), ports});
            return;
        }
        const auto ways = routing.ways(node, destination);
        for (std::size_t digit = 0; digit < ways.size(); ++digit) {
            ports.push_back(ways[digit]);
            from(end_of(topology, ways[digit]), number + digit * scale, scale * ways.size());
            ports.pop_back();
        }
    }
};

}  // namespace

std::vector<FabricPath> paths_between(const Topology& topology, const Routing& routing, HostId a,
                                      HostId b, std::uint32_t limit) {
    Search search{topology, routing, b, limit};
    search.from(a, 0, 1);
    return std::move(search.found);
}

std::uint32_t entropy_for(const Topology& topology, const Routing& routing, std::uint64_t seed,
                          HostId a, HostId b, std::uint32_t number, std::uint64_t start) {
    Random row(start);
    std::uint32_t entropy = 0;
    for (int attempt = 0; attempt < 1'000'000; ++attempt) {
        entropy = static_cast<std::uint32_t>(row.next() >> 32);
        std::uint32_t digits = number;
        bool same = true;
        for (NodeId node = a; same && node != b;) {
            const auto ways = routing.ways(node, b);
            if (ways.empty()) return entropy;
            const auto count = static_cast<std::uint32_t>(ways.size());
            const std::uint32_t digit = digits % count;
            digits /= count;
            same = count == 1 || ecmp_choice(ecmp_seed(seed, node), entropy, count) == digit;
            node = end_of(topology, ways[digit]);
        }
        if (same) return entropy;
    }
    return entropy;
}

}  // namespace weft::fabric
