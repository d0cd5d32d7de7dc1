// The one interface between what is to be moved and how it moves.
//
// A Channel is an open edge to one peer; a Datapath (shm, udp, verbs, ...) makes channels and
// drives them. The layers above see nothing of rings, sockets or queue pairs: they hand over
// Transfers, one message each, and are told when each is done.
//
// Invariants
//  - Everything here runs under the engine's driver lock: implementations need no locks of their
//  own towards their callers.
//  - A Transfer belongs to its caller, does not move in memory while pending, and ends exactly once
//  (transfer_done), possibly
//    inside send()/recv() itself. From then on the channel holds no pointer to it or to its data.
//  - Matching: a receive takes the oldest unmatched message with an equal tag. Messages with
//  different tags overtake each other freely.
//  - No call blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datapath/error.h"
#include "transport/config.h"
#include "transport/types.h"

namespace weft::datapath {

using Time = std::int64_t;     // nanoseconds on CLOCK_MONOTONIC
using PeerId = std::uint64_t;  // random, never 0, stable for the life of a process

constexpr Time kNever = INT64_MAX;

// "00000000deadbeef", as people meet peers in messages and statistics.
inline std::string hex(PeerId id) {
    std::string text(16, '0');
    for (std::size_t i = 0; i < 16; ++i) {
        text[15 - i] = "0123456789abcdef"[id >> (4 * i) & 15];
    }
    return text;
}

// `group` is the epoch fence: an unguessable number drawn for each group and never reused, so that
// nothing of an earlier group's life can match in a later one. `message` is unique among the live
// messages of that group on this edge.
struct Tag {
    std::uint64_t group = 0;
    std::uint64_t message = 0;
    bool operator==(const Tag&) const = default;
};

// acc = acc op incoming, over `bytes` bytes that are whole elements. A channel calls it on
// consecutive pieces of a message (each but the last a multiple of 64 bytes long) so that incoming
// data is combined while it is still in cache.
class Reducer {
  public:
    virtual void combine(std::byte* acc, const std::byte* incoming,
                         std::size_t bytes) const noexcept = 0;

  protected:
    ~Reducer() = default;
};

struct Transfer;

class TransferObserver {
  public:
    // The transfer ended: state is kDone, or kFailed with `error` set. It may be reused at once.
    virtual void transfer_done(Transfer& transfer) noexcept = 0;

  protected:
    ~TransferObserver() = default;
};

struct Transfer {
    enum class State : std::uint8_t { kIdle, kPending, kDone, kFailed };

    Tag tag;
    std::uint64_t signature =
        0;  // what the caller believes this message to be; both ends must agree (else kMismatch)
    std::byte* data = nullptr;         // source (never written) or destination
    std::size_t size = 0;              // bytes; both ends must agree
    const Reducer* reducer = nullptr;  // receives only: combine instead of overwrite
    TransferObserver* observer = nullptr;
    std::int32_t priority = 0;
    // Sends only: how many bytes take which of the channel's paths(); empty: as the channel sees
    // fit. Must stay valid while pending.
    std::span<const transport::PathShare> shares = {};

    State state = State::kIdle;
    ErrorPtr error;                    // set when kFailed
    std::uint64_t peer_signature = 0;  // on kMismatch: what the peer said
    std::uint64_t peer_size = 0;

    // For the channel's own bookkeeping while pending.
    Transfer* next = nullptr;
    Transfer* previous = nullptr;
    std::uint64_t cookie[2] = {0, 0};
};

class Channel;

// Whoever owns the channels (the engine's mesh).
class ChannelOwner {
  public:
    // The peer proved itself; transfers may flow (those handed over earlier were queued).
    virtual void channel_open(Channel& channel) = 0;
    // A message came for which no receive is posted. The owner may post one from inside this call
    // (any-source receives, one-sided writes, control messages do so); otherwise the channel keeps
    // or holds back the message until a receive comes. Called once a message.
    virtual void message_unmatched(Channel& channel, const Tag& tag, std::uint64_t signature,
                                   std::size_t size) = 0;
    // The edge is lost for good; all its pending transfers have already failed with this error.
    virtual void channel_failed(Channel& channel, const ErrorPtr& error) = 0;

  protected:
    ~ChannelOwner() = default;
};

class Channel {
  public:
    enum class State : std::uint8_t { kConnecting, kOpen, kClosed, kFailed };

    virtual ~Channel() = default;

