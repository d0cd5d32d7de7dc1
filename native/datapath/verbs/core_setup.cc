// The making of the core: options checked, rails opened, and what a connection is told of both.
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "datapath/json.h"
#include "datapath/verbs/core.h"
#include "datapath/verbs/libibverbs.h"
#include "transport/credit_pacer.h"

namespace weft::datapath::verbs {
namespace {

constexpr std::uint64_t kEagerLimit = 64 << 10;  // of a message that nobody waits for yet
constexpr std::uint64_t kMostInFlight = 16 << 20;
constexpr std::uint32_t kBurst = 64 << 10;
// A host that shares its cores answers late now and then; tail-loss probes find real losses sooner.
constexpr Time kLeastTimeout = 50'000'000;
// Lanes without a way are made anew until one has: as long as the peer answers it is not dead,
// however often a chunk was lost in the meantime.
constexpr std::uint32_t kMostAttempts = 255;

std::uint32_t fold(PeerId id) {
    return static_cast<std::uint32_t>(id ^ id >> 32);
}

bool chosen(const GidEntry& entry, const std::vector<std::string>& interfaces) {
    return interfaces.empty() || std::ranges::any_of(interfaces, [&](const std::string& name) {
               return name == entry.interface || name == entry.text();
           });
}

// Lower is better; -1: not to be used.
int rank_of(const GidEntry& entry, const VerbsOptions& options) {
    if (!chosen(entry, options.interfaces)) {
        return -1;
    }
    if (options.gid == "ipv4") {
        return entry.is_ipv4() && entry.kind != GidKind::kRoceV1 ? 0 : -1;
    }
    if (options.gid == "ipv6") {
        return entry.is_ipv4() || entry.kind == GidKind::kRoceV1 ? -1 : entry.link_local() ? 1 : 0;
    }
    if (options.gid != "auto") {
        return std::to_string(entry.index) == options.gid ? 0 : -1;
    }
    return (entry.kind == GidKind::kRoceV1 ? 4 : 0) + (entry.is_ipv4() ? 0 : 1) +
           (entry.link_local() ? 1 : 0);
}

std::optional<GidEntry> choose_gid(const PortInfo& port, const VerbsOptions& options) {
    std::optional<GidEntry> best;
    for (const GidEntry& entry : port.gids) {
        const int rank = rank_of(entry, options);
        if (rank >= 0 && (!best || rank < rank_of(*best, options))) {
            best = entry;
        }
    }
    return best;
}

bool wanted(const std::string& device, std::uint8_t port, const VerbsOptions& options) {
    return options.devices.empty() ||
           std::ranges::any_of(options.devices, [&](const std::string& name) {
               return name == device || name == device + ":" + std::to_string(port);
           });
}

// Whether the device makes queue pairs of this kind with a shared receive queue.
bool offers(Device& device, std::uint8_t port, QpKind kind) {
    try {
        const auto completions = device.make_completion_queue(16);
        const auto receives = device.make_receive_queue(16);
        device.make_queue_pair({.kind = kind,
                                .port = port,
                                .sends = 4,
                                .key = 0,
                                .completions = completions.get(),
                                .receives = receives.get()});
        return true;
    } catch (const Error&) {
        return false;
    }
}

struct Candidate {
    std::unique_ptr<Device> device;
    PortInfo port;
    GidEntry gid;
};

std::vector<Candidate> candidates(Provider& provider, const VerbsOptions& options) {
    std::vector<Candidate> found;
    std::string seen;
    for (const DeviceInfo& info : provider.devices()) {
        for (const PortInfo& listed : info.ports) {
            const auto gid = choose_gid(listed, options);
            const bool use = wanted(info.name, listed.number, options) && gid;
            seen += (seen.empty() ? "" : ", ") + info.name + ":" + std::to_string(listed.number) +
                    (listed.active ? "" : " (not active)") + (gid ? "" : " (no such GID)");
            if (!use || !listed.active) {
                continue;
            }
            if (found.size() == kMostRails) {
                throw Error(WEFT_ERR_INVALID,
                            "verbs: more than " + std::to_string(kMostRails) +
                                " active ports: name those to use, verbs.devices=A+B (there are " +
                                seen + ")");
            }
            auto device = provider.open(info.name);
            PortInfo port = listed;
            for (const PortInfo& queried : device->info().ports) {
                port = queried.number == listed.number ? queried : port;
            }
            found.push_back({std::move(device), port, *gid});
        }
    }
    for (const std::string& name : options.devices) {
        if (seen.find(name.substr(0, name.find(':'))) == std::string::npos) {
            throw Error(WEFT_ERR_INVALID, "verbs: there is no device \"" + name +
                                              "\"; there are: " + (seen.empty() ? "none" : seen));
        }
    }
    if (found.empty()) {
        throw Error(WEFT_ERR_UNSUPPORTED,
                    "verbs: no RDMA port to use: " +
                        (seen.empty() ? "there is no RDMA device" : "there are " + seen) +
                        "; `weft devices` shows them (soft-RoCE: rdma link add rxe0 type rxe "
                        "netdev DEVICE)");
    }
    return found;
}

QpKind choose_kind(const std::vector<Candidate>& found, const VerbsOptions& options) {
    const auto all_offer = [&](QpKind kind) {
        return std::ranges::all_of(found, [&](const Candidate& candidate) {
            return offers(*candidate.device, candidate.port.number, kind);
        });
    };
    if (options.mode == "ud") {
        return QpKind::kUd;
    }
    for (const QpKind kind : {QpKind::kUc, QpKind::kRc}) {
        if ((options.mode == "auto" || options.mode == to_string(kind)) && all_offer(kind)) {
            return kind;
        }
    }
    if (options.mode == "auto") {
        return QpKind::kUd;
    }
    throw Error(WEFT_ERR_UNSUPPORTED, "verbs.mode=" + options.mode + ": " +
                                          found.front().device->info().name +
                                          " does not make such queue pairs; use verbs.mode=auto");
}

}  // namespace

Core::Core(const Identity& identity, Acceptor& acceptor, VerbsOptions options,
           std::shared_ptr<Provider> provider)
    : identity_(identity),
      options_(std::move(options)),
      acceptor_(&acceptor),
      provider_(provider ? std::move(provider) : load_libibverbs()),
      edges_(identity.id) {
    std::copy(std::begin(identity.key), std::end(identity.key), key_.begin());
    config_.peer_id = identity_.id;
    config_.key = key_;
    config_.paths = options_.paths;
    config_.ack_every = 4;
    config_.peer_timeout = identity_.peer_timeout;
    config_.rto_min = kLeastTimeout;
    config_.max_attempts = kMostAttempts;
    config_.rto_max = std::max(config_.rto_max, kLeastTimeout);
    config_.scheduler = options_.scheduler;
    config_.congestion = options_.congestion;
    config_.recovery = options_.recovery;
    check_policies(config_);
    poll_fd_ = epoll_create1(EPOLL_CLOEXEC);
    if (poll_fd_ < 0) {
        throw Error(WEFT_ERR_RESOURCES, std::string("verbs: epoll_create1 failed: ") +
                                            std::strerror(errno) +
                                            "; raise the limit on open files (ulimit -n)");
    }
    try {
        open_rails(*provider_);
    } catch (...) {
        ::close(poll_fd_);
        throw;
    }
}

Core::~Core() {
    edges_.clear();
    if (poll_fd_ >= 0) {
        ::close(poll_fd_);
    }
}

void Core::open_rails(Provider& provider) {
    std::vector<Candidate> found = candidates(provider, options_);
    card_.kind = choose_kind(found, options_);
    double gbit = 0;
    std::vector<Device*> devices;
    for (Candidate& candidate : found) {
        gbit += candidate.port.gbit;
        rails_.push_back(std::make_unique<Rail>(std::move(candidate.device), candidate.port,
                                                candidate.gid, options_, card_.kind));
        devices.push_back(&rails_.back()->device());
        card_.rails.push_back(rails_.back()->card());
        for (const int fd : {rails_.back()->completions().fd(), devices.back()->event_fd()}) {
            epoll_event event{.events = EPOLLIN, .data = {.u64 = 0}};
            epoll_ctl(poll_fd_, EPOLL_CTL_ADD, fd, &event);
        }
    }
    controls_.resize(rails_.size());
    for (std::size_t i = 0; i < rails_.size(); ++i) {
        controls_[i] = std::vector<SendQueue>(rails_[i]->controls());
        for (std::size_t k = 0; k < controls_[i].size(); ++k) {
            controls_[i][k].pair = &rails_[i]->control(k);
            by_pair_[std::uint64_t{i} << 32 | rails_[i]->control(k).number()] = {nullptr, k, true};
        }
    }
    card_bytes_ = encode(card_);
    registry_ = std::make_unique<Registry>(std::move(devices), options_.mr_cache);
    config_.link_rate = (options_.link_gbit > 0 ? options_.link_gbit : gbit) * 1e9 / 8;
    config_.credit_pacer = std::make_shared<transport::CreditPacer>(config_.link_rate);
}

transport::Config Core::config(PeerId called, std::uint32_t mtu) const {
    transport::Config config = config_;
    config.epoch = fold(called);
    if (mtu == 0) {
        for (const RailCard& rail : card_.rails) {
            mtu = std::max(mtu, rail.mtu);
        }
    }
    config.chunk_size = chunk_size_for(options_, card_.kind, mtu);
    config.eager_limit =
        std::max<std::uint64_t>(kEagerLimit / config.chunk_size, 2) * config.chunk_size;
    config.window = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(
        std::min<std::uint64_t>(kMostInFlight / config.chunk_size, options_.buffers), 64,
        kMostWindow));
    config.max_burst = std::max(kBurst / config.chunk_size, 1u) * config.chunk_size;
    return config;
}

