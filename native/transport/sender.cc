// The outgoing side of the sender: bursts, retransmissions and control packets, and what they look
// like.
#include "transport/sender.h"

#include <algorithm>

#include "transport/planned.h"

namespace weft::transport {

Sender::Sender(Shared& shared, PathHealthLoop& health)
    : shared_(shared),
      health_(health),
      scheduler_(make_path_scheduler(shared.config.scheduler, policy_context())),
      recovery_(make_loss_recovery(shared.config.recovery, policy_context())) {
    take_congestion(make_congestion_control(shared.config.congestion, policy_context()));
}

void Sender::take_congestion(std::unique_ptr<CongestionControl> congestion) {
    congestion_ = std::move(congestion);
    by_credit_ = congestion_->by_credit();
    for (Path& path : shared_.paths) {
        path.window = Path{}.window;
    }
    congestion_->begin(shared_.paths);
}

PolicyContext Sender::policy_context() const {
    const bool negotiated = shared_.remote.window != 0;
    return {.paths = shared_.config.paths,
            .chunk_size = shared_.stats.chunk_size,
            .window = negotiated ? shared_.remote.window : shared_.config.window,
            .destination = shared_.remote.peer_id,
            .seed = shared_.seed,
            .link_rate = shared_.config.link_rate,
            .credited = credited_,
            .rto_min = shared_.config.rto_min};
}

void Sender::open() {
    scheduler_ = make_path_scheduler(shared_.config.scheduler, policy_context());
    take_congestion(make_congestion_control(shared_.config.congestion, policy_context()));
    ring_.emplace(kFirstLap + shared_.local_sequence, shared_.remote.window);
    queue_.open(shared_.stats.chunk_size, shared_.remote.eager_window, shared_.remote.eager_limit);
}

void Sender::set_policies(const PolicyChange& change) {
    const auto make = [&](const auto& choice, auto maker) {
        return choice ? maker(*choice, policy_context()) : nullptr;
    };
    auto scheduler = make(change.scheduler, make_path_scheduler);
    auto congestion = make(change.congestion, make_congestion_control);
    auto recovery = make(change.recovery, make_loss_recovery);
    if (scheduler) {
        scheduler_ = std::move(scheduler);
        shared_.config.scheduler = *change.scheduler;
    }
    if (congestion) {
        take_congestion(std::move(congestion));
        shared_.config.congestion = *change.congestion;
        release_at_ = 0;
    }
    if (recovery) {
        recovery_ = std::move(recovery);
        shared_.config.recovery = *change.recovery;
    }
}

MessageId Sender::send(const SendRequest& request) {
    return queue_.at(queue_.add(request)).id;
}

bool Sender::cancel(MessageId id, std::uint32_t code) {
    const std::uint32_t slot = queue_.find(id);
    if (slot == MessageTable<OutgoingMessage>::kNone || queue_.at(slot).cancelled) {
        return false;
    }
    const bool peer_knows = queue_.at(slot).started;
    abandon(slot);
    if (peer_knows) {
        controls_.push({wire::PacketKind::kCancel, code, id});
    }
    return true;
}

// From here on the message's bytes are not asked for: what is lost of it is replaced by kSkip.
void Sender::abandon(std::uint32_t slot) {
    queue_.cancel(slot);
    if (burst_.portion.slot == slot) {
        burst_ = {};
    }
    if (queue_.at(slot).unacked == 0) {
        queue_.erase(slot);
    }
}

void Sender::queue_grant(MessageId id, const wire::RemoteDescriptor& remote) {
    std::uint32_t place = static_cast<std::uint32_t>(descriptors_.size());
    if (free_descriptors_.empty()) {
        descriptors_.push_back(remote);
    } else {
        place = free_descriptors_.back();
        free_descriptors_.pop_back();
        descriptors_[place] = remote;
    }
    controls_.push({wire::PacketKind::kGrant, place, id});
}

void Sender::queue_refusal(MessageId id, std::uint32_t code) {
    controls_.push({wire::PacketKind::kRefuse, code, id});
}

void Sender::on_grant(const wire::Grant& grant) {
    const std::uint32_t slot = queue_.find(grant.message);
    if (slot == MessageTable<OutgoingMessage>::kNone || queue_.at(slot).cancelled) {
        return;
    }
    queue_.grant(slot);
    const SendRequest& request = queue_.at(slot).request;
    Event event;
    event.kind = EventKind::kMessageGranted;
    event.message = grant.message;
    event.tag = request.tag;
    event.size = request.size;
    event.cookie = request.cookie;
    event.remote = grant.remote;
    shared_.events.push(event);
}

void Sender::on_refusal(const wire::Abandon& refusal) {
    const std::uint32_t slot = queue_.find(refusal.message);
    if (slot != MessageTable<OutgoingMessage>::kNone && !queue_.at(slot).cancelled) {
        const SendRequest request = queue_.at(slot).request;
        abandon(slot);
        Event event;
        event.kind = EventKind::kMessageRefused;
        event.code = refusal.code;
        event.message = refusal.message;
        event.tag = request.tag;
        event.signature = request.signature;
        event.size = request.size;
        event.cookie = request.cookie;
        shared_.events.push(event);
    }
    // Even for a message that is long complete here: it tells the peer when it may forget it.
    controls_.push({wire::PacketKind::kCancel, refusal.code, refusal.message});
}

bool Sender::poll(Time now, Transmit& transmit) {
    if (held_) {
        pace_timer_ = kNever;
        return false;
    }
    if (burst_.portion.bytes > 0) {
        emit_chunk(now, transmit);
        return true;
    }
    pace_timer_ = kNever;
    if (!ring_) {
        return false;
    }
    if (!lost_.empty()) {
        const bool sent = poll_lost(now, transmit);
        if (sent || recovery_->in_order()) {
            return sent;  // where order is kept, nothing overtakes what must be sent again
        }
    }
    if (!controls_.empty() && poll_control(now, transmit)) {
        return true;
    }
    if (shared_.verdict == FailureReason::kNone && begin_burst(now)) {
        emit_chunk(now, transmit);
        return true;
    }
    return false;
}

void Sender::on_credit(Time now, std::uint64_t total) {
    credited_ = std::max(credited_, total);
    congestion_->on_credit(now, total);
}

bool Sender::may_send(Time now, std::uint32_t bytes) {
    const bool alone = in_flight_ == 0 && !by_credit_;
    if (!alone && in_flight_ + bytes > congestion_->window()) {
        return false;
    }
    if (now < release_at_) {
        pace_timer_ = release_at_;
        return false;
    }
    return true;
}

// Says that `bytes` leave now: the next ones wait until the pacing rate has made room for these.
void Sender::pace(Time now, std::uint64_t bytes) {
    const double rate = congestion_->pacing_rate();
    if (rate > 0) {
        const double seconds = static_cast<double>(bytes) / rate;
        release_at_ = now + static_cast<Time>(seconds * static_cast<double>(kSecond));
    }
}

PathId Sender::pick(Time now, PathId avoid, std::uint8_t priority) {
    return scheduler_->pick({.now = now, .avoid = avoid, .priority = priority}, shared_.paths);
}

PathId Sender::pick_planned(Time now, const OutgoingMessage& message) {
    const PlannedBurst planned =
        planned_burst(message.request, message.next_offset, shared_.config.max_burst);
    const Path& path = shared_.paths[planned.path];
    if (path.health != PathHealth::kGood) return pick(now, planned.path, message.request.priority);
    if (path.in_flight >= path.window) return kNoPath;
    burst_.portion.bytes = std::min(burst_.portion.bytes, planned.bytes);
    return planned.path;
}

bool Sender::poll_lost(Time now, Transmit& transmit) {
    const std::uint32_t ticket = lost_.first;
    SentChunk& chunk = ring_->at(ticket);
    if (chunk.attempts >= shared_.config.max_attempts) {
        shared_.verdict = FailureReason::kRetryBudget;
        shared_.verdict_attempts = chunk.attempts;
        return false;
    }
    if (chunk.kind == wire::PacketKind::kData && queue_.at(chunk.message).cancelled) {
        chunk.kind = wire::PacketKind::kSkip;
        chunk.offset = queue_.at(chunk.message).id;
        chunk.code = chunk.length;
        lost_bytes_ -= chunk.length;
        chunk.length = 0;
    }
    if (!may_send(now, chunk.length)) {
        return false;
    }
    const PathId path = pick(now, chunk.path, wire::kMaxPriority);
    if (path == kNoPath) {
        return false;
    }
    ring_->remove(lost_, ticket);
    lost_bytes_ -= chunk.length;
    ++shared_.stats.retransmitted;
    pace(now, chunk.length);
    transmit_record(now, ticket, path, transmit);
    return true;
}

bool Sender::poll_control(Time now, Transmit& transmit) {
    if (ring_->full()) {
        return false;
    }
    const PathId path = pick(now, kNoPath, wire::kMaxPriority);
    if (path == kNoPath) {
        return false;
    }
    const Control control = controls_.front();
    controls_.pop();
    const std::uint32_t ticket = ring_->push();
    SentChunk& chunk = ring_->at(ticket);
    chunk.kind = control.kind;
    chunk.offset = control.message;
    chunk.code = control.code;
    transmit_record(now, ticket, path, transmit);
    return true;
}

// One decision for a whole burst: which message, how many bytes, which path.
bool Sender::begin_burst(Time now) {
    if (ring_->full() || !queue_.next(burst_.portion)) {
        burst_ = {};
        return false;
    }
    const std::uint32_t chunk_size = shared_.stats.chunk_size;
    const auto first =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(burst_.portion.bytes, chunk_size));
    const OutgoingMessage& message = queue_.at(burst_.portion.slot);
    PathId path = kNoPath;
    if (may_send(now, first)) {
        path = message.request.shares.empty() ? pick(now, kNoPath, message.request.priority)
                                              : pick_planned(now, message);
    }
    if (path == kNoPath) {
        burst_ = {};
        return false;
    }
    burst_.path = path;
    const std::uint64_t chunks = std::max<std::uint64_t>(
        std::min<std::uint64_t>(ring_->room(), burst_limit(shared_.paths[path]) / chunk_size), 1);
    burst_.portion.bytes = std::min(burst_.portion.bytes, chunks * chunk_size);
    pace(now, burst_.portion.bytes);
    return true;
}

