#include "datapath/shm/handshake.h"

#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "datapath/shm/pull.h"
#include "wire/siphash.h"

namespace weft::datapath::shm {
namespace {

constexpr std::uint32_t kMagic = 0x314d5357;  // "WSM1": Weft's shared-memory handshake, version 1

enum class Step : std::uint32_t { kHello = 1, kChallenge, kProof, kAccept, kReject };

}  // namespace

struct Handshake::Packet {
    std::uint32_t magic = kMagic;
    Step step{};
    PeerId from = 0;
    PeerId to = 0;
    Nonce nonce{};                    // kHello, kChallenge
    std::uint64_t proof = 0;          // kChallenge, kProof
    std::uint64_t probe_address = 0;  // kProof, kAccept: where `probe` can be read
    Nonce probe{};
    std::int32_t status = 0;                        // kReject
    std::uint32_t edge_bytes = sizeof(EdgeMemory);  // both must have the same build of the ring
};

void random_bytes(std::uint8_t* to, std::size_t size) {
    std::size_t done = 0;
    while (done < size) {
        const ssize_t got = getrandom(to + done, size - done, 0);
        if (got < 0 && errno != EINTR) {
            throw Error(WEFT_ERR_SYSTEM, std::string("getrandom: ") + std::strerror(errno));
        }
        done += got > 0 ? static_cast<std::size_t>(got) : 0;
    }
}

Handshake::Handshake(const Local& local, bool caller, Time deadline)
    : local_(&local), caller_(caller), deadline_(deadline) {
    random_bytes(nonce_.data(), nonce_.size());
}

Handshake Handshake::call(const Local& local, PeerId peer, const std::string& socket_name,
                          Time deadline) {
    Handshake handshake(local, true, deadline);
    handshake.session_.peer = peer;
    handshake.socket_name_ = socket_name;
    handshake.session_.socket =
        UniqueFd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!handshake.session_.socket) {
        handshake.fail(WEFT_ERR_RESOURCES,
                       std::string("cannot create a socket: ") + std::strerror(errno) +
                           "; raise the limit on open files (ulimit -n)",
                       false);
    } else {
        handshake.dial(socket_name);
    }
    return handshake;
}

Handshake Handshake::answer(const Local& local, UniqueFd socket, Time deadline) {
    Handshake handshake(local, false, deadline);
    handshake.session_.socket = std::move(socket);
    return handshake;
}

bool Handshake::dial(const std::string& socket_name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;  // sun_path[0] == 0: the abstract namespace
    std::memcpy(address.sun_path + 1, socket_name.data(), socket_name.size());
    const auto length =
        static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + socket_name.size());
    if (connect(fd(), reinterpret_cast<const sockaddr*>(&address), length) != 0) {
        if (errno != EAGAIN && errno != EINTR) {  // EAGAIN: its backlog is full, try again later
            fail(WEFT_ERR_UNREACHABLE,
                 std::string("nobody listens at the peer's shared-memory address (") +
                     std::strerror(errno) +
                     "): its process has ended, or the address is an old one",
                 false);
        }
        return false;
    }
    dialled_ = true;
    Packet hello{
        .step = Step::kHello, .from = local_->identity.id, .to = session_.peer, .nonce = nonce_};
    send(hello, nullptr, 0);
    return true;
}

void Handshake::fail(weft_status status, const std::string& why, bool tell_peer) {
    if (state_ == State::kFailed) {
        return;
    }
    if (tell_peer && session_.socket) {
        send(Packet{.step = Step::kReject,
                    .from = local_->identity.id,
                    .to = session_.peer,
                    .status = status},
             nullptr, 0);
    }
    state_ = State::kFailed;
    const std::string who = session_.peer != 0 ? "peer " + hex(session_.peer) : "a caller";
    error_ = make_error(status, "shared-memory handshake with " + who + ": " + why, session_.peer);
}

