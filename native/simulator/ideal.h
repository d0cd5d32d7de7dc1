// Bounds that no transport can beat, against which completion times are held.
#pragma once

#include <vector>

#include "fabric/routing.h"
#include "fabric/topology.h"
#include "simulator/workload.h"

namespace weft::simulator {

// How messages become packets.
struct Framing {
    std::uint32_t chunk_size = 1400;  // payload bytes per packet
    std::uint32_t overhead = 146;     // other bytes per packet on the wire

    std::uint64_t packets(std::uint64_t size) const {
        return size == 0 ? 1 : (size + chunk_size - 1) / chunk_size;
    }
    std::uint64_t wire_bytes(std::uint64_t size) const { return size + packets(size) * overhead; }
};

// Time that one packet of `bytes` needs from a to b over idle links, hop by hop: all delays, and
// serialisation on every link. Zero if a is b.
fabric::Time packet_latency(const fabric::Topology& topology, const fabric::Routing& routing,
                            fabric::HostId a, fabric::HostId b, std::uint64_t bytes);

struct Ideal {
    std::vector<fabric::Time> messages;  // [message] duration when alone in an idle network
    fabric::Time critical_path = 0;      // end of the workload if no two messages ever met
    fabric::Time load = 0;  // end of the workload that the busiest cut imposes: a host's
                            // interfaces, or all links by which a rack or a pod (or, without tiers,
                            // a switch with its hosts) hangs on the rest
    fabric::Time bound() const { return critical_path > load ? critical_path : load; }
};

// Both parts are lower bounds of the time at which the last byte arrives; `bound()` is the better.
Ideal ideal(const fabric::Topology& topology, const Workload& workload, const Framing& framing);

}  // namespace weft::simulator
