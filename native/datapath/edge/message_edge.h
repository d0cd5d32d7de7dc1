// One edge: a transport::Connection to a peer and the transfers that wait on it. How packets
// travel, and how an edge finds its peer, is up to the deriving datapath.
//
// An edge lives as long as its channel or its connection needs it, whichever is longer (a closed
// channel's last messages are still delivered); whoever owns it deletes it, never from inside one
// of its own calls.
//
// Landing: bytes of a message go to the posted destination if there is one when the message opens.
// Otherwise its front, which the transport lets come unasked (Config::eager_limit), goes to a
// buffer, all of it, until the message is complete; the rest waits at the sender for a destination.
// A reducing receive combines each chunk as it lands: a chunk lands once, and is a whole number of
// elements because chunk sizes are multiples of 64.
//
// Devices that touch memory by themselves: a datapath whose device writes into destinations says
// where (place()), confirms that a message's destination is the user's alone again (settled(), or
// conclude() later), and can take it back at once (revoke()). One whose device reads sources counts
// its readers (Outgoing::readers, reader_done()): a message is not reported sent before they are
// through.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "datapath/channel.h"
#include "datapath/clock.h"
#include "datapath/edge/slab.h"
#include "datapath/edge/tag_queue.h"
#include "transport/connection.h"

namespace weft::datapath {

// What a deriving datapath ties to a message of its own: a registration of its memory.
class Attachment {
  public:
    virtual ~Attachment() = default;
};

class MessageEdge {
  public:
    virtual ~MessageEdge();
    MessageEdge(const MessageEdge&) = delete;
    MessageEdge& operator=(const MessageEdge&) = delete;

    PeerId peer() const noexcept { return peer_; }
    std::string_view name() const noexcept { return name_; }
    bool calls() const noexcept { return caller_; }
    Channel::State state() const noexcept;
    const ErrorPtr& error() const noexcept { return error_; }
    virtual std::uint16_t paths() const noexcept = 0;
    // Neither connected nor given up yet.
    bool opening() const noexcept { return phase_ <= Phase::kConnecting; }
    // Nobody needs it any more.
    bool over() const noexcept { return channel_ == nullptr && phase_ >= Phase::kEnded; }
    // close() was called and what was sent before is still on its way.
    bool lingers() const noexcept { return phase_ == Phase::kClosing; }

    // --- What the channel passes on
    void send(Transfer& transfer);
    void recv(Transfer& transfer);
    void cancel(Transfer& transfer);
    void forget_group(std::uint64_t group);
    void watch(bool on);
    void set_policies(const transport::PolicyChange& change);
    void deny_path(std::uint16_t path, bool denied);
    void close();
    void attach(Channel& channel) noexcept { channel_ = &channel; }
    // Without the user from now on: ends in order, with what was copied still to be delivered.
    void depart();
    void channel_gone();
    virtual std::string stats_json() const = 0;

    // --- What the datapath passes on
    // `in_place`: the payload is at its destination already.
    void on_packet(Time now, const wire::Packet& packet, std::span<const std::uint8_t> payload,
                   const transport::Arrival& arrival, bool in_place = false);
    void on_undecodable(wire::DecodeStatus status);
    // When it wants to be called by time.
    Time wake_at() const noexcept { return wake_at_; }
    // The datapath goes away: no callbacks, no goodbye.
    void drop() noexcept;
    // A call of the peer is given up in favour of our own.
    void overrule();

    bool dirty = false;  // the owner's: it is in the list of edges to pump

  protected:
    // In this order: <= kConnecting is opening, >= kEnded needs the network no more.
    enum class Phase : std::uint8_t {
        kChecking,
        kConnecting,
        kOpen,
        kLeft,
        kClosing,
        kEnded,
        kFailed
    };

    // One of our messages on its way.
    struct Outgoing {
        std::uint64_t handle = 0;
        const std::byte* data = nullptr;
        std::size_t size = 0;
        transport::MessageId id = transport::kNoMessage;
        Transfer* transfer = nullptr;  // null: the bytes were copied, and the transfer is long done
        std::vector<std::byte> copy;
        std::uint32_t readers = 0;  // pieces of it that the device has yet to read
        bool sent = false;          // waits only for those
        bool placed = false;        // the peer said where its bytes go: `remote`
        bool unregistered = false;  // the device was not given its memory
        wire::RemoteDescriptor remote{};
        std::shared_ptr<Attachment> attachment;
        void reset() {
            data = nullptr, transfer = nullptr, id = transport::kNoMessage, copy.clear();
            readers = 0, sent = placed = unregistered = false, attachment.reset();
        }
    };

    // One of the peer's messages.
    struct Incoming {
        std::uint64_t handle = 0;
        transport::MessageId id = transport::kNoMessage;
        Tag tag;
        std::uint64_t signature = 0;
        std::size_t size = 0;
        std::size_t landed = 0;        // bytes
        Transfer* transfer = nullptr;  // once matched
        std::size_t buffered = 0;      // bytes at the front that go to `buffer`
        std::unique_ptr<std::byte[]> buffer;
        bool concluded = false;  // over but for settled()
        ErrorPtr verdict;        // how, when concluded
        std::shared_ptr<Attachment> attachment;
        Incoming* next = nullptr;
        Incoming* previous = nullptr;
        void reset() {
            transfer = nullptr, landed = 0, buffered = 0, buffer.reset();
            concluded = false, verdict.reset(), attachment.reset();
        }
        bool complete() const { return landed == size; }
    };

