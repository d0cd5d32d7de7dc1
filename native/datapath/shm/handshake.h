// The handshake of an edge, over a non-blocking SOCK_SEQPACKET socket: proves in both directions
// that the other end knows the group's key, and passes the descriptors of the shared memory.
//
//   caller                                     callee
//   Hello  {ids, nonce}              ---->
//                                    <----     Challenge {nonce, proof over both nonces}
//   Proof  {proof} + segment,        ---->
//          doorbell, edge memory
//                                    <----     Accept + segment, doorbell
//
// Either side sends Reject instead when it does not like what it heard. The proofs are keyed
// SipHashes that cover both nonces, both ids and the role, so that neither replay nor reflection
// helps (what SipHash does not give: wire/siphash.h). Descriptors go only to a peer that has proved
// itself. Each side then reads the other's nonce out of its memory: only if that works is
// cross-memory attach used on this edge.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "datapath/channel.h"
#include "datapath/shm/fd.h"
#include "datapath/shm/memory.h"
#include "datapath/shm/ring.h"
#include "datapath/shm/segment.h"

namespace weft::datapath::shm {

using Nonce = std::array<std::uint8_t, 16>;

// Our own side, as far as handshakes need it. Lives as long as any edge.
struct Local {
    Identity identity;
    bool cross_memory_attach = true;
    int segment_fd = -1;
    int doorbell_fd = -1;
    Nonce probe{};  // peers read it out of our memory
};

// What a handshake yields.
struct Session {
    PeerId peer = 0;
    UniqueFd socket;
    UniqueFd doorbell;  // the peer's
    std::unique_ptr<PeerSegment> segment;
    std::unique_ptr<Mapping> memory;  // of EdgeMemory
    int outgoing = 0;                 // which flow is ours to write
    pid_t pid = 0;                    // 0: no cross-memory attach
};

class Handshake {
  public:
    enum class State { kWaiting, kProved, kOpen, kFailed };

    // Calls the peer. Failure shows in state().
    static Handshake call(const Local& local, PeerId peer, const std::string& socket_name,
                          Time deadline);
    // Answers whoever connected.
    static Handshake answer(const Local& local, UniqueFd socket, Time deadline);

    State state() const noexcept { return state_; }
    const ErrorPtr& error() const noexcept { return error_; }
    PeerId peer() const noexcept { return session_.peer; }
    Time deadline() const noexcept { return deadline_; }
    int fd() const noexcept { return session_.socket.get(); }
    // Caller: the peer's listening socket had no room yet.
    bool waits_for_backlog() const noexcept { return caller_ && !dialled_; }

    // Reads and answers what has come.
    void advance();
    // Ends it when the deadline has passed.
    void expire(Time now);

    // Callee, when kProved: lets the peer in (then kOpen) or not (then kFailed).
    void admit();
    void refuse(weft_status status);

    // Drops it without a word.
    void abandon() noexcept {
        session_.socket.reset();
        edge_fd_.reset();
    }

    // When kOpen.
    Session take() { return std::move(session_); }

  private:
    struct Packet;
    Handshake(const Local& local, bool caller, Time deadline);

    bool dial(const std::string& socket_name);
    void fail(weft_status status, const std::string& why, bool tell_peer);
    void send(const Packet& packet, const int* fds, std::size_t fd_count);
    bool receive(Packet& packet);
    void handle(const Packet& packet);
    void send_proof();
    void take_descriptors();
    void probe(const Packet& packet);
    std::uint64_t proof(bool of_caller) const;

    const Local* local_;
    bool caller_;
    Time deadline_;
    State state_ = State::kWaiting;
    ErrorPtr error_;
    Session session_;
    std::string socket_name_;  // caller: until the listener has room for us
    bool dialled_ = false;
    int step_ = 0;  // packets taken so far
    Nonce nonce_{};
    Nonce peer_nonce_{};
    std::array<UniqueFd, 3> received_;
    UniqueFd edge_fd_;
};

// Fills from the kernel's random source. Throws Error SYSTEM.
void random_bytes(std::uint8_t* to, std::size_t size);

}  // namespace weft::datapath::shm
