// Ranges of the configuration, checked once before anything runs.
#include "transport/config.h"

namespace weft::transport {
namespace {

template <typename Number>
void require(const char* option, Number value, Number low, Number high) {
    if (value < low || value > high) {
        throw ConfigError(std::string("transport option '") + option + "' is " +
                          std::to_string(value) + ", but must lie between " + std::to_string(low) +
                          " and " + std::to_string(high));
    }
}

}  // namespace

void Config::validate() const {
    require<std::uint32_t>("paths", paths, 1, 4096);
    require<std::uint32_t>("chunk_size", chunk_size, 1, wire::kMaxChunkSize);
    require<std::uint32_t>("window", window, 64, 64 * wire::kMaxAckWords);
    require<std::uint32_t>("max_burst", max_burst, 1, 1u << 30);
    require<double>("link_rate", link_rate, 0, 1e15);
    require<std::uint32_t>("credit_quantum", credit_quantum, 1 << 10, 1 << 20);
    require<std::uint64_t>("eager_window", eager_window, 0, wire::kMaxMessageSize);
    require<std::uint64_t>("eager_limit", eager_limit, 0, wire::kMaxMessageSize);
    require<std::uint32_t>("ack_every", ack_every, 1, window / 2);
    require<std::uint32_t>("ack_disorder", ack_disorder, 1, 64 * wire::kMaxAckWords);
    require<Time>("ack_delay", ack_delay, 0, kSecond);
    require<Time>("rto_min", rto_min, kMicrosecond, kSecond);
    require<Time>("rto_max", rto_max, rto_min, 2 * kSecond);
    require<Time>("rto_initial", rto_initial, rto_min, rto_max);
    require<std::uint32_t>("max_attempts", max_attempts, 1, 255);
    require<std::uint32_t>("path_timeouts", path_timeouts, 1, 255);
    require<Time>("probe_interval", probe_interval, kMicrosecond, 10 * kSecond);
    require<Time>("peer_timeout", peer_timeout, kMillisecond, 3600 * kSecond);
    require<Time>("handshake_timeout", handshake_timeout, kMillisecond, 3600 * kSecond);
    require<Time>("handshake_interval", handshake_interval, kMicrosecond, handshake_timeout);
    require<Time>("close_timeout", close_timeout, kMicrosecond, 3600 * kSecond);
}

}  // namespace weft::transport
