#include "fabric/topology.h"

#include <cmath>

namespace weft::fabric {
namespace {

std::string number(double value) {
    std::string text = std::to_string(value);
    text.erase(text.find_last_not_of('0') + 1);
    if (text.ends_with('.')) text.pop_back();
    return text;
}

void require(bool holds, const std::string& complaint) {
    if (!holds) throw TopologyError(complaint);
}

void require_positive(std::uint32_t value, const char* name) {
    require(value >= 1, std::string("topology: ") + name + " must be at least 1, not 0");
}

void check_cable(const Cable& cable, const char* name) {
    require(cable.rate > 0 && std::isfinite(cable.rate),
            std::string("topology: rate of ") + name + " must be a positive number of bit/s, not " +
                number(cable.rate));
    require(cable.delay >= 0, std::string("topology: delay of ") + name + " must not be negative");
}

}  // namespace

std::string Topology::node_name(NodeId node) const {
    return node < hosts ? "h" + std::to_string(node) : switches[node - hosts].name;
}

NodeId Topology::add_switch(std::string name, std::uint32_t tier) {
    switches.push_back({std::move(name), tier});
    return nodes() - 1;
}

void Topology::add_link(NodeId a, NodeId b, double rate, Time delay) {
    Link link;
    link.a = a;
    link.b = b;
    link.rate = rate;
    link.delay = delay;
    links.push_back(link);
}

void Topology::check() const {
    require(hosts >= 1, "topology: it has no hosts");
    std::vector<std::uint32_t> degree(nodes(), 0);
    for (std::size_t i = 0; i < links.size(); ++i) {
        const Link& link = links[i];
        const std::string name = "topology: link " + std::to_string(i);
        require(link.a < nodes() && link.b < nodes(),
                name + " ends at node " + std::to_string(std::max(link.a, link.b)) +
                    ", but there are only " + std::to_string(nodes()) + " nodes");
        const std::string ends = name + " (" + node_name(link.a) + " - " + node_name(link.b) + ")";
        require(link.a != link.b, ends + " joins a node to itself");
        require(link.a >= hosts || link.b >= hosts,
                ends + " joins two hosts; put a switch between them");
        require(link.rate > 0 && std::isfinite(link.rate),
                ends + ": rate must be a positive number of bit/s, not " + number(link.rate));
        require(link.delay >= 0 && link.jitter >= 0,
                ends + ": delay and jitter must not be negative");
        require(link.loss >= 0 && link.loss <= 1,
                ends + ": loss must lie in 0 .. 1, not " + number(link.loss));
        require(link.corruption >= 0 && link.corruption <= 1,
                ends + ": corruption must lie in 0 .. 1, not " + number(link.corruption));
        require(link.duplication >= 0 && link.duplication <= 1,
                ends + ": duplication must lie in 0 .. 1, not " + number(link.duplication));
        require(link.weight >= 1 && link.weight <= 64,
                ends + ": weight must lie in 1 .. 64, not " + std::to_string(link.weight));
        ++degree[link.a];
        ++degree[link.b];
    }
    for (NodeId node = 0; node < nodes(); ++node) {
        require(degree[node] > 0, "topology: " + node_name(node) + " has no link");
    }
}

Topology leaf_spine(const LeafSpine& shape) {
    return multi_plane(shape, 1);
}

Topology multi_plane(const LeafSpine& shape, std::uint32_t planes) {
    require_positive(shape.leaves, "leaves");
    require_positive(shape.spines, "spines");
    require_positive(shape.hosts_per_leaf, "hosts_per_leaf");
    require_positive(shape.bundle, "bundle");
    require_positive(planes, "planes");
    check_cable(shape.down, "the links down");
    check_cable(shape.up, "the links up");
    Topology topology;
    topology.hosts = shape.leaves * shape.hosts_per_leaf;
    for (std::uint32_t plane = 0; plane < planes; ++plane) {
        const std::string prefix = planes > 1 ? "plane" + std::to_string(plane) + "." : "";
        std::vector<NodeId> spines;
        std::vector<NodeId> leaves;
        for (std::uint32_t l = 0; l < shape.leaves; ++l)
            leaves.push_back(topology.add_switch(prefix + "leaf" + std::to_string(l), 0));
        for (std::uint32_t s = 0; s < shape.spines; ++s)
            spines.push_back(topology.add_switch(prefix + "spine" + std::to_string(s), 1));
        for (HostId host = 0; host < topology.hosts; ++host) {
            topology.add_link(host, leaves[host / shape.hosts_per_leaf], shape.down.rate,
                              shape.down.delay);
        }
        for (const NodeId leaf : leaves) {
            for (const NodeId spine : spines) {
                for (std::uint32_t k = 0; k < shape.bundle; ++k)
                    topology.add_link(leaf, spine, shape.up.rate, shape.up.delay);
            }
        }
    }
    return topology;
}

Topology fat_tree(const FatTree& shape) {
    require_positive(shape.pods, "pods");
    require_positive(shape.pod_tors, "pod_tors");
    require_positive(shape.pod_aggregations, "pod_aggregations");
    require_positive(shape.tor_down, "tor_down");
    require_positive(shape.tor_up, "tor_up");
    require_positive(shape.aggregation_up, "aggregation_up");
    require_positive(shape.core_bundle, "core_bundle");
    check_cable(shape.down, "the links down");
    check_cable(shape.up, "the links up");
    check_cable(shape.core, "the links to the cores");
    require(shape.tor_up % shape.pod_aggregations == 0,
            "topology: tor_up (" + std::to_string(shape.tor_up) +
                ") must be a multiple of pod_aggregations (" +
                std::to_string(shape.pod_aggregations) +
                "), so that every ToR reaches every aggregation switch alike");
    Topology topology;
    topology.hosts = shape.pods * shape.pod_tors * shape.tor_down;
    const auto name = [](const char* kind, std::uint32_t pod, std::uint32_t index) {
        return kind + std::to_string(pod) + "." + std::to_string(index);
    };
    std::vector<NodeId> cores;
    std::vector<NodeId> aggregations;
    HostId host = 0;
    for (std::uint32_t pod = 0; pod < shape.pods; ++pod) {
        const std::size_t first = aggregations.size();
        for (std::uint32_t j = 0; j < shape.pod_aggregations; ++j) {
            aggregations.push_back(topology.add_switch(name("agg", pod, j), 1));
        }
        for (std::uint32_t t = 0; t < shape.pod_tors; ++t) {
            const NodeId tor = topology.add_switch(name("tor", pod, t), 0);
            for (std::uint32_t h = 0; h < shape.tor_down; ++h)
                topology.add_link(host++, tor, shape.down.rate, shape.down.delay);
            for (std::uint32_t k = 0; k < shape.tor_up; ++k) {
                topology.add_link(tor, aggregations[first + k % shape.pod_aggregations],
                                  shape.up.rate, shape.up.delay);
            }
        }
    }
    if (shape.pods == 1) return topology;
    const std::uint32_t core_count = shape.pod_aggregations * shape.aggregation_up;
    for (std::uint32_t c = 0; c < core_count; ++c)
        cores.push_back(topology.add_switch("core" + std::to_string(c), 2));
    for (std::size_t i = 0; i < aggregations.size(); ++i) {
        const std::size_t first = i % shape.pod_aggregations * shape.aggregation_up;
        for (std::uint32_t k = 0; k < shape.aggregation_up * shape.core_bundle; ++k) {
            topology.add_link(aggregations[i], cores[first + k % shape.aggregation_up],
                              shape.core.rate, shape.core.delay);
        }
    }
    return topology;
}

Topology rail_optimised(const RailOptimised& shape) {
    require_positive(shape.servers, "servers");
    require_positive(shape.rails, "rails");
    require_positive(shape.group_servers, "group_servers");
    require_positive(shape.spines, "spines");
    check_cable(shape.down, "the links down");
    check_cable(shape.up, "the links up");
    require(shape.servers % shape.group_servers == 0,
            "topology: servers (" + std::to_string(shape.servers) +
                ") must be a multiple of group_servers (" + std::to_string(shape.group_servers) +
                ")");
    Topology topology;
    topology.hosts = shape.servers * shape.rails;
    const std::uint32_t groups = shape.servers / shape.group_servers;
    std::vector<NodeId> rails;
    for (std::uint32_t g = 0; g < groups; ++g) {
        for (std::uint32_t r = 0; r < shape.rails; ++r) {
            rails.push_back(
                topology.add_switch("rail" + std::to_string(g) + "." + std::to_string(r), 0));
        }
    }
    for (HostId host = 0; host < topology.hosts; ++host) {
        const std::uint32_t server = host / shape.rails;
        topology.add_link(host,
                          rails[server / shape.group_servers * shape.rails + host % shape.rails],
                          shape.down.rate, shape.down.delay);
    }
    for (std::uint32_t s = 0; s < shape.spines; ++s) {
        const NodeId spine = topology.add_switch("spine" + std::to_string(s), 1);
        for (const NodeId rail : rails)
            topology.add_link(rail, spine, shape.up.rate, shape.up.delay);
    }
    return topology;
}

Topology dumbbell(const Dumbbell& shape) {
    require_positive(shape.left, "left");
    require_positive(shape.right, "right");
    check_cable(shape.down, "the links down");
    check_cable(shape.neck, "the neck");
    Topology topology;
    topology.hosts = shape.left + shape.right;
    const NodeId left = topology.add_switch("left", 0);
    const NodeId right = topology.add_switch("right", 0);
    for (HostId host = 0; host < topology.hosts; ++host) {
        topology.add_link(host, host < shape.left ? left : right, shape.down.rate,
                          shape.down.delay);
    }
    topology.add_link(left, right, shape.neck.rate, shape.neck.delay);
    return topology;
}

Topology torus(const Torus& shape) {
    require(!shape.extents.empty(), "topology: a torus needs at least one extent");
    check_cable(shape.down, "the links down");
    check_cable(shape.side, "the links between nodes");
    Topology topology;
    topology.hosts = 1;
    for (const std::uint32_t extent : shape.extents) {
        require(extent >= 2, "topology: every extent of a torus must be at least 2, not " +
                                 std::to_string(extent));
        topology.hosts *= extent;
    }
    for (HostId host = 0; host < topology.hosts; ++host) {
        topology.add_link(host, topology.add_switch("n" + std::to_string(host), 0), shape.down.rate,
                          shape.down.delay);
    }
    std::uint32_t stride = 1;
    for (const std::uint32_t extent : shape.extents) {
        for (std::uint32_t node = 0; node < topology.hosts; ++node) {
            const std::uint32_t at = node / stride % extent;
            if (extent == 2 && at == 1) continue;  // one link joins the two, not a pair
            const std::uint32_t next =
                node + (at + 1 == extent ? 0 : at + 1) * stride - at * stride;
            topology.add_link(topology.hosts + node, topology.hosts + next, shape.side.rate,
                              shape.side.delay);
        }
        stride *= extent;
    }
    return topology;
}

}  // namespace weft::fabric
