#include "fabric/paths.h"

#include <doctest/doctest.h>

#include <set>

#include "fabric/ecmp.h"
#include "fabric/fabric.h"
#include "recorder.h"

using namespace weft::fabric;

TEST_CASE("a fat-tree's paths are numbered from 0 on, and lead where they say") {
    const Cable cable{100e9, kMicrosecond};
    const Topology topology = fat_tree({4, 2, 2, 2, 2, 2, 1, cable, cable, cable});
    const Routing routing(topology);
    const HostId far = topology.hosts - 1;
    const auto paths = paths_between(topology, routing, 0, far, 4096);
    REQUIRE(paths.size() == 4);
    std::set<std::uint32_t> numbers;
    std::set<std::vector<PortId>> ways;
    for (const FabricPath& path : paths) {
        numbers.insert(path.number);
        ways.insert(path.ports);
        CHECK(path.ports.size() == 6);
        NodeId node = 0;
        for (const PortId port : path.ports) {
            const Link& link = topology.links[port / 2];
            CHECK((port % 2 == 0 ? link.a : link.b) == node);
            node = port % 2 == 0 ? link.b : link.a;
        }
        CHECK(node == far);
    }
    CHECK(numbers == std::set<std::uint32_t>{0, 1, 2, 3});
    CHECK(ways.size() == 4);
    CHECK(paths_between(topology, routing, 0, 1, 4096).size() == 1);  // on the same switch
    CHECK_THROWS_AS(paths_between(topology, routing, 0, far, 3), TopologyError);
}

TEST_CASE("a five-tuple found for a path takes the same links as its source route") {
    const Cable cable{100e9, kMicrosecond};
    const Topology topology = fat_tree({4, 2, 2, 2, 2, 2, 1, cable, cable, cable});
    const Routing routing(topology);
    const HostId far = topology.hosts - 1;
    constexpr std::uint64_t kSeed = 42;
    for (const FabricPath& path : paths_between(topology, routing, 0, far, 4096)) {
        Recorder edge;
        FabricOptions options;
        options.seed = kSeed;
        Fabric fabric(topology, options, edge);
        Packet packet;
        packet.destination = far;
        packet.size = 1000;
        packet.entropy = entropy_for(topology, routing, kSeed, 0, far, path.number, path.number);
        fabric.inject(0, packet);
        packet.entropy = path.number;
        packet.flags = kSourceRouted;
        fabric.inject(0, packet);
        fabric.run_until(kSecond);
        for (const PortId port : path.ports) CHECK(fabric.stats(port).packets == 2);
    }
}
