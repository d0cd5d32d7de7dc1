#include "datapath/shm/core.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <utility>

#include "datapath/json.h"
#include "datapath/shm/doorbell.h"

namespace weft::datapath::shm {
namespace {

constexpr Time kMillisecond = 1'000'000;
constexpr Time kPollInterval = kMillisecond;  // of the sockets, while somebody spins
constexpr Time kPollInHandshake = kMillisecond / 20;
constexpr Time kAnswerDeadline = 10'000 * kMillisecond;  // for callers to prove themselves
constexpr std::size_t kMostStrangers = 1024;             // callers that have proved nothing yet

std::string system_error(const char* call) {
    return std::string(call) + ": " + std::strerror(errno);
}

std::string boot_id() {
    std::ifstream file("/proc/sys/kernel/random/boot_id");
    std::string id;
    file >> id;
    if (id.empty()) {
        throw Error(WEFT_ERR_SYSTEM,
                    "cannot read /proc/sys/kernel/random/boot_id, by which processes of one host "
                    "know each other; "
                    "mount /proc, or leave `shm` out of the `datapaths` option");
    }
    return id;
}

std::uint64_t network_namespace() {
    struct stat info{};
    if (stat("/proc/self/ns/net", &info) != 0) {
        throw Error(WEFT_ERR_SYSTEM,
                    system_error("cannot look at /proc/self/ns/net") +
                        "; mount /proc, or leave `shm` out of the `datapaths` option");
    }
    return info.st_ino;
}

ShmOptions checked(const ShmOptions& options) {
    if (options.eager_limit > kMaxEagerLimit) {
        throw Error(WEFT_ERR_INVALID, "shm: eager_limit is " + std::to_string(options.eager_limit) +
                                          " bytes; the most is " + std::to_string(kMaxEagerLimit));
    }
    return options;
}

}  // namespace

// ---------------------------------------------------------------- addresses

std::string ShmAddress::encode() const {
    return "shm1/" + host + "/" + std::to_string(network) + "/" + socket;
}

bool ShmAddress::decode(std::string_view text, ShmAddress& address) {
    constexpr std::string_view kPrefix = "shm1/";
    if (!text.starts_with(kPrefix)) {
        return false;
    }
    text.remove_prefix(kPrefix.size());
    const std::size_t first = text.find('/');
    const std::size_t second = first == text.npos ? text.npos : text.find('/', first + 1);
    if (second == text.npos) {
        return false;
    }
    const std::string_view network = text.substr(first + 1, second - first - 1);
    const auto [end, error] =
        std::from_chars(network.data(), network.data() + network.size(), address.network);
    address.host = text.substr(0, first);
    address.socket = text.substr(second + 1);
    return error == std::errc() && end == network.data() + network.size() &&
           !address.socket.empty() && address.socket.size() < sizeof(sockaddr_un::sun_path) - 1;
}

// ---------------------------------------------------------------- life

Core::Core(const Identity& identity, Acceptor& acceptor, const ShmOptions& options)
    : acceptor_(acceptor),
      segment_(std::make_shared<ProcessSegment>(identity.id, options.board_bytes)),
      context_(std::make_shared<EdgeContext>(checked(options), identity.peer_timeout)) {
    doorbell_ = UniqueFd(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    epoll_ = UniqueFd(epoll_create1(EPOLL_CLOEXEC));
    if (!doorbell_ || !epoll_) {
        throw Error(WEFT_ERR_RESOURCES, "shm: " + system_error("eventfd or epoll_create1") +
                                            "; raise the limit on open files (ulimit -n)");
    }
    local_.identity = identity;
    local_.cross_memory_attach = options.large != ShmOptions::Large::kStream;
    local_.segment_fd = segment_->fd();
    local_.doorbell_fd = doorbell_.get();
    random_bytes(local_.probe.data(), local_.probe.size());
    listen();
    if (!add_to_poll(doorbell_.get()) || !add_to_poll(listener_.get())) {
        throw Error(WEFT_ERR_RESOURCES,
                    "shm: " + system_error("epoll_ctl") + "; raise fs.epoll.max_user_watches");
    }
}

Core::~Core() = default;

void Core::listen() {
    address_.host = boot_id();
    address_.network = network_namespace();
    std::uint8_t random[16];
    random_bytes(random, sizeof random);
    std::uint64_t halves[2];
    std::memcpy(halves, random, sizeof halves);
    address_.socket = "weft-" + hex(halves[0]) + hex(halves[1]);

    listener_ = UniqueFd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::memcpy(name.sun_path + 1, address_.socket.data(), address_.socket.size());
    const auto length =
        static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + address_.socket.size());
    if (!listener_ ||
        bind(listener_.get(), reinterpret_cast<const sockaddr*>(&name), length) != 0 ||
        ::listen(listener_.get(), 1024) != 0) {
        throw Error(WEFT_ERR_RESOURCES,
                    "shm: " + system_error("cannot listen on an abstract Unix socket") +
                        "; raise the limit on open files (ulimit -n)");
    }
}

void Core::shut_down() {
    if (context_->abandoned) {
        return;
    }
    const auto edges = edges_;
    for (const auto& edge : edges) {
        edge->detach();
    }
    for (const auto& pending : pending_) {
        if (pending->edge) {
            pending->edge->detach();
        }
    }
    by_peer_.clear();
    edges_.clear();
    pending_.clear();
}

// In a forked child. The parent's descriptors must not stay open here: as long as they are, nobody
// could see the parent die.
void Core::abandon() noexcept {
    context_->abandoned = true;
    for (const auto& edge : edges_) {
        edge->abandon();
    }
    for (const auto& pending : pending_) {
        pending->handshake.abandon();
    }
    doorbell_.reset();
    epoll_.reset();
    listener_.reset();
    segment_->close_fd();
}

bool Core::add_to_poll(int fd) noexcept {
    epoll_event event{.events = EPOLLIN | EPOLLRDHUP, .data = {.fd = fd}};
    return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

// ---------------------------------------------------------------- opening edges

std::shared_ptr<Edge> Core::connect(PeerId peer, const ShmAddress& address, ChannelOwner& owner,
                                    Time deadline) {
    ++count_.called;
    auto edge = std::make_shared<Edge>(context_, peer, owner);
    auto pending = std::make_unique<Pending>(
        Pending{Handshake::call(local_, peer, address.socket, deadline), edge});
    const Handshake& handshake = pending->handshake;
    if (handshake.state() == Handshake::State::kFailed) {
        edge->fail(handshake.error());
    } else if (!add_to_poll(handshake.fd())) {
        edge->fail(make_error(WEFT_ERR_RESOURCES, "shm: " + system_error("epoll_ctl"), peer));
    } else {
        pending_.push_back(std::move(pending));
        poll_soon_ = true;
    }
    return edge;
}

void Core::welcome(Time now) {
    for (;;) {
        UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!socket) {
            return;  // none left, or no descriptors left: the caller's deadline ends its wait
        }
        const auto strangers =
            std::count_if(pending_.begin(), pending_.end(), [](const auto& p) { return !p->edge; });
        if (static_cast<std::size_t>(strangers) >= kMostStrangers || !add_to_poll(socket.get())) {
            ++count_.turned_away;
            continue;
        }
        ++count_.answered;
        pending_.push_back(std::make_unique<Pending>(
            Pending{Handshake::answer(local_, std::move(socket), now + kAnswerDeadline), nullptr}));
    }
}

void Core::advance(Time now) {
    for (std::size_t i = 0; i < pending_.size(); ++i) {  // callbacks may add more
        Pending& pending = *pending_[i];
        if (pending.over) {
            continue;
        }
        pending.handshake.advance();
        pending.handshake.expire(now);
        if (pending.handshake.state() == Handshake::State::kProved) {
            let_in(pending.handshake);
        }
        conclude(pending);
    }
}

void Core::let_in(Handshake& handshake) {
    ChannelOwner* const owner = acceptor_.owner_for(handshake.peer());
    if (owner == nullptr) {
        handshake.refuse(WEFT_ERR_UNREACHABLE);
        return;
    }
    handshake.admit();
    if (handshake.state() == Handshake::State::kOpen) {
        auto edge = std::make_shared<Edge>(context_, handshake.peer(), *owner);
        edge->open(handshake.take());
        add_edge(edge);
        acceptor_.accepted(std::make_unique<ShmChannel>(std::move(edge)));
    }
}

void Core::add_edge(std::shared_ptr<Edge> edge) {
    by_peer_[edge->peer()] = edge.get();
    edges_.push_back(std::move(edge));
}

void Core::conclude(Pending& pending) {
    if (pending.edge && pending.edge->channel == nullptr) {
        pending.over = true;  // its owner lost interest
        pending.handshake.abandon();
        return;
    }
    switch (pending.handshake.state()) {
        case Handshake::State::kOpen:
            pending.over = true;
            if (pending.edge && pending.edge->state() == Channel::State::kConnecting) {
                pending.edge->open(pending.handshake.take());
                add_edge(pending.edge);
                pending.edge->owner().channel_open(*pending.edge->channel);
            }
            break;
        case Handshake::State::kFailed: {
            pending.over = true;
            const ErrorPtr error = pending.handshake.error();
            count_.auth_failures += error->status == WEFT_ERR_AUTH;
            count_.refused += error->status == WEFT_ERR_UNREACHABLE && !pending.edge;
            count_.unreachable += error->status == WEFT_ERR_UNREACHABLE && pending.edge;
            if (pending.edge) {
                pending.edge->fail(error);
            }
            break;
        }
        default:
            break;
    }
}

// ---------------------------------------------------------------- driving

void Core::on_socket(int fd) {
    for (std::size_t i = 0; i < edges_.size(); ++i) {
        if (edges_[i]->socket() == fd) {
            const std::shared_ptr<Edge> edge = edges_[i];
            edge->hung_up();
            return;
        }
    }
}

void Core::poll(Time now) {
    poll_soon_ = false;
    epoll_event events[64];
    const int count = epoll_wait(epoll_.get(), events, 64, 0);
    poll_soon_ = count == 64;
    for (int i = 0; i < count; ++i) {
        const int fd = events[i].data.fd;
        if (fd == doorbell_.get()) {
            ++count_.wakeups;
            drain_doorbell(fd);
        } else if (fd == listener_.get()) {
            welcome(now);
        } else {
            on_socket(fd);  // handshakes look for themselves, below
        }
    }
    if (!pending_.empty()) {
        advance(now);
    }
    for (std::size_t i = 0; i < edges_.size(); ++i) {
        edges_[i]->look(now);
    }
    sweep();
    next_poll_ = now + (pending_.empty() ? kPollInterval : kPollInHandshake);
}

void Core::sweep() {
    std::erase_if(pending_, [](const auto& pending) { return pending->over; });
    std::erase_if(by_peer_, [](const auto& entry) { return entry.second->over(); });
    std::erase_if(edges_, [](const auto& edge) { return edge->over(); });
}

bool Core::progress(Time now) {
    bool moved = false;
    for (std::size_t i = 0; i < edges_.size(); ++i) {
        moved |= edges_[i]->progress();
    }
    if (now >= next_beat_) {
        next_beat_ = now + heartbeat_interval(local_.identity.peer_timeout);
        segment_->header().heartbeat.fetch_add(1, std::memory_order_relaxed);
    }
    if (poll_soon_ || now >= next_poll_) {
        poll(now);
    }
    return moved;
}

Time Core::next_wakeup() const noexcept {
    Time next = kNever;
    for (const auto& edge : edges_) {
        next = std::min(next, edge->next_look());
        if (edge->watched()) {
            next = std::min(next, next_beat_);
        }
    }
    for (const auto& pending : pending_) {
        // A full backlog raises no event.
        next =
            std::min(next, pending->handshake.waits_for_backlog() ? next_poll_
                                                                  : pending->handshake.deadline());
    }
    return next;
}

bool Core::arm() {
    poll_soon_ = true;  // the first progress() after the sleep looks at what woke us
    segment_->header().sleeping.exchange(1, std::memory_order_seq_cst);
    bool idle = true;
    for (const auto& edge : edges_) {
        idle &= edge->arm();
    }
    return idle;
}

void Core::disarm() {
    segment_->header().sleeping.store(0, std::memory_order_relaxed);
    for (const auto& edge : edges_) {
        edge->disarm();
    }
}

Edge* Core::open_edge(PeerId peer) const noexcept {
    const auto it = by_peer_.find(peer);
    return it != by_peer_.end() && it->second->state() == Channel::State::kOpen ? it->second
                                                                                : nullptr;
}

std::string Core::stats_json() const {
    std::string json = "{";
    add_number(json, "edges", edges_.size());
    add_number(json, "handshakes_called", count_.called);
    add_number(json, "handshakes_answered", count_.answered);
    add_number(json, "auth_failures", count_.auth_failures);
    add_number(json, "callers_refused", count_.refused);
    add_number(json, "unreachable", count_.unreachable);
    add_number(json, "strangers_turned_away", count_.turned_away);
    add_number(json, "wakeups", count_.wakeups);
    add_number(json, "board_bytes", segment_->boards_in_use());
    return json + "}";
}

}  // namespace weft::datapath::shm
