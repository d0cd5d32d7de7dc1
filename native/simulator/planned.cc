#include "simulator/planned.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <tuple>

#include "fabric/paths.h"
#include "simulator/simulation.h"

namespace weft::simulator {
namespace {

using fabric::FabricPath;
using fabric::HostId;
using fabric::NodeId;
using fabric::PortId;

// How many messages lie before each one on the longest chain of dependencies; computations do not
// count.
std::vector<std::uint32_t> depths(const Workload& workload) {
    std::vector<std::uint32_t> depth(workload.messages.size(), 0);
    if (workload.dependency_begin.empty()) return depth;
    const Successors successors(workload);
    for (const std::uint32_t m : in_order(workload, successors)) {
        const Message& message = workload.messages[m];
        const std::uint32_t after = depth[m] + (message.source == message.destination ? 0U : 1U);
        for (std::uint32_t s = successors.begin[m]; s < successors.begin[m + 1]; ++s) {
            const std::uint32_t next = successors.messages[s];
            depth[next] = std::max(depth[next], after);
        }
    }
    return depth;
}

class Planning {
  public:
    Planning(const fabric::Topology& topology, const Workload& workload, const PlanOptions& options)
        : topology_(topology),
          workload_(workload),
          options_(options),
          routing_(topology),
          shares_(workload.messages.size()) {
        result_.port_bytes.resize(2 * topology.links.size(), 0);
        home_.resize(topology.hosts);
        for (HostId host = 0; host < topology.hosts; ++host) {
            for (const PortId port : routing_.ways(host, host)) {
                const fabric::Link& link = topology.links[port / 2];
                home_[host].push_back(port % 2 == 0 ? link.b : link.a);
            }
        }
    }

    PlannedMessages run() {
        // [source, switches of the destination, depth, start] -> messages
        std::map<std::tuple<HostId, std::vector<NodeId>, std::uint32_t, fabric::Time>,
                 std::vector<std::uint32_t>>
            rounds;
        const std::vector<std::uint32_t> depth = depths(workload_);
        for (std::uint32_t m = 0; m < workload_.messages.size(); ++m) {
            const Message& message = workload_.messages[m];
            if (message.source == message.destination) continue;
            rounds[{message.source, home_[message.destination], depth[m], message.start}].push_back(
                m);
        }
        for (const auto& [key, messages] : rounds) plan_round(messages);
        result_.begin.push_back(0);
        for (const auto& shares : shares_) {
            result_.shares.insert(result_.shares.end(), shares.begin(), shares.end());
            result_.begin.push_back(static_cast<std::uint32_t>(result_.shares.size()));
        }
        return std::move(result_);
    }

  private:
    std::vector<FabricPath> paths_of(const Message& message) const {
        constexpr std::uint32_t kMostPaths = 4096;
        return fabric::paths_between(topology_, routing_, message.source, message.destination,
                                     kMostPaths);
    }

    // On a scale on which the widest path gets 2^20. Links that all paths share do not count.
    std::vector<std::uint64_t> weights(const std::vector<FabricPath>& paths) const {
        std::map<PortId, double> users;
        for (const FabricPath& path : paths) {
            for (const PortId port : path.ports) users[port] += 1;
        }
        std::vector<double> rates;
        for (const FabricPath& path : paths) {
            double rate = std::numeric_limits<double>::max();
            for (const PortId port : path.ports) {
                const bool failed =
                    !options_.failed_links.empty() && options_.failed_links[port / 2];
                if (users[port] < static_cast<double>(paths.size()) || failed)
                    rate =
                        std::min(rate, failed ? 0 : topology_.links[port / 2].rate / users[port]);
            }
            rates.push_back(rate);
        }
        const double widest = *std::ranges::max_element(rates);
        std::vector<std::uint64_t> result;
        for (const double rate : rates)
            result.push_back(widest > 0 ? static_cast<std::uint64_t>(std::llrint(
                                              rate / widest * static_cast<double>(1 << 20)))
                                        : 1);
        return result;
    }

    void plan_round(const std::vector<std::uint32_t>& messages) {
        const Message& first = workload_.messages[messages.front()];
        const std::vector<FabricPath> paths = paths_of(first);
        if (paths.size() < 2) {
            for (const std::uint32_t m : messages) {
                const Message& message = workload_.messages[m];
                for (const FabricPath& path : paths_of(message)) carry(path, message.size);
            }
            return;
        }
        for (const FabricPath& path : paths) {
            if (path.number >= options_.paths) {
                throw OptionError("plan: the fabric has path number " +
                                  std::to_string(path.number) + " from host " +
                                  std::to_string(first.source) + ", but connections have only " +
                                  std::to_string(options_.paths) + " paths");
            }
        }
        std::vector<std::uint64_t> sizes;
        for (const std::uint32_t m : messages) sizes.push_back(workload_.messages[m].size);
        const std::vector<std::uint64_t> capacity = weights(paths);
        const std::uint64_t where = fabric::mix(
            options_.seed ^ (std::uint64_t{first.source} << 32 | home_[first.destination][0]));
        const planner::Plan made = planner::plan(
            options_.strategy, {sizes, capacity, options_.minimum_piece, 1,
                                fabric::reduce(static_cast<std::uint32_t>(where),
                                               static_cast<std::uint32_t>(paths.size()))});
        apply(made, messages);
    }

    void carry(const FabricPath& path, std::uint64_t bytes) {
        for (const PortId port : path.ports) result_.port_bytes[port] += static_cast<double>(bytes);
    }

    void apply(const planner::Plan& made, const std::vector<std::uint32_t>& messages) {
        std::vector<FabricPath> paths;
        std::uint32_t flow = ~0U;
        for (const planner::Piece& piece : made.pieces) {
            const std::uint32_t m = messages[piece.flow];
            if (piece.flow != flow) paths = paths_of(workload_.messages[m]);
            flow = piece.flow;
            shares_[m].push_back(
                {static_cast<transport::PathId>(paths[piece.path].number), piece.size});
            carry(paths[piece.path], piece.size);
        }
        result_.pieces += made.pieces.size();
        result_.messages += messages.size();
        result_.ratio = std::max(result_.ratio, made.ratio());
    }

    const fabric::Topology& topology_;
    const Workload& workload_;
    const PlanOptions& options_;
    fabric::Routing routing_;
    std::vector<std::vector<NodeId>> home_;                  // [host] the switches that it hangs on
    std::vector<std::vector<transport::PathShare>> shares_;  // [message]
    PlannedMessages result_;
};

}  // namespace

PlannedMessages plan_messages(const fabric::Topology& topology, const Workload& workload,
                              const PlanOptions& options) {
    topology.check();
    workload.check(topology.hosts);
    return Planning(topology, workload, options).run();
}

double busiest_port(const fabric::Topology& topology, std::span<const double> bytes) {
    double longest = 0;
    for (std::size_t port = 0; port < bytes.size(); ++port)
        longest = std::max(longest, 8 * bytes[port] / topology.links[port / 2].rate);
    return longest;
}

}  // namespace weft::simulator
