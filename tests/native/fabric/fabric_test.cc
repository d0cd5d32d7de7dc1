// Hops, queues, choices and faults, each against arithmetic done by hand or against a law that must
// hold (conservation of packets, order, equal seed and equal run).
#include "fabric/fabric.h"

#include <doctest/doctest.h>

#include <map>
#include <set>

#include "recorder.h"

using namespace weft::fabric;

namespace {

constexpr Cable kCable{.rate = 100e9, .delay = kMicrosecond};  // 80 ps a byte

Topology two_hosts() {
    return dumbbell({.left = 1, .right = 1, .down = kCable, .neck = kCable});
}

// Two hosts on the left into one on the right: the neck is the bottleneck.
Topology two_to_one() {
    return dumbbell({.left = 2, .right = 1, .down = kCable, .neck = kCable});
}

}  // namespace

TEST_CASE("an idle path takes serialisation plus delay on every hop") {
    Recorder edge;
    Fabric fabric(two_hosts(), {}, edge);
    fabric.inject(0, packet_to(1, 7));
    fabric.run_until(kNever);
    REQUIRE(edge.delivered.size() == 1);
    CHECK(edge.delivered[0].host == 1);
    CHECK(edge.delivered[0].packet.cargo == 7);
    CHECK(edge.delivered[0].time == 3 * (kMicrosecond + 1000 * 80 * kPicosecond));
}

