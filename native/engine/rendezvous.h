// How processes that torchrun, mpirun or srun started find each other: rank 0 listens on TCP, the
// others bring their addresses and take the whole list home. Used once, when a group of the whole
// job is made; afterwards no connection to rank 0 is needed.
//
// Proof of the secret in both directions (SipHash over both sides' nonces), everything
// length-checked, one deadline for all.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/context.h"

namespace weft::engine {

struct Meeting {
    std::uint64_t group = 0;
    std::vector<Address> members;  // [rank]
};

struct Rendezvous {
    std::int32_t rank = 0;
    std::int32_t size = 1;
    std::string host;  // where rank 0 listens
    std::uint16_t port = 0;

    // Throws Error(INVALID) naming the variable that is missing or wrong.
    static Rendezvous from_environment();

    // Throws Error(UNREACHABLE, AUTH, RESOURCES (port in use), MISMATCH (two processes claim one
    // rank)).
    Meeting meet(Context& context, Time timeout) const;
};

}  // namespace weft::engine
