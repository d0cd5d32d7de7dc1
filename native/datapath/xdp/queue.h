// One AF_XDP socket: a queue of a network device, with the frames in which its packets lie.
//
// Half of the frames are for receiving: at any time they are with the kernel, or hold packets not
// yet looked at. The other half are for sending: free, or with the kernel. A packet larger than a
// frame (jumbo frames) lies in several; one that comes is put together before it is handed on.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "datapath/xdp/descriptor.h"
#include "datapath/xdp/frame.h"
#include "datapath/xdp/program.h"
#include "datapath/xdp/ring.h"

struct xdp_desc;

namespace weft::datapath::xdp {

inline constexpr std::uint32_t kFrameSize = 4096;
// What the kernel keeps at the front of a frame in which a packet comes (XDP_PACKET_HEADROOM).
inline constexpr std::uint32_t kHeadroom = 256;
inline constexpr std::uint32_t kReceiveRoom = kFrameSize - kHeadroom;

struct QueueSettings {
    std::string device;  // for messages
    std::uint32_t interface = 0;
    std::uint32_t queue = 0;
    std::uint32_t frames = 2048;  // each way, a power of two
    bool zero_copy = false;
    bool several = false;  // packets in several frames; Linux 6.6
};

// As the kernel counts, since the socket was opened.
struct QueueDrops {
    std::uint64_t rx_dropped = 0;          // larger than a frame, or no room in the ring
    std::uint64_t rx_ring_full = 0;        // we did not read in time
    std::uint64_t rx_fill_ring_empty = 0;  // the kernel had no frame of ours
    std::uint64_t tx_invalid = 0;          // refused by the kernel
};

class Queue {
  public:
    // Throws Error: UNSUPPORTED (no capability, no AF_XDP, a mode that the driver has not),
    // RESOURCES (locked memory, the queue is in use), SYSTEM.
    explicit Queue(const QueueSettings& settings);
    Queue(const Queue&) = delete;
    Queue& operator=(const Queue&) = delete;

    int fd() const noexcept { return fd_.get(); }
    std::uint32_t frames() const noexcept { return settings_.frames; }  // each way
    // The device was found gone, or down, at the last kick(): nothing is taken until retry().
    bool down() const noexcept { return down_; }
    void retry() noexcept { down_ = gone_; }
    // The device is no more, and waking up for it is idle.
    bool gone() noexcept;

    // Puts a datagram (header and payload are copied) into the ring; it leaves at the next kick().
    // The header is at most udp::SendBatch::kHeaderRoom long. False when there is no room.
    bool send(const Envelope& envelope, std::span<const std::uint8_t> header,
              std::span<const std::byte> payload) noexcept;
    // Whether a datagram of any size would find room (or none ever will).
    bool has_room() noexcept;
    // Tells the kernel to send; false when it left some lying for want of room.
    bool kick() noexcept;

    // Calls f(frame, stamp) for up to `most` packets: the bytes, which stay only that long, and
    // their time of arrival, or 0 where the driver has no room for it. The number of packets.
    template <typename F>
    std::size_t receive(std::size_t most, F&& f) {
        std::size_t packets = 0;
        std::span<const std::uint8_t> frame;
        std::int64_t stamp = 0;
        while (packets < most && next(frame, stamp)) {
            f(frame, stamp);
            ++packets;
        }
        if (packets > 0) {
            give_back();
        }
        return packets;
    }

    QueueDrops drops() const noexcept;

  private:
    void open_rings();
    void reap() noexcept;
    void push(std::uint64_t frame, std::uint32_t size, bool more) noexcept;
    bool next(std::span<const std::uint8_t>& frame, std::int64_t& stamp) noexcept;
    std::uint8_t* take(const xdp_desc& piece) noexcept;
    void give_back() noexcept;
    [[noreturn]] void fail(const char* call, int error) const;

    const QueueSettings settings_;
    Descriptor fd_;
    Mapping frames_;
    Ring<std::uint64_t> fill_, completion_;
    Ring<xdp_desc> rx_, tx_;
    std::vector<std::uint64_t> free_;      // frames for sending
    std::uint32_t written_ = 0;            // tx entries, published at the next kick
    std::uint32_t read_ = 0;               // rx entries
    std::uint32_t filled_ = 0;             // fill entries
    std::vector<std::uint8_t> assembled_;  // a packet out of several frames
    bool down_ = false;
    bool gone_ = false;
};

}  // namespace weft::datapath::xdp
