// All edges of a fabric through one AF_PACKET socket (packet(7)): frames that hosts send come in
// through a memory-mapped ring, without a system call each; frames for hosts go out in batches, one
// system call for many frames and ports.
//
// The socket lives in the network namespace in which it was made and hears every interface there.
// Virtio headers travel along, so that checksums need not be computed and segmentation offloads
// stay whole (net/packet/af_packet.c, PACKET_VNET_HDR).
#pragma once

#include <linux/if_packet.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <system_error>
#include <vector>

#include "emulator/frame.h"

namespace weft::emulator {

struct Received {
    int interface = 0;
    std::int64_t stamp = 0;  // CLOCK_REALTIME, ns
    Offload offload{};
    std::uint32_t place = 0;  // of the ring, in which the frame stays until release(place)
    Bytes frame;
};

class PacketSocket {
  public:
    // A ring of `frames` places (rounded up) for frames of up to `frame_size` bytes. Throws
    // std::system_error, whose text says what was refused.
    PacketSocket(std::size_t frame_size, std::size_t frames);
    ~PacketSocket();
    PacketSocket(const PacketSocket&) = delete;
    PacketSocket& operator=(const PacketSocket&) = delete;

    // The next frame that came in, if there is one; the same one until pass().
    bool receive(Received& received);
    void pass() { next_ = next_ + 1 == frames_ ? 0 : next_ + 1; }
    // Gives a place back that was passed. The kernel fills places in turn, and drops frames where
    // the next one was not given back; and while the last one was not, fd() says readable.
    void release(std::uint32_t place);
    std::uint32_t places() const { return static_cast<std::uint32_t>(frames_); }

    // Queues a frame for sending; it must stay in place until flush(). When full() it must be
    // flushed first.
    void queue(int interface, const Offload& offload, ConstBytes frame);
    bool full() const { return queued_ == kBatch; }
    std::size_t queued() const { return queued_; }
    // Sends all that is queued; returns how many frames the kernel refused.
    std::size_t flush();

    int fd() const { return fd_; }  // readable when frames wait
    // Frames that the ring had no place for, so far.
    std::uint64_t ring_drops();

    static constexpr std::size_t kBatch = 64;

  private:
    tpacket2_hdr& slot(std::size_t place) const;

    int fd_ = -1;
    std::byte* ring_ = nullptr;
    std::size_t ring_bytes_ = 0;
    std::size_t frame_size_ = 0;
    std::size_t block_frames_ = 0;
    std::size_t frames_ = 0;
    std::size_t next_ = 0;
    std::uint64_t ring_drops_ = 0;

    std::size_t queued_ = 0;
    std::array<mmsghdr, kBatch> messages_{};
    std::array<std::array<iovec, 2>, kBatch> vectors_{};
    std::array<sockaddr_ll, kBatch> addresses_{};
    std::array<Offload, kBatch> offloads_{};
};

}  // namespace weft::emulator
