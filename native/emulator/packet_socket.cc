#include "emulator/packet_socket.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace weft::emulator {
namespace {

constexpr std::size_t kBlock = 1 << 20;
// Frames count until their receiver's CPU has taken them: several hundred of the largest trains.
constexpr int kSendBuffer = 32 << 20;

std::system_error failed(const char* what) {
    return {errno, std::generic_category(), std::string("packet socket: ") + what};
}

template <typename Value>
void set(int fd, int option, const Value& value, const char* what) {
    if (setsockopt(fd, SOL_PACKET, option, &value, sizeof value) != 0) throw failed(what);
}

}  // namespace

PacketSocket::PacketSocket(std::size_t frame_size, std::size_t frames) {
    // Protocol 0 keeps it deaf until all is set up.
    fd_ = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd_ < 0) throw failed("opening it needs CAP_NET_RAW in its network namespace");
    try {
        set(fd_, PACKET_VERSION, static_cast<int>(TPACKET_V2), "TPACKET_V2");
        set(fd_, PACKET_VNET_HDR, 1, "PACKET_VNET_HDR");
        set(fd_, PACKET_IGNORE_OUTGOING, 1, "PACKET_IGNORE_OUTGOING (Linux 4.20)");
        set(fd_, PACKET_QDISC_BYPASS, 1, "PACKET_QDISC_BYPASS");
        // Without privilege as much as the system grants anybody.
        if (setsockopt(fd_, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBuffer, sizeof kSendBuffer) != 0)
            setsockopt(fd_, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
        constexpr std::size_t kRoom = 128;  // for the ring's own headers in front of a frame
        frame_size_ = (frame_size + kRoom + 255) / 256 * 256;
        block_frames_ = kBlock / frame_size_;
        const std::size_t blocks = (frames + block_frames_ - 1) / block_frames_;
        frames_ = blocks * block_frames_;
        tpacket_req request{};
        request.tp_block_size = kBlock;
        request.tp_block_nr = static_cast<unsigned>(blocks);
        request.tp_frame_size = static_cast<unsigned>(frame_size_);
        request.tp_frame_nr = static_cast<unsigned>(frames_);
        set(fd_, PACKET_RX_RING, request, "its ring of frames");
        ring_bytes_ = blocks * kBlock;
        void* const memory =
            mmap(nullptr, ring_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_, 0);
        if (memory == MAP_FAILED) throw failed("mapping its ring");
        ring_ = static_cast<std::byte*>(memory);
        sockaddr_ll everything{};
        everything.sll_family = AF_PACKET;
        everything.sll_protocol = htons(ETH_P_ALL);
        if (bind(fd_, reinterpret_cast<const sockaddr*>(&everything), sizeof everything) != 0)
            throw failed("binding it");
    } catch (...) {
        if (ring_ != nullptr) munmap(ring_, ring_bytes_);
        close(fd_);
        throw;
    }
    for (std::size_t i = 0; i < kBatch; ++i) {
        addresses_[i].sll_family = AF_PACKET;
        addresses_[i].sll_protocol = htons(ETH_P_ALL);
        addresses_[i].sll_halen = ETH_ALEN;
        msghdr& message = messages_[i].msg_hdr;
        message.msg_name = &addresses_[i];
        message.msg_namelen = sizeof addresses_[i];
        message.msg_iov = vectors_[i].data();
        message.msg_iovlen = vectors_[i].size();
        vectors_[i][0] = {&offloads_[i], sizeof offloads_[i]};
    }
}

PacketSocket::~PacketSocket() {
    munmap(ring_, ring_bytes_);
    close(fd_);
}

tpacket2_hdr& PacketSocket::slot(std::size_t place) const {
    const std::size_t at = place / block_frames_ * kBlock + place % block_frames_ * frame_size_;
    return *reinterpret_cast<tpacket2_hdr*>(ring_ + at);
}

bool PacketSocket::receive(Received& received) {
    tpacket2_hdr& header = slot(next_);
    const std::atomic_ref<std::uint32_t> status(header.tp_status);
    if ((status.load(std::memory_order_acquire) & TP_STATUS_USER) == 0) return false;
    auto* const start = reinterpret_cast<std::uint8_t*>(&header);
    const auto* const address =
        reinterpret_cast<const sockaddr_ll*>(start + TPACKET_ALIGN(sizeof(tpacket2_hdr)));
    received.interface = address->sll_ifindex;
    received.stamp = std::int64_t{header.tp_sec} * 1'000'000'000 + header.tp_nsec;
    received.place = static_cast<std::uint32_t>(next_);
    received.frame = {start + header.tp_mac, header.tp_snaplen};
    received.offload = *reinterpret_cast<const Offload*>(start + header.tp_mac - sizeof(Offload));
    return true;
}

void PacketSocket::release(std::uint32_t place) {
    const std::atomic_ref<std::uint32_t> status(slot(place).tp_status);
    status.store(TP_STATUS_KERNEL, std::memory_order_release);
}

void PacketSocket::queue(int interface, const Offload& offload, ConstBytes frame) {
    addresses_[queued_].sll_ifindex = interface;
    offloads_[queued_] = offload;
    // The kernel only reads it; iovec has no const.
    vectors_[queued_][1] = {const_cast<std::uint8_t*>(frame.data()), frame.size()};
    ++queued_;
}

std::size_t PacketSocket::flush() {
    std::size_t refused = 0;
    for (std::size_t at = 0; at < queued_;) {
        const int sent = sendmmsg(fd_, &messages_[at], static_cast<unsigned>(queued_ - at), 0);
        if (sent > 0) {
            at += static_cast<std::size_t>(sent);
        } else if (errno != EINTR) {
            ++refused;  // the first one is at fault: an interface that is down or gone, no memory
            ++at;
        }
    }
    queued_ = 0;
    return refused;
}

std::uint64_t PacketSocket::ring_drops() {
    tpacket_stats stats{};
    socklen_t size = sizeof stats;
    if (getsockopt(fd_, SOL_PACKET, PACKET_STATISTICS, &stats, &size) == 0)
        ring_drops_ += stats.tp_drops;  // reading resets it
    return ring_drops_;
}

}  // namespace weft::emulator
