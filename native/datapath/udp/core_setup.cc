// The making of the core: options checked, the carrier made, and what a connection is told of both.
#include <algorithm>
#include <cstring>

#include "datapath/policies.h"
#include "datapath/udp/core.h"
#include "transport/credit_pacer.h"

namespace weft::datapath::udp {
namespace {

constexpr std::uint32_t kDefaultMtu = 9000;
constexpr std::uint32_t kMaxTrainPayload = 64'000;
// In flight on one edge at most: more than any host's bandwidth times delay.
constexpr std::uint64_t kMostInFlight = 16 << 20;
// Of a message that nobody waits for yet; the rest of it waits at the sender.
constexpr std::uint64_t kEagerLimit = 256 << 10;
// Two trains of jumbo packets: a message of 64 KB is acknowledged once, at its end.
constexpr std::uint32_t kAckEvery = 16;
// A host that shares its cores answers late now and then; tail-loss probes find real losses sooner.
constexpr Time kLeastTimeout = 50'000'000;

std::uint32_t fold(PeerId id) {
    return static_cast<std::uint32_t>(id ^ id >> 32);
}

std::uint32_t chunk_size_for(std::uint32_t packet_size) {
    const std::size_t payload = packet_size - header_overhead(AF_INET6) - wire::kDataHeaderSize;
    return static_cast<std::uint32_t>(payload / 64 * 64);
}

void check_ranges(const UdpOptions& options) {
    const auto require = [](const char* key, std::uint64_t value, std::uint64_t low,
                            std::uint64_t high) {
        if (value < low || value > high) {
            throw Error(WEFT_ERR_INVALID, "transport option " + std::string(key) + "=" +
                                              std::to_string(value) + ": must be from " +
                                              std::to_string(low) + " to " + std::to_string(high));
        }
    };
    require("paths", options.paths, 1, 256);
    require("sockets", options.sockets, 0, 64);
    require("mtu", options.mtu, options.mtu == 0 ? 0 : 1280, 65535);
    require("buffer", options.buffer, 1 << 16, 1 << 30);
    require("port + sockets", options.port + sockets_for(options), 0, 65536);
}

// What the user chose of a connection's timers and counts, in the place of what we would.
void take_choices(const UdpOptions& options, transport::Config& config) {
    const auto take = [](auto& value, auto chosen) {
        if (chosen != 0) value = static_cast<std::remove_reference_t<decltype(value)>>(chosen);
    };
    take(config.ack_every, options.ack_every);
    take(config.max_attempts, options.attempts);
    take(config.path_timeouts, options.path_timeouts);
    take(config.ack_delay, options.ack_delay);
    take(config.rto_min, options.rto_min);
    take(config.rto_max, options.rto_max);
    take(config.probe_interval, options.probe_interval);
    config.rto_max = std::max(config.rto_max, config.rto_min);
    config.rto_initial = std::clamp(config.rto_initial, config.rto_min, config.rto_max);
    take(config.rto_initial, options.rto_initial);
}

}  // namespace

Core::Core(const Identity& identity, Acceptor& acceptor, UdpOptions options,
           const MakeCarrier& make_carrier)
    : identity_(identity), options_(std::move(options)), acceptor_(&acceptor), edges_(identity.id) {
    check_ranges(options_);
    std::copy(std::begin(identity.key), std::end(identity.key), key_.begin());
    config_.peer_id = identity_.id;
    config_.key = key_;
    config_.paths = options_.paths;
    config_.ack_every = kAckEvery;
    config_.peer_timeout = identity_.peer_timeout;
    config_.rto_min = kLeastTimeout;
    config_.rto_max = std::max(config_.rto_max, kLeastTimeout);
    take_choices(options_, config_);
    config_.link_rate = options_.link_gbit * 1e9 / 8;
    config_.credit_pacer = std::make_shared<transport::CreditPacer>(config_.link_rate);
    config_.scheduler = options_.scheduler;
    config_.congestion = options_.congestion;
    config_.recovery = options_.recovery;
    check_policies(config_);
    carrier_ = make_carrier(options_);
    // No more may be on its way to us than is kept for us: the rest is dropped.
    window_bytes_ = std::min(carrier_->window_bytes(), kMostInFlight);
}

transport::Config Core::config(PeerId called, std::uint32_t packet_size) const {
    transport::Config config = config_;
    config.epoch = fold(called);
    if (packet_size == 0) {  // the caller has found out what fits; we only say what we would take
        for (const LocalAddress& address : local()) {
            packet_size = std::max(
                packet_size, std::min(address.mtu, options_.mtu != 0 ? options_.mtu : kDefaultMtu));
        }
    }
    config.chunk_size = chunk_size_for(packet_size);
    config.eager_limit = kEagerLimit / config.chunk_size * config.chunk_size;
    config.window = static_cast<std::uint32_t>(
        std::clamp<std::uint64_t>(window_bytes_ / config.chunk_size, 64, 4096));
    if (options_.window != 0) config.window = std::min(config.window, options_.window);
    config.ack_every = std::min(config.ack_every, config.window / 2);
    const auto train =
        static_cast<std::uint32_t>(kMaxTrainPayload / (config.chunk_size + wire::kDataHeaderSize));
    config.max_burst = std::max(train, 1u) * config.chunk_size;
    config.spread_bursts = options_.burst == 0;
    if (options_.burst != 0)
        config.max_burst = std::clamp(options_.burst, config.chunk_size, config.max_burst);
    return config;
}

}  // namespace weft::datapath::udp
