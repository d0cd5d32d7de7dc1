// The yardstick of packet-level simulators: a random permutation of 1,024 flows of 2 MB over a
// 1,024-host, three-tier, fully provisioned fat-tree at 100 Gbit/s with 1 us links, every packet a
// transport packet of a full connection at both ends.
// Usage: simulator [PODS=16] [KEY=VALUE...]; 64 hosts a pod.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <vector>

#include "simulator/ideal.h"
#include "simulator/simulation.h"

namespace {

using namespace weft;

// A permutation without fixed points, by Sattolo's algorithm.
simulator::Workload permutation(std::uint32_t hosts, std::uint64_t size, std::uint64_t seed) {
    fabric::Random random(seed);
    std::vector<fabric::HostId> to(hosts);
    std::iota(to.begin(), to.end(), 0U);
    for (std::uint32_t i = hosts - 1; i > 0; --i) std::swap(to[i], to[random.below(i)]);
    simulator::Workload workload;
    for (fabric::HostId host = 0; host < hosts; ++host) {
        workload.messages.push_back({.source = host, .destination = to[host], .size = size});
    }
    return workload;
}

}  // namespace

int main(int argc, char** argv) {
    const auto pods = static_cast<std::uint32_t>(argc > 1 ? std::atoi(argv[1]) : 16);
    fabric::FatTree shape{.pods = pods,
                          .pod_tors = 8,
                          .pod_aggregations = 8,
                          .tor_down = 8,
                          .tor_up = 8,
                          .aggregation_up = 8};
    const fabric::Topology topology = fabric::fat_tree(shape);
    const simulator::Workload workload = permutation(topology.hosts, 2'000'000, 1);
    simulator::SimulationOptions options;
    options.transport.paths = 128;
    options.transport.chunk_size = 4096;
    options.transport.window = 256;
    options.transport.max_burst = 4096;
    options.transport.rto_initial = 500 * transport::kMicrosecond;
    options.transport.rto_min = 200 * transport::kMicrosecond;
    options.overhead = 46;  // without preamble and gap, as htsim counts
    options.transport.congestion.parameters = {{"initial_window", 64}, {"base_target_us", 40}};
    options.fabric.queue.capacity = 400'000;
    options.fabric.forwarding = fabric::Forwarding::kSpray;
    for (int i = 2; i < argc; ++i) {
        const std::string argument = argv[i];
        const std::size_t at = argument.find('=');
        const std::string key = argument.substr(0, at);
        const std::string value = argument.substr(at + 1);
        if (key == "scheduler")
            options.transport.scheduler.name = value;
        else if (key == "congestion")
            options.transport.congestion.name = value;
        else if (key == "paths")
            options.transport.paths = static_cast<std::uint16_t>(std::stoul(value));
        else if (key == "window")
            options.transport.window = static_cast<std::uint32_t>(std::stoul(value));
        else if (key == "queue")
            options.fabric.queue.capacity = static_cast<std::uint32_t>(std::stoul(value));
        else if (key == "trim")
            options.fabric.queue.trimming = value == "1";
        else if (key == "forwarding" && value == "hash")
            options.fabric.forwarding = fabric::Forwarding::kHash;
        else if (key == "ack")
            options.transport.ack_every = static_cast<std::uint32_t>(std::stoul(value));
        else if (key == "disorder")
            options.transport.ack_disorder = static_cast<std::uint32_t>(std::stoul(value));
        else if (key.starts_with("cc."))
            options.transport.congestion.parameters.emplace_back(key.substr(3), std::stod(value));
        else if (key.starts_with("rec."))
            options.transport.recovery.parameters.emplace_back(key.substr(4), std::stod(value));
        else {
            std::fprintf(stderr, "unknown key %s\n", key.c_str());
            return EXIT_FAILURE;
        }
    }
    const simulator::Results results = simulator::simulate(topology, workload, options);
    std::vector<fabric::Time> ends;
    for (const simulator::MessageTimes& times : results.messages) ends.push_back(times.received);
    std::sort(ends.begin(), ends.end());
    const simulator::Ideal ideal =
        simulator::ideal(topology, workload, {options.transport.chunk_size, 80 + options.overhead});
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const auto us = [](fabric::Time time) { return static_cast<double>(time) / 1e6; };
    std::printf(
        "hosts %u, done: first %.1f median %.1f last %.1f us (ideal %.1f), unfinished %llu\n",
        topology.hosts, us(ends.front()), us(ends[ends.size() / 2]), us(ends.back()),
        us(ideal.bound()), static_cast<unsigned long long>(results.unfinished));
    std::uint64_t peak = 0;
    for (const fabric::PortStats& port : results.ports)
        peak = std::max<std::uint64_t>(peak, port.peak_backlog);
    std::printf(
        "wall %.3f s, events %llu (%.1f M/s), packets %llu, chunks %llu, retransmitted %llu "
        "(timeouts %llu), acks %llu, "
        "dropped %llu, peak queue %llu B, peak packets %llu, memory %ld MB\n",
        results.wall_seconds, static_cast<unsigned long long>(results.events),
        static_cast<double>(results.events) / results.wall_seconds / 1e6,
        static_cast<unsigned long long>(results.packets),
        static_cast<unsigned long long>(results.transport.chunks_sent),
        static_cast<unsigned long long>(results.transport.retransmitted),
        static_cast<unsigned long long>(results.transport.timeouts),
        static_cast<unsigned long long>(results.transport.acks_sent),
        static_cast<unsigned long long>(results.dropped[0]), static_cast<unsigned long long>(peak),
        static_cast<unsigned long long>(results.peak_packets), usage.ru_maxrss / 1024);
    return results.unfinished == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
