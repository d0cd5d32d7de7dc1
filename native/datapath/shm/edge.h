// An open edge to one peer: matching, rendezvous, streaming, and the ways in which all of that can
// end.
//
// How a message travels
//  - up to eager_limit: copied through the ring (kEager); the send is done at once.
//  - longer: the sender offers it (kOffer). The receiver, once matched, either has it streamed
//  (kPull, then kPieces through the ring: two
//    copies, but both at cache speed and on both cores) or, while the sender sleeps, reads it out
//    of the sender's memory in pieces and says kDone (one slower copy, which needs no help). If the
//    kernel refuses a read in the middle, the rest is streamed.
//  - what finds no receive waits here: eager payload on the heap, up to a bound beyond which the
//  sender is told to offer everything
//    (so the ring always drains, and no order of receives can deadlock); offers cost a header.
//
// Invariants
//  - A pending Transfer is in exactly one place, which its cookie[0] names (Place); cookie[1] is
//  its id there, if it has one.
//  - Callbacks may call anything. So nothing is held across a callback that a call could have
//  changed, and after it `state_` is looked at again.
//  - The ring is drained whatever else is stuck. All else that must be sent waits in controls_ or
//  sends_.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "datapath/channel.h"
#include "datapath/shm/handshake.h"
#include "datapath/shm/liveness.h"
#include "datapath/shm/match.h"
#include "datapath/shm/ring.h"
#include "datapath/shm/shm.h"
#include "datapath/shm/slot_table.h"

namespace weft::datapath::shm {

// Pulled pieces wait here to be combined: fits the second-level cache together with as much of the
// destination.
constexpr std::size_t kScratchBytes = 256u << 10;

// What a kept message costs us beyond its bytes, roughly.
constexpr std::size_t kKeptOverhead = sizeof(Unmatched) + 64;

// What all edges of a process share. Edges may outlive the datapath, as their channels may.
struct EdgeContext {
    EdgeContext(const ShmOptions& with, Time timeout) : options(with), peer_timeout(timeout) {}
    const ShmOptions options;
    const Time peer_timeout;
    bool abandoned = false;  // after a fork: touch nothing that is shared
    alignas(kCacheLine) std::byte scratch[kScratchBytes];
};

class Edge {
  public:
    Edge(std::shared_ptr<EdgeContext> context, PeerId peer, ChannelOwner& owner);
    Edge(const Edge&) = delete;
    Edge& operator=(const Edge&) = delete;
    ~Edge();

    // The channel through which the owner knows us; callbacks carry it. Null once it is gone.
    Channel* channel = nullptr;

    void open(Session session);
    void fail(ErrorPtr error);
    // The channel goes: leaves politely where that is possible, ends all transfers.
    void detach();
    // In a forked child: closes the descriptors and tells nobody.
    void abandon() noexcept {
        session_.socket.reset();
        session_.doorbell.reset();
    }

    PeerId peer() const noexcept { return peer_; }
    Channel::State state() const noexcept { return state_; }
    const ErrorPtr& error() const noexcept { return error_; }
    ChannelOwner& owner() const noexcept { return owner_; }
    int socket() const noexcept { return session_.socket.get(); }
    const std::shared_ptr<const PeerSegment>& segment() const noexcept { return segment_; }
    // Nothing is left to be done or delivered.
    bool over() const noexcept {
        return session_.memory == nullptr && state_ != Channel::State::kConnecting;
    }

    void send(Transfer& t);
    void recv(Transfer& t);
    void cancel(Transfer& t);
    void forget_group(std::uint64_t group);
    void watch(bool on);
    void close();
    std::string stats_json() const;

    // Moves what can be moved now. Costs two loads when there is nothing.
    bool progress() { return out_ && (in_->ready() || busy()) ? work() : false; }
    // The socket is readable: the peer ended.
    void hung_up();
    // Judges the peer's heartbeat, where it is watched.
    void look(Time now);
    Time next_look() const noexcept {
        return watchers_ > 0 && state_ == Channel::State::kOpen ? liveness_.next_look() : kNever;
    }
    bool watched() const noexcept { return out_ && out_->watched(); }

