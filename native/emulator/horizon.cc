#include "emulator/horizon.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace weft::emulator {

using fabric::Time;

namespace {

constexpr double kByte = 8e12;  // bits, times the picoseconds of a second

// Dijkstra's algorithm over the switches: from one to all, by one of the two costs.
template <typename Value>
std::vector<Value> distances(
    const std::vector<std::vector<std::pair<std::uint32_t, Value>>>& neighbours,
    std::uint32_t from) {
    std::vector<Value> found(neighbours.size(), std::numeric_limits<Value>::max());
    using Near = std::pair<Value, std::uint32_t>;
    std::priority_queue<Near, std::vector<Near>, std::greater<>> open;
    found[from] = 0;
    open.push({0, from});
    while (!open.empty()) {
        const auto [distance, at] = open.top();
        open.pop();
        if (distance > found[at]) continue;
        for (const auto& [other, step] : neighbours[at]) {
            if (distance + step >= found[other]) continue;
            found[other] = distance + step;
            open.push({found[other], other});
        }
    }
    return found;
}

}  // namespace

ShortestWays::ShortestWays(const fabric::Topology& topology)
    : hosts_(topology.hosts), switches_(topology.switches.size()) {
    for (const fabric::Link& link : topology.links) {
        const auto [low, high] = std::minmax(link.a, link.b);
        if (low >= topology.hosts) continue;
        if (high < topology.hosts) {
            direct_ = true;
            return;
        }
        const Cost cost{link.delay, kByte / link.rate};
        hosts_[low].push_back({high - topology.hosts, cost});
    }
    for (const auto& accesses : hosts_) {
        for (const Access& access : accesses) {
            if (switches_[access.at].empty()) switches_[access.at] = between(topology, access.at);
        }
    }
}

std::vector<ShortestWays::Cost> ShortestWays::between(const fabric::Topology& topology,
                                                      std::uint32_t from) const {
    const std::size_t count = topology.switches.size();
    std::vector<std::vector<std::pair<std::uint32_t, Time>>> delays(count);
    std::vector<std::vector<std::pair<std::uint32_t, double>>> bytes(count);
    for (const fabric::Link& link : topology.links) {
        if (link.a < topology.hosts || link.b < topology.hosts) continue;
        const std::uint32_t a = link.a - topology.hosts;
        const std::uint32_t b = link.b - topology.hosts;
        for (const auto& [here, there] : {std::pair{a, b}, std::pair{b, a}}) {
            delays[here].emplace_back(there, link.delay);
            bytes[here].emplace_back(there, kByte / link.rate);
        }
    }
    const std::vector<Time> delay = distances(delays, from);
    const std::vector<double> byte = distances(bytes, from);
    std::vector<Cost> found;
    found.reserve(count);
    for (std::size_t i = 0; i < count; ++i) found.push_back({delay[i], byte[i]});
    return found;
}

Time ShortestWays::least(fabric::HostId source, fabric::HostId destination,
                         std::uint32_t bytes) const {
    if (direct_ || source == destination) return 0;
    Time delay = fabric::kNever;
    double per_byte = std::numeric_limits<double>::max();
    for (const Access& out : hosts_[source]) {
        for (const Access& in : hosts_[destination]) {
            const Cost& middle = switches_[out.at][in.at];
            if (middle.delay == std::numeric_limits<Time>::max()) continue;  // no way
            delay = std::min(delay, out.cost.delay + middle.delay + in.cost.delay);
            per_byte = std::min(per_byte, out.cost.per_byte + middle.per_byte + in.cost.per_byte);
        }
    }
    if (delay == fabric::kNever) return 0;
    return delay + static_cast<Time>(per_byte * bytes);
}

}  // namespace weft::emulator