    virtual PeerId peer() const noexcept = 0;
    virtual State state() const noexcept = 0;
    virtual std::string_view datapath() const noexcept = 0;  // "shm", "udp", ...
    virtual const ErrorPtr& error() const noexcept = 0;      // why, when kFailed

    // How many paths Transfer::shares may name.
    virtual std::uint16_t paths() const noexcept { return 1; }

    // Exchanges policies of the transport, all or none. Throws Error: INVALID (no such policy or
    // parameter), STATE (the edge is not open), UNSUPPORTED (this datapath has no policies).
    virtual void set_policies(const transport::PolicyChange&) { throw no_policies(); }
    // Takes a path out of use, or back into it. Throws the same, INVALID for a path that is not
    // there or that is the last good one.
    virtual void deny_path(std::uint16_t /*path*/, bool /*denied*/) { throw no_policies(); }

    // On a failed or closed channel the transfer fails at once (through its observer).
    virtual void send(Transfer& transfer) = 0;
    virtual void recv(Transfer& transfer) = 0;

    // Takes a pending transfer back without calling its observer; afterwards neither it nor its
    // data is touched (bytes already on their way at a peer are dropped there, or arrive there
    // unmatched). No-op when it is not pending.
    virtual void cancel(Transfer& transfer) = 0;

    // Nothing of this group will be received any more: drop what is unmatched, and refuse what
    // still comes.
    virtual void forget_group(std::uint64_t group) = 0;

    // An operation waits for this peer (count up and down): silence is now suspicious, so probe it
    // and fail within the peer time-out.
    virtual void watch(bool on) = 0;

    // Orderly end: queued sends are still delivered, the peer learns that we leave.
    virtual void close() = 0;

    // One JSON object with whatever the datapath knows (paths, windows, retransmissions, drops,
    // bytes, messages).
    virtual std::string stats_json() const = 0;

  private:
    Error no_policies() const {
        return Error(WEFT_ERR_UNSUPPORTED, std::string(datapath()) +
                                               ": edges of this datapath have no paths to choose "
                                               "from and no policies to exchange");
    }
};

// What every datapath needs to know of the process.
struct Identity {
    PeerId id = 0;
    std::uint8_t key[16] =
        {};  // from the group's secret; both ends of an edge prove that they know it
    Time peer_timeout = 1'500'000'000;
};

// Peers that connect to us are announced here.
class Acceptor {
  public:
    // Says who shall own a channel that this peer opened; nullptr refuses it.
    virtual ChannelOwner* owner_for(PeerId peer) = 0;
    virtual void accepted(std::unique_ptr<Channel> channel) = 0;

  protected:
    ~Acceptor() = default;
};

class Datapath {
  public:
    virtual ~Datapath() = default;

    virtual std::string_view name() const noexcept = 0;
    // Under which name peers list the addresses that this datapath reaches: datapaths of one
    // protocol understand each other (xdp speaks udp).
    virtual std::string_view protocol() const noexcept { return name(); }

    // What others need to reach this process this way (opaque bytes; goes into the process's
    // address).
    virtual std::string address() const = 0;

    // Could the peer with this address be reached this way? (shm: same boot id and namespaces.)
    // Must give the same answer at both ends.
    virtual bool reaches(std::string_view peer_address) const = 0;

    // Begins to open an edge. It is kConnecting until the owner hears channel_open or
    // channel_failed (at the latest at `deadline`).
    virtual std::unique_ptr<Channel> connect(PeerId peer, std::string_view peer_address,
                                             ChannelOwner& owner, Time deadline) = 0;

    // Moves what can be moved now; true if anything moved. `now` is a recent reading of the clock.
    virtual bool progress(Time now) = 0;

    // When progress() must be called at the latest although nothing arrives (retransmission timers,
    // heartbeats), or kNever.
    virtual Time next_wakeup() const noexcept = 0;

    // Before the driver sleeps: ask for a wake-up through one of wait_fds() (level-triggered,
    // readable). False: there is work, do not sleep.
    virtual bool arm() = 0;
    virtual void disarm() = 0;
    virtual std::vector<int> wait_fds() const = 0;

    // Exchanges policies of all edges, living and to come; false where there are none to exchange.
    // Throws Error INVALID, and changes nothing, for what does not exist.
    virtual bool set_policies(const transport::PolicyChange&) { return false; }

    // Counters of the whole datapath as one JSON object (sockets, handshakes, drops by reason,
    // ...).
    virtual std::string stats_json() const = 0;

    // After fork() in the child: forget everything without telling anybody (the parent goes on
    // using it).
    virtual void abandon() noexcept = 0;
};

}  // namespace weft::datapath
