// The paths between two hosts, by number.
//
// A number names the choices on the way in mixed radix: a node with n > 1 equal ways takes digit
// `number % n` and leaves `number / n` to the next one. Where all nodes of a tier have equally many
// ways, as in a fat-tree, the numbers of the paths are 0 .. count - 1.
#pragma once

#include <cstdint>
#include <vector>

#include "fabric/routing.h"
#include "fabric/topology.h"

namespace weft::fabric {

struct FabricPath {
    std::uint32_t number = 0;
    std::vector<PortId> ports;  // from the source's interface on
};

// All paths from a to b, none if b cannot be reached. Throws TopologyError beyond `limit` of them.
std::vector<FabricPath> paths_between(const Topology& topology, const Routing& routing, HostId a,
                                      HostId b, std::uint32_t limit);

// A five-tuple hash with which every switch between a and b chooses as path `number` does: the
// first in a pseudo-random row that begins with `start`. `seed` is FabricOptions::seed. Falls back
// to the row's end, some hash, when a million of them did not do.
std::uint32_t entropy_for(const Topology& topology, const Routing& routing, std::uint64_t seed,
                          HostId a, HostId b, std::uint32_t number, std::uint64_t start);

}  // namespace weft::fabric