void Handshake::expire(Time now) {
    if (now >= deadline_ && (state_ == State::kWaiting || state_ == State::kProved)) {
        fail(WEFT_ERR_UNREACHABLE,
             dialled_ || !caller_ ? "no answer before the deadline: the peer is stopped or "
                                    "overloaded, or does not progress"
                                  : "its listening socket had no room before the deadline",
             false);
    }
}

void Handshake::send(const Packet& packet, const int* fds, std::size_t fd_count) {
    iovec data{const_cast<Packet*>(&packet), sizeof packet};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 3)] = {};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    if (fd_count > 0) {
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        std::memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
    }
    // Four small packets always fit into a fresh socket's buffer, so an error is an error.
    if (sendmsg(fd(), &message, MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof packet) &&
        packet.step != Step::kReject) {
        fail(errno == EPIPE || errno == ECONNRESET ? WEFT_ERR_UNREACHABLE : WEFT_ERR_SYSTEM,
             std::string("sendmsg: ") + std::strerror(errno), false);
    }
}

// False: nothing (more) to be handled now.
bool Handshake::receive(Packet& packet) {
    char bytes[sizeof(Packet) + 1];
    iovec data{bytes, sizeof bytes};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 3)];
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t got = recvmsg(fd(), &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (got <= 0) {
        fail(WEFT_ERR_UNREACHABLE, "the connection broke off: the other process ended or gave up",
             false);
        return false;
    }
    // Descriptors first: whatever else is wrong, they must be closed again.
    std::size_t count = 0;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
            const std::size_t fds = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (std::size_t i = 0; i < fds; ++i) {
                int fd;
                std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
                UniqueFd owned(fd);
                if (count < received_.size()) {
                    received_[count++] = std::move(owned);
                }
            }
        }
    }
    if (static_cast<std::size_t>(got) == sizeof packet) {
        std::memcpy(&packet, bytes, sizeof packet);
    }
    if (static_cast<std::size_t>(got) != sizeof packet || packet.magic != kMagic ||
        packet.edge_bytes != sizeof(EdgeMemory)) {
        fail(WEFT_ERR_UNREACHABLE,
             "it speaks another version of the handshake; all processes must use the same Weft",
             true);
        return false;
    }
    return true;
}

void Handshake::advance() {
    if (caller_ && !dialled_ && state_ == State::kWaiting && !dial(socket_name_)) {
        return;
    }
    Packet packet;
    while (state_ == State::kWaiting && receive(packet)) {
        handle(packet);
    }
}

std::uint64_t Handshake::proof(bool of_caller) const {
    struct {
        std::uint64_t role;
        PeerId caller, callee;
        Nonce caller_nonce, callee_nonce;
    } text{of_caller ? 1u : 2u, caller_ ? local_->identity.id : session_.peer,
           caller_ ? session_.peer : local_->identity.id, caller_ ? nonce_ : peer_nonce_,
           caller_ ? peer_nonce_ : nonce_};
    static_assert(sizeof text == 56, "no padding may get into the hash");
    std::array<std::uint8_t, 16> key;
    std::copy(std::begin(local_->identity.key), std::end(local_->identity.key), key.begin());
    return wire::siphash(key, {reinterpret_cast<const std::uint8_t*>(&text), sizeof text});
}

