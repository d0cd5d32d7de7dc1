#include "datapath/udp/carrier.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <ranges>

#include "datapath/error.h"
#include "datapath/json.h"

namespace weft::datapath::udp {
namespace {

constexpr std::size_t kMostAddresses = 16;      // path checks try all pairs of both sides
constexpr std::size_t kSocketsPerRound = 4;     // read in one round of progress
constexpr std::uint64_t kForeign = UINT64_MAX;  // in epoll's data: not a socket of ours

}  // namespace

std::size_t sockets_for(const UdpOptions& options) {
    return options.sockets != 0 ? options.sockets
                                : static_cast<std::size_t>(std::ceil(std::sqrt(options.paths)));
}

Carrier::Carrier(const UdpOptions& options, const std::vector<Interface>& interfaces)
    : sockets_per_address_(sockets_for(options)) {
    std::vector<std::uint32_t> devices;
    for (const Interface& interface : interfaces | std::views::take(kMostAddresses)) {
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
            local.set_port(options.port == 0 ? std::uint16_t{0}
                                             : static_cast<std::uint16_t>(options.port + i));
            sockets_.push_back(std::make_unique<Socket>(
                local, SocketSettings{options.buffer, options.gso, options.gro}));
            address.ports.push_back(sockets_.back()->local().port());
        }
        local_.push_back(std::move(address));
    }
    poll_fd_ = epoll_create1(EPOLL_CLOEXEC);
    if (poll_fd_ < 0) {
        throw Error(WEFT_ERR_RESOURCES, std::string("udp: epoll_create1 failed: ") +
                                            std::strerror(errno) +
                                            "; raise the limit on open files (ulimit -n)");
    }
    for (std::size_t i = 0; i < sockets_.size(); ++i) {
        epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
        if (epoll_ctl(poll_fd_, EPOLL_CTL_ADD, sockets_[i]->fd(), &event) != 0) {
            const int error = errno;
            ::close(poll_fd_);
            throw Error(WEFT_ERR_SYSTEM,
                        std::string("udp: epoll_ctl failed: ") + std::strerror(error));
        }
    }
}

Carrier::~Carrier() {
    if (poll_fd_ >= 0) {
        ::close(poll_fd_);
    }
}

void Carrier::close() noexcept {
    out_.clear();
    sockets_.clear();
    if (poll_fd_ >= 0) {
        ::close(poll_fd_);
        poll_fd_ = -1;
    }
}

void Carrier::watch(int fd) {
    epoll_event event{.events = EPOLLIN, .data = {.u64 = kForeign}};
    if (epoll_ctl(poll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) {
        throw Error(WEFT_ERR_SYSTEM,
                    std::string(name()) + ": epoll_ctl failed: " + std::strerror(errno));
    }
}

void Carrier::limit_mtu(std::uint8_t device, std::uint32_t mtu) noexcept {
    for (LocalAddress& address : local_) {
        if (address.device == device) {
            address.mtu = std::min(address.mtu, mtu);
        }
    }
}

void Carrier::unwatch(int fd) noexcept {
    epoll_ctl(poll_fd_, EPOLL_CTL_DEL, fd, nullptr);
}

std::uint64_t Carrier::window_bytes() const noexcept {
    return sockets_per_address_ * sockets_.front()->receive_buffer();
}

bool Carrier::flush() noexcept {
    const bool empty = out_.flush();
    if (empty == awaits_writable_) {
        watch_writable(!empty);
    }
    return empty;
}

void Carrier::watch_writable(bool on) {
    awaits_writable_ = on;
    for (std::size_t i = 0; i < sockets_.size(); ++i) {
        const bool blocked = on && out_.waits_for(*sockets_[i]);
        epoll_event event{.events = blocked ? EPOLLIN | EPOLLOUT : EPOLLIN, .data = {.u64 = i}};
        epoll_ctl(poll_fd_, EPOLL_CTL_MOD, sockets_[i]->fd(), &event);
    }
}

void Carrier::send_now(Socket& socket, const Endpoint& to,
                       std::span<const std::uint8_t> bytes) noexcept {
    io_.send_calls += 1;
    if (sendto(socket.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL, to.data(), to.size()) >= 0) {
        io_.datagrams_sent += 1;
    } else if (errno == EMSGSIZE) {
        io_.too_large += 1;
    } else {
        io_.unreachable += 1;
    }
}

Carrier::Harvest Carrier::receive(std::int64_t, Sink& sink) {
    std::array<epoll_event, kSocketsPerRound> ready;
    const int count = epoll_wait(poll_fd_, ready.data(), static_cast<int>(ready.size()), 0);
    Harvest harvest{.moved = false, .more = count == static_cast<int>(ready.size())};
    for (int i = 0; i < count; ++i) {
        const std::uint64_t number = ready[static_cast<std::size_t>(i)].data.u64;
        if (number == kForeign) {
            continue;
        }
        Socket& socket = *sockets_[number];
        if (const std::size_t trains = in_.receive(socket); trains > 0) {
            harvest.moved = true;
            harvest.more = harvest.more || trains == ReceiveBatch::kTrains;
            in_.for_each([&](const Arrived& datagram) { sink.arrived(socket, datagram); });
        }
    }
    return harvest;
}

std::string Carrier::stats_json() const {
    std::string json;
    add_number(json, "send_calls", io_.send_calls);
    add_number(json, "receive_calls", io_.receive_calls);
    add_number(json, "empty_receives", io_.empty_receives);
    add_number(json, "trains_sent", io_.trains_sent);
    add_number(json, "datagrams_sent", io_.datagrams_sent);
    add_number(json, "bytes_sent", io_.bytes_sent);
    add_number(json, "trains_received", io_.trains_received);
    add_number(json, "datagrams_received", io_.datagrams_received);
    add_number(json, "bytes_received", io_.bytes_received);
    add_number(json, "send_blocked", io_.blocked);
    add_number(json, "unreachable", io_.unreachable);
    add_number(json, "too_large", io_.too_large);
    add_number(json, "forbidden", io_.forbidden);
    add_number(json, "send_failed", io_.failed);
    add_number(json, "gso_refused", io_.gso_refused);
    add_number(json, "truncated", io_.truncated);
    json += ",\"sockets\":[";
    for (const auto& socket : sockets_) {
        json += std::string(json.back() == '[' ? "" : ",") + "{\"local\":\"" +
                socket->local().to_string() + "\",\"gso\":" + (socket->gso() ? "true" : "false") +
                ",\"gro\":" + (socket->gro() ? "true" : "false");
        add_number(json, "send_buffer", socket->send_buffer());
        add_number(json, "receive_buffer", socket->receive_buffer());
        json += "}";
    }
    return json + "]";
}

}  // namespace weft::datapath::udp
