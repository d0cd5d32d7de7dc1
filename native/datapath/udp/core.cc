#include "datapath/udp/core.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>

#include "datapath/udp/interfaces.h"

namespace weft::datapath::udp {
namespace {

constexpr std::uint32_t kDefaultMtu = 9000;
constexpr std::size_t kSocketsPerRound = 4;  // read in one round of progress
constexpr std::size_t kMostHalfOpen = 1024;  // calls taken and not yet proved
constexpr std::size_t kMostAddresses = 16;
constexpr std::uint32_t kMaxTrainPayload = 64'000;
// In flight on one edge at most: more than any host's bandwidth times delay.
constexpr std::uint64_t kMostInFlight = 16 << 20;
// Of a message that nobody waits for yet; the rest of it waits at the sender.
constexpr std::uint64_t kEagerLimit = 256 << 10;
constexpr Time kLatestTimer = 10'000'000;
// Two trains of jumbo packets: a message of 64 KB is acknowledged once, at its end.
constexpr std::uint32_t kAckEvery = 16;
// A host that shares its cores answers late now and then; tail-loss probes find real losses sooner.
constexpr Time kLeastTimeout = 50'000'000;
constexpr Time kRetryInterval = 100'000;
constexpr Time kLongestGoodbye = 500'000'000;

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
    require("port + sockets", std::size_t{options.port} + options.sockets, 0, 65535);
}

std::size_t default_sockets(const UdpOptions& options) {
    return options.sockets != 0 ? options.sockets
                                : static_cast<std::size_t>(std::ceil(std::sqrt(options.paths)));
}

}  // namespace