    // Reasons that travel to the peer.
    enum Code : std::uint32_t { kCancelled = 1, kForgotten = 2, kMismatched = 3, kProtocol = 4 };

    // We call (with an owner), or are called.
    MessageEdge(std::string name, PeerId peer, ChannelOwner* owner, Phase phase);

    // --- What the deriving datapath does
    virtual void touch() = 0;       // pump this edge soon
    virtual void sweep_soon() = 0;  // it may be over
    virtual Time peer_timeout() const = 0;
    virtual void on_connected(Time now) = 0;  // the handshake is done
    virtual void ended() noexcept {}          // no further word to the peer
    virtual void retired() noexcept {}        // dropped for good
    // Whether sends can go to the connection; until then they are kept (start_early_sends()).
    virtual bool takes_sends() const { return connection_ != nullptr; }
    // The message's bytes are about to become the user's again.
    virtual void let_go(Outgoing&) {}
    // Where the device may write the rest of this message by itself; null: nowhere.
    virtual const wire::RemoteDescriptor* place(Incoming&, Transfer&) { return nullptr; }
    // Whether the device will write no more to the message's destination. If not: conclude() it
    // when that is so.
    virtual bool settled(Incoming&) { return true; }
    // It must write no more from now on: to this message's destination, or (null) to any.
    virtual void revoke(Incoming*) {}
    virtual std::string where() const = 0;  // the peer is, for people
    virtual std::string describe_paths(const transport::Failure& failure) const = 0;

    // --- Life (message_edge.cc)
    std::string who() const { return name_ + ": peer " + hex(peer_); }
    void hear_owner(ChannelOwner* owner) noexcept { owner_ = owner; }
    void announce();  // kOpen: tells the owner
    void refuse();
    void end_unopened();
    void end(const ErrorPtr& why);
    void fail(const ErrorPtr& error);
    void leave(Time now);
    bool next_event_due(Time now) const noexcept { return now >= farewell_at_; }

    // --- Transfers (transfers.cc, receives.cc)
    void start_send(Transfer& transfer);
    void start_early_sends();
    void drain_events(Time now);
    void reader_done(std::uint64_t handle);
    void conclude(Incoming& message);

    // --- Words (report.cc)
    // The connection's numbers, as further members.
    void add_connection(std::string& json) const;
    std::string phase_json() const;
    static std::string path_json(const transport::Path& path);

    Phase phase_;
    ErrorPtr error_;
    Time wake_at_ = kNever;
    Time farewell_at_ =
        kNever;  // a peer that left in order counts as gone at this time at the latest
    int watchers_ = 0;
    ChannelOwner* owner_ = nullptr;
    Channel* channel_ = nullptr;
    std::unique_ptr<transport::Connection> connection_;
    Slab<Outgoing> outgoing_;
    Slab<Incoming> incoming_;
    std::size_t eager_limit_ = 0;  // bytes of a message that may come unasked

  private:
    // What a pending transfer is to us (Transfer::cookie[1]).
    enum Role : std::uint64_t { kPosted = 1, kMatched, kSending, kWaiting };

    void need_open() const;
    void on_peer_closed(Time now);
    void on_failed();
    void fail_transfers(const ErrorPtr& error);
    ErrorPtr explain(const transport::Failure& failure) const;

    void handle_event(const transport::Event& event, Time now);
    void on_opened(const transport::Event& event, Time now);
    void on_received(const transport::Event& event);
    void on_cancelled(const transport::Event& event);
    void on_granted(const transport::Event& event);
    void on_sent(const transport::Event& event);
    void on_refused(const transport::Event& event);
    void match(Incoming& message, Transfer& transfer, Time now);
    bool agree(const Incoming& message, Transfer& transfer, Time now);
    void land(Incoming& message, const wire::Data& chunk, std::span<const std::uint8_t> payload,
              Time now, bool in_place);
    static void put(Transfer& transfer, std::size_t offset, const std::byte* bytes,
                    std::size_t size);
    void deliver(Incoming& message);
    void over_with(Incoming& message, ErrorPtr verdict);
    Incoming* find_unaccepted(transport::MessageId id);
    void fail_receives(const ErrorPtr& why);
    void drop_incomplete();
    void forget_transfers() noexcept;
    void release(Incoming& message);
    void release(Outgoing& message);
    static void finish(Transfer& transfer, const ErrorPtr& error);

    const std::string name_;
    const PeerId peer_;
    const bool caller_;
    std::vector<Transfer*> early_sends_;  // from before there was a connection
    std::size_t copied_bytes_ = 0;        // of Outgoing::copy, all together
    TagQueue<Transfer> posted_;
    TagQueue<Incoming> unmatched_;
    std::unordered_map<transport::MessageId, Incoming*> unaccepted_;
    std::uint64_t last_opened_ = 0;  // handle
    std::unordered_set<std::uint64_t> forgotten_;
    std::deque<std::uint64_t> forgotten_order_;
    std::uint64_t mismatches_ = 0;
};

}  // namespace weft::datapath
