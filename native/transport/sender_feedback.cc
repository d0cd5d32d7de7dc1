// The incoming side of the sender: acknowledgements, round-trip times, and the losses they reveal.
#include <algorithm>
#include <bit>

#include "transport/sender.h"

namespace weft::transport {
namespace {

constexpr int kTrimsPerAttempt = 8;

// Shortest ways back are remembered for one to two of these.
constexpr Time kOneWayPeriod = 5 * kSecond;

// Distance of two transmission counters that wrap around.
std::int32_t distance(std::uint32_t later, std::uint32_t earlier) {
    return static_cast<std::int32_t>(later - earlier);
}

}  // namespace

void Sender::on_ack(Time now, const wire::Packet& packet) {
    const wire::Ack& ack = packet.ack;
    const Sequence cumulative = expand_sequence(packet.sequence, ring_->base());
    if (cumulative > ring_->next()) {
        shared_.drop(now, Drop::kOutsideWindow);
        return;
    }
    ++shared_.stats.acks_received;
    queue_.raise_credit(ack.eager_credit);
    // Word by word, in step with our own bitmap; everything below the cumulative number counts as
    // set.
    AckTotals totals{.held = static_cast<Time>(ack.delay)};
    const Sequence first = std::min(ring_->base(), cumulative) / 64;
    const Sequence here = cumulative / 64;
    const Sequence end = here + std::max<Sequence>(ack.word_count, 1);
    for (Sequence index = first; index < end; ++index) {
        std::uint64_t received = ~std::uint64_t{0};
        if (index >= here) {
            const Sequence word = index - here;
            received = word < ack.word_count ? ack.words[word] : 0;
            received |= index == here ? (std::uint64_t{1} << (cumulative % 64)) - 1 : 0;
        }
        std::uint64_t fresh = ring_->newly_acked(index, received);
        ring_->mark_acked(index, fresh);
        for (; fresh != 0; fresh &= fresh - 1) {
            const auto bit = static_cast<unsigned>(std::countr_zero(fresh));
            on_chunk_acked(now, SentRing::ticket_of(64 * index + bit), totals);
        }
    }
    ring_->advance();
    const bool newer = distance(ack.marked, peer_marked_) > 0;
    totals.marked = newer ? ack.marked - peer_marked_ : 0;
    peer_marked_ = newer ? ack.marked : peer_marked_;
    shared_.stats.marks += totals.marked;
    // After the bitmap: the echo names the newest arrival, and would make the older ones look
    // overtaken.
    RoundTrip trip;
    if ((ack.echo_flags & wire::kEchoValid) != 0) trip = on_echo(now, packet, totals);
    congestion_->on_ack({.now = now,
                         .path = ack.echo_path,
                         .rtt = trip.rtt,
                         .queued_back = trip.queued_back,
                         .bytes = totals.bytes,
                         .chunks = totals.chunks,
                         .marked = totals.marked,
                         .echo_marked = (ack.echo_flags & wire::kEchoMarked) != 0,
                         .in_flight = in_flight_},
                        shared_.paths);
    if (shared_.trace != nullptr) [[unlikely]] {
        shared_.observe({.now = now, .kind = TraceKind::kWindow, .value = congestion_->window()});
    }
    if (in_flight_ == 0 && lost_.empty() && ring_->base() == ring_->next()) {
        loss_timer_ = kNever;
    }
}

// What the acknowledgement says of the chunk that triggered it. Returns its round-trip time without
// the receiver's holding time.
Sender::RoundTrip Sender::on_echo(Time now, const wire::Packet& packet, const AckTotals& totals) {
    const wire::Ack& ack = packet.ack;
    const Sequence sequence = expand_sequence(ack.echo_sequence, ring_->base());
    const SentChunk* chunk = ring_->recall(sequence);
    if (chunk == nullptr || ack.echo_path >= shared_.paths.size()) {
        return {};
    }
    Path& path = shared_.paths[ack.echo_path];
    const bool last_transmission = ack.echo_timestamp == static_cast<std::uint32_t>(chunk->sent_at);
    if ((ack.echo_flags & wire::kEchoDiscarded) != 0) {
        if (last_transmission && chunk->fate == Fate::kInFlight) {
            go_back(now);
        }
        return {};
    }
    if ((ack.echo_flags & wire::kEchoTrimmed) != 0) {
        if (last_transmission && chunk->fate == Fate::kInFlight) {
            ++shared_.stats.trims;
            const std::uint32_t ticket = SentRing::ticket_of(sequence);
            SentChunk& trimmed = ring_->at(ticket);
            // The header got through, so the path and the peer live: a full queue may trim a chunk
            // several times before that counts as one attempt in vain.
            if (++trimmed.trims % kTrimsPerAttempt != 0 && trimmed.attempts > 1) {
                --trimmed.attempts;
            }
            declare_lost(now, ticket, LossCause::kTrimmed);
        }
        return {};
    }
    const bool needless =
        chunk->attempts > 1 && (!last_transmission || (ack.echo_flags & wire::kEchoDuplicate) != 0);
    if (needless) {
        ++shared_.stats.spurious;
        if (chunk->cause == LossCause::kReordered) {
            recovery_->on_spurious(0);
        }
    }
    // Time stamps are 32 bits of nanoseconds: right up to 4.29 s, which no timeout lets pass.
    const Time elapsed = static_cast<std::uint32_t>(now) - ack.echo_timestamp;
    const Time rtt = std::max<Time>(elapsed - static_cast<Time>(ack.delay), 1);
    shared_.stats.rtt.add(rtt);
    if (chunk->attempts > 1) {
        path.rtt.add(rtt);
    }
    const bool marked = (ack.echo_flags & wire::kEchoMarked) != 0;
    path.marks += marked ? 1 : 0;
    if (last_transmission && chunk->path == ack.echo_path) {
        path.timeouts = 0;
        path.tail_probed = false;
        if (distance(chunk->order, path.acked_order) > 0) {
            path.acked_order = chunk->order;
            detect_losses(now, ack.echo_path);
        }
    }
    if (!path.flying.empty()) {
        arm(path, path.flying.first);  // on better knowledge than when it was sent
    }
    scheduler_->on_echo({.now = now,
                         .path = ack.echo_path,
                         .rtt = rtt,
                         .marked = marked,
                         .marked_chunks = totals.marked,
                         .delivered = {delivered_.data(), totals.delivered}},
                        shared_.paths);
    return {.rtt = rtt, .queued_back = queued_on_way(now, packet)};
}

// What a packet from the peer waited in queues: its way less the shortest such way of late.
Time Sender::queued_on_way(Time now, const wire::Packet& packet) {
    if (now - aged_at_ >= kOneWayPeriod) {
        aged_at_ = now;
        for (Path& path : shared_.paths) {
            path.back.age();
        }
    }
    if (packet.path >= shared_.paths.size()) {
        return 0;
    }
    OneWayDelay& back = shared_.paths[packet.path].back;
    return back.queueing(static_cast<std::uint32_t>(now) - packet.timestamp);
}

void Sender::on_chunk_acked(Time now, std::uint32_t ticket, AckTotals& totals) {
    SentChunk& chunk = ring_->at(ticket);
    Path& path = shared_.paths[chunk.path];
    if (chunk.fate == Fate::kInFlight) {
        ring_->remove(path.flying, ticket);
        path.in_flight -= chunk.length;
        in_flight_ -= chunk.length;
    } else {
        ring_->remove(lost_, ticket);
        lost_bytes_ -= chunk.length;
        if (chunk.cause == LossCause::kReordered) {
            ++shared_.stats.spurious;
            recovery_->on_spurious(path.acked_order - chunk.order);
        }
    }
    chunk.fate = Fate::kAcked;
    path.bytes_acked += chunk.length;
    ++path.chunks_acked;
    totals.bytes += chunk.length;
    ++totals.chunks;
    if (shared_.trace != nullptr) [[unlikely]] {
        shared_.observe({.now = now,
                         .kind = TraceKind::kChunkAcked,
                         .path = chunk.path,
                         .bytes = chunk.length,
                         .sequence = ring_->sequence_of(ticket)});
    }
    // Which of several transmissions arrived is not known (Karn's rule): only a single one is
    // evidence. Its time includes the wait for company in the acknowledgement; that is what
    // timeouts must outlast.
    if (chunk.attempts == 1) {
        if (totals.delivered < delivered_.size()) {
            delivered_[totals.delivered++] = chunk.path;
        }
        path.rtt.add(std::max<Time>(now - chunk.sent_at - totals.held, 1));
        path.timeouts = 0;
        path.tail_probed = false;
        if (distance(chunk.order, path.acked_order) > 0) {
            path.acked_order = chunk.order;
        }
    }
    on_record_settled(chunk);
    detect_losses(now, chunk.path);
}

// The record's number is acknowledged: its message, or its grant, may be complete with it.
void Sender::on_record_settled(SentChunk& chunk) {
    if (chunk.kind == wire::PacketKind::kGrant) {
        free_descriptors_.push_back(chunk.code);
    }
    if (chunk.message == SentChunk::kNil) {
        return;
    }
    OutgoingMessage& message = queue_.at(chunk.message);
    if (--message.unacked != 0) {
        return;
    }
    if (message.cancelled) {
        queue_.erase(chunk.message);
    } else if (message.sent_whole()) {
        Event event;
        event.kind = EventKind::kMessageSent;
        event.message = message.id;
        event.tag = message.request.tag;
        event.signature = message.request.signature;
        event.size = message.request.size;
        event.cookie = message.request.cookie;
        event.priority = message.request.priority;
        shared_.events.push(event);
        ++shared_.stats.messages_sent;
        queue_.erase(chunk.message);
    }
}

// Declares lost what enough later transmissions on the same path have overtaken.
void Sender::detect_losses(Time now, PathId path_id) {
    Path& path = shared_.paths[path_id];
    const auto threshold = static_cast<std::int32_t>(recovery_->reorder_threshold());
    while (!path.flying.empty()) {
        const std::uint32_t oldest = path.flying.first;
        if (distance(path.acked_order, ring_->at(oldest).order) < threshold) {
            return;
        }
        if (recovery_->in_order() && just_repeated(now, ring_->at(oldest))) {
            return;
        }
        ++shared_.stats.fast_retransmits;
        declare_lost(now, oldest, LossCause::kReordered);
    }
}

// A chunk is lost, though not by a timeout (time_out() reports those, once for all chunks of a
// path); a recovery that keeps order loses all behind it, too.
void Sender::declare_lost(Time now, std::uint32_t ticket, LossCause cause) {
    LossSample sample{.now = now, .path = ring_->at(ticket).path, .cause = cause};
    sample.bytes = ring_->at(ticket).length;
    sample.share = share_of(shared_.paths[sample.path]);
    if (recovery_->in_order()) {
        sample.bytes += lose_behind(now, ticket, cause);
    }
    take_out_of_flight(now, ticket, cause);
    congestion_->on_loss(sample, shared_.paths);
    scheduler_->on_loss(sample, shared_.paths);
}

double Sender::share_of(const Path& path) const {
    return in_flight_ == 0 ? 1
                           : static_cast<double>(path.in_flight) / static_cast<double>(in_flight_);
}

bool Sender::just_repeated(Time now, const SentChunk& chunk) const {
    return chunk.attempts > 1 && now - chunk.sent_at < shared_.stats.rtt.smoothed();
}

// Something came before its turn: what has its turn is lost, with all behind it. At most once per
// round trip, for all that was under way comes too early then.
void Sender::go_back(Time now) {
    const std::uint32_t due = SentRing::ticket_of(ring_->base());
    const SentChunk& chunk = ring_->at(due);
    if (chunk.fate == Fate::kInFlight && !just_repeated(now, chunk)) {
        ++shared_.stats.fast_retransmits;
        declare_lost(now, due, LossCause::kReordered);
    }
}

// Loses everything in flight behind the chunk: no fault of theirs, and no attempt in vain. Those
// that wait to be sent again are behind them all: going backwards keeps the list in order.
std::uint64_t Sender::lose_behind(Time now, std::uint32_t ticket, LossCause cause) {
    std::uint64_t bytes = 0;
    const Sequence sequence = ring_->sequence_of(ticket);
    for (Sequence behind = ring_->next() - 1; behind > sequence; --behind) {
        SentChunk& chunk = ring_->at(SentRing::ticket_of(behind));
        if (chunk.fate == Fate::kInFlight) {
            chunk.attempts = std::max<std::uint8_t>(chunk.attempts, 2) - 1;
            bytes += chunk.length;
            take_out_of_flight(now, SentRing::ticket_of(behind), cause);
        }
    }
    return bytes;
}

// Queues a chunk in flight to be sent again.
void Sender::take_out_of_flight(Time now, std::uint32_t ticket, LossCause cause) {
    SentChunk& chunk = ring_->at(ticket);
    Path& path = shared_.paths[chunk.path];
    ring_->remove(path.flying, ticket);
    path.in_flight -= chunk.length;
    in_flight_ -= chunk.length;
    ++path.chunks_lost;
    chunk.fate = Fate::kLost;
    chunk.cause = cause;
    if (recovery_->in_order()) {
        ring_->prepend(lost_, ticket);
    } else {
        ring_->append(lost_, ticket);
    }
    lost_bytes_ += chunk.length;
    shared_.observe({.now = now,
                     .kind = TraceKind::kChunkLost,
                     .path = chunk.path,
                     .bytes = chunk.length,
                     .sequence = ring_->sequence_of(ticket),
                     .value = static_cast<std::uint64_t>(cause)});
}

}  // namespace weft::transport
