// One edge over RDMA: rails found by checks, the transport's handshake over control queue pairs,
// then lanes; chunks written straight to where they belong, or sent as packets.
//
// A chunk's first transmission may be written by the device (RDMA WRITE with immediate) when the
// peer gave a descriptor of the destination; whatever is sent again goes as a packet, which the
// receiver copies and can therefore recognise as a duplicate. So at most one copy of a chunk can
// land by itself, and only one that was written before the repetition left. A message that had
// such a repetition is not handed to its user before it is certain that nothing of it can land any
// more: queue pairs keep order, so that a later write on the same lane, or a marker that was asked
// for, proves it; failing that the queue pair is destroyed, after which nothing comes in through
// it. The same fence stands before a destination goes back for any other reason.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "datapath/edge/message_edge.h"
#include "datapath/timing_wheel.h"
#include "datapath/verbs/frame.h"
#include "datapath/verbs/lane.h"
#include "datapath/verbs/registry.h"
#include "datapath/verbs/way.h"

namespace weft::datapath::verbs {

class Core;

class Edge final : public MessageEdge {
  public:
    // We call.
    Edge(Core& core, PeerId peer, Card remote, ChannelOwner& owner, Time deadline);
    // We are called: `hello` came to our rail `local` from rail `from` of a process with this card.
    Edge(Core& core, const wire::Packet& hello, Card remote, std::size_t local, std::size_t from);
    ~Edge() override;

    std::uint16_t paths() const noexcept override;
    std::string stats_json() const override;

    // --- What the core passes on
    void on_control(Time now, std::span<const std::uint8_t> bytes, const Prefix& prefix);
    void on_note(Time now, const Note& note);
    void on_sent(Time now, std::size_t lane, const Completion& done);
    void on_way_sent(Time now, std::size_t way, const Completion& done);
    void on_received(Time now, std::size_t lane, std::span<const std::uint8_t> bytes);
    void on_written(Time now, std::size_t lane, const Completion& done);
    void on_broken(Time now, std::size_t lane);
    void on_rail(Time now, std::size_t rail, bool up);
    void on_time(Time now);
    bool pump(Time now);
    // Its queue pairs are another process's (fork): leave them alone.
    void disown() noexcept;
    // It waits for room on a queue.
    bool stalled() const noexcept { return stalled_.has_value(); }

    WakeUp<Edge> wake_up{*this};  // the core's: on its wheel while on_time() is to be called

  private:
    struct Check {
        RailPair rails;
        bool answered = false;
    };
    // Where the peer's device may write (Incoming::attachment).
    struct Placed final : Attachment {
        Placed(Edge& owner, std::uint8_t number, std::shared_ptr<Registration> memory);
        ~Placed() override;
        Edge& edge;
        const std::uint8_t slot;
        std::shared_ptr<Registration> registration;
        std::uint64_t highest = 0;  // place of a chunk that came, in chunks
        std::uint64_t hold = 0;     // settled once all questions up to this one are answered
        bool fenced = false;        // those questions were asked
    };
    struct First {  // first transmission of a sequence number
        std::uint32_t timestamp = 0;
        std::uint16_t lane = kNoLane;  // where it was written; kNoLane: it went as a packet
    };

    // For the common part
    void touch() override;
    void sweep_soon() override;
    Time peer_timeout() const override;
    void on_connected(Time now) override;
    void ended() noexcept override;
    void retired() noexcept override { ended(); }
    bool takes_sends() const override { return phase_ >= Phase::kOpen; }
    void let_go(Outgoing& message) override;
    const wire::RemoteDescriptor* place(Incoming& message, Transfer& transfer) override;
    bool settled(Incoming& message) override;
    void revoke(Incoming* message) override;
    std::string where() const override;
    std::string describe_paths(const transport::Failure& failure) const override;

    // Opening (edge.cc)
    void check_rails(Time now);
    void begin_connection(Time now);
    void open_if_ready(Time now, bool patient = true);
    void update_wake(Time now);