Time clock_now() noexcept {
    timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return Time{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

// ---------------------------------------------------------------- making

Core::Core(const Identity& identity, Acceptor& acceptor, UdpOptions options)
    : identity_(identity), options_(std::move(options)), acceptor_(&acceptor) {
    check_ranges(options_);
    std::copy(std::begin(identity.key), std::end(identity.key), key_.begin());
    config_.peer_id = identity_.id;
    config_.key = key_;
    config_.paths = options_.paths;
    config_.ack_every = kAckEvery;
    config_.peer_timeout = identity_.peer_timeout;
    config_.rto_min = kLeastTimeout;
    config_.rto_max = std::max(config_.rto_max, kLeastTimeout);
    config_.scheduler = {options_.scheduler, options_.scheduler_parameters};
    config_.congestion = {options_.congestion, options_.congestion_parameters};
    config_.recovery = {options_.recovery, options_.recovery_parameters};
    try {  // policies and their knobs are checked by whoever makes them: better now than at the
           // first edge
        transport::Connection::client(config_, [this] { return random(); }, 0);
    } catch (const transport::ConfigError& error) {
        throw Error(WEFT_ERR_INVALID, error.what());
    }
    poll_fd_ = epoll_create1(EPOLL_CLOEXEC);
    if (poll_fd_ < 0) {
        throw Error(WEFT_ERR_RESOURCES, std::string("udp: epoll_create1 failed: ") +
                                            std::strerror(errno) +
                                            "; raise the limit on open files (ulimit -n)");
    }
    try {
        open_sockets();
    } catch (...) {
        ::close(poll_fd_);
        throw;
    }
}

Core::~Core() {
    if (poll_fd_ >= 0) {
        ::close(poll_fd_);
    }
}

void Core::open_sockets() {
    sockets_per_address_ = default_sockets(options_);
    std::vector<Interface> interfaces = usable_interfaces(options_.interfaces);
    interfaces.resize(std::min(interfaces.size(), kMostAddresses));
    std::vector<std::uint32_t> devices;
    for (const Interface& interface : interfaces) {
        const auto device = std::ranges::find(devices, interface.index) - devices.begin();
        if (static_cast<std::size_t>(device) == devices.size()) {
            devices.push_back(interface.index);
        }
        LocalAddress address{interface.address,
                             static_cast<std::uint8_t>(device),
                             interface.prefix,
                             interface.mtu,
                             {}};
        for (std::size_t i = 0; i < sockets_per_address_; ++i) {
            Endpoint local = interface.address;
            local.set_port(options_.port == 0 ? std::uint16_t{0}
                                              : static_cast<std::uint16_t>(options_.port + i));
            sockets_.push_back(std::make_unique<Socket>(
                local, SocketSettings{options_.buffer, options_.gso, options_.gro}));
            address.ports.push_back(sockets_.back()->local().port());
            epoll_event event{.events = EPOLLIN, .data = {.u64 = sockets_.size() - 1}};
            if (epoll_ctl(poll_fd_, EPOLL_CTL_ADD, sockets_.back()->fd(), &event) != 0) {
                throw Error(WEFT_ERR_SYSTEM,
                            std::string("udp: epoll_ctl failed: ") + std::strerror(errno));
            }
        }
        local_.push_back(std::move(address));
    }
    // No more may be on its way to us than the kernel keeps for us: it drops the rest.
    const std::uint64_t kept = sockets_per_address_ * sockets_.front()->receive_buffer();
    window_bytes_ = std::min(kept, kMostInFlight);
}

std::uint64_t Core::random() {
    if (random_left_ == 0) {
        std::size_t got = 0;
        while (got < sizeof random_) {
            const ssize_t more = getrandom(reinterpret_cast<std::uint8_t*>(random_.data()) + got,
                                           sizeof random_ - got, 0);
            got += more > 0 ? static_cast<std::size_t>(more) : 0;
        }
        random_left_ = random_.size();
    }
    return std::exchange(random_[--random_left_], 0);
}

transport::Config Core::config(PeerId called, std::uint32_t packet_size) const {
    transport::Config config = config_;
    config.epoch = fold(called);
    if (packet_size == 0) {  // the caller has found out what fits; we only say what we would take
        for (const LocalAddress& address : local_) {
            packet_size = std::max(
                packet_size, std::min(address.mtu, options_.mtu != 0 ? options_.mtu : kDefaultMtu));
        }
    }
    config.chunk_size = chunk_size_for(packet_size);
    config.eager_limit = kEagerLimit / config.chunk_size * config.chunk_size;
    config.window = static_cast<std::uint32_t>(
        std::clamp<std::uint64_t>(window_bytes_ / config.chunk_size, 64, 4096));
    const auto train =
        static_cast<std::uint32_t>(kMaxTrainPayload / (config.chunk_size + wire::kDataHeaderSize));
    config.max_burst = std::max(train, 1u) * config.chunk_size;
    return config;
}

// ---------------------------------------------------------------- opening edges

bool Core::reaches(std::string_view peer_address) const {
    const std::vector<LocalAddress> remote = decode_addresses(peer_address);
    return std::ranges::any_of(remote, [&](const LocalAddress& r) {
        return std::ranges::any_of(
            local_, [&](const LocalAddress& l) { return compatible(l.address, r.address); });
    });
}

std::unique_ptr<Channel> Core::connect(PeerId peer, std::string_view peer_address,
                                       ChannelOwner& owner, Time deadline) {
    if (Edge* theirs = find_opening(peer, false); theirs != nullptr && identity_.id < peer) {
        theirs->overrule();  // both call: ours stands, for our id is the lower one
    }
    Edge& edge =
        add(std::make_unique<Edge>(*this, peer, decode_addresses(peer_address), owner, deadline));
    ++counters_.calls_made;
    mark_dirty(edge);
    earliest_wake_ = 0;
    return make_channel(edge);
}

Edge& Core::add(std::unique_ptr<Edge> edge) {
    edges_.push_back(std::move(edge));
    return *edges_.back();
}

Edge* Core::find(std::uint64_t connection) noexcept {
    const auto it = by_connection_.find(connection);
    return it == by_connection_.end() ? nullptr : it->second;
}

Edge* Core::find_opening(PeerId peer, bool calls) noexcept {
    for (const auto& edge : edges_) {
        if (edge->peer() == peer && edge->calls() == calls && edge->opening()) {
            return edge.get();
        }
    }
    return nullptr;
}

std::size_t Core::half_open() const noexcept {
    return static_cast<std::size_t>(
        std::ranges::count_if(edges_, [](const auto& e) { return !e->calls() && e->opening(); }));
}

void Core::on_hello(Time now, Socket& socket, const Arrived& datagram) {
    wire::Packet hello;
    std::span<const std::uint8_t> payload;
    const auto rule =
        options_.checksum ? wire::ChecksumRule::kRequired : wire::ChecksumRule::kIfPresent;
    if (wire::decode(datagram.bytes, hello, payload, rule) != wire::DecodeStatus::kOk) {
        ++counters_.malformed;
        return;
    }
    if (const auto known = by_hello_.find(hello.handshake.source_connection);
        known != by_hello_.end()) {
        known->second->on_packet(now, hello, payload, false);
        return;
    }
    const Way way{&socket, datagram.from};
    const transport::Config config = this->config(identity_.id, 0);
    if (const auto reason = transport::check_hello(config, hello)) {
        using transport::RejectReason;
        ++(*reason == RejectReason::kVersion ? counters_.rejected_version
           : *reason == RejectReason::kEpoch ? counters_.rejected_epoch
           : *reason == RejectReason::kProof ? counters_.rejected_proof
                                             : counters_.rejected_options);
        const wire::Packet reject = transport::make_reject(hello, *reason);
        std::array<std::uint8_t, wire::kMaxHeaderSize> bytes;
        const std::size_t size = wire::encode(reject, bytes);
        if (options_.checksum) {
            wire::seal({bytes.data(), size}, {});
        }
        send_now(way, {bytes.data(), size});
        return;
    }
    const PeerId peer = hello.handshake.peer_id;
    const bool ours_stands = identity_.id < peer && find_opening(peer, true) != nullptr;
    if (ours_stands || acceptor_ == nullptr || half_open() >= kMostHalfOpen ||
        acceptor_->owner_for(peer) == nullptr) {
        ++counters_.refused_calls;
        return;
    }
    Edge& edge = add(std::make_unique<Edge>(*this, hello, way));
    by_hello_[hello.handshake.source_connection] = &edge;
    ++counters_.calls_taken;
    mark_dirty(edge);
}

void Core::on_note(Time now, Socket& socket, const Arrived& datagram, const Note& note) {
    const Way from{&socket, datagram.from};
    switch (note.kind) {
        case NoteKind::kCheck:
            if (note.id != identity_.id) {
                ++counters_.misdirected_checks;
                return;
            }
            send_note(from, {NoteKind::kChecked, note.index,
                             static_cast<std::uint32_t>(datagram.bytes.size()) +
                                 header_overhead(datagram.from.family()),
                             identity_.id, note.word});
            return;
        case NoteKind::kChecked:
            for (const auto& edge : edges_) {
                if (edge->calls() && edge->opening()) {
                    edge->on_note(now, note, from);
                }
            }
            return;
        case NoteKind::kBind:
        case NoteKind::kBound:
            if (Edge* edge = find(note.id)) {
                edge->on_note(now, note, from);
            } else {
                ++counters_.unknown_connection;
            }
            return;
    }
}

// ---------------------------------------------------------------- the loop

bool Core::progress(Time now) {
    if (closed_) {
        return false;
    }
    bool moved = pump(now);
    moved = receive() || moved;
    // Acknowledgements that wait in the sockets must not look late because we were.
    if (now >= earliest_wake_ && (!more_waits_ || now - earliest_wake_ > kLatestTimer)) {
        run_timers(now);
    }
    moved = pump(moved ? clock_now() : now) || moved;
    if (sweep_due_) {
        sweep();
    }
    return moved;
}

bool Core::receive() {
    std::array<epoll_event, kSocketsPerRound> ready;
    const int count = epoll_wait(poll_fd_, ready.data(), static_cast<int>(ready.size()), 0);
    bool moved = false;
    more_waits_ = count == static_cast<int>(ready.size());
    for (int i = 0; i < count; ++i) {
        Socket& socket = *sockets_[ready[static_cast<std::size_t>(i)].data.u64];
        if (const std::size_t trains = in_.receive(socket); trains > 0) {
            moved = true;
            more_waits_ = more_waits_ || trains == ReceiveBatch::kTrains;
            in_.for_each([&](const Arrived& datagram) { dispatch(datagram.at, socket, datagram); });
        }
    }
    return moved;
}

void Core::dispatch(Time now, Socket& socket, const Arrived& datagram) {
    if (const auto note = decode_note(datagram.bytes)) [[unlikely]] {
        on_note(now, socket, datagram, *note);
        return;
    }
    const auto route = wire::peek_route(datagram.bytes);
    if (!route) {
        ++counters_.malformed;
        return;
    }
    if (route->kind == wire::PacketKind::kHello) [[unlikely]] {
        on_hello(now, socket, datagram);
        return;
    }
    Edge* edge = find(route->connection);
    if (edge == nullptr) {
        ++counters_.unknown_connection;
        return;
    }
    wire::Packet packet;
    std::span<const std::uint8_t> payload;
    const auto rule =
        options_.checksum ? wire::ChecksumRule::kRequired : wire::ChecksumRule::kIfPresent;
    if (const auto status = wire::decode(datagram.bytes, packet, payload, rule);
        status != wire::DecodeStatus::kOk) {
        edge->on_undecodable(status);
        return;
    }
    edge->on_packet(now, packet, payload, datagram.marked);
}

void Core::mark_dirty(Edge& edge) {
    if (!edge.dirty) {
        edge.dirty = true;
        dirty_.push_back(&edge);
    }
}

bool Core::pump(Time now) {
    if (out_.waits() && !flush(now)) {
        return false;
    }
    bool moved = false;
    pumping_.swap(dirty_);
    for (Edge* edge : pumping_) {
        edge->dirty = false;
        moved = edge->pump(now) || moved;
        earliest_wake_ = std::min(earliest_wake_, edge->wake_at());
    }
    pumping_.clear();
    flush(now);
    return moved;
}

bool Core::flush(Time now) {
    const bool empty = out_.flush();
    retry_at_ = empty ? kNever : now + kRetryInterval;
    if (empty == awaits_writable_) {
        watch_writable(!empty);
    }
    return empty;
}

void Core::watch_writable(bool on) {
    awaits_writable_ = on;
    for (std::size_t i = 0; i < sockets_.size(); ++i) {
        const bool blocked = on && out_.waits_for(*sockets_[i]);
        epoll_event event{.events = blocked ? EPOLLIN | EPOLLOUT : EPOLLIN, .data = {.u64 = i}};
        epoll_ctl(poll_fd_, EPOLL_CTL_MOD, sockets_[i]->fd(), &event);
    }
}

void Core::run_timers(Time now) {
    earliest_wake_ = kNever;
    for (std::size_t i = 0; i < edges_.size(); ++i) {
        if (edges_[i]->wake_at() <= now) {
            edges_[i]->on_time(now);
        } else {
            earliest_wake_ = std::min(earliest_wake_, edges_[i]->wake_at());
        }
    }
}

Time Core::next_wakeup() const noexcept {
    if (closed_) {
        return kNever;
    }
    if (out_.waits()) {
        return std::min(retry_at_, earliest_wake_);
    }
    return dirty_.empty() ? earliest_wake_ : 0;
}

bool Core::arm() {
    return closed_ || dirty_.empty() || out_.waits();
}

// Deletes edges that nobody needs. Those that still have something to say wait for another round.
void Core::sweep() {
    sweep_due_ = std::ranges::any_of(edges_, [](const auto& e) { return e->over() && e->dirty; });
    const auto gone = [](const Edge* edge) { return edge->over() && !edge->dirty; };
    std::erase_if(by_connection_, [&](const auto& entry) { return gone(entry.second); });
    std::erase_if(by_hello_, [&](const auto& entry) { return gone(entry.second); });
    std::erase_if(edges_, [&](const auto& edge) { return gone(edge.get()); });
}

void Core::send_now(const Way& way, std::span<const std::uint8_t> bytes) {
    io_.send_calls += 1;
    if (sendto(way.socket->fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL, way.to.data(),
               way.to.size()) >= 0) {
        io_.datagrams_sent += 1;
    } else if (errno == EMSGSIZE) {
        io_.too_large += 1;
    } else {
        io_.unreachable += 1;
    }
}

void Core::send_note(const Way& way, const Note& note, std::size_t size) {
    const auto bytes = encode_note(note);
    if (size == bytes.size()) {
        send_now(way, bytes);
        return;
    }
    std::vector<std::uint8_t> padded(size);
    std::ranges::copy(bytes, padded.begin());
    send_now(way, padded);
}

// ---------------------------------------------------------------- ending

void Core::shut_down() {
    if (closed_) {
        return;
    }
    acceptor_ = nullptr;
    for (const auto& edge : edges_) {
        edge->depart();
    }
    const Time until = clock_now() + kLongestGoodbye;
    for (Time now = clock_now(); now < until; now = clock_now()) {
        if (!progress(now)) {
            if (std::ranges::none_of(edges_,
                                     [](const auto& e) { return e->lingers() || e->dirty; })) {
                break;
            }
            const Time wait = std::clamp<Time>(std::min(next_wakeup(), until) - now, 0, 10'000'000);
            pollfd ready{poll_fd_, POLLIN, 0};
            ::poll(&ready, 1, static_cast<int>((wait + 999'999) / 1'000'000));
        }
    }
    abandon();
}

void Core::abandon() noexcept {
    closed_ = true;
    acceptor_ = nullptr;
    out_.clear();
    for (const auto& edge : edges_) {
        edge->drop();
    }
    sockets_.clear();
    if (poll_fd_ >= 0) {
        ::close(poll_fd_);
        poll_fd_ = -1;
    }
}

}  // namespace weft::datapath::udp