TEST_CASE("packets of one queue keep their order and leave back to back") {
    Recorder edge;
    Fabric fabric(two_hosts(), {}, edge);
    for (std::uint32_t i = 0; i < 50; ++i) fabric.inject(0, packet_to(1, i));
    fabric.run_until(kNever);
    REQUIRE(edge.delivered.size() == 50);
    for (std::uint32_t i = 0; i < 50; ++i) {
        CHECK(edge.delivered[i].packet.cargo == i);
        CHECK(edge.delivered[i].time == 3 * (kMicrosecond + 80'000) + i * Time{80'000});
    }
    CHECK(fabric.stats(port_between(fabric.topology(), 2, 3)).bytes == 50'000);
}

TEST_CASE("a more urgent class overtakes what waits, not what is being sent") {
    Recorder edge;
    Fabric fabric(two_hosts(), {}, edge);
    for (std::uint32_t i = 0; i < 3; ++i) fabric.inject(0, packet_to(1, i));
    Packet urgent = packet_to(1, 99);
    urgent.priority = 0;
    fabric.inject(0, urgent);
    fabric.run_until(kNever);
    REQUIRE(edge.delivered.size() == 4);
    CHECK(edge.delivered[0].packet.cargo == 0);
    CHECK(edge.delivered[1].packet.cargo == 99);
}

TEST_CASE("a full queue drops, and what it holds is what its capacity says") {
    Recorder edge;
    FabricOptions options;
    options.queue.capacity = 10'000;
    Fabric fabric(two_to_one(), options, edge);
    for (std::uint32_t i = 0; i < 100; ++i) {
        fabric.inject(0, packet_to(2, i));
        fabric.inject(1, packet_to(2, i));
    }
    fabric.run_until(kNever);
    const PortStats neck = fabric.stats(port_between(fabric.topology(), 3, 4));
    CHECK(neck.peak_backlog == 10'000);
    // Two arrive, then one departs. Instant k begins with k waiting; from the ninth on with nine,
    // so that one of each pair is dropped: 91 times.
    CHECK(neck.drops == 91);
    CHECK(edge.delivered.size() + edge.drops.size() == 200);
    CHECK(edge.drops.size() == neck.drops);
    CHECK(edge.reasons[0] == DropReason::kQueueFull);
    CHECK(fabric.packets_in_flight() == 0);
}

TEST_CASE("trimming turns every loss into a header that hurries ahead") {
    Recorder edge;
    FabricOptions options;
    options.queue.capacity = 10'000;
    options.queue.trimming = true;
    Fabric fabric(two_to_one(), options, edge);
    for (std::uint32_t i = 0; i < 100; ++i) {
        for (HostId host : {0U, 1U}) {
            Packet packet = packet_to(2, i);
            packet.flags = kTrimmable;
            packet.trimmed_size = 80;
            fabric.inject(host, packet);
        }
    }
    fabric.run_until(kNever);
    CHECK(edge.drops.empty());
    REQUIRE(edge.delivered.size() == 200);
    std::uint32_t trimmed = 0;
    for (const Arrived& arrived : edge.delivered) {
        if ((arrived.packet.flags & kTrimmed) == 0) continue;
        ++trimmed;
        CHECK(arrived.packet.size == 80);
        CHECK(arrived.packet.priority == 0);
    }
    CHECK(trimmed == fabric.stats(port_between(fabric.topology(), 3, 4)).trims);
    CHECK(trimmed > 80);
}

TEST_CASE("the ECN step marks exactly the packets that find the queue that deep") {
    Recorder edge;
    FabricOptions options;
    options.queue.ecn_min = options.queue.ecn_max = 5'000;
    Fabric fabric(two_to_one(), options, edge);
    for (std::uint32_t i = 0; i < 20; ++i) {
        for (HostId host : {0U, 1U}) {
            Packet packet = packet_to(2, i);
            packet.flags = kMarkable;
            fabric.inject(host, packet);
        }
    }
    fabric.run_until(kNever);
    // Pair k (0 .. 19) finds k packets waiting, and k + 1 the second of it: one mark from pair 4,
    // two from each of the fifteen that follow.
    std::uint32_t marked = 0;
    for (const Arrived& arrived : edge.delivered) marked += (arrived.packet.flags & kMarked) != 0;
    CHECK(marked == fabric.stats(port_between(fabric.topology(), 3, 4)).marks);
    CHECK(marked == 31);
    options.queue.ecn_max = 0;
    Recorder quiet;
    Fabric plain(two_to_one(), options, quiet);
    plain.inject(0, packet_to(2, 0));
    plain.run_until(kNever);
    CHECK((quiet.delivered[0].packet.flags & kMarked) == 0);
}

TEST_CASE("flow control loses nothing where a queue without it does") {
    for (const bool lossless : {false, true}) {
        Recorder edge;
        FabricOptions options;
        options.queue.capacity = 60'000;
        if (lossless) {
            options.queue.pfc_xoff = 10'000;
            options.queue.pfc_xon = 5'000;
        }
        Fabric fabric(two_to_one(), options, edge);
        for (std::uint32_t i = 0; i < 500; ++i) {
            fabric.inject(0, packet_to(2, i));
            fabric.inject(1, packet_to(2, i));
        }
        fabric.run_until(kNever);
        CHECK(edge.drops.empty() == lossless);
        CHECK(edge.delivered.size() + edge.drops.size() == 1000);
        const PortStats neck = fabric.stats(port_between(fabric.topology(), 3, 4));
        // Headroom: what can still come while the pause travels back, 2 x (25 + 1) packets per
        // sender.
        if (lossless) CHECK(neck.peak_backlog <= 2 * (10'000 + 27'000));
    }
}

TEST_CASE("a shared buffer gives a lone queue more than one of many") {
    Recorder edge;
    FabricOptions options;
    options.queue.shared_buffer = 30'000;
    options.queue.shared_alpha = 1.0;
    Fabric fabric(two_to_one(), options, edge);
    for (std::uint32_t i = 0; i < 100; ++i) {
        fabric.inject(0, packet_to(2, i));
        fabric.inject(1, packet_to(2, i));
    }
    fabric.run_until(kNever);
    // One queue with alpha 1 settles where it holds half of the memory.
    CHECK(fabric.stats(port_between(fabric.topology(), 3, 4)).peak_backlog == 15'000);
}

TEST_CASE(
    "equal entropy keeps to one path; many entropy values use them all evenly; seeds differ") {
    const Topology topology =
        leaf_spine({.leaves = 2, .spines = 8, .hosts_per_leaf = 1, .down = kCable, .up = kCable});
    std::set<std::vector<std::uint64_t>> spreads;
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        Recorder edge;
        FabricOptions options;
        options.seed = seed;
        options.host_queue_capacity = 1 << 30;
        Fabric fabric(topology, options, edge);
        const auto loads = [&] {
            std::vector<std::uint64_t> counts;
            for (NodeId spine = 0; spine < 8; ++spine)
                counts.push_back(fabric.stats(port_between(topology, 2, 4 + spine)).packets);
            return counts;
        };
        for (std::uint32_t i = 0; i < 100; ++i) fabric.inject(0, packet_to(1, i, 1000, 4711));
        fabric.run_until(kNever);
        const auto pinned = loads();
        CHECK(*std::max_element(pinned.begin(), pinned.end()) == 100);
        for (std::uint32_t i = 0; i < 8000; ++i) fabric.inject(0, packet_to(1, i, 1000, i));
        fabric.run_until(kNever);
        for (const std::uint64_t count :
             loads()) {  // 1000 each, binomial: five standard deviations
            CHECK(count >= 1000 - 150);
            CHECK(count <= 1100 + 150);
        }
        spreads.insert(loads());
    }
    CHECK(spreads.size() == 3);
}

TEST_CASE("a source route names its path") {
    const Topology topology = fat_tree({.pods = 2,
                                        .pod_tors = 2,
                                        .pod_aggregations = 2,
                                        .tor_down = 2,
                                        .tor_up = 2,
                                        .aggregation_up = 4});
    Recorder edge;
    Fabric fabric(topology, {}, edge);
    for (std::uint32_t path = 0; path < 8; ++path) {  // 2 aggregation switches x 4 cores
        Packet packet = packet_to(7, path);
        packet.flags = kSourceRouted;
        packet.entropy = path;
        fabric.inject(0, packet);
    }
    fabric.run_until(kNever);
    CHECK(edge.delivered.size() == 8);
    for (std::uint32_t s = 0; s < topology.switches.size(); ++s) {
        if (topology.switches[s].tier != 2) continue;
        std::uint64_t through = 0;
        for (PortId port = 0; port < fabric.ports(); ++port) {
            if (topology.links[port / 2].b == topology.hosts + s && port % 2 == 0)
                through += fabric.stats(port).packets;
        }
        CHECK(through == 1);
    }
}

TEST_CASE("loss, corruption and jitter have the probabilities that were asked for") {
    Topology topology = two_hosts();
    Link& neck = topology.links[2];
    neck.loss = 0.1;
    neck.corruption = 0.2;
    neck.jitter = 10 * kMicrosecond;
    Recorder edge;
    Fabric fabric(topology, {}, edge);
    for (std::uint32_t i = 0; i < 10'000; ++i) fabric.inject(0, packet_to(1, i));
    fabric.run_until(kNever);
    // Five standard deviations of the binomial distribution: 150 and 190.
    CHECK(edge.drops.size() > 850);
    CHECK(edge.drops.size() < 1150);
    std::size_t corrupted = 0;
    bool overtaken = false;
    for (std::size_t i = 0; i < edge.delivered.size(); ++i) {
        corrupted += (edge.delivered[i].packet.flags & kCorrupted) != 0;
        overtaken |= i > 0 && edge.delivered[i].packet.cargo < edge.delivered[i - 1].packet.cargo;
    }
    CHECK(corrupted > 1800 - 190);
    CHECK(corrupted < 1800 + 190);
    CHECK(overtaken);
}

TEST_CASE("a link that fails loses what is on it, and carries again after its repair") {
    Recorder edge;
    Fabric fabric(two_hosts(), {}, edge);
    fabric.schedule({.at = 5 * kMicrosecond, .kind = CueKind::kLinkDown, .target = 2});
    fabric.schedule({.at = 9 * kMicrosecond, .kind = CueKind::kLinkUp, .target = 2});
    for (std::uint32_t i = 0; i < 200; ++i) {
        fabric.run_until(i * Time{80'000});
        fabric.inject(0, packet_to(1, i));
    }
    fabric.run_until(kNever);
    CHECK(edge.delivered.size() + edge.drops.size() == 200);
    // Lost: whatever would be on the neck (1.08 us long) or would come to it between 5 and 9 us.
    const auto lost = static_cast<double>(edge.drops.size());
    CHECK(lost >= (4 + 1.0) / 0.08 - 2);
    CHECK(lost <= (4 + 1.08) / 0.08 + 2);
    CHECK(edge.delivered.back().packet.cargo == 199);
}

TEST_CASE("routes go around a dead link once the network has converged") {
    const Topology topology =
        leaf_spine({.leaves = 2, .spines = 2, .hosts_per_leaf = 1, .down = kCable, .up = kCable});
    Recorder edge;
    FabricOptions options;
    options.reroute_after = 10 * kMicrosecond;
    Fabric fabric(topology, options, edge);
    const PortId dead = port_between(topology, 4, 3);  // spine 0 to leaf 1: far from the sender
    fabric.schedule({.at = 0, .kind = CueKind::kLinkDown, .target = dead / 2});
    for (std::uint32_t i = 0; i < 1000; ++i) {
        fabric.run_until(i * Time{80'000});
        fabric.inject(0, packet_to(1, i, 1000, i));
    }
    fabric.run_until(kNever);
    for (const Arrived& lost : edge.drops)
        CHECK(lost.time <= 10 * kMicrosecond + 2 * (kMicrosecond + 80'000));
    CHECK(edge.drops.size() > 30);
    CHECK(edge.drops.size() < 100);
}

TEST_CASE("a switch that reboots is deaf, and a paused host loses nothing") {
    Recorder edge;
    Fabric fabric(two_hosts(), {}, edge);
    fabric.schedule({.at = 2 * kMicrosecond, .kind = CueKind::kHostPause, .target = 1});
    fabric.schedule({.at = 20 * kMicrosecond, .kind = CueKind::kHostResume, .target = 1});
    for (std::uint32_t i = 0; i < 50; ++i) fabric.inject(0, packet_to(1, i));
    fabric.run_until(kNever);
    REQUIRE(edge.delivered.size() == 50);
    for (std::uint32_t i = 0; i < 50; ++i) {
        CHECK(edge.delivered[i].packet.cargo == i);
        CHECK(edge.delivered[i].time >= 20 * kMicrosecond);
    }
    const Time start = fabric.now();
    fabric.schedule({.at = start, .kind = CueKind::kSwitchDown, .target = 0});
    fabric.schedule({.at = start + 10 * kMicrosecond, .kind = CueKind::kSwitchUp, .target = 0});
    fabric.run_until(start + kMicrosecond);
    fabric.inject(0, packet_to(1, 100));
    CHECK(edge.drops.size() == 1);
    fabric.run_until(start + 10 * kMicrosecond);
    fabric.inject(0, packet_to(1, 101));
    fabric.run_until(kNever);
    CHECK(edge.delivered.back().packet.cargo == 101);
}

TEST_CASE("a degraded link serves at its new rate") {
    Recorder edge;
    Fabric fabric(two_hosts(), {}, edge);
    fabric.schedule({.at = 0, .kind = CueKind::kLinkRate, .target = 2, .value = 10e9});
    fabric.run_until(0);
    for (std::uint32_t i = 0; i < 10; ++i) fabric.inject(0, packet_to(1, i));
    fabric.run_until(kNever);
    CHECK(edge.delivered.back().time - edge.delivered.front().time == 9 * Time{800'000});
}

TEST_CASE("bad cues are refused by name") {
    Recorder edge;
    Fabric fabric(two_hosts(), {}, edge);
    CHECK_THROWS_WITH_AS(fabric.schedule({.kind = CueKind::kLinkDown, .target = 3}),
                         "cue link_down: target 3 does not exist; there are 3", TopologyError);
    CHECK_THROWS_AS(fabric.schedule({.kind = CueKind::kLinkLoss, .target = 0, .value = 1.1}),
                    TopologyError);
    CHECK_THROWS_AS(fabric.schedule({.kind = CueKind::kLinkRate, .target = 0, .value = 0}),
                    TopologyError);
}

TEST_CASE("whatever happens, every packet ends once, and equal seeds give equal runs") {
    // Random topologies, options, faults and traffic.
    const auto run = [](std::uint64_t seed) {
        Random random(seed);
        Topology topology = random.below(2) == 0
                                ? leaf_spine({.leaves = 3,
                                              .spines = 3,
                                              .hosts_per_leaf = 3,
                                              .down = kCable,
                                              .up = {.rate = 40e9, .delay = 500'000}})
                                : fat_tree({});
        for (Link& link : topology.links) {
            if (random.below(8) == 0) link.loss = 0.05;
            if (random.below(8) == 0) link.jitter = kMicrosecond;
        }
        FabricOptions options;
        options.seed = seed;
        options.forwarding = random.below(2) == 0 ? Forwarding::kHash : Forwarding::kSpray;
        options.queue.capacity = 5'000 + random.below(20'000);
        options.queue.trimming = random.below(2) == 0;
        options.queue.ecn_max = random.below(2) == 0 ? 4'000 : 0;
        options.queue.ecn_min = 1'000;
        options.queue.shared_buffer = random.below(3) == 0 ? 40'000 : 0;
        options.queue.pfc_xoff = random.below(3) == 0 ? 3'000 : 0;
        options.queue.pfc_xon = 1'500;
        options.reroute_after = random.below(2) == 0 ? kMicrosecond : kNever;
        Recorder edge;
        Fabric fabric(topology, options, edge);
        for (int i = 0; i < 12; ++i) {
            const auto kind = static_cast<CueKind>(random.below(11));
            Cue cue{
                .at = random.below(100) * kMicrosecond, .kind = kind, .target = random.below(6)};
            if (kind == CueKind::kLinkRate) cue.value = 1e9;
            if (kind >= CueKind::kLinkDelay && kind <= CueKind::kLinkJitter) cue.value = 0.1;
            fabric.schedule(cue);
            if (kind == CueKind::kHostPause)
                fabric.schedule({.at = cue.at + 50 * kMicrosecond,
                                 .kind = CueKind::kHostResume,
                                 .target = cue.target});
        }
        for (std::uint32_t i = 0; i < 3000; ++i) {
            fabric.run_until(fabric.now() + random.below(60'000));
            const HostId source = random.below(topology.hosts);
            Packet packet = packet_to(random.below(topology.hosts), i,
                                      static_cast<std::uint16_t>(64 + random.below(1400)),
                                      random.below(1 << 30));
            packet.flags = kMarkable | kTrimmable;
            packet.priority = static_cast<std::uint8_t>(random.below(kClasses));
            if (packet.destination != source) fabric.inject(source, packet);
        }
        fabric.run_until(fabric.now() + kSecond);
        std::map<std::uint32_t, int> ends;
        std::uint64_t digest = 0;
        for (const auto* list : {&edge.delivered, &edge.drops}) {
            for (const Arrived& end : *list) {
                ++ends[end.packet.cargo];
                digest = mix(digest ^ static_cast<std::uint64_t>(end.time)) + end.packet.cargo;
            }
        }
        for (const auto& [cargo, count] : ends) REQUIRE(count == 1);
        CHECK(fabric.packets_in_flight() == 0);
        for (const Arrived& end : edge.delivered) REQUIRE(end.host == end.packet.destination);
        return std::pair(digest, ends.size());
    };
    std::set<std::uint64_t> digests;
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        CAPTURE(seed);
        const auto first = run(seed);
        CHECK(run(seed) == first);
        CHECK(first.second > 2500);
        digests.insert(first.first);
    }
    CHECK(digests.size() == 40);
}
