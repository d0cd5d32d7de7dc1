#include "fabric/topology.h"

#include <doctest/doctest.h>

#include <deque>
#include <set>

#include "fabric/routing.h"

using namespace weft::fabric;

namespace {

// Distance in links from every node to `host`, by plain breadth-first search over undirected links;
// hosts do not forward.
std::vector<int> distances(const Topology& topology, HostId host) {
    std::vector<int> distance(topology.nodes(), -1);
    std::deque<NodeId> frontier{host};
    distance[host] = 0;
    while (!frontier.empty()) {
        const NodeId node = frontier.front();
        frontier.pop_front();
        if (node < topology.hosts && node != host) continue;
        for (const Link& link : topology.links) {
            for (const auto& [from, to] : {std::pair(link.a, link.b), std::pair(link.b, link.a)}) {
                if (from == node && distance[to] < 0) {
                    distance[to] = distance[node] + 1;
                    frontier.push_back(to);
                }
            }
        }
    }
    return distance;
}

// Every switch's ways to every host must be exactly its links one step nearer to it.
void check_routing(const Topology& topology) {
    topology.check();
    const Routing routing(topology);
    for (HostId host = 0; host < topology.hosts; ++host) {
        const auto distance = distances(topology, host);
        for (NodeId node = topology.hosts; node < topology.nodes(); ++node) {
            std::multiset<PortId> expected;
            for (PortId link = 0; link < topology.links.size(); ++link) {
                const Link& l = topology.links[link];
                if (l.a == node && distance[l.b] + 1 == distance[node] &&
                    (l.b >= topology.hosts || l.b == host))
                    expected.insert(2 * link);
                if (l.b == node && distance[l.a] + 1 == distance[node] &&
                    (l.a >= topology.hosts || l.a == host))
                    expected.insert(2 * link + 1);
            }
            const auto ways = routing.ways(node, host);
            REQUIRE(std::multiset<PortId>(ways.begin(), ways.end()) == expected);
            REQUIRE_FALSE(expected.empty());
        }
    }
}

}  // namespace

TEST_CASE("routing follows all shortest paths, on every shape") {
    check_routing(leaf_spine({.leaves = 3, .spines = 2, .hosts_per_leaf = 4}));
    check_routing(leaf_spine({.leaves = 2, .spines = 2, .hosts_per_leaf = 2, .bundle = 3}));
    check_routing(fat_tree({.pods = 4,
                            .pod_tors = 2,
                            .pod_aggregations = 2,
                            .tor_down = 2,
                            .tor_up = 2,
                            .aggregation_up = 2}));
    check_routing(fat_tree({.pods = 3,
                            .pod_tors = 2,
                            .pod_aggregations = 2,
                            .tor_down = 6,
                            .tor_up = 4,
                            .aggregation_up = 1,
                            .core_bundle = 2}));
    check_routing(
        fat_tree({.pods = 1, .pod_tors = 4, .pod_aggregations = 2, .tor_down = 2, .tor_up = 2}));
    check_routing(rail_optimised({.servers = 4, .rails = 2, .group_servers = 2, .spines = 2}));
    check_routing(dumbbell({.left = 2, .right = 3}));
    check_routing(torus({.extents = {5}}));
    check_routing(torus({.extents = {2}}));
    check_routing(torus({.extents = {3, 4, 2}}));
    check_routing(multi_plane({.leaves = 2, .spines = 2, .hosts_per_leaf = 2}, 3));
}

TEST_CASE("shapes have the size that their numbers say") {
    const Topology tree = fat_tree({.pods = 16,
                                    .pod_tors = 8,
                                    .pod_aggregations = 8,
                                    .tor_down = 8,
                                    .tor_up = 8,
                                    .aggregation_up = 8});
    CHECK(tree.hosts == 1024);
    CHECK(tree.switches.size() == 16 * 16 + 64);
    CHECK(tree.links.size() == 3 * 1024);
    const Topology ring = torus({.extents = {8}});
    CHECK(ring.links.size() == 16);
    CHECK(torus({.extents = {2, 2}}).links.size() == 4 + 4);
}

TEST_CASE("a weight is a share of the entries") {
    Topology topology = leaf_spine({.leaves = 2, .spines = 2, .hosts_per_leaf = 1});
    for (Link& link : topology.links) {
        if (topology.node_name(link.b) == "spine1") link.weight = 3;
    }
    const Routing routing(topology);
    const auto ways = routing.ways(topology.hosts, 1);
    CHECK(ways.size() == 4);
    CHECK(std::set<PortId>(ways.begin(), ways.end()).size() == 2);
}

TEST_CASE("an impossible topology is refused by name") {
    CHECK_THROWS_WITH_AS(leaf_spine({.leaves = 0}), "topology: leaves must be at least 1, not 0",
                         TopologyError);
    CHECK_THROWS_WITH_AS(fat_tree({.pod_aggregations = 2, .tor_up = 3}),
                         "topology: tor_up (3) must be a multiple of pod_aggregations (2), so that "
                         "every ToR reaches every aggregation switch alike",
                         TopologyError);
    CHECK_THROWS_WITH_AS(dumbbell({.neck = {.rate = -1}}),
                         "topology: rate of the neck must be a positive number of bit/s, not -1",
                         TopologyError);
    Topology topology = dumbbell({});
    topology.add_switch("lonely", 0);
    CHECK_THROWS_WITH_AS(topology.check(), "topology: lonely has no link", TopologyError);
    topology = dumbbell({});
    topology.links[2].b = topology.links[2].a;
    CHECK_THROWS_WITH_AS(topology.check(), "topology: link 2 (h2 - h2) joins a node to itself",
                         TopologyError);
    topology = dumbbell({});
    topology.links[0].loss = 1.5;
    CHECK_THROWS_WITH_AS(topology.check(),
                         "topology: link 0 (h0 - left): loss must lie in 0 .. 1, not 1.5",
                         TopologyError);
}