// Bytes that may leave on this path at once: what both windows leave open, and no more than a
// burst. A burst as long as a path's whole share of the window would make the paths take turns
// instead of working at the same time (TCP's segmentation offload, too, is held to a share of the
// window: Linux's tcp_tso_win_divisor); half of it lets one be acknowledged while the other flies.
std::uint64_t Sender::burst_limit(const Path& path) const {
    const auto open = [](std::uint64_t window, std::uint64_t in_flight) {
        return window > in_flight ? window - in_flight : 0;
    };
    const std::uint64_t window = congestion_->window();
    const std::uint64_t free =
        std::min(open(window, in_flight_), open(path.window, path.in_flight));
    std::uint64_t burst = shared_.config.max_burst;
    if (shared_.config.spread_bursts) {
        burst = std::min(burst, std::min(window / shared_.paths.size(), path.window) / 2);
    }
    return std::min(free, burst);
}

void Sender::emit_chunk(Time now, Transmit& transmit) {
    Portion& portion = burst_.portion;
    const std::uint32_t chunk_size = shared_.stats.chunk_size;
    const auto bytes =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(portion.bytes, chunk_size));
    const std::uint32_t ticket = ring_->push();
    SentChunk& chunk = ring_->at(ticket);
    OutgoingMessage& message = queue_.at(portion.slot);
    chunk.message = portion.slot;
    chunk.offset = message.next_offset;
    chunk.length = bytes;
    chunk.flags = portion.flags;
    ++message.unacked;
    queue_.take(portion, bytes);
    portion.bytes -= bytes;
    shared_.stats.bytes_sent += bytes;
    transmit_record(now, ticket, burst_.path, transmit);
    transmit.burst_remaining =
        static_cast<std::uint32_t>((portion.bytes + chunk_size - 1) / chunk_size);
}