    // Lanes (edge_lanes.cc)
    void make_lanes(std::size_t count);
    void renew(Time now, Lane& lane);
    void replace(Time now, Lane& lane);
    void fresh_pair(Time now, Lane& lane);
    void drop_pair(Lane& lane) noexcept;
    std::uint32_t number_of(const Lane& lane) const;
    void connect(Time now, Lane& lane, const Note& note);
    void say(Time now, Lane& lane);
    void lane_ready(Time now, Lane& lane);
    void on_lane_note(Time now, Lane& lane, const Note& note);
    void on_lane_time(Time now, Lane& lane);
    void look_at_health(Time now);
    void use(Time now);
    void revive_lanes(Time now);
    void fence(Time now, Lane& lane);
    void ask(Time now, Lane& lane);
    void put_marker(Lane& lane, const Note& question);
    void answered(Lane& lane, std::uint64_t word);
    void conclude_settled();
    std::size_t index_of(const Lane& lane) const noexcept {
        return static_cast<std::size_t>(&lane - lanes_.data());
    }

    // Ways (edge_ways.cc)
    void add_ways(RailPair rails);
    Way& way_between(RailPair rails, std::size_t index);
    Way& way_in_turn();
    Way& way_for(std::size_t path);
    Way& own_way(const Lane& lane) {
        return way_between({lane.local_rail, lane.remote_rail}, index_of(lane));
    }
    bool usable(const Way& way) const;
    SendQueue& queue_of(Way& way);
    Target target_of(const Way& way);
    void knock(Time now);
    void on_knock(Time now, const Note& knock);
    void on_heard(Time now, const Note& answer);
    void renew(Time now, Way& way);
    void drop_own(Way& way) noexcept;

    // Packets (edge_packets.cc)
    bool transmit(Time now);
    bool put(Time now, const transport::Transmit& next);
    bool put_written(const transport::Transmit& next, Lane& lane, Outgoing& message);
    bool put_packet(const transport::Transmit& next, Lane& lane, Outgoing* message);
    bool put_control(const transport::Transmit& next);
    bool may_write(const transport::Transmit& next, const Lane& lane,
                   const Outgoing& message) const;
    Registration* registered(Outgoing& message);
    Lane* lane_for(std::uint16_t path);
    bool is_new(std::uint32_t sequence) const;
    void note_received(std::uint32_t sequence);
    void note_first(const wire::Packet& packet, std::uint16_t lane);
    std::uint16_t first_lane(const wire::Packet& packet) const;
    void on_packet_bytes(Time now, std::span<const std::uint8_t> bytes, const Prefix& prefix);
    bool send_note(const Note& note, Way& way);
    bool send_lane_note(const Note& note, const Lane& lane);

    Core& core_;
    const Card remote_;
    Time deadline_ = kNever;  // of opening
    std::uint64_t nonce_ = 0;
    std::vector<Check> checks_;
    std::vector<RailPair> rails_;  // that work; lanes are dealt out to them in turn
    std::deque<Way> ways_;
    std::size_t turn_ = 0;       // of the ways
    std::uint64_t knocks_ = 0;   // numbered
    Time used_until_ = 0;        // so long its health is looked at
    std::size_t greetings_ = 0;  // packets of the handshake, sent
    Time check_at_ = 0;
    Time first_answer_ = kNever;
    Time lanes_since_ = kNever;
    Time health_at_ = kNever;  // when lanes and ways are looked at next
    std::uint64_t remote_connection_ = 0;
    std::vector<Lane> lanes_;  // never resized once made
    std::uint32_t chunk_ = 0;
    std::optional<transport::Transmit> stalled_;  // there was no room for it

    std::uint32_t next_sequence_ = 0;  // that was never sent
    bool any_sequence_ = false;
    std::vector<First> firsts_;   // by sequence number
    std::uint32_t received_ = 0;  // highest sequence number seen
    bool any_received_ = false;
    std::uint32_t epoch_ = 0;                    // of our connection's packets
    std::array<std::uint64_t, kSlots> slots_{};  // handles of incoming messages
    std::vector<std::uint8_t> free_slots_;
    wire::RemoteDescriptor descriptor_{};  // place()'s result
    std::uint64_t questions_ = 0;
    std::vector<std::uint64_t> held_;  // handles of messages that are whole but not settled
    std::uint64_t misplaced_ = 0, refused_notes_ = 0, copied_ = 0, renewed_ways_ = 0;
};

}  // namespace weft::datapath::verbs
