// Max-min fair rates: against shares worked out by hand, the definition itself, and packets.
#include "simulator/flow_level.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

using namespace weft;
using namespace weft::simulator;
using fabric::kMicrosecond;

namespace {

constexpr fabric::Cable kCable{.rate = 100e9, .delay = kMicrosecond};  // 80 ps a byte
const FlowOptions kBare{.framing = {.chunk_size = 1000, .overhead = 0}};

fabric::Time last(const std::vector<MessageTimes>& messages) {
    fabric::Time end = 0;
    for (const MessageTimes& times : messages) {
        REQUIRE(times.received != kNotYet);
        end = std::max(end, times.received);
    }
    return end;
}

}  // namespace

TEST_CASE("the textbook's example: a long flow shares each of two necks with a short one") {
    // h0, h2 on n0; h1 on n1; h3 on n2: n0 -- n1 -- n2 in a row, the second neck at half rate.
    fabric::Topology topology;
    topology.hosts = 4;
    const auto n0 = topology.add_switch("n0", 0);
    const auto n1 = topology.add_switch("n1", 0);
    const auto n2 = topology.add_switch("n2", 0);
    topology.add_link(0, n0, 400e9, 0);
    topology.add_link(2, n0, 400e9, 0);
    topology.add_link(1, n1, 400e9, 0);
    topology.add_link(3, n2, 400e9, 0);
    topology.add_link(n0, n1, 100e9, 0);
    topology.add_link(n1, n2, 50e9, 0);
    Workload workload;
    // 0 -> 3 and 1 -> 3 get 25 Gbit/s each on the second neck; 2 -> 1 gets the 75 that remain of
    // the first.
    workload.messages = {{.source = 0, .destination = 3, .size = 25'000},
                         {.source = 1, .destination = 3, .size = 25'000},
                         {.source = 2, .destination = 1, .size = 75'000}};
    const FlowResults results = flow_level(topology, workload, kBare);
    CHECK(results.steps == 1);
    for (const MessageTimes& times : results.messages) {
        CHECK(times.received >= 8 * kMicrosecond);            // 25,000 B at 25 Gbit/s
        CHECK(times.received <= 8 * kMicrosecond + 400'000);  // and the first packet's later hops
    }
}

TEST_CASE("who remains takes over what the others leave") {
    const fabric::Topology topology = fabric::dumbbell({.left = 2,
                                                        .right = 1,
                                                        .down = {.rate = 100e9, .delay = 0},
                                                        .neck = {.rate = 100e9, .delay = 0}});
    Workload workload;
    workload.messages = {{.source = 0, .destination = 2, .size = 1'000'000},
                         {.source = 1, .destination = 2, .size = 3'000'000}};
    const FlowResults results = flow_level(topology, workload, kBare);
    // 2 MB together in 160 us, then 2 MB alone in 160 us.
    CHECK(results.messages[0].received >= 160 * kMicrosecond);
    CHECK(results.messages[0].received <= 161 * kMicrosecond);
    CHECK(results.messages[1].received >= 320 * kMicrosecond);
    CHECK(results.messages[1].received <= 321 * kMicrosecond);
    CHECK(results.port_bytes[2 * 3] == 4'000'000);  // the neck
}

TEST_CASE("dependencies, computations and starts are kept") {
    const fabric::Topology topology =
        fabric::dumbbell({.left = 1, .right = 1, .down = kCable, .neck = kCable});
    Workload workload;
    workload.messages = {{.source = 0, .destination = 1, .size = 10'000, .start = 5 * kMicrosecond},
                         {.source = 1, .destination = 1, .delay = 50 * kMicrosecond},
                         {.source = 1, .destination = 0, .size = 10'000}};
    workload.dependency_begin = {0, 0, 1, 2};
    workload.dependencies = {0, 1};
    const FlowResults results = flow_level(topology, workload, kBare);
    CHECK(results.messages[0].started == 5 * kMicrosecond);
    CHECK(results.messages[1].received == results.messages[0].received + 50 * kMicrosecond);
    CHECK(results.messages[2].started == results.messages[1].received);
}

TEST_CASE("long flows end within ten per cent of what packets say") {
    // Without queues to speak of: incast over a neck, sprayed permutation, both with 20 MB
    // messages.
    struct Case {
        fabric::Topology topology;
        bool spray;
        bool incast;
    };
    const std::vector<Case> cases = {
        {fabric::dumbbell({.left = 4, .right = 4, .down = kCable, .neck = kCable}), false, false},
        {fabric::leaf_spine(
             {.leaves = 4, .spines = 4, .hosts_per_leaf = 4, .down = kCable, .up = kCable}),
         true, false},
        {fabric::leaf_spine(
             {.leaves = 2, .spines = 2, .hosts_per_leaf = 3, .down = kCable, .up = kCable}),
         true, true},
    };
    for (const Case& c : cases) {
        const std::uint32_t hosts = c.topology.hosts;
        Workload workload;
        for (fabric::HostId host = 0; host < hosts; ++host) {
            const fabric::HostId to = c.incast ? 0 : (host + hosts / 2) % hosts;
            if (to != host)
                workload.messages.push_back(
                    {.source = host, .destination = to, .size = 20'000'000});
        }
        SimulationOptions options;
        options.transport.paths = 16;
        options.transport.chunk_size = 4096;
        options.transport.window = 256;
        options.transport.max_burst = 4096;
        options.transport.rto_min = 2 * transport::kMillisecond;
        options.transport.congestion.parameters = {{"initial_window", 32}, {"base_target_us", 60}};
        options.fabric.queue.capacity = 2'000'000;
        options.fabric.forwarding =
            c.spray ? fabric::Forwarding::kSpray : fabric::Forwarding::kHash;
        const auto packets =
            static_cast<double>(last(simulate(c.topology, workload, options).messages));
        FlowOptions fluid{.framing = {4096, 146}, .paths = 16, .spray = c.spray};
        const auto flows =
            static_cast<double>(last(flow_level(c.topology, workload, fluid).messages));
        CAPTURE(hosts);
        CAPTURE(packets);
        CAPTURE(flows);
        CHECK(std::abs(packets - flows) <= 0.1 * packets);
    }
}

TEST_CASE("bytes are neither made nor lost, and no link is faster than itself") {
    fabric::Random random(9);
    for (int round = 0; round < 20; ++round) {
        fabric::Topology topology = fabric::leaf_spine({.leaves = 3,
                                                        .spines = 2,
                                                        .hosts_per_leaf = 3,
                                                        .down = {.rate = 100e9, .delay = 0},
                                                        .up = {.rate = 100e9, .delay = 0}});
        for (fabric::Link& link : topology.links) link.rate = 1e9 * (10 + random.below(90));
        Workload workload;
        for (int m = 0; m < 12; ++m) {
            const auto source = random.below(9);
            workload.messages.push_back({.source = source,
                                         .destination = (source + 1 + random.below(8)) % 9,
                                         .size = 1'000'000'000});
        }
        FlowOptions options = kBare;
        options.seed = static_cast<std::uint64_t>(round);
        const FlowResults results = flow_level(topology, workload, options);
        // The first to end had the highest rate of the first step; its bound: no link can be
        // faster.
        fabric::Time first = fabric::kNever;
        for (const MessageTimes& times : results.messages) first = std::min(first, times.received);
        CHECK(static_cast<double>(first) >= 1e9 * 8e12 / 100e9);
        // Nothing is created or lost: ports next to the hosts carry exactly what was sent and
        // received.
        std::uint64_t out = 0;
        for (std::size_t l = 0; l < topology.links.size(); ++l) {
            if (topology.links[l].a < 9) out += results.port_bytes[2 * l];
        }
        CHECK(std::abs(static_cast<double>(out) - 12e9) < 100);
        // No port is faster than its link over the whole run.
        for (fabric::PortId port = 0; port < results.port_bytes.size(); ++port) {
            const double busy = static_cast<double>(results.port_bytes[port]) * 8e12 /
                                topology.links[port / 2].rate;
            CHECK(busy <= static_cast<double>(last(results.messages)) * 1.006);
        }
    }
}
