// The flow planner applied to a workload on a fabric: how many bytes of which message on which
// path.
//
// Planned together are the messages of one source to the hosts on one switch (or set of switches)
// that can be under way together: those of equal depth in the dependencies and equal start. Paths
// weigh what their narrowest link gives each of the paths that share it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "fabric/topology.h"
#include "planner/plan.h"
#include "simulator/workload.h"
#include "transport/types.h"

namespace weft::simulator {

struct PlanOptions {
    planner::Strategy strategy = planner::Strategy::kWrapAround;
    std::uint64_t minimum_piece = 1;   // bytes
    std::uint64_t seed = 1;            // of where each round of paths begins
    std::uint32_t paths = 4096;        // path numbers stay below
    std::vector<bool> failed_links{};  // [link] known in advance; empty: none
};

struct PlannedMessages {
    std::vector<std::uint32_t> begin;          // [message], and the end
    std::vector<transport::PathShare> shares;  // message m: [begin[m], begin[m + 1])
    std::vector<double> port_bytes;            // [port] predicted payload
    std::uint64_t pieces = 0;
    std::uint64_t messages = 0;  // that have more than one path
    double ratio = 1;            // the worst of all rounds: planner::Plan::ratio()

    std::span<const transport::PathShare> of(std::uint32_t message) const {
        return std::span(shares).subspan(begin[message], begin[message + 1] - begin[message]);
    }
};

// Throws planner::PlanError (Ethereal: unequal flows or paths), OptionError when the fabric has a
// path number that `paths` does not reach, TopologyError.
PlannedMessages plan_messages(const fabric::Topology& topology, const Workload& workload,
                              const PlanOptions& options);

// The least time in which a load can be carried: seconds that the busiest port needs for `bytes`.
double busiest_port(const fabric::Topology& topology, std::span<const double> bytes);

}  // namespace weft::simulator
