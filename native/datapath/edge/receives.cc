// Receives on an edge: matching, and where arriving bytes go.
#include <algorithm>
#include <cstring>
#include <utility>

#include "datapath/edge/message_edge.h"

namespace weft::datapath {
namespace {

constexpr std::size_t kUnit = 64;  // Reducer's promise: pieces are multiples of it

}  // namespace

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

}  // namespace weft::datapath
