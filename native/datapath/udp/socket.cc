#include "datapath/udp/socket.h"

#include <fcntl.h>
#include <netinet/udp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <string>
#include <utility>

#include "datapath/error.h"

namespace weft::datapath::udp {
namespace {

constexpr int kEctZero = 2;  // RFC 3168: ECN-capable transport, codepoint ECT(0)
constexpr int kCongestionExperienced = 3;
// Time stamps older than that tell of a clock that was set, not of a wait.
constexpr std::int64_t kLongestWait = 1'000'000'000;

[[noreturn]] void fail(const Endpoint& local, const char* call) {
    const int error = errno;
    if (error == EADDRINUSE) {
        throw Error(WEFT_ERR_RESOURCES, "udp: port " + std::to_string(local.port()) +
                                            " is already in use at " + local.to_string() +
                                            "; choose another with the transport option port=");
    }
    const bool scarce = error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
    throw Error(scarce ? WEFT_ERR_RESOURCES : WEFT_ERR_SYSTEM,
                std::string("udp: ") + call + " for " + local.to_string() +
                    " failed: " + std::strerror(error) +
                    (error == EMFILE ? "; raise the limit on open files (ulimit -n)" : ""));
}

bool set(int fd, int level, int option, int value) {
    return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

int get(int fd, int level, int option) {
    int value = 0;
    socklen_t size = sizeof value;
    return getsockopt(fd, level, option, &value, &size) == 0 ? value : 0;
}

std::int64_t nanoseconds(const timespec& time) {
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

std::int64_t read_clock(clockid_t clock) {
    timespec time;
    clock_gettime(clock, &time);
    return nanoseconds(time);
}

// The kernel doubles the value for its own bookkeeping and reports the double.
std::uint32_t grant_buffer(int fd, int option, int forced_option, std::uint32_t bytes) {
    const int wish = static_cast<int>(bytes);
    if (!set(fd, SOL_SOCKET, forced_option,
             wish)) {  // beyond the system's limit only for CAP_NET_ADMIN
        set(fd, SOL_SOCKET, option, wish);
    }
    return static_cast<std::uint32_t>(get(fd, SOL_SOCKET, option) / 2);
}

}  // namespace

Socket::Socket(const Endpoint& local, const SocketSettings& settings) : local_(local) {
    const int family = local.family();
    fd_ = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0) {
        fail(local, "socket");
    }
    const bool v6 = family == AF_INET6;
    if (v6) {
        set(fd_, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    }
    if (bind(fd_, local.data(), local.size()) != 0) {
        const int error = errno;
        close(fd_);
        fd_ = -1;
        errno = error;
        fail(local, "bind");
    }
    socklen_t size = Endpoint::kMaxSize;
    getsockname(fd_, local_.data(), &size);
    // No fragments: a datagram that is too large is an error here or a loss that the path checks
    // find, never a slow success.
    if (v6) {
        set(fd_, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
        set(fd_, IPPROTO_IPV6, IPV6_TCLASS, kEctZero);
        set(fd_, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    } else {
        set(fd_, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
        set(fd_, IPPROTO_IP, IP_TOS, kEctZero);
        set(fd_, IPPROTO_IP, IP_RECVTOS, 1);
    }
    set(fd_, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    send_buffer_ = grant_buffer(fd_, SO_SNDBUF, SO_SNDBUFFORCE, settings.buffer);
    receive_buffer_ = grant_buffer(fd_, SO_RCVBUF, SO_RCVBUFFORCE, settings.buffer);
    gso_ = settings.gso &&
           set(fd_, SOL_UDP, UDP_SEGMENT, 0);  // 0: off by default, but the option is known
    gro_ = settings.gro && set(fd_, SOL_UDP, UDP_GRO, 1);
}

Socket::Socket(Socket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      local_(other.local_),
      gso_(other.gso_),
      gro_(other.gro_),
      blocked_(other.blocked_),
      send_buffer_(other.send_buffer_),
      receive_buffer_(other.receive_buffer_) {}

Socket::~Socket() {
    if (fd_ >= 0) {
        close(fd_);
    }
}

// ---------------------------------------------------------------- sending

SendBatch::SendBatch(SocketCounters& counters)
    : counters_(counters), arena_(kMaxPieces / 2 * 128 + kHeaderRoom) {}

std::span<std::uint8_t> SendBatch::header() noexcept {
    if (train_count_ == kMaxTrains || piece_count_ + 2 > kMaxPieces ||
        arena_used_ + kHeaderRoom > arena_.size()) {
        return {};
    }
    return {arena_.data() + arena_used_, kHeaderRoom};
}

void SendBatch::add(Socket& socket, const Endpoint& to, std::size_t header_size,
                    std::span<const std::byte> payload) noexcept {
    const auto size = static_cast<std::uint32_t>(header_size + payload.size());
    Train* train = train_count_ > 0 ? &trains_[train_count_ - 1] : nullptr;
    const bool joins = train != nullptr && socket.gso_ && train->socket == &socket &&
                       !train->closed && size <= train->segment &&
                       train->bytes + size <= kMaxTrainBytes &&
                       train->datagrams < kMaxTrainDatagrams && train->to == to;
    if (!joins) {
        train = &trains_[train_count_++];
        *train = {&socket, to, static_cast<std::uint32_t>(piece_count_), 0, size, 0, 0, false};
    }
    pieces_[piece_count_++] = {arena_.data() + arena_used_, header_size};
    train->piece_count += 1;
    if (!payload.empty()) {
        pieces_[piece_count_++] = {const_cast<std::byte*>(payload.data()), payload.size()};
        train->piece_count += 1;
    }
    arena_used_ += header_size;
    train->datagrams += 1;
    train->bytes += size;
    train->closed = size < train->segment;
}

// Sends trains [first, first + count), all of one socket; returns how many the kernel took.
std::size_t SendBatch::send_run(std::size_t first, std::size_t count) noexcept {
    struct alignas(cmsghdr) Control {
        std::uint8_t bytes[CMSG_SPACE(sizeof(std::uint16_t))];
    };
    std::array<mmsghdr, kMaxTrains> messages;
    std::array<Control, kMaxTrains> control;
    for (std::size_t i = 0; i < count; ++i) {
        Train& train = trains_[first + i];
        msghdr& message = messages[i].msg_hdr;
        message = {};
        message.msg_name = train.to.data();
        message.msg_namelen = train.to.size();
        message.msg_iov = &pieces_[train.first_piece];
        message.msg_iovlen = train.piece_count;
        if (train.datagrams > 1) {
            message.msg_control = control[i].bytes;
            message.msg_controllen = sizeof control[i].bytes;
            cmsghdr* header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_UDP;
            header->cmsg_type = UDP_SEGMENT;
            header->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
            const auto segment = static_cast<std::uint16_t>(train.segment);
            std::memcpy(CMSG_DATA(header), &segment, sizeof segment);
        }
    }
    counters_.send_calls += 1;
    const int sent =
        count == 1
            ? (sendmsg(trains_[first].socket->fd_, &messages[0].msg_hdr, MSG_NOSIGNAL) >= 0 ? 1
                                                                                            : -1)
            : sendmmsg(trains_[first].socket->fd_, messages.data(), static_cast<unsigned>(count),
                       MSG_NOSIGNAL);
    if (sent < 0) {
        return 0;
    }
    for (std::size_t i = first; i < first + static_cast<std::size_t>(sent); ++i) {
        counters_.trains_sent += 1;
        counters_.datagrams_sent += trains_[i].datagrams;
        counters_.bytes_sent += trains_[i].bytes;
    }
    return static_cast<std::size_t>(sent);
}

SendBatch::Verdict SendBatch::judge(int error, const Train& train) noexcept {
    switch (error) {
        case EAGAIN:
            train.socket->blocked_ = true;
            counters_.blocked += 1;
            return Verdict::kWait;
        case ENOBUFS:
        case ENOMEM:
        case EINTR:
            counters_.blocked += 1;
            return Verdict::kWait;
        case EIO:
        case EINVAL:
            if (train.datagrams > 1) {  // no checksum offload, or a route that cannot take trains
                counters_.gso_refused += train.socket->gso_ ? 1 : 0;
                train.socket->gso_ = false;
                return Verdict::kSplit;
            }
            counters_.failed += 1;
            return Verdict::kDrop;
        case EMSGSIZE:
            counters_.too_large += train.datagrams;
            return Verdict::kDrop;
        case EPERM:
        case EACCES:
            counters_.forbidden += train.datagrams;
            return Verdict::kDrop;
        case ECONNREFUSED:
        case EHOSTUNREACH:
        case EHOSTDOWN:
        case ENETUNREACH:
        case ENETDOWN:
        case ENODEV:
        case EADDRNOTAVAIL:
            counters_.unreachable += train.datagrams;
            return Verdict::kDrop;
        default:
            counters_.failed += train.datagrams;
            return Verdict::kDrop;
    }
}

void SendBatch::send_one_by_one(Train& train) noexcept {
    std::uint32_t piece = train.first_piece;
    const std::uint32_t end = piece + train.piece_count;
    while (piece < end) {
        // A datagram is a header and, unless it is empty, a payload: together one segment, or the
        // shorter rest.
        const std::size_t first = pieces_[piece].iov_len;
        const bool has_payload = first < train.segment && piece + 1 < end;
        msghdr message{};
        message.msg_name = train.to.data();
        message.msg_namelen = train.to.size();
        message.msg_iov = &pieces_[piece];
        message.msg_iovlen = has_payload ? 2 : 1;
        counters_.send_calls += 1;
        if (const ssize_t sent = sendmsg(train.socket->fd_, &message, MSG_NOSIGNAL); sent >= 0) {
            counters_.trains_sent += 1;
            counters_.datagrams_sent += 1;
            counters_.bytes_sent += static_cast<std::uint64_t>(sent);
        } else {
            counters_.failed += 1;
        }
        piece += has_payload ? 2 : 1;
    }
}

bool SendBatch::flush() noexcept {
    std::array<std::size_t, kMaxTrains> waiting;
    std::size_t waiting_count = 0;
    for (std::size_t i = 0; i < train_count_; ++i) {
        trains_[i].socket->blocked_ = false;
    }
    for (std::size_t at = 0; at < train_count_;) {
        Socket* const socket = trains_[at].socket;
        if (socket->blocked_) {
            waiting[waiting_count++] = at++;
            continue;
        }
        std::size_t count = 1;
        while (at + count < train_count_ && trains_[at + count].socket == socket) {
            ++count;
        }
        const std::size_t sent = send_run(at, count);
        at += sent;
        if (sent < count &&
            sent == 0) {  // otherwise the next call shows the error of the train that failed
            switch (judge(errno, trains_[at])) {
                case Verdict::kWait:
                    waiting[waiting_count++] = at;
                    break;
                case Verdict::kSplit:
                    send_one_by_one(trains_[at]);
                    break;
                case Verdict::kDrop:
                    break;
            }
            ++at;
        }
    }
    keep({waiting.data(), waiting_count});
    return !waits_;
}

// Moves the trains that wait to the front; their headers and pieces stay where they are until the
// batch is empty.
void SendBatch::keep(std::span<const std::size_t> waiting) noexcept {
    for (std::size_t i = 0; i < waiting.size(); ++i) {
        trains_[i] = trains_[waiting[i]];
        trains_[i].closed = true;
    }
    train_count_ = waiting.size();
    waits_ = train_count_ > 0;
    if (!waits_) {
        piece_count_ = 0;
        arena_used_ = 0;
    }
}

void SendBatch::forget(const std::byte* data, std::size_t size) noexcept {
    const auto points_into = [&](const Train& train) {
        return std::any_of(&pieces_[train.first_piece],
                           &pieces_[train.first_piece] + train.piece_count,
                           [&](const iovec& piece) {
                               const auto* base = static_cast<const std::byte*>(piece.iov_base);
                               return base >= data && base < data + size;
                           });
    };
    std::array<std::size_t, kMaxTrains> waiting;
    std::size_t waiting_count = 0;
    for (std::size_t i = 0; i < train_count_; ++i) {
        if (points_into(trains_[i])) {
            counters_.failed += trains_[i].datagrams;
        } else {
            waiting[waiting_count++] = i;
        }
    }
    keep({waiting.data(), waiting_count});
}

// ---------------------------------------------------------------- receiving

ReceiveBatch::ReceiveBatch(SocketCounters& counters)
    : counters_(counters),
      buffers_(std::make_unique_for_overwrite<std::uint8_t[]>(kTrains * kTrainSize)) {}

std::size_t ReceiveBatch::receive(const Socket& socket) noexcept {
    for (std::size_t i = 0; i < kTrains; ++i) {
        pieces_[i] = {buffer(i), kTrainSize};
        msghdr& message = messages_[i].msg_hdr;
        message.msg_name = from_[i].data();
        message.msg_namelen = Endpoint::kMaxSize;
        message.msg_iov = &pieces_[i];
        message.msg_iovlen = 1;
        message.msg_control = control_[i].data();
        message.msg_controllen = kControlSize;
        message.msg_flags = 0;
    }
    counters_.receive_calls += 1;
    const int got = recvmmsg(socket.fd(), messages_.data(), kTrains, MSG_DONTWAIT, nullptr);
    count_ = got > 0 ? static_cast<std::size_t>(got) : 0;
    if (count_ > 0) {
        // In this order: should we be interrupted in between, arrivals look later than they were,
        // never earlier, which might be before what they answer was sent.
        const std::int64_t real = read_clock(CLOCK_REALTIME);
        now_ = read_clock(CLOCK_MONOTONIC);
        clock_shift_ = now_ - real;
    }
    counters_.empty_receives += count_ == 0;
    return count_;
}

ReceiveBatch::Shape ReceiveBatch::shape_of(std::size_t train) noexcept {
    msghdr& message = messages_[train].msg_hdr;
    Shape shape{messages_[train].msg_len, messages_[train].msg_len, false, now_};
    if ((message.msg_flags & MSG_TRUNC) != 0) {
        counters_.truncated += 1;
        return {0, 1, false, now_};
    }
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level == SOL_UDP && header->cmsg_type == UDP_GRO) {
            int segment = 0;
            std::memcpy(&segment, CMSG_DATA(header), sizeof segment);
            shape.segment = segment > 0 ? static_cast<std::size_t>(segment) : shape.size;
        } else if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_TIMESTAMPNS) {
            timespec stamp;
            std::memcpy(&stamp, CMSG_DATA(header), sizeof stamp);
            shape.at = std::clamp(nanoseconds(stamp) + clock_shift_, now_ - kLongestWait, now_);
        } else if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_TOS) {
            shape.marked = (*CMSG_DATA(header) & 3) == kCongestionExperienced;
        } else if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_TCLASS) {
            int traffic_class = 0;
            std::memcpy(&traffic_class, CMSG_DATA(header), sizeof traffic_class);
            shape.marked = (traffic_class & 3) == kCongestionExperienced;
        }
    }
    counters_.trains_received += 1;
    counters_.datagrams_received +=
        shape.segment == 0 ? 0 : (shape.size + shape.segment - 1) / shape.segment;
    counters_.bytes_received += shape.size;
    return shape;
}

}  // namespace weft::datapath::udp