    // Before sleeping: false if there is something to do.
    bool arm();
    void disarm() noexcept;
    void nudge() noexcept;

  private:
    enum Place : std::uint64_t { kNowhere, kSends, kOffered, kPosted, kReceiving, kEnding };

    struct Outgoing {  // an offer of ours
        Transfer* transfer;
        bool streaming;
        std::uint64_t sent;     // streaming: bytes so far
        std::uint64_t peer_id;  // streaming: the peer's receive
    };
    struct Incoming {         // a matched offer of the peer's
        Transfer* transfer;   // null: cancelled here, bytes are dropped
        std::uint64_t offer;  // the peer's id
        std::uint64_t address;
        std::uint64_t size;
        std::uint64_t received;
        bool pulling;  // by cross-memory attach; otherwise streamed
    };

    bool busy() const noexcept {
        return !controls_.empty() || !sends_.empty() || !streams_.empty() || !pulls_.empty();
    }
    bool alive() const noexcept { return out_ != nullptr; }
    bool work();
    void ring() noexcept;
    bool peer_sleeps() const noexcept {
        return segment_->header().sleeping.load(std::memory_order_relaxed) != 0;
    }

    // edge.cc: the sending side
    bool try_send(Transfer& t);
    bool flush();
    bool stream();
    void control(const Message& message);
    std::size_t backlog_payload() const noexcept;
    void finish_closing();

    // edge_receive.cc: the receiving side
    bool drain();
    void handle(const Message& message);
    void on_eager(const Message& message);
    void on_offer(const Message& message);
    void on_pull(const Message& message);
    void on_piece(const Message& message);
    void on_done(const Message& message);
    void on_cancel(const Message& message);
    void on_close();
    bool announce(const Message& message);
    void keep(const Message& message, const Consumer::Payload& payload);
    void deliver(Transfer& t, const Message& message, const Consumer::Payload& payload);
    void receive_offer(Transfer& t, const Message& message);
    bool mismatch(Transfer& t, const Message& message);
    bool pull();
    bool pull_piece(Incoming& incoming, std::size_t budget);
    void stream_rest(Incoming& incoming);
    bool finish_pull(std::uint64_t id);
    void refuse(const Message& offer, weft_status status, const Transfer* t = nullptr);
    void account_unmatched(std::int64_t bytes);

    void end(Transfer& t, ErrorPtr error = nullptr);
    void end_all(const ErrorPtr& error);
    void broken(const char* what);
    void release();
    std::string who() const { return "peer " + hex(peer_); }

    const std::shared_ptr<EdgeContext> context_;
    const PeerId peer_;
    ChannelOwner& owner_;
    Channel::State state_ = Channel::State::kConnecting;
    ErrorPtr error_;
    bool close_sent_ = false;
    bool peer_closed_ = false;

    Session session_;
    std::shared_ptr<const PeerSegment> segment_;
    std::unique_ptr<Producer> out_;
    std::unique_ptr<Consumer> in_;
    bool published_ = false;  // something since the doorbell was last looked at

    MatchTable table_;
    TransferList sends_;            // not yet in the ring
    TransferList ending_;           // about to fail
    std::deque<Message> controls_;  // not yet in the ring; before all sends
    SlotTable<Outgoing> outgoing_;
    SlotTable<Incoming> incoming_;
    std::vector<std::uint64_t> streams_;  // ids of outgoing that flow, in order of priority
    std::vector<std::uint64_t> pulls_;    // ids of incoming that we read, in order of priority
    std::uint64_t cancels_seen_ = 0;
    std::size_t unmatched_bytes_ = 0;
    bool eager_refused_ = false;  // by us
    std::unordered_set<std::uint64_t> forgotten_;
    std::deque<std::uint64_t> forgotten_order_;

    int watchers_ = 0;
    Liveness liveness_;

    struct {
        std::uint64_t eager_sent, offered, streamed, eager_received, offers_received, pulled_bytes,
            streamed_bytes, kept, doorbells, cancelled;
    } count_{};
};

}  // namespace weft::datapath::shm
