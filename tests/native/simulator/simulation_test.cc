// Whole runs: against arithmetic where the answer is known, and against laws where it is not.
#include "simulator/simulation.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>

#include "simulator/ideal.h"

using namespace weft;
using namespace weft::simulator;
using fabric::kMicrosecond;

namespace {

constexpr fabric::Cable kCable{.rate = 100e9, .delay = kMicrosecond};

SimulationOptions options_for(std::uint32_t chunk_size = 4096) {
    SimulationOptions options;
    options.transport.paths = 16;
    options.transport.chunk_size = chunk_size;
    options.transport.window = 256;
    options.transport.max_burst = chunk_size;
    options.transport.rto_initial = 500 * transport::kMicrosecond;
    options.transport.rto_min = 200 * transport::kMicrosecond;
    options.transport.congestion.parameters = {{"initial_window", 64}, {"base_target_us", 30}};
    options.fabric.queue.capacity = 400'000;
    return options;
}

fabric::Topology pair_of_hosts() {
    return fabric::dumbbell({.left = 1, .right = 1, .down = kCable, .neck = kCable});
}

Framing framing_of(const SimulationOptions& options) {
    return {options.transport.chunk_size,
            static_cast<std::uint32_t>(wire::kDataHeaderSize) + options.overhead};
}

std::uint64_t digest(const Results& results) {
    std::uint64_t value = results.events;
    for (const MessageTimes& times : results.messages) {
        value = fabric::mix(value ^ static_cast<std::uint64_t>(times.received)) +
                static_cast<std::uint64_t>(times.acknowledged);
    }
    return value;
}

Workload permutation(std::uint32_t hosts, std::uint64_t size, std::uint64_t seed) {
    fabric::Random random(seed);
    std::vector<fabric::HostId> to(hosts);
    std::iota(to.begin(), to.end(), 0U);
    for (std::uint32_t i = hosts - 1; i > 0; --i) std::swap(to[i], to[random.below(i)]);
    Workload workload;
    for (fabric::HostId host = 0; host < hosts; ++host)
        workload.messages.push_back({.source = host, .destination = to[host], .size = size});
    return workload;
}

}  // namespace

TEST_CASE("a message alone takes exactly the ideal time") {
    for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{4096},
                                     std::uint64_t{4097}, std::uint64_t{200'000}}) {
        CAPTURE(size);
        const SimulationOptions options = options_for();
        Workload workload;
        workload.messages.push_back({.source = 0, .destination = 1, .size = size});
        const Results results = simulate(pair_of_hosts(), workload, options);
        REQUIRE(results.unfinished == 0);
        const Ideal bound = ideal(pair_of_hosts(), workload, framing_of(options));
        // The last packet may be shorter than the first, whose serialisation the bound counts on
        // every hop.
        CHECK(results.messages[0].received <= bound.messages[0]);
        CHECK(results.messages[0].received >= bound.messages[0] - 2 * fabric::Time{80 * 4096});
        CHECK(results.messages[0].acknowledged >= results.messages[0].received + 3 * kMicrosecond);
        CHECK(results.transport.bytes_received == size);
        CHECK(results.transport.retransmitted == 0);
    }
}

TEST_CASE("a long flow fills its link") {
    const SimulationOptions options = options_for();
    Workload workload;
    workload.messages.push_back({.source = 0, .destination = 1, .size = 20'000'000});
    const Results results = simulate(pair_of_hosts(), workload, options);
    const Ideal bound = ideal(pair_of_hosts(), workload, framing_of(options));
    CHECK(static_cast<double>(results.messages[0].received) <=
          1.01 * static_cast<double>(bound.bound()));
    CHECK(results.messages[0].received >= bound.bound() - kMicrosecond);
}

