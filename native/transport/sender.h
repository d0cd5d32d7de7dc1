// The sending half of a connection: gives chunks their sequence numbers and paths, remembers them
// until they are acknowledged, finds the lost ones and sends them again. Three loops meet here and
// stay separate: how much may be in flight (congestion/), which path carries it (paths/), what is
// lost (recovery/).
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "transport/congestion/congestion.h"
#include "transport/path_health.h"
#include "transport/paths/scheduler.h"
#include "transport/recovery/recovery.h"
#include "transport/ring_queue.h"
#include "transport/send_queue.h"
#include "transport/sent_ring.h"
#include "transport/shared.h"

namespace weft::transport {

class Sender {
  public:
    // Makes the policies, and throws ConfigError when they cannot be made.
    Sender(Shared& shared, PathHealthLoop& health);

    // The handshake is done: shared.remote is valid.
    void open();

    // Throws ConfigError and changes nothing when one cannot be made.
    void set_policies(const PolicyChange& change);

    MessageId send(const SendRequest& request);
    bool cancel(MessageId id, std::uint32_t code);

    // Sequenced packets on behalf of the receiving half.
    void queue_grant(MessageId id, const wire::RemoteDescriptor& remote);
    void queue_refusal(MessageId id, std::uint32_t code);

    void on_ack(Time now, const wire::Packet& packet);
    // The peer's first packets tell of the way from it, too: an acknowledgement that comes behind
    // a first burst of its data would be taken for the shortest way there is.
    void on_sequenced(Time now, const wire::Packet& packet) {
        if (shared_.stats.acks_received < kFirstAcks) queued_on_way(now, packet);
    }
    void on_grant(const wire::Grant& grant);
    void on_refusal(const wire::Abandon& refusal);
    void on_timer(Time now);
    bool poll(Time now, Transmit& transmit);

    // For controls by credit: what the receiver granted in all; the total to ask it for next, or 0.
    void on_credit(Time now, std::uint64_t total);
    std::uint64_t poll_demand(Time now) {
        return by_credit_ && ring_ ? congestion_->poll_demand(now, queue_.backlog() + lost_bytes_)
                                   : 0;
    }

    // Whether the receiving half is to refuse what comes out of order.
    bool keeps_order() const { return recovery_->in_order(); }

    // Whether the next poll() continues a burst, which nothing else should interrupt.
    bool in_burst() const { return burst_.portion.bytes > 0 && !held_; }
    // Nothing is given out while it is held (Connection::hold_chunks).
    void hold(bool held) { held_ = held; }
    Time next_timeout() const {
        const Time credit = by_credit_ ? congestion_->next_timeout() : kNever;
        return std::min({loss_timer_, pace_timer_, credit});
    }
    bool has_messages() const { return queue_.size() != 0; }
    // Nothing is unacknowledged and nothing waits to be sent.
    bool idle() const {
        return !has_messages() && controls_.empty() && (!ring_ || ring_->base() == ring_->next());
    }
    void fill(Stats& stats) const;

  private:
    struct Control {  // a sequenced packet without payload that waits for its number
        wire::PacketKind kind = wire::PacketKind::kSkip;
        std::uint32_t code = 0;
        MessageId message = kNoMessage;
    };
    struct Burst {  // bytes of one message that one decision put on one path
        Portion portion;
        PathId path = kNoPath;
    };
    struct AckTotals {
        Time held = 0;  // how long the receiver held the acknowledgement
        std::uint64_t bytes = 0;
        std::uint32_t chunks = 0;
        std::uint32_t marked = 0;   // chunks
        std::size_t delivered = 0;  // entries of delivered_ in use
    };

    static constexpr std::uint64_t kFirstAcks = 16;

    PolicyContext policy_context() const;
    void take_congestion(std::unique_ptr<CongestionControl> congestion);

    // sender.cc: what goes out.
    bool poll_lost(Time now, Transmit& transmit);
    bool poll_control(Time now, Transmit& transmit);
    bool begin_burst(Time now);
    std::uint64_t burst_limit(const Path& path) const;
    void emit_chunk(Time now, Transmit& transmit);
    void transmit_record(Time now, std::uint32_t ticket, PathId path, Transmit& transmit);
    void fill_packet(const SentChunk& chunk, Sequence sequence, Time now, Transmit& transmit) const;
    bool may_send(Time now, std::uint32_t bytes);
    void pace(Time now, std::uint64_t bytes);
    PathId pick(Time now, PathId avoid, std::uint8_t priority);
    PathId pick_planned(Time now, const OutgoingMessage& message);
    void abandon(std::uint32_t slot);

    // sender_feedback.cc: what comes back.
    struct RoundTrip {
        Time rtt = 0;          // 0 when the echo proves nothing
        Time queued_back = 0;  // of it, in queues on the way back
    };
    RoundTrip on_echo(Time now, const wire::Packet& packet, const AckTotals& totals);
    Time queued_on_way(Time now, const wire::Packet& packet);
    void on_chunk_acked(Time now, std::uint32_t ticket, AckTotals& totals);
    void on_record_settled(SentChunk& chunk);
    void detect_losses(Time now, PathId path);
    void declare_lost(Time now, std::uint32_t ticket, LossCause cause);
    double share_of(const Path& path) const;
    void go_back(Time now);
    bool just_repeated(Time now, const SentChunk& chunk) const;
    std::uint64_t lose_behind(Time now, std::uint32_t ticket, LossCause cause);
    void take_out_of_flight(Time now, std::uint32_t ticket, LossCause cause);

    // sender_timers.cc: what stays away.
    void expire(Time now, PathId path);
    bool has_overdue(Time now, const Path& path) const;
    void time_out(Time now, PathId path);
    Time base_timeout(const Path& path) const;
    Time timeout(const Path& path, const SentChunk& chunk) const;
    Time tail_timeout(const Path& path) const;
    bool probes_tail(const Path& path, std::uint32_t ticket) const;
    void arm(const Path& path, std::uint32_t ticket);

    Shared& shared_;
    PathHealthLoop& health_;
    std::unique_ptr<PathScheduler> scheduler_;
    std::unique_ptr<CongestionControl> congestion_;
    std::unique_ptr<LossRecovery> recovery_;
    SendQueue queue_;
    std::optional<SentRing> ring_;  // from open() on
    ChunkList lost_;                // declared lost, waiting to be sent again
    RingQueue<Control> controls_;
    std::vector<wire::RemoteDescriptor> descriptors_;  // of grants not yet acknowledged
    std::vector<std::uint32_t> free_descriptors_;
    Burst burst_;
    bool held_ = false;
    std::uint64_t in_flight_ = 0;         // bytes
    std::uint64_t lost_bytes_ = 0;        // on lost_
    std::uint64_t credited_ = 0;          // bytes that the receiver granted by credits, in all
    bool by_credit_ = false;              // the congestion control's nature
    Time loss_timer_ = kNever;            // no later than the first loss timeout; may be early
    Time pace_timer_ = kNever;            // when pacing lets the next burst go, if one waits
    Time release_at_ = 0;                 // earliest departure by the pacing rate
    Time aged_at_ = 0;                    // when the paths' one-way delays were last aged
    std::uint32_t peer_marked_ = 0;       // last count of marks the peer reported
    std::array<PathId, 64> delivered_{};  // PathEcho::delivered in the making
};

}  // namespace weft::transport