// Puts a record on a path: for the first time, or once more.
void Sender::transmit_record(Time now, std::uint32_t ticket, PathId path_id, Transmit& transmit) {
    SentChunk& chunk = ring_->at(ticket);
    Path& path = shared_.paths[path_id];
    chunk.sent_at = now;
    chunk.path = path_id;
    chunk.order = ++path.sent_order;
    chunk.fate = Fate::kInFlight;
    ++chunk.attempts;
    ++path.chunks_sent;
    path.in_flight += chunk.length;
    in_flight_ += chunk.length;
    const bool was_empty = path.flying.empty();
    ring_->append(path.flying, ticket);
    if (was_empty || chunk.attempts > 1) {
        arm(path, ticket);
    }
    ++shared_.stats.chunks_sent;
    congestion_->on_sent(now, path_id, chunk.length);
    fill_packet(chunk, ring_->sequence_of(ticket), now, transmit);
}

void Sender::fill_packet(const SentChunk& chunk, Sequence sequence, Time now,
                         Transmit& transmit) const {
    wire::Packet& packet = transmit.packet;
    shared_.address(packet, chunk.kind, chunk.path, now);
    packet.flags = chunk.flags;
    packet.sequence = static_cast<std::uint32_t>(sequence);
    transmit.cookie = 0;
    transmit.burst_remaining = 0;
    if (chunk.kind == wire::PacketKind::kData) {
        const OutgoingMessage& message = queue_.at(chunk.message);
        const SendRequest& request = message.request;
        packet.priority = request.priority;
        packet.data = {chunk.length,      message.id,          chunk.offset,     request.size,
                       request.tag.group, request.tag.message, request.signature};
        transmit.cookie = request.cookie;
    } else if (chunk.kind == wire::PacketKind::kGrant) {
        packet.grant = {chunk.offset, descriptors_[chunk.code]};
    } else {
        packet.abandon = {chunk.offset, chunk.code};
    }
}

void Sender::fill(Stats& stats) const {
    stats.congestion_window = congestion_->window();
    stats.in_flight = in_flight_;
    stats.eager_credit_left = queue_.eager_credit_left();
}

}  // namespace weft::transport