TEST_CASE("a cold connection pays for its handshake") {
    SimulationOptions options = options_for();
    Workload workload;
    workload.messages.push_back({.source = 0, .destination = 1, .size = 1000});
    const fabric::Time warm = simulate(pair_of_hosts(), workload, options).messages[0].received;
    options.warm = false;
    const Results cold = simulate(pair_of_hosts(), workload, options);
    REQUIRE(cold.unfinished == 0);
    CHECK(cold.messages[0].received >= warm + 6 * kMicrosecond);  // a round trip of delays
    CHECK(cold.messages[0].received <= warm + 20 * kMicrosecond);
}

TEST_CASE("who is called over a cold connection sends once it has heard the call") {
    SimulationOptions options = options_for();
    options.warm = false;
    Workload workload;
    workload.messages = {{.source = 0, .destination = 1, .size = 1000},
                         {.source = 1, .destination = 0, .size = 1000}};
    const Results both = simulate(pair_of_hosts(), workload, options);
    REQUIRE(both.unfinished == 0);
    CHECK(both.messages[1].started == 0);
    CHECK(both.messages[1].received > both.messages[1].started + 6 * kMicrosecond);
}

TEST_CASE("what waits starts when its host knows, and computations only take time") {
    // 0 -> 1, then a computation of 50 us at 1, then 1 -> 0; and 0 -> 1 again once the first is
    // acknowledged.
    Workload workload;
    workload.messages = {{.source = 0, .destination = 1, .size = 10'000},
                         {.source = 1, .destination = 1, .delay = 50 * kMicrosecond},
                         {.source = 1, .destination = 0, .size = 10'000},
                         {.source = 0, .destination = 1, .size = 10'000}};
    workload.dependency_begin = {0, 0, 1, 2, 3};
    workload.dependencies = {0, 1, 0};
    const Results results = simulate(pair_of_hosts(), workload, options_for());
    REQUIRE(results.unfinished == 0);
    const auto& times = results.messages;
    CHECK(times[1].received == times[0].received + 50 * kMicrosecond);
    CHECK(times[2].started == times[1].received);
    CHECK(times[3].started == times[0].acknowledged);
    const Ideal bound = ideal(pair_of_hosts(), workload, framing_of(options_for()));
    CHECK(bound.critical_path == 2 * bound.messages[0] + 50 * kMicrosecond);
}

TEST_CASE("equal seeds give equal runs, other seeds others") {
    const fabric::Topology topology =
        fabric::fat_tree({.pods = 4, .down = kCable, .up = kCable, .core = kCable});
    const Workload workload = permutation(topology.hosts, 500'000, 3);
    SimulationOptions options = options_for();
    const std::uint64_t first = digest(simulate(topology, workload, options));
    CHECK(digest(simulate(topology, workload, options)) == first);
    options.fabric.seed = 2;
    CHECK(digest(simulate(topology, workload, options)) != first);
}

TEST_CASE("loss, corruption, trimming and small queues delay but lose nothing") {
    fabric::Topology topology = fabric::leaf_spine(
        {.leaves = 2, .spines = 2, .hosts_per_leaf = 4, .down = kCable, .up = kCable});
    for (fabric::Link& link : topology.links) {
        link.loss = 0.01;
        link.corruption = 0.005;
    }
    const Workload workload = permutation(topology.hosts, 1'000'000, 5);
    for (const bool trimming : {false, true}) {
        SimulationOptions options = options_for();
        options.fabric.queue.capacity = 30'000;
        options.fabric.queue.trimming = trimming;
        const Results results = simulate(topology, workload, options);
        CHECK(results.unfinished == 0);
        CHECK(results.failures.empty());
        CHECK(results.transport.bytes_received == 8'000'000);
        CHECK(results.transport.retransmitted > 50);
        CHECK(results.dropped[static_cast<std::size_t>(fabric::DropReason::kLinkLoss)] > 50);
        CHECK(results.transport.drops[static_cast<std::size_t>(transport::Drop::kCorrupt)] > 20);
        CHECK((results.transport.trims > 0) == trimming);
    }
}

TEST_CASE("an unreachable peer ends in a failure that is told, not in a hang") {
    SimulationOptions options = options_for();
    options.cues = {{.at = 20 * kMicrosecond, .kind = fabric::CueKind::kLinkDown, .target = 2}};
    Workload workload;
    workload.messages = {{.source = 0, .destination = 1, .size = 5'000'000},
                         {.source = 1, .destination = 0, .size = 100}};
    workload.dependency_begin = {0, 0, 1};
    workload.dependencies = {0};
    const Results results = simulate(pair_of_hosts(), workload, options);
    CHECK(results.unfinished == 2);
    REQUIRE_FALSE(results.failures.empty());
    CHECK(results.failures[0].at < 3 * fabric::kSecond);
    CHECK_FALSE(results.failures[0].reason.empty());
    CHECK(results.messages[1].started == kNotYet);
}

TEST_CASE("the limit ends a run, and so does whoever watches it") {
    SimulationOptions options = options_for();
    options.limit = 50 * kMicrosecond;
    Workload workload;
    workload.messages.push_back({.source = 0, .destination = 1, .size = 100'000'000});
    CHECK(simulate(pair_of_hosts(), workload, options).unfinished == 1);
    options.limit = fabric::kSecond;
    options.sample_interval = 10 * kMicrosecond;
    int calls = 0;
    workload.messages[0].size = 40'000'000'000;  // would take minutes
    const Results results = simulate(pair_of_hosts(), workload, options,
                                     [&](std::uint64_t, fabric::Time) { return ++calls < 2; });
    CHECK(calls == 2);
    CHECK(results.unfinished == 1);
    REQUIRE(results.samples.times.size() > 10);
    CHECK(results.samples.times[1] - results.samples.times[0] == 10 * kMicrosecond);
    CHECK(results.samples.bytes.size() == results.samples.times.size() * results.ports.size());
}

TEST_CASE("the yardstick's small sister completes close to its bound") {
    const fabric::Topology topology = fabric::fat_tree({.pods = 4,
                                                        .pod_tors = 4,
                                                        .pod_aggregations = 4,
                                                        .tor_down = 4,
                                                        .tor_up = 4,
                                                        .aggregation_up = 4,
                                                        .down = kCable,
                                                        .up = kCable,
                                                        .core = kCable});
    const Workload workload = permutation(topology.hosts, 2'000'000, 1);
    SimulationOptions options = options_for();
    options.fabric.forwarding = fabric::Forwarding::kSpray;
    const Results results = simulate(topology, workload, options);
    REQUIRE(results.unfinished == 0);
    const auto bound = static_cast<double>(ideal(topology, workload, framing_of(options)).bound());
    fabric::Time last = 0;
    for (const MessageTimes& times : results.messages) last = std::max(last, times.received);
    CHECK(static_cast<double>(last) >= bound);
    CHECK(static_cast<double>(last) <= 1.4 * bound);
}

TEST_CASE("bad input is refused before anything runs") {
    const fabric::Topology topology = pair_of_hosts();
    Workload workload;
    CHECK_THROWS_WITH_AS(simulate(topology, workload, options_for()),
                         "workload: it has no messages", WorkloadError);
    workload.messages = {{.source = 0, .destination = 2, .size = 1}};
    CHECK_THROWS_WITH_AS(simulate(topology, workload, options_for()),
                         "workload: message 0 names host 2, but there are only 2", WorkloadError);
    workload.messages = {{.source = 0, .destination = 1}, {.source = 0, .destination = 1}};
    workload.dependency_begin = {0, 1, 2};
    workload.dependencies = {1, 0};
    CHECK_THROWS_WITH_AS(simulate(topology, workload, options_for()),
                         "workload: message 0 waits for itself, round a circle", WorkloadError);
    workload.dependency_begin.clear();
    workload.dependencies.clear();
    SimulationOptions options = options_for();
    options.transport.chunk_size = 65'536;
    CHECK_THROWS_AS(simulate(topology, workload, options), OptionError);
    options = options_for();
    options.transport.congestion.name = "nonsense";
    CHECK_THROWS_AS(simulate(topology, workload, options), transport::ConfigError);
}
