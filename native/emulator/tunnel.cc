#include "emulator/tunnel.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <system_error>

namespace weft::emulator {
namespace {

static_assert(std::endian::native == std::endian::little, "headers are written as they lie");
constexpr std::int64_t kProbeInterval = 100'000'000;
constexpr std::size_t kDrainAtOnce = 256;

std::int64_t now_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

Tunnel::Tunnel(int udp, std::uint64_t key, std::size_t frame_size)
    : udp_(udp), key_(key), room_(sizeof(Header) + frame_size), buffer_(kBatch * room_) {
    doorbell_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (doorbell_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Tunnel::~Tunnel() {
    close(doorbell_);
}

void Tunnel::add(const std::vector<Edge>& edges, std::size_t ring_frames) {
    sockets_.push_back(std::make_unique<PacketSocket>(room_ - sizeof(Header), ring_frames));
    std::unordered_map<int, std::uint32_t>& hosts = hosts_.emplace_back();
    for (const Edge& edge : edges) {
        hosts[edge.interface] = edge.host;
        places_[edge.host] = {sockets_.size() - 1, edge.interface};
    }
}

void Tunnel::set_peer(std::uint32_t address, std::uint16_t port) {
    sockaddr_in peer{};
    peer.sin_family = AF_INET;
    peer.sin_addr.s_addr = address;
    peer.sin_port = htons(port);
    peer_ = peer;
    told_ = true;
}

void Tunnel::run() {
    std::vector<pollfd> sources;
    for (const auto& socket : sockets_) sources.push_back({socket->fd(), POLLIN, 0});
    sources.push_back({udp_, POLLIN, 0});
    sources.push_back({doorbell_, POLLIN, 0});
    while (!stopping_.load(std::memory_order_acquire)) {
        for (std::size_t socket = 0; socket < sockets_.size(); ++socket) out_of(socket);
        into();
        for (const auto& socket : sockets_) counts_.refused += socket->flush();
        if (now_ns() >= next_probe_) tick();
        poll(sources.data(), sources.size(), static_cast<int>(kProbeInterval / 1'000'000));
    }
}

void Tunnel::stop() {
    stopping_.store(true, std::memory_order_release);
    eventfd_write(doorbell_, 1);
}

// Frames that hosts (or the fabric) have sent, into the tunnel.
void Tunnel::out_of(std::size_t socket) {
    PacketSocket& source = *sockets_[socket];
    Received received;
    for (std::size_t i = 0; i < kDrainAtOnce && source.receive(received); ++i) {
        const auto host = hosts_[socket].find(received.interface);
        if (host != hosts_[socket].end()) {
            scratch_.assign(received.frame.begin(), received.frame.end());
            complete_checksum(scratch_, received.offload);
            send({key_, kFrame, host->second, 0}, scratch_);
        }
        source.pass();
        source.release(received.place);
    }
}

void Tunnel::send(const Header& header, ConstBytes frame) {
    if (!peer_) return;  // nobody has spoken to us yet
    iovec parts[] = {{const_cast<Header*>(&header), sizeof header},
                     {const_cast<std::uint8_t*>(frame.data()), frame.size()}};
    msghdr message{};
    message.msg_name = &*peer_;
    message.msg_namelen = sizeof *peer_;
    message.msg_iov = parts;
    message.msg_iovlen = frame.empty() ? 1 : 2;
    if (sendmsg(udp_, &message, MSG_NOSIGNAL) < 0) {
        ++counts_.refused;
    } else if (header.kind == kFrame) {
        ++counts_.out;
    }
}

// Datagrams of the other end: frames for our hosts, and probes.
void Tunnel::into() {
    std::array<mmsghdr, kBatch> messages{};
    std::array<iovec, kBatch> places{};
    std::array<sockaddr_in, kBatch> senders{};
    for (std::size_t i = 0; i < kBatch; ++i) {
        places[i] = {&buffer_[i * room_], room_};
        messages[i].msg_hdr.msg_iov = &places[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        messages[i].msg_hdr.msg_name = &senders[i];
        messages[i].msg_hdr.msg_namelen = sizeof senders[i];
    }
    const int count = recvmmsg(udp_, messages.data(), kBatch, MSG_DONTWAIT, nullptr);
    for (int i = 0; i < count; ++i) {
        const auto index = static_cast<std::size_t>(i);
        take(index, messages[index].msg_len, senders[index]);
    }
    // What is queued lies in buffer_, which the next call writes over.
    for (const auto& socket : sockets_) counts_.refused += socket->flush();
}

void Tunnel::take(std::size_t index, std::size_t length, const sockaddr_in& from) {
    Header header{};
    if (length >= sizeof header) std::memcpy(&header, &buffer_[index * room_], sizeof header);
    if (length < sizeof header || header.key != key_) {
        ++counts_.strangers;
        return;
    }
    if (!told_) peer_ = from;
    if (header.kind == kProbe) {
        send({key_, kEcho, 0, header.stamp}, {});
    } else if (header.kind == kEcho) {
        const std::int64_t took = now_ns() - static_cast<std::int64_t>(header.stamp);
        if (took <= 0) return;
        const auto round_trip = static_cast<std::uint64_t>(took);
        ++counts_.probes;
        counts_.last = round_trip;
        if (counts_.shortest == 0 || round_trip < counts_.shortest) counts_.shortest = round_trip;
    } else if (const auto place = places_.find(header.host);
               header.kind == kFrame && place != places_.end() &&
               length >= sizeof header + kEthernetHeader) {
        PacketSocket& socket = *sockets_[place->second.socket];
        if (socket.full()) counts_.refused += socket.flush();
        socket.queue(place->second.interface, {},
                     {&buffer_[index * room_ + sizeof header], length - sizeof header});
        ++counts_.in;
    } else {
        ++counts_.strangers;
    }
}

// Now and then: a probe, if it is ours to send them, and what the rings have lost.
void Tunnel::tick() {
    const std::int64_t now = now_ns();
    next_probe_ = now + kProbeInterval;
    if (told_) send({key_, kProbe, 0, static_cast<std::uint64_t>(now)}, {});
    std::uint64_t drops = 0;
    for (const auto& socket : sockets_) drops += socket->ring_drops();
    counts_.ring_drops = drops;
}

TunnelReport Tunnel::report() const {
    return {counts_.out,       counts_.in,     counts_.refused,  counts_.ring_drops,
            counts_.strangers, counts_.probes, counts_.shortest, counts_.last};
}

}  // namespace weft::emulator