void Handshake::handle(const Packet& packet) {
    const char* const kBadProof =
        "it could not prove that it knows the group's secret; give all processes the same one "
        "(WEFT_SECRET)";
    const int step = step_++;
    if (packet.step == Step::kReject) {
        if (packet.status == WEFT_ERR_AUTH) {
            fail(WEFT_ERR_AUTH,
                 "the peer says that we do not know the group's secret; give all processes the "
                 "same one (WEFT_SECRET)",
                 false);
        } else {
            fail(WEFT_ERR_UNREACHABLE, "the peer refused the connection", false);
        }
    } else if (packet.to != local_->identity.id ||
               (session_.peer != 0 && packet.from != session_.peer)) {
        fail(WEFT_ERR_UNREACHABLE,
             "the call was meant for another process: the address is an old one", true);
    } else if (!caller_ && step == 0 && packet.step == Step::kHello && packet.from != 0) {
        session_.peer = packet.from;
        peer_nonce_ = packet.nonce;
        send(Packet{.step = Step::kChallenge,
                    .from = local_->identity.id,
                    .to = session_.peer,
                    .nonce = nonce_,
                    .proof = proof(false)},
             nullptr, 0);
    } else if (caller_ && step == 0 && packet.step == Step::kChallenge) {
        peer_nonce_ = packet.nonce;
        if (packet.proof != proof(false)) {
            fail(WEFT_ERR_AUTH, kBadProof, true);
        } else {
            send_proof();
        }
    } else if (!caller_ && step == 1 && packet.step == Step::kProof) {
        if (packet.proof != proof(true)) {
            fail(WEFT_ERR_AUTH, kBadProof, true);
            return;
        }
        probe(packet);
        take_descriptors();
    } else if (caller_ && step == 1 && packet.step == Step::kAccept) {
        probe(packet);
        take_descriptors();
    } else {
        fail(WEFT_ERR_UNREACHABLE, "it broke the protocol", true);
    }
}

void Handshake::send_proof() {
    try {
        edge_fd_ = create_memory("weft-edge", sizeof(EdgeMemory));
        reserve_memory(edge_fd_.get(), 0, sizeof(EdgeMemory), "the rings of an edge");
        seal_memory(edge_fd_.get(), false);
    } catch (const Error& error) {
        fail(error.info()->status, error.info()->message, true);
        return;
    }
    const int fds[] = {local_->segment_fd, local_->doorbell_fd, edge_fd_.get()};
    send(Packet{.step = Step::kProof,
                .from = local_->identity.id,
                .to = session_.peer,
                .proof = proof(true),
                .probe_address = reinterpret_cast<std::uintptr_t>(&local_->probe),
                .probe = local_->probe},
         fds, 3);
}

void Handshake::take_descriptors() {
    if (!received_[0] || !received_[1] || (!caller_ && !received_[2])) {
        fail(WEFT_ERR_RESOURCES,
             "descriptors got lost on the way; raise the limit on open files (ulimit -n)", true);
        return;
    }
    const int edge_fd = caller_ ? edge_fd_.get() : received_[2].get();
    try {
        session_.segment = std::make_unique<PeerSegment>(received_[0].get(), session_.peer);
        if (sealed_size(edge_fd) != sizeof(EdgeMemory)) {
            throw Error(WEFT_ERR_AUTH, "the peer's edge memory has a wrong size or can be shrunk");
        }
        session_.memory =
            std::make_unique<Mapping>(edge_fd, sizeof(EdgeMemory), Access::kReadWrite);
    } catch (const Error& error) {
        fail(error.info()->status, error.info()->message, true);
        return;
    }
    session_.doorbell = std::move(received_[1]);
    session_.outgoing = caller_ ? 0 : 1;
    edge_fd_.reset();
    received_ = {};
    state_ = caller_ ? State::kOpen : State::kProved;
}

void Handshake::probe(const Packet& packet) {
    ucred peer{};
    socklen_t length = sizeof peer;
    if (!local_->cross_memory_attach ||
        getsockopt(fd(), SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || peer.pid <= 0) {
        return;
    }
    Nonce seen{};
    const int error = read_peer(peer.pid, packet.probe_address,
                                reinterpret_cast<std::byte*>(seen.data()), seen.size());
    session_.pid = error == 0 && seen == packet.probe ? peer.pid : 0;
}

void Handshake::admit() {
    const int fds[] = {local_->segment_fd, local_->doorbell_fd};
    state_ = State::kOpen;
    send(Packet{.step = Step::kAccept,
                .from = local_->identity.id,
                .to = session_.peer,
                .probe_address = reinterpret_cast<std::uintptr_t>(&local_->probe),
                .probe = local_->probe},
         fds, 2);
}

void Handshake::refuse(weft_status status) {
    fail(status, "refused: this process does not want the edge (any more)", true);
}

}  // namespace weft::datapath::shm
