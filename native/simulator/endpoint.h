// One end of a connection, as the simulator keeps it, and the set-up of a pair of them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "fabric/packet.h"
#include "fabric/time.h"
#include "transport/connection.h"

namespace weft::simulator {

struct Endpoint {
    std::unique_ptr<transport::Connection> connection;
    fabric::HostId host = 0;
    fabric::HostId peer = 0;
    std::uint32_t other = 0;                // number of the endpoint at the far end
    std::uint64_t flow_hash = 0;            // from which paths draw their entropy
    fabric::Time wake_at = fabric::kNever;  // earliest wake-up that is still to come
    // Its place in its host's two lines of those who may have something to send.
    std::uint32_t next[2] = {0, 0};
    bool waiting[2] = {false, false};
    bool failed = false;
    std::vector<std::uint32_t> early;  // messages that wait for the caller's hello
};

// The client's and the server's connection, with the handshake done outside the fabric: as if it
// had been done long ago over an idle path of this round-trip time, ending at `now`.
struct WarmPair {
    std::unique_ptr<transport::Connection> client;
    std::unique_ptr<transport::Connection> server;
};
WarmPair connect_warm(const transport::Config& client, const transport::Config& server,
                      const transport::RandomSource& random, transport::Time now,
                      transport::Time round_trip);

}  // namespace weft::simulator
