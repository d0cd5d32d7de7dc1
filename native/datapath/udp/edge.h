// One edge: the search for paths, the transport's connection, and the transfers that wait on it.
//
// An edge lives as long as its channel or its connection needs it, whichever is longer (a closed
// channel's last messages are still delivered); the Core deletes it, never from inside one of its
// own calls.
//
// Landing: bytes of a message go to the posted destination if there is one when the message opens.
// Otherwise its front, which the transport lets come unasked (Config::eager_limit), goes to a
// buffer, all of it, until the message is complete; the rest waits at the sender for a destination.
// A reducing receive combines each chunk as it lands: a chunk lands once, and is a whole number of
// elements because chunk sizes are multiples of 64.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "datapath/channel.h"
#include "datapath/udp/check.h"
#include "datapath/udp/path_finder.h"
#include "datapath/udp/slab.h"
#include "datapath/udp/socket.h"
#include "datapath/udp/tag_queue.h"
#include "transport/connection.h"

namespace weft::datapath::udp {

class Core;
class Edge;

// A path: which socket, and where to.
struct Way {
    Socket* socket = nullptr;
    Endpoint to;
    bool bound = false;  // client: the peer noted it; server: the client said that it is this one
};

// The user's handle. It may be destroyed at any time; the edge then ends by itself.
class UdpChannel final : public Channel {
  public:
    UdpChannel(std::shared_ptr<Core> core, Edge& edge);
    ~UdpChannel() override;
    PeerId peer() const noexcept override;
    State state() const noexcept override;
    std::string_view datapath() const noexcept override;
    const ErrorPtr& error() const noexcept override;
    std::uint16_t paths() const noexcept override;
    void send(Transfer& transfer) override;
    void recv(Transfer& transfer) override;
    void cancel(Transfer& transfer) override;
    void forget_group(std::uint64_t group) override;
    void watch(bool on) override;
    void close() override;
    std::string stats_json() const override;

  private:
    std::shared_ptr<Core> core_;
    Edge& edge_;
};

class Edge {
  public:
    // We call.
    Edge(Core& core, PeerId peer, std::vector<LocalAddress> remote, ChannelOwner& owner,
         Time deadline);
    // We are called: `hello` came through `way` and was found good.
    Edge(Core& core, const wire::Packet& hello, const Way& way);
    ~Edge();
    Edge(const Edge&) = delete;
    Edge& operator=(const Edge&) = delete;

    PeerId peer() const noexcept { return peer_; }
    bool calls() const noexcept { return caller_; }
    Channel::State state() const noexcept;
    const ErrorPtr& error() const noexcept { return error_; }
    std::uint16_t paths() const noexcept { return static_cast<std::uint16_t>(ways_.size()); }
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
    void close();
    void attach(Channel& channel) noexcept { channel_ = &channel; }
    // Without the user from now on: ends in order, with what was copied still to be delivered.
    void depart();
    void channel_gone();
    std::string stats_json() const;

    // --- What the core passes on
    void on_packet(Time now, const wire::Packet& packet, std::span<const std::uint8_t> payload,
                   const transport::Arrival& arrival);
    void on_undecodable(wire::DecodeStatus status);
    void on_note(Time now, const Note& note, const Way& from);
    void on_time(Time now);
    // Reads events and hands packets to the batch, a bounded number; true when it did anything.
    // Call again while dirty.
    bool pump(Time now);
    // When on_time() is due.
    Time wake_at() const noexcept { return wake_at_; }
    // The datapath goes away: no callbacks, no goodbye.
    void drop() noexcept;
    // A call of the peer is given up in favour of our own.
    void overrule();

    bool dirty = false;  // the core's: it is in the list of edges to pump

  private:
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
        void reset() {
            data = nullptr, transfer = nullptr, id = transport::kNoMessage, copy.clear();
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
        Incoming* next = nullptr;
        Incoming* previous = nullptr;
        void reset() { transfer = nullptr, landed = 0, buffered = 0, buffer.reset(); }
        bool complete() const { return landed == size; }
    };

    // Life (edge.cc)
    void refuse();
    void end_unopened();
    void begin_connection(Time now);
    void on_connected(Time now);
    void on_peer_closed(Time now);
    void leave(Time now);
    void bind_paths(Time now);
    void on_failed();
    void fail(const ErrorPtr& error);
    void end(const ErrorPtr& why);
    void fail_transfers(const ErrorPtr& error);
    ErrorPtr explain(const transport::Failure& failure) const;
    std::string describe_paths(const transport::Failure& failure) const;
    const Way& way(std::uint16_t path) const noexcept { return ways_[path % ways_.size()]; }
    bool transmit(Time now);
    void update_wake(Time now);
    void touch();

    // Transfers (edge_transfers.cc)
    void start_send(Transfer& transfer);
    void drain_events(Time now);
    void handle_event(const transport::Event& event, Time now);
    void on_opened(const transport::Event& event, Time now);
    void on_received(const transport::Event& event);
    void on_cancelled(const transport::Event& event);
    void on_sent(const transport::Event& event);
    void on_refused(const transport::Event& event);
    void match(Incoming& message, Transfer& transfer, Time now);
    bool agree(const Incoming& message, Transfer& transfer, Time now);
    void land(Incoming& message, std::uint64_t offset, std::span<const std::uint8_t> payload,
              Time now);
    static void put(Transfer& transfer, std::size_t offset, const std::byte* bytes,
                    std::size_t size);
    void deliver(Incoming& message);
    Incoming* find_unaccepted(transport::MessageId id);
    void fail_receives(const ErrorPtr& why);
    void drop_incomplete();
    void forget_transfers() noexcept;
    void release(Incoming& message);
    void release(Outgoing& message);
    static void finish(Transfer& transfer, const ErrorPtr& error);

    Core& core_;
    const PeerId peer_;
    const bool caller_;
    ChannelOwner* owner_ = nullptr;
    Channel* channel_ = nullptr;
    Phase phase_;
    ErrorPtr error_;
    Time deadline_ = kNever;  // of opening
    Time wake_at_ = kNever;
    int watchers_ = 0;

    std::optional<PathFinder> finder_;
    std::uint64_t nonce_ = 0;  // of our path checks
    std::vector<Way> ways_;
    Time bind_at_ = kNever;  // when bindings are said again
    int bind_rounds_ = 0;
    std::uint64_t remote_connection_ = 0;
    Time farewell_at_ =
        kNever;  // a peer that left in order counts as gone at this time at the latest

    std::unique_ptr<transport::Connection> connection_;
    std::vector<Transfer*> early_sends_;  // from before there was a connection
    Slab<Outgoing> outgoing_;
    Slab<Incoming> incoming_;
    std::size_t copied_bytes_ = 0;  // of Outgoing::copy, all together
    TagQueue<Transfer> posted_;
    TagQueue<Incoming> unmatched_;
    std::unordered_map<transport::MessageId, Incoming*> unaccepted_;
    std::size_t eager_limit_ = 0;    // bytes of a message that may come unasked
    std::uint64_t last_opened_ = 0;  // handle
    std::unordered_set<std::uint64_t> forgotten_;
    std::deque<std::uint64_t> forgotten_order_;
    std::uint64_t mismatches_ = 0;
    std::uint64_t refused_bindings_ = 0;
};

}  // namespace weft::datapath::udp
