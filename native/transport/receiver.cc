#include "transport/receiver.h"

#include <algorithm>

namespace weft::transport {
namespace {

constexpr std::uint32_t kNone = MessageTable<IncomingMessage>::kNone;
constexpr std::size_t kMostTrimmed = 256;  // echoes that wait; beyond, timers find the losses

}  // namespace

void Receiver::open() {
    window_.emplace(kFirstLap + shared_.remote.initial_sequence, shared_.config.window);
}

bool Receiver::accept(MessageId id, std::uint64_t cookie, const wire::RemoteDescriptor* remote) {
    const std::uint32_t slot = messages_.find(id);
    if (slot == kNone || messages_.at(slot).discarded || messages_.at(slot).accepted) {
        return false;
    }
    IncomingMessage& message = messages_.at(slot);
    message.accepted = true;
    message.cookie = cookie;
    eager_consumed_ += message.held;
    message.held = 0;
    // Credit rides on any acknowledgement; it deserves one of its own only when much of it came
    // back.
    ack_due_ = ack_due_ || eager_consumed_ - eager_advertised_ >= shared_.config.eager_window / 4;
    if (message.complete) {
        report_complete(message);
        messages_.erase(slot);
        return true;
    }
    ++awaited_;
    if (message.wants_grant || remote != nullptr) {
        message.granted = true;
        sender_.queue_grant(id, remote != nullptr ? *remote : wire::RemoteDescriptor{});
    }
    return true;
}

bool Receiver::refuse(MessageId id, std::uint32_t code) {
    const std::uint32_t slot = messages_.find(id);
    if (slot == kNone || messages_.at(slot).discarded) {
        return false;
    }
    IncomingMessage& message = messages_.at(slot);
    discard(message);
    if (message.complete) {
        messages_.erase(slot);
    } else {
        sender_.queue_refusal(id, code);  // the peer's kCancel will bury it
    }
    return true;
}

void Receiver::discard(IncomingMessage& message) {
    eager_consumed_ += message.held;
    message.held = 0;
    message.discarded = true;
    if (message.accepted && !message.complete) {
        --awaited_;
    }
}

Landed Receiver::on_packet(Time now, const wire::Packet& packet, const Arrival& arrival) {
    const Sequence sequence = expand_sequence(packet.sequence, window_->cumulative());
    const ReceiveWindow::Verdict verdict = window_->check(sequence);
    if (verdict == ReceiveWindow::Verdict::kOutside) {
        shared_.drop(now, Drop::kOutsideWindow);
        return {};
    }
    if (verdict == ReceiveWindow::Verdict::kDuplicate) {
        shared_.drop(now, Drop::kDuplicate);
        note_arrival(now, packet, arrival, true, wire::kEchoDuplicate);
        return {};
    }
    if (sequence != window_->cumulative() && sender_.keeps_order()) [[unlikely]] {
        shared_.drop(now, Drop::kOutOfOrder);
        note_arrival(now, packet, arrival, true, wire::kEchoDiscarded);
        return {};
    }
    if (arrival.trimmed) {
        shared_.drop(now, Drop::kTrimmed);
        note_arrival(now, packet, arrival, true, wire::kEchoTrimmed);
        return {};
    }
    if (!within_credit(packet)) {
        shared_.drop(now, Drop::kMalformed);
        return {};
    }
    Landed landed;
    bool completes = false;
    if (packet.kind == wire::PacketKind::kData) {
        const std::size_t known = messages_.size();
        const std::uint32_t slot = find_or_open(packet);
        if (slot == kNone) {
            shared_.drop(now, Drop::kMalformed);
            return {};
        }
        landed = on_data(packet, slot, messages_.size() != known);
        completes = packet.data.offset + packet.data.length == packet.data.size;
    } else if (packet.kind == wire::PacketKind::kCancel) {
        on_cancel(packet, sequence);
    } else if (packet.kind == wire::PacketKind::kSkip) {
        const bool eager = (packet.flags & wire::kFlagEager) != 0;
        eager_consumed_ += eager ? packet.abandon.code : 0;
    } else if (packet.kind == wire::PacketKind::kGrant) {
        sender_.on_grant(packet.grant);
    } else {
        sender_.on_refusal(packet.abandon);
    }
    window_->mark(sequence);
    ++shared_.stats.chunks_received;
    note_arrival(now, packet, arrival, completes, 0);
    if (!tombstones_.empty()) {
        bury_dead();
    }
    return landed;
}

// Counts eager bytes; false when the peer takes more than it was ever granted, which would cost us
// memory.
bool Receiver::within_credit(const wire::Packet& packet) {
    if ((packet.flags & wire::kFlagEager) == 0) {
        return true;
    }
    const bool data = packet.kind == wire::PacketKind::kData;
    const bool skip = packet.kind == wire::PacketKind::kSkip;
    const std::uint64_t bytes = data ? packet.data.length : skip ? packet.abandon.code : 0;
    if (eager_received_ + bytes > shared_.config.eager_window + eager_consumed_) {
        return false;
    }
    eager_received_ += bytes;
    return true;
}

// The record of the chunk's message, made now if this is its first chunk; kNone when the chunk
// contradicts what other chunks said.
std::uint32_t Receiver::find_or_open(const wire::Packet& packet) {
    const wire::Data& data = packet.data;
    if (data.message == kNoMessage) {
        return kNone;
    }
    const std::uint32_t slot = messages_.find(data.message);
    if (slot != kNone) {
        // A record that a cancel left behind knows no size.
        const IncomingMessage& known = messages_.at(slot);
        return known.discarded || known.size == data.size ? slot : kNone;
    }
    IncomingMessage message;
    message.id = data.message;
    message.tag = {data.tag_group, data.tag_message};
    message.signature = data.signature;
    message.size = data.size;
    message.priority = packet.priority;
    shared_.events.push(event_of(EventKind::kMessageOpened, message));
    return messages_.insert(message);
}

Landed Receiver::on_data(const wire::Packet& packet, std::uint32_t slot, bool opened) {
    IncomingMessage& message = messages_.at(slot);
    const std::uint32_t length = packet.data.length;
    const bool eager = (packet.flags & wire::kFlagEager) != 0;
    if (message.discarded) {
        eager_consumed_ += eager ? length : 0;
        return {};
    }
    if (eager) {
        (message.accepted ? eager_consumed_ : message.held) += length;
    }
    message.received += length;
    shared_.stats.bytes_received += length;
    if ((packet.flags & wire::kFlagWantsGrant) != 0) {
        message.wants_grant = true;
        if (message.accepted && !message.granted) {
            message.granted = true;
            sender_.queue_grant(message.id, wire::RemoteDescriptor{});
        }
    }
    Landed landed;
    landed.landing = length != 0 ? Landing::kLand : Landing::kNothing;
    landed.opened = opened;
    landed.accepted = message.accepted;
    landed.cookie = message.cookie;
    if (message.received == message.size) {
        message.complete = true;
        if (message.accepted) {
            --awaited_;
            report_complete(message);
            messages_.erase(slot);
        }
    }
    return landed;
}

void Receiver::on_cancel(const wire::Packet& packet, Sequence sequence) {
    if (packet.abandon.message == kNoMessage) {
        return;
    }
    std::uint32_t slot = messages_.find(packet.abandon.message);
    if (slot == kNone) {
        // Either long complete, or none of its chunks is here yet: those that come must not open
        // it.
        IncomingMessage unseen;
        unseen.id = packet.abandon.message;
        unseen.discarded = true;
        slot = messages_.insert(unseen);
    } else if (messages_.at(slot).complete) {
        return;
    } else if (!messages_.at(slot).discarded) {
        Event event = event_of(EventKind::kMessageCancelled, messages_.at(slot));
        event.code = packet.abandon.code;
        shared_.events.push(event);
        discard(messages_.at(slot));
    }
    // A second cancel (ours answered by a refusal) changes nothing: no chunk is younger than the
    // first.
    if (!messages_.at(slot).buried) {
        messages_.at(slot).buried = true;
        tombstones_.push({sequence, slot});
    }
}

void Receiver::bury_dead() {
    while (!tombstones_.empty() && tombstones_.front().until < window_->cumulative()) {
        messages_.erase(tombstones_.front().slot);
        tombstones_.pop();
    }
}

// Decides when the arrival is acknowledged: at once if `urgent`, else with a few others.
void Receiver::note_arrival(Time now, const wire::Packet& packet, const Arrival& arrival,
                            bool urgent, std::uint8_t echo_flags) {
    if ((echo_.flags & wire::kEchoTrimmed) != 0 && trimmed_.size() < kMostTrimmed) {
        trimmed_.push(echo_);
    }
    marked_ += arrival.marked ? 1 : 0;
    const int flags = echo_flags | wire::kEchoValid | (arrival.marked ? wire::kEchoMarked : 0);
    echo_ = {.sequence = packet.sequence,
             .timestamp = packet.timestamp,
             .path = packet.path,
             .flags = static_cast<std::uint8_t>(flags),
             .at = now};
    ++unacked_;
    // With a hole in the sequence acknowledge four times as often: whoever waits for it learns it
    // soon. Every other acknowledgement comes one chunk early, lest the echoes of chunks dealt out
    // over paths in turn always fall on the same paths.
    const Sequence disorder = window_->end() - window_->cumulative();
    const std::uint32_t every = disorder >= shared_.config.ack_disorder
                                    ? shared_.config.ack_every / 4
                                    : shared_.config.ack_every;
    const std::uint32_t early =
        every > 2 ? static_cast<std::uint32_t>(shared_.stats.acks_sent & 1) : 0;
    if (urgent || unacked_ + early >= every) {
        ack_due_ = true;
    } else if (ack_timer_ == kNever) {
        ack_timer_ = now + shared_.config.ack_delay;
    }
}

bool Receiver::poll_ack(Time now, Transmit& transmit) {
    if (!ack_due_) {
        return false;
    }
    wire::Packet& packet = transmit.packet;
    const std::size_t paths = shared_.paths.size();
    const bool more = !trimmed_.empty();
    const Echo echo = more ? trimmed_.front() : echo_;
    shared_.address(packet, wire::PacketKind::kAck, static_cast<PathId>(echo.path % paths), now);
    packet.sequence = static_cast<std::uint32_t>(window_->cumulative());
    wire::Ack& ack = packet.ack;
    ack.echo_sequence = echo.sequence;
    ack.echo_timestamp = echo.timestamp;
    ack.echo_path = echo.path;
    ack.echo_flags = echo.flags;
    const Time held = std::min<Time>(now - echo.at, 0xFFFFFFFF);
    ack.delay = static_cast<std::uint32_t>(held);
    ack.marked = marked_;
    ack.eager_credit = shared_.config.eager_window + eager_consumed_;
    ack.word_count = 0;
    if (window_->end() > window_->cumulative()) {
        const Sequence first = window_->cumulative() / 64;
        const Sequence count = (window_->end() - 1) / 64 - first + 1;
        ack.word_count = static_cast<std::uint8_t>(std::min<Sequence>(count, wire::kMaxAckWords));
        for (std::size_t i = 0; i < ack.word_count; ++i) {
            ack.words[i] = window_->word(first + i);
        }
    }
    eager_advertised_ = eager_consumed_;
    if (more) {
        trimmed_.pop();
    } else {
        echo_.flags = 0;
        unacked_ = 0;
        ack_due_ = false;
        ack_timer_ = kNever;
    }
    ++shared_.stats.acks_sent;
    transmit.cookie = 0;
    transmit.burst_remaining = 0;
    return true;
}

void Receiver::report_complete(const IncomingMessage& message) {
    ++shared_.stats.messages_received;
    shared_.events.push(event_of(EventKind::kMessageReceived, message));
}

Event Receiver::event_of(EventKind kind, const IncomingMessage& message) const {
    Event event;
    event.kind = kind;
    event.priority = message.priority;
    event.message = message.id;
    event.tag = message.tag;
    event.signature = message.signature;
    event.size = message.size;
    event.cookie = message.cookie;
    return event;
}

}  // namespace weft::transport
