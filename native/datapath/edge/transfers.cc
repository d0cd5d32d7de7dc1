// Transfers on an edge: sends, what is taken back or cannot be finished any more, and the
// connection's events.
#include <algorithm>
#include <utility>

#include "datapath/edge/message_edge.h"

namespace weft::datapath {
namespace {

// Below this copying costs less than waiting for the acknowledgement, which alone makes the
// sender's buffer free again.
constexpr std::size_t kCopiedSend = 16 << 10;
constexpr std::size_t kMostCopied = 4 << 20;
constexpr std::size_t kMostForgotten = 1024;

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