std::string Core::stats_json() const {
    std::string json =
        "{\"mode\":\"" + std::string(to_string(card_.kind)) + "\"," + edges_.stats_json();
    add_number(json, "malformed", counters_.malformed);
    add_number(json, "unknown_connection", counters_.unknown_connection);
    add_number(json, "misdirected_checks", counters_.misdirected_checks);
    add_number(json, "doorbells", counters_.doorbells);
    add_number(json, "works", counters_.works);
    add_number(json, "completions", counters_.completions);
    add_number(json, "failed_works", counters_.failed_works);
    add_number(json, "stale_completions", counters_.stale_completions);
    add_number(json, "control_failures", counters_.control_failures);
    add_number(json, "port_events", counters_.port_events);
    const Registry::Counters memory = registry_->counters();
    add_number(json, "registration_hits", memory.hits);
    add_number(json, "registration_misses", memory.misses);
    add_number(json, "registration_evictions", memory.evictions);
    add_number(json, "registrations_refused", memory.refused);
    add_number(json, "registered_bytes", memory.bytes);
    add_number(json, "idle_registered_bytes", memory.idle_bytes);
    json += ",\"rails\":[";
    for (const auto& rail : rails_) {
        json += std::string(json.back() == '[' ? "" : ",") + "{\"rail\":\"" + rail->text() +
                "\",\"up\":" + (rail->up ? "true" : "false") +
                ",\"mtu\":" + std::to_string(rail->card().mtu) + "}";
    }
    return json + "]}";
}

}  // namespace weft::datapath::verbs
