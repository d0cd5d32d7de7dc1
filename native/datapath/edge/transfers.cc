// Transfers on an edge: sends and receives, matching, and where arriving bytes go.
#include <algorithm>
#include <cstring>
#include <utility>

#include "datapath/edge/message_edge.h"

namespace weft::datapath {
namespace {

// Below this copying costs less than waiting for the acknowledgement, which alone makes the
// sender's buffer free again.
constexpr std::size_t kCopiedSend = 16 << 10;
constexpr std::size_t kMostCopied = 4 << 20;
constexpr std::size_t kMostForgotten = 1024;
constexpr std::size_t kUnit = 64;  // Reducer's promise: pieces are multiples of it

// What a pending transfer is to us (Transfer::cookie[1]).
enum Role : std::uint64_t { kPosted = 1, kMatched, kSending, kWaiting };

}  // namespace

void MessageEdge::finish(Transfer& transfer, const ErrorPtr& error) {
    transfer.error = error;
    transfer.state = error ? Transfer::State::kFailed : Transfer::State::kDone;
    if (transfer.observer != nullptr) {
        transfer.observer->transfer_done(transfer);
    }
}

// ---------------------------------------------------------------- sends

void MessageEdge::send(Transfer& transfer) {
    if (phase_ > Phase::kOpen) {
        finish(transfer, error_);
        return;
    }
    transfer.state = Transfer::State::kPending;
    if (takes_sends()) {
        start_send(transfer);
    } else {
        transfer.cookie[1] = kWaiting;
        early_sends_.push_back(&transfer);
    }
}

void MessageEdge::start_early_sends() {
    for (Transfer* transfer : std::exchange(early_sends_, {})) {
        start_send(*transfer);
    }
}

void MessageEdge::start_send(Transfer& transfer) {
    Outgoing& message = outgoing_.take();
    message.size = transfer.size;
    message.data = transfer.data;
    const bool copies = phase_ == Phase::kOpen && transfer.size <= kCopiedSend &&
                        copied_bytes_ + transfer.size <= kMostCopied;
    if (copies) {
        message.copy.assign(transfer.data, transfer.data + transfer.size);
        message.data = message.copy.data();
        copied_bytes_ += transfer.size;
    } else {
        message.transfer = &transfer;
        transfer.cookie[0] = message.handle;
        transfer.cookie[1] = kSending;
    }
    message.id = connection_->send(
        clock_now(),
        {.tag = {transfer.tag.group, transfer.tag.message},
         .signature = transfer.signature,
         .size = transfer.size,
         .priority = static_cast<std::uint8_t>(
             std::clamp<std::int32_t>(transfer.priority, 0, wire::kMaxPriority)),
         .cookie = message.handle,
         .shares = copies ? std::span<const transport::PathShare>() : transfer.shares});
    if (message.id == transport::kNoMessage) {
        release(message);
        finish(
            transfer,
            make_error(WEFT_ERR_INVALID,
                       name_ + ": a message of " + std::to_string(transfer.size) +
                           " bytes cannot be sent (the limit is 2^40, and the edge must be open)",
                       peer_));
        return;
    }
    touch();
    if (copies) {
        finish(transfer, nullptr);
    }
}

void MessageEdge::on_sent(const transport::Event& event) {
    if (Outgoing* message = outgoing_.find(event.cookie)) {
        message->sent = true;
        if (message->readers == 0) {
            Transfer* transfer = message->transfer;
            release(*message);
            if (transfer != nullptr) {
                finish(*transfer, nullptr);
            }
        }
    }
}

// The device has read one piece more of what was handed to it.
void MessageEdge::reader_done(std::uint64_t handle) {
    Outgoing* message = outgoing_.find(handle);
    if (message == nullptr || --message->readers > 0 || !message->sent) {
        return;
    }
    Transfer* transfer = message->transfer;
    release(*message);
    if (transfer != nullptr) {
        finish(*transfer, nullptr);
    }
}

void MessageEdge::on_granted(const transport::Event& event) {
    Outgoing* message = outgoing_.find(event.cookie);
    if (message != nullptr && event.remote != wire::RemoteDescriptor{}) {
        message->placed = true;
        message->remote = event.remote;
    }
}

void MessageEdge::on_refused(const transport::Event& event) {
    if (Outgoing* message = outgoing_.find(event.cookie)) {
        Transfer* transfer = message->transfer;
        release(*message);
        if (transfer != nullptr) {
            const bool mismatch = event.code == kMismatched;
            finish(
                *transfer,
                make_error(mismatch ? WEFT_ERR_MISMATCH : WEFT_ERR_ABORTED,
                           name_ + (mismatch ? ": the peer's receive differs in size or kind from "
                                               "this message"
                                             : ": the peer does not want this message any more"),
                           peer_));
        }
    }
}

// ---------------------------------------------------------------- receives

void MessageEdge::recv(Transfer& transfer) {
    if (phase_ > Phase::kLeft) {
        finish(transfer, error_);
        return;
    }
    transfer.state = Transfer::State::kPending;
    if (Incoming* message = unmatched_.take(transfer.tag)) {
        const Time now = clock_now();
        match(*message, transfer, now);
        if (phase_ == Phase::kLeft && unmatched_.empty()) {
            farewell_at_ = now;  // not from here: the owner did not ask for bad news
            touch();
        }
    } else if (phase_ == Phase::kLeft) {
        finish(transfer, error_);
    } else {
        transfer.cookie[1] = kPosted;
        posted_.push(transfer);
    }
}

void MessageEdge::on_opened(const transport::Event& event, Time now) {
    const Tag tag{event.tag.group, event.tag.message};
    if (phase_ != Phase::kOpen || forgotten_.contains(tag.group)) {
        connection_->refuse(now, event.message, kForgotten);
        return;
    }
    Incoming& message = incoming_.take();
    message.id = event.message;
    message.tag = tag;
    message.signature = event.signature;
    message.size = event.size;
    last_opened_ = message.handle;
    unaccepted_.emplace(message.id, &message);
    if (Transfer* transfer = posted_.take(tag)) {
        match(message, *transfer, now);
        return;
    }
    unmatched_.push(message);
    if (owner_ != nullptr) {
        owner_->message_unmatched(*channel_, tag, event.signature, message.size);
    }
}

// Brings a message and its receive together; neither is in a queue any more.
void MessageEdge::match(Incoming& message, Transfer& transfer, Time now) {
    unaccepted_.erase(message.id);
    if (!agree(message, transfer, now)) {
        return;
    }
    message.transfer = &transfer;
    transfer.cookie[0] = message.handle;
    transfer.cookie[1] = kMatched;
    connection_->accept(now, message.id, message.handle,
                        message.complete() ? nullptr : place(message, transfer));
    touch();
    if (message.complete()) {
        deliver(message);
    }
}

bool MessageEdge::agree(const Incoming& message, Transfer& transfer, Time now) {
    if (message.size == transfer.size && message.signature == transfer.signature) {
        return true;
    }
    ++mismatches_;
    transfer.peer_size = message.size;
    transfer.peer_signature = message.signature;
    connection_->refuse(now, message.id, kMismatched);
    touch();
    const bool sizes = message.size != transfer.size;
    release(*incoming_.find(message.handle));
    finish(transfer,
           make_error(WEFT_ERR_MISMATCH,
                      name_ + (sizes ? ": the peer sent " + std::to_string(transfer.peer_size) +
                                           " bytes where " + std::to_string(transfer.size) +
                                           " are expected"
                                     : ": the peer's message is of another kind than the one "
                                       "expected (operation, data type or reduction differ)"),
                      peer_));
    return false;
}

// A chunk's first and only arrival.
void MessageEdge::land(Incoming& message, const wire::Data& chunk,
                       std::span<const std::uint8_t> payload, Time now, bool in_place) {
    const std::uint64_t offset = chunk.offset;
    if (in_place) {  // the datapath vouches for offset and length
        message.landed += chunk.length;
        if (offset < message.buffered) {  // what deliver() will put there is the buffer's
            std::memcpy(message.buffer.get() + offset, message.transfer->data + offset,
                        std::min<std::uint64_t>(chunk.length, message.buffered - offset));
        }
        return;
    }
    if (message.transfer == nullptr && !message.buffer) {
        message.buffered = std::min(message.size, eager_limit_);
        message.buffer = std::make_unique_for_overwrite<std::byte[]>(message.buffered);
    }
    const auto* bytes = reinterpret_cast<const std::byte*>(payload.data());
    const std::size_t kept =
        offset < message.buffered ? std::min(payload.size(), message.buffered - offset) : 0;
    const std::size_t direct = payload.size() - kept;
    const bool whole_units = offset % kUnit == 0 && (payload.size() % kUnit == 0 ||
                                                     offset + payload.size() == message.size);
    if (offset + payload.size() > message.size || !whole_units ||
        (direct > 0 && message.transfer == nullptr)) {
        connection_->abort(now, kProtocol);
        return;
    }
    message.landed += payload.size();
    if (kept > 0) {
        std::memcpy(message.buffer.get() + offset, bytes, kept);
    }
    if (direct > 0) {
        put(*message.transfer, offset + kept, bytes + kept, direct);
    }
}

void MessageEdge::put(Transfer& transfer, std::size_t offset, const std::byte* bytes,
                      std::size_t size) {
    if (transfer.reducer != nullptr) {
        transfer.reducer->combine(transfer.data + offset, bytes, size);
    } else {
        std::memcpy(transfer.data + offset, bytes, size);
    }
}

void MessageEdge::on_received(const transport::Event& event) {
    if (Incoming* message = incoming_.find(event.cookie)) {
        deliver(*message);
    }
}

// All bytes are here.
void MessageEdge::deliver(Incoming& message) {
    Transfer& transfer = *message.transfer;
    if (message.buffered > 0) {
        put(transfer, 0, message.buffer.get(), message.buffered);
    }
    over_with(message, nullptr);
}

// The message's transfer ends, as soon as its memory is the user's alone.
void MessageEdge::over_with(Incoming& message, ErrorPtr verdict) {
    message.concluded = true;
    message.verdict = std::move(verdict);
    if (settled(message)) {
        conclude(message);
    }
}

void MessageEdge::conclude(Incoming& message) {
    Transfer& transfer = *message.transfer;
    const ErrorPtr verdict = std::move(message.verdict);
    release(message);
    finish(transfer, verdict);
}

void MessageEdge::on_cancelled(const transport::Event& event) {
    Incoming* message =
        event.cookie != 0 ? incoming_.find(event.cookie) : find_unaccepted(event.message);
    if (message == nullptr) {
        return;
    }
    Transfer* transfer = message->transfer;
    if (transfer == nullptr) {
        unmatched_.remove(*message);
        unaccepted_.erase(message->id);
        release(*message);
    } else if (!message->concluded) {
        over_with(*message, make_error(WEFT_ERR_ABORTED,
                                       name_ + ": the peer took back this message while it was on "
                                               "its way",
                                       peer_));
    }
}

MessageEdge::Incoming* MessageEdge::find_unaccepted(transport::MessageId id) {
    const auto it = unaccepted_.find(id);
    return it == unaccepted_.end() ? nullptr : it->second;
}

// ---------------------------------------------------------------- taking back

void MessageEdge::cancel(Transfer& transfer) {
    if (transfer.state != Transfer::State::kPending) {
        return;
    }
    transfer.state = Transfer::State::kIdle;
    const Time now = clock_now();
    switch (transfer.cookie[1]) {
        case kPosted:
            posted_.remove(transfer);
            break;
        case kMatched:
            if (Incoming* message = incoming_.find(transfer.cookie[0])) {
                message->concluded = false;
                revoke(message);
                connection_->refuse(now, message->id, kCancelled);
                release(*message);
            }
            break;
        case kSending:
            if (Outgoing* message = outgoing_.find(transfer.cookie[0])) {
                connection_->cancel(now, message->id, kCancelled);
                release(*message);
            }
            break;
        default:
            std::erase(early_sends_, &transfer);
            break;
    }
    touch();
}

void MessageEdge::forget_group(std::uint64_t group) {
    if (!forgotten_.insert(group).second) {
        return;
    }
    forgotten_order_.push_back(group);
    if (forgotten_order_.size() > kMostForgotten) {
        forgotten_.erase(forgotten_order_.front());
        forgotten_order_.pop_front();
    }
    const Time now = clock_now();
    while (Incoming* message =
               unmatched_.take_if([&](const Incoming& m) { return m.tag.group == group; })) {
        connection_->refuse(now, message->id, kForgotten);
        unaccepted_.erase(message->id);
        release(*message);
    }
    if (connection_) {
        touch();
    }
}

void MessageEdge::watch(bool on) {
    watchers_ += on ? 1 : -1;
    if (connection_) {
        connection_->expect(clock_now(), watchers_ > 0);
        touch();
    }
}

// ---------------------------------------------------------------- endings

void MessageEdge::release(Incoming& message) {
    incoming_.give_back(message);
}

void MessageEdge::release(Outgoing& message) {
    message.sent = false;  // nobody is to be told any more
    let_go(message);
    copied_bytes_ -= message.copy.size();
    outgoing_.give_back(message);
}

void MessageEdge::fail_receives(const ErrorPtr& why) {
    revoke(nullptr);
    while (Transfer* transfer = posted_.take_any()) {
        finish(*transfer, why);
    }
    incoming_.for_each([&](Incoming& message) {
        if (Transfer* transfer = message.transfer) {
            if (connection_) {
                connection_->refuse(clock_now(), message.id, kForgotten);
            }
            release(message);
            finish(*transfer, why);
        }
    });
}

void MessageEdge::fail_transfers(const ErrorPtr& why) {
    for (Transfer* transfer : std::exchange(early_sends_, {})) {
        finish(*transfer, why);
    }
    outgoing_.for_each([&](Outgoing& message) {
        Transfer* transfer = message.transfer;
        release(message);
        if (transfer != nullptr) {
            finish(*transfer, why);
        }
    });
    fail_receives(why);
}

// Messages that will never be whole and that nobody waits for.
void MessageEdge::drop_incomplete() {
    while (Incoming* message =
               unmatched_.take_if([](const Incoming& m) { return !m.complete(); })) {
        unaccepted_.erase(message->id);
        release(*message);
    }
}

// Without a word to anybody.
void MessageEdge::forget_transfers() noexcept {
    incoming_.for_each([](Incoming& message) { message.concluded = false; });
    revoke(nullptr);
    const Time now = clock_now();
    for (Transfer* transfer : std::exchange(early_sends_, {})) {
        transfer->state = Transfer::State::kIdle;
    }
    outgoing_.for_each([&](Outgoing& message) {
        if (Transfer* transfer = message.transfer) {
            transfer->state = Transfer::State::kIdle;
            connection_->cancel(now, message.id, kCancelled);
            release(message);
        }
    });
    while (Transfer* transfer = posted_.take_any()) {
        transfer->state = Transfer::State::kIdle;
    }
    while (unmatched_.take_any() != nullptr) {
    }
    unaccepted_.clear();
    incoming_.for_each([&](Incoming& message) {
        if (message.transfer != nullptr) {
            message.transfer->state = Transfer::State::kIdle;
        }
        if (connection_) {
            connection_->refuse(now, message.id, kForgotten);
        }
        release(message);
    });
}

// ---------------------------------------------------------------- packets and events

void MessageEdge::on_packet(Time now, const wire::Packet& packet,
                            std::span<const std::uint8_t> payload,
                            const transport::Arrival& arrival, bool in_place) {
    if (!connection_) {
        return;  // overruled just now
    }
    const transport::Landed landed = connection_->handle_packet(now, packet, arrival);
    if (landed.landing == transport::Landing::kLand) {
        Incoming* message = nullptr;
        if (landed.accepted) {
            message = incoming_.find(landed.cookie);
        } else if (landed.opened) {
            // The owner may accept it, before its first bytes land.
            transport::Event event;
            do {
                if (!connection_->poll_event(event)) {
                    break;
                }
                handle_event(event, now);
            } while (event.kind != transport::EventKind::kMessageOpened ||
                     event.message != packet.data.message);
            message = incoming_.find(last_opened_);
        } else {
            message = find_unaccepted(packet.data.message);
        }
        if (message != nullptr && message->id == packet.data.message) {
            land(*message, packet.data, payload, now, in_place);
        }
    }
    drain_events(now);
    touch();
}

void MessageEdge::on_undecodable(wire::DecodeStatus status) {
    if (connection_) {
        connection_->handle_undecodable(status);
    }
}

void MessageEdge::drain_events(Time now) {
    transport::Event event;
    while (connection_ && connection_->poll_event(event)) {
        handle_event(event, now);
    }
}

void MessageEdge::handle_event(const transport::Event& event, Time now) {
    using transport::EventKind;
    switch (event.kind) {
        case EventKind::kConnected:
            on_connected(now);
            break;
        case EventKind::kMessageOpened:
            on_opened(event, now);
            break;
        case EventKind::kMessageReceived:
            on_received(event);
            break;
        case EventKind::kMessageGranted:
            on_granted(event);  // the chunks follow by themselves
            break;
        case EventKind::kMessageSent:
            on_sent(event);
            break;
        case EventKind::kMessageCancelled:
            on_cancelled(event);
            break;
        case EventKind::kMessageRefused:
            on_refused(event);
            break;
        case EventKind::kPeerClosed:
            on_peer_closed(now);
            break;
        case EventKind::kClosed:
            end(error_);
            break;
        case EventKind::kFailed:
            on_failed();
            break;
    }
}

}  // namespace weft::datapath
