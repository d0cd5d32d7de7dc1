#include "datapath/xdp/queue.h"

#include <linux/if_xdp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "datapath/error.h"
#include "datapath/xdp/patience.h"

namespace weft::datapath::xdp {
namespace {

// Of Linux 6.6, newer than the headers of this system may be: a packet may span descriptors, and
// this one is not its last.
constexpr std::uint16_t kUseSeveral = 1 << 4;   // XDP_USE_SG
constexpr std::uint32_t kContinued = 1 << 0;    // XDP_PKT_CONTD
constexpr std::uint32_t kMostPieces = 17;       // of a packet: MAX_SKB_FRAGS
constexpr std::size_t kLargestPacket = 65'600;  // IP's limit and an Ethernet header

bool set(int fd, int option, std::uint32_t value) {
    return setsockopt(fd, SOL_XDP, option, &value, sizeof value) == 0;
}

RingShape shape_of(const xdp_ring_offset& offset, std::uint32_t size) {
    return {offset.producer, offset.consumer, offset.flags, offset.desc, size};
}

}  // namespace

void Queue::fail(const char* call, int error) const {
    const std::string what = "xdp: device " + settings_.device + " queue " +
                             std::to_string(settings_.queue) + ": " + call +
                             " failed: " + std::strerror(error);
    switch (error) {
        case EPERM:
        case EACCES:
            throw Error(WEFT_ERR_UNSUPPORTED, what +
                                                  "; AF_XDP sockets need CAP_NET_RAW: run as "
                                                  "root, or setcap "
                                                  "cap_net_admin,cap_net_raw,cap_bpf+ep on the "
                                                  "program");
        case EAFNOSUPPORT:
            throw Error(WEFT_ERR_UNSUPPORTED, what + "; it needs a kernel with CONFIG_XDP_SOCKETS");
        case EBUSY:
            throw Error(WEFT_ERR_RESOURCES, what + "; another AF_XDP socket has this queue");
        case ENOBUFS:
        case ENOMEM:
            throw Error(WEFT_ERR_RESOURCES,
                        what +
                            "; frames are locked memory: raise the limit (ulimit -l), grant "
                            "CAP_IPC_LOCK, or make `buffer` or `xdp.queues` smaller");
        case EOPNOTSUPP:
        case EINVAL:
            throw Error(WEFT_ERR_UNSUPPORTED,
                        what + (settings_.zero_copy ? "; its driver does not offer zero copy here: "
                                                      "take xdp.mode=auto or copy"
                                                    : "; its driver or this kernel does not offer "
                                                      "AF_XDP in this mode"));
        default:
            throw Error(error == EMFILE || error == ENFILE ? WEFT_ERR_RESOURCES : WEFT_ERR_SYSTEM,
                        what);
    }
}

Queue::Queue(const QueueSettings& settings) : settings_(settings) {
    fd_ = Descriptor(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
    if (!fd_) {
        fail("socket(AF_XDP)", errno);
    }
    const std::size_t bytes = std::size_t{2} * settings.frames * kFrameSize;
    void* const memory =
        mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        fail("mmap of the frames", errno);
    }
    frames_ = Mapping(memory, bytes);
    madvise(memory, bytes, MADV_DONTFORK);  // a child's copy-on-write would tear frames from rings
    xdp_umem_reg area{};
    area.addr = reinterpret_cast<std::uintptr_t>(memory);
    area.len = bytes;
    area.chunk_size = kFrameSize;
    if (setsockopt(fd(), SOL_XDP, XDP_UMEM_REG, &area, sizeof area) != 0) {
        fail("registering the frames", errno);
    }
    open_rings();
    for (filled_ = 0; filled_ < settings.frames; ++filled_) {
        fill_[filled_] = std::uint64_t{filled_} * kFrameSize;
    }
    fill_.publish(filled_);
    for (std::uint32_t i = 0; i < settings.frames; ++i) {
        free_.push_back((std::uint64_t{settings.frames} + i) * kFrameSize);
    }
    assembled_.resize(settings.several ? kLargestPacket : 0);
    // In copy mode what we send is charged to the socket's buffer.
    const int room = static_cast<int>(settings.frames * kFrameSize);
    setsockopt(fd(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);

    sockaddr_xdp address{};
    address.sxdp_family = AF_XDP;
    address.sxdp_ifindex = settings.interface;
    address.sxdp_queue_id = settings.queue;
    address.sxdp_flags = static_cast<std::uint16_t>(XDP_USE_NEED_WAKEUP |
                                                    (settings.zero_copy ? XDP_ZEROCOPY : XDP_COPY) |
                                                    (settings.several ? kUseSeveral : 0));
    int error = 0;
    patiently([&] {
        error = bind(fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0
                    ? 0
                    : errno;
        return error != EBUSY;
    });
    if (error != 0) {
        fail("bind", error);
    }
}

void Queue::open_rings() {
    for (const int ring :
         {XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING, XDP_TX_RING}) {
        if (!set(fd(), ring, settings_.frames)) {
            fail("making a ring", errno);
        }
    }
    xdp_mmap_offsets offsets{};
    socklen_t size = sizeof offsets;
    if (getsockopt(fd(), SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &size) != 0 ||
        size != sizeof offsets) {
        fail("asking for the rings' layout", errno);
    }
    const auto map = [&](const xdp_ring_offset& offset, std::size_t entry, std::uint64_t page) {
        const std::size_t bytes = offset.desc + settings_.frames * entry;
        void* const at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                              fd(), static_cast<off_t>(page));
        if (at == MAP_FAILED) {
            fail("mmap of a ring", errno);
        }
        return Mapping(at, bytes);
    };
    const std::uint32_t frames = settings_.frames;
    fill_ = {map(offsets.fr, sizeof(std::uint64_t), XDP_UMEM_PGOFF_FILL_RING),
             shape_of(offsets.fr, frames)};
    completion_ = {map(offsets.cr, sizeof(std::uint64_t), XDP_UMEM_PGOFF_COMPLETION_RING),
                   shape_of(offsets.cr, frames)};
    rx_ = {map(offsets.rx, sizeof(xdp_desc), XDP_PGOFF_RX_RING), shape_of(offsets.rx, frames)};
    tx_ = {map(offsets.tx, sizeof(xdp_desc), XDP_PGOFF_TX_RING), shape_of(offsets.tx, frames)};
}

// ---------------------------------------------------------------- sending

bool Queue::has_room() noexcept {
    if (free_.size() < kMostPieces) {
        reap();
    }
    return down_ || free_.size() >= kMostPieces;
}

void Queue::push(std::uint64_t frame, std::uint32_t size, bool more) noexcept {
    xdp_desc& entry = tx_[written_++];
    entry.addr = frame;
    entry.len = size;
    entry.options = more ? kContinued : 0;
}

// The tx ring has as many entries as there are frames for sending: who has a frame has an entry.
bool Queue::send(const Envelope& envelope, std::span<const std::uint8_t> header,
                 std::span<const std::byte> payload) noexcept {
    const std::size_t head = envelope.size() + header.size();
    const std::size_t pieces = (head + payload.size() + kFrameSize - 1) / kFrameSize;
    if (down_ || pieces > (settings_.several ? kMostPieces : 1) ||
        (free_.size() < pieces && (reap(), free_.size() < pieces))) {
        return false;
    }
    const std::uint64_t first = free_.back();
    free_.pop_back();
    std::uint8_t* const front = frames_.data() + first;
    std::uint64_t total = copy_and_sum(front + envelope.size(), header);
    std::size_t before = header.size();  // bytes summed
    std::span<const std::uint8_t> rest{reinterpret_cast<const std::uint8_t*>(payload.data()),
                                       payload.size()};
    std::size_t here = std::min(rest.size(), kFrameSize - head);
    total = join(total, before, copy_and_sum(front + head, rest.first(here)));
    before += here;
    rest = rest.subspan(here);
    push(first, static_cast<std::uint32_t>(head + here), !rest.empty());
    while (!rest.empty()) {
        const std::uint64_t frame = free_.back();
        free_.pop_back();
        here = std::min<std::size_t>(rest.size(), kFrameSize);
        total = join(total, before, copy_and_sum(frames_.data() + frame, rest.first(here)));
        before += here;
        rest = rest.subspan(here);
        push(frame, static_cast<std::uint32_t>(here), !rest.empty());
    }
    envelope.write(front, before, total);
    return true;
}

bool Queue::kick() noexcept {
    if (written_ == tx_.consumed_there()) {
        return true;
    }
    tx_.publish(written_);
    while (!down_ && tx_.needs_wakeup()) {
        const std::uint32_t before = tx_.consumed_there();
        const ssize_t sent = sendto(fd(), nullptr, 0, MSG_DONTWAIT, nullptr, 0);
        const int error = sent < 0 ? errno : 0;
        down_ = error == ENETDOWN || error == ENXIO || error == ENODEV || error == EBADF;
        if (settings_.zero_copy || tx_.consumed_there() == written_) {
            break;
        }
        if (tx_.consumed_there() == before) {
            reap();  // the kernel has no room: it says so before it has looked at the ring
            return false;
        }
    }
    if (down_) {
        return true;  // what lies there leaves should the device come back
    }
    reap();
    return true;
}

// The kernel unbinds the socket of a device that goes, and says so by an error on it.
bool Queue::gone() noexcept {
    pollfd asked{fd(), POLLIN, 0};
    gone_ = gone_ || (poll(&asked, 1, 0) > 0 && (asked.revents & (POLLERR | POLLHUP)) != 0);
    down_ = down_ || gone_;
    return gone_;
}

// Frames that the kernel is done with are free again.
void Queue::reap() noexcept {
    const std::uint32_t end = completion_.produced_there();
    std::uint32_t at = completion_.consumed();
    for (; at != end; ++at) {
        free_.push_back(completion_[at]);
    }
    completion_.release(at);
}

// ---------------------------------------------------------------- receiving

// Where a piece lies; its frame goes back to the kernel at the next give_back().
std::uint8_t* Queue::take(const xdp_desc& piece) noexcept {
    fill_[filled_++] = piece.addr / kFrameSize * kFrameSize;
    return frames_.data() + piece.addr;
}

bool Queue::next(std::span<const std::uint8_t>& frame, std::int64_t& stamp) noexcept {
    std::uint32_t end = rx_.produced_there();
    if (read_ == end) {
        return false;
    }
    std::uint32_t last = read_;  // of the packet; a packet is published as a whole
    while ((rx_[last].options & kContinued) != 0 && last + 1 != end) {
        ++last;
    }
    std::uint8_t* const front = take(rx_[read_]);
    std::memcpy(&stamp, front - kStampSize, kStampSize);
    std::memset(front - kStampSize, 0, kStampSize);  // should the next packet come without
    if (last == read_) {
        frame = {front, rx_[read_].len};
        ++read_;
        return true;
    }
    std::size_t size = std::min<std::size_t>(rx_[read_].len, assembled_.size());
    std::memcpy(assembled_.data(), front, size);
    for (std::uint32_t at = read_ + 1; at != last + 1; ++at) {
        const std::uint8_t* const piece = take(rx_[at]);
        const std::size_t more = std::min<std::size_t>(rx_[at].len, assembled_.size() - size);
        std::memcpy(assembled_.data() + size, piece, more);
        size += more;
    }
    read_ = last + 1;
    frame = {assembled_.data(), size};
    return true;
}

void Queue::give_back() noexcept {
    rx_.release(read_);
    fill_.publish(filled_);
    if (fill_.needs_wakeup()) {
        recvfrom(fd(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
    }
}

QueueDrops Queue::drops() const noexcept {
    xdp_statistics counts{};
    socklen_t size = sizeof counts;
    getsockopt(fd(), SOL_XDP, XDP_STATISTICS, &counts, &size);
    return {counts.rx_dropped, counts.rx_ring_full, counts.rx_fill_ring_empty_descs,
            counts.tx_invalid_descs};
}

}  // namespace weft::datapath::xdp
