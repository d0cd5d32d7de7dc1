// The same question without packets: every message is a fluid that gets its max-min fair share of
// the links, until the next one starts or ends (Bertsekas and Gallager, "Data Networks", 6.5.2).
//
// Good for long messages on fabrics too large for packets; blind to queues, losses, round trips and
// the time that a congestion control needs to find its rate.
#pragma once

#include <cstdint>
#include <vector>

#include "fabric/topology.h"
#include "simulator/ideal.h"
#include "simulator/simulation.h"
#include "simulator/workload.h"

namespace weft::simulator {

struct FlowOptions {
    Framing framing;
    std::uint32_t paths = 1;  // ECMP paths over which a message is spread in equal parts
    bool spray = false;       // instead: equal parts over all ways at every switch
    std::uint64_t seed = 1;   // of the ECMP hash
};

struct FlowResults {
    std::vector<MessageTimes> messages;
    std::vector<std::uint64_t> port_bytes;  // [port] on the wire
    std::uint64_t steps = 0;                // how often rates were computed
    double wall_seconds = 0;
};

// Throws TopologyError, WorkloadError, OptionError. A message for which there is no way never ends.
// Messages end up to half a per cent of their duration early, so that many can end together.
FlowResults flow_level(const fabric::Topology& topology, const Workload& workload,
                       const FlowOptions& options);

}  // namespace weft::simulator
