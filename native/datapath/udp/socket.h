// Non-blocking UDP sockets, and the two batches that talk to them: SendBatch gathers datagrams
// (header from a small arena, payload from wherever it lies) into GSO trains and sends many with
// one call; ReceiveBatch takes many, and takes GRO trains apart again.
//
// Where the kernel refuses GSO or GRO the same datagrams travel one by one: nothing above sees a
// difference.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "datapath/udp/endpoint.h"

namespace weft::datapath::udp {

// What befell the datagrams of all sockets together.
struct SocketCounters {
    std::uint64_t send_calls = 0, receive_calls = 0, empty_receives = 0;
    std::uint64_t trains_sent = 0, datagrams_sent = 0, bytes_sent = 0;
    std::uint64_t trains_received = 0, datagrams_received = 0, bytes_received = 0;
    std::uint64_t blocked = 0;  // times the kernel had no room (EAGAIN, ENOBUFS)
    std::uint64_t unreachable =
        0;                        // datagrams refused: no route, host or network down, ICMP said so
    std::uint64_t too_large = 0;  // datagrams refused: larger than the link's MTU
    std::uint64_t forbidden = 0;  // datagrams refused: a firewall
    std::uint64_t failed = 0;     // datagrams refused for any other reason
    std::uint64_t gso_refused = 0;  // sockets on which GSO had to be given up
    std::uint64_t truncated = 0;    // trains received that did not fit the buffer
};

struct SocketSettings {
    std::uint32_t buffer = 8 << 20;
    bool gso = true;
    bool gro = true;
};

class Socket {
  public:
    // Bound to `local` (port 0: any free one). Throws Error: RESOURCES (port in use, no
    // descriptors), SYSTEM.
    Socket(const Endpoint& local, const SocketSettings& settings);
    ~Socket();
    Socket(Socket&& other) noexcept;
    Socket& operator=(Socket&&) = delete;

    int fd() const noexcept { return fd_; }
    const Endpoint& local() const noexcept { return local_; }
    bool gso() const noexcept { return gso_; }
    bool gro() const noexcept { return gro_; }
    std::uint32_t send_buffer() const noexcept { return send_buffer_; }        // bytes granted
    std::uint32_t receive_buffer() const noexcept { return receive_buffer_; }  // bytes granted

  private:
    friend class SendBatch;
    int fd_ = -1;
    Endpoint local_;
    bool gso_ = false;
    bool gro_ = false;
    bool blocked_ = false;  // the kernel's send buffer was full
    std::uint32_t send_buffer_ = 0;
    std::uint32_t receive_buffer_ = 0;
};

class SendBatch {
  public:
    // Largest header that header() has room for.
    static constexpr std::size_t kHeaderRoom = 640;

    explicit SendBatch(SocketCounters& counters);

    // Room for the header of the next datagram; empty when the batch is full (flush() it).
    std::span<std::uint8_t> header() noexcept;

    // Adds a datagram: the first `header_size` bytes of header(), then `payload`, which must stay
    // until it was sent. It joins the train before it when it can.
    void add(Socket& socket, const Endpoint& to, std::size_t header_size,
             std::span<const std::byte> payload) noexcept;

    // Hands everything to the kernel. False when some datagrams stay because the kernel has no room
    // for them: try again when the socket is writable (blocked_fd()), or a little later if there is
    // none.
    bool flush() noexcept;

    // Drops the waiting trains that point into this memory: it is about to become invalid. They
    // count as lost.
    void forget(const std::byte* data, std::size_t size) noexcept;

    void clear() noexcept { keep({}); }
    bool empty() const noexcept { return train_count_ == 0; }
    // Bytes that wait for room in the kernel.
    bool waits() const noexcept { return waits_; }
    // Whether the kernel tells when it has room (EAGAIN); otherwise (ENOBUFS) only time does.
    bool waits_for(const Socket& socket) const noexcept { return socket.blocked_; }

  private:
    struct Train {
        Socket* socket;
        Endpoint to;
        std::uint32_t first_piece, piece_count;
        std::uint32_t segment;  // bytes of every datagram but the last
        std::uint32_t datagrams;
        std::uint32_t bytes;
        bool closed;  // its last datagram is shorter: nothing may follow
    };

    static constexpr std::size_t kMaxTrains = 32;
    static constexpr std::size_t kMaxPieces = 1024;
    static constexpr std::uint32_t kMaxTrainBytes = 65'000;  // IP's limit, less headers
    static constexpr std::uint32_t kMaxTrainDatagrams = 64;  // UDP_MAX_SEGMENTS of older kernels

    std::size_t send_run(std::size_t first, std::size_t count) noexcept;
    void send_one_by_one(Train& train) noexcept;
    enum class Verdict { kWait, kSplit, kDrop };
    Verdict judge(int error, const Train& train) noexcept;
    void keep(std::span<const std::size_t> waiting) noexcept;

    SocketCounters& counters_;
    std::array<Train, kMaxTrains> trains_;
    std::size_t train_count_ = 0;
    std::array<iovec, kMaxPieces> pieces_;
    std::size_t piece_count_ = 0;
    std::vector<std::uint8_t> arena_;  // of headers
    std::size_t arena_used_ = 0;
    bool waits_ = false;
};

// One datagram as it arrived.
struct Arrived {
    std::span<const std::uint8_t> bytes;
    const Endpoint& from;
    bool marked;  // ECN: congestion experienced
    // When the kernel got it (CLOCK_MONOTONIC, ns): the time since then, in which this process was
    // busy or not scheduled, is no delay of the network.
    std::int64_t at;
};

class ReceiveBatch {
  public:
    static constexpr std::size_t kTrains = 8;

    explicit ReceiveBatch(SocketCounters& counters);

    // Takes what waits at the socket, up to kTrains trains; the number taken, 0 when nothing was
    // there.
    std::size_t receive(const Socket& socket) noexcept;

    // Calls f(Arrived) for each datagram taken by the last receive().
    template <typename F>
    void for_each(F&& f) {
        for (std::size_t i = 0; i < count_; ++i) {
            const Shape shape = shape_of(i);
            for (std::size_t at = 0; at < shape.size; at += shape.segment) {
                f(Arrived{{buffer(i) + at, std::min(shape.segment, shape.size - at)},
                          from_[i],
                          shape.marked,
                          shape.at});
            }
        }
    }

  private:
    static constexpr std::size_t kTrainSize = 65536;
    static constexpr std::size_t kControlSize = 128;

    struct Shape {
        std::size_t size, segment;
        bool marked;
        std::int64_t at;
    };
    Shape shape_of(std::size_t train) noexcept;
    std::uint8_t* buffer(std::size_t train) noexcept { return buffers_.get() + train * kTrainSize; }

    SocketCounters& counters_;
    std::unique_ptr<std::uint8_t[]> buffers_;
    std::array<mmsghdr, kTrains> messages_{};
    std::array<iovec, kTrains> pieces_{};
    std::array<Endpoint, kTrains> from_;
    alignas(cmsghdr) std::array<std::array<std::uint8_t, kControlSize>, kTrains> control_{};
    std::size_t count_ = 0;
    std::int64_t now_ = 0;          // CLOCK_MONOTONIC
    std::int64_t clock_shift_ = 0;  // from the kernel's time stamps (CLOCK_REALTIME) to it
};

}  // namespace weft::datapath::udp
