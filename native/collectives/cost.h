// Predicts how long a schedule takes: an alpha-beta-gamma model (Thakur et al. 2005; Hockney 1994
// for alpha and beta; LogGP's overhead and gap: Alexandrov et al. 1995) evaluated by list
// scheduling over the steps of all ranks.
//
// What is modelled: the dependencies of every step; a rank's processor, which does one thing at a
// time (on hosts with fewer processors than ranks, in turn); the ports of network edges, which
// carry one message at a time each way; eager and rendezvous messages. What is not: contention
// inside the fabric and of the memory bus. Deterministic: equal arguments give equal predictions on
// all ranks, which is what makes all of them choose alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "collectives/schedule.h"
#include "collectives/switch_cost.h"

namespace weft::collectives {

// One class of edges. All times in seconds.
struct EdgeCost {
    double latency = 0;   // alpha: from the sender's hands to the receiver's
    double overhead = 0;  // o: of a processor per message, at each end
    double per_byte = 0;  // beta
    bool uses_processor =
        false;  // the receiver's processor moves the bytes (shared memory), not a port
    std::size_t eager_bytes =
        0;  // larger messages wait for their receive and pay one more latency each way
};

struct CostModel {
    EdgeCost local{.latency = 0.4e-6,
                   .overhead = 0.25e-6,
                   .per_byte = 1.0 / 10e9,
                   .uses_processor = true,
                   .eager_bytes = 4096};
    EdgeCost remote{.latency = 15e-6,
                    .overhead = 1.5e-6,
                    .per_byte = 1.0 / 3e9,
                    .uses_processor = false,
                    .eager_bytes = 65536};
    double step = 0.1e-6;                 // of a processor, for every step
    double copy_per_byte = 1.0 / 11e9;    // delta
    double reduce_per_byte = 1.0 / 15e9;  // gamma
    double context_switch = 2e-6;         // of a processor that ranks share
    std::int32_t processors = 0;          // per host; 0: at least one for every rank
    std::optional<SwitchCost> innet;      // where there is a switch that adds up
};

// Where the ranks are: hosts[r] is equal for ranks that share a host.
using Hosts = std::vector<std::int32_t>;

struct Estimate {
    double seconds = 0;
    std::size_t messages = 0;    // sent by the rank that sends most
    std::size_t sent_bytes = 0;  // by the rank that sends most bytes
};

// `bytes`: of the larger of input and output per rank, all blocks equal. The schedule must be right
// (verify.h); a deadlock or a missing message is reported as Error(SCHEDULE). O(steps log steps).
Estimate estimate(const Schedule& schedule, std::size_t bytes, const CostModel& model,
                  const Hosts& hosts);

}  // namespace weft::collectives
