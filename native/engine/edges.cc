#include "engine/edges.h"

namespace weft::engine {

using datapath::PeerId;
using datapath::Transfer;

ErrorPtr why_not_open(Context& context, PeerId id) {
    const Peer* peer = context.mesh().find(id);
    if (peer == nullptr || peer->state() == Peer::State::kConnecting) {
        return make_error(WEFT_ERR_STATE, "the connection to this peer is not open", id);
    }
    return peer->state() == Peer::State::kFailed ? peer->error() : nullptr;
}

// ---------------------------------------------------------------- connect

Connect::Connect(Context& context, Address address, Time deadline)
    : Operation(deadline), context_(context), address_(std::move(address)) {}

void Connect::start(Engine&) {
    context_.mesh().want(address_, deadline(), true);
    context_.mesh().watch_changes(this, [this] { look(); });
    look();
}

void Connect::look() {
    const Peer* peer = context_.mesh().find(address_.peer);
    if (finished() || (peer != nullptr && peer->state() == Peer::State::kConnecting)) {
        return;
    }
    context_.mesh().unwatch_changes(this);
    finish(why_not_open(context_, address_.peer));
}

void Connect::fail(const ErrorPtr& error) {
    context_.mesh().unwatch_changes(this);
    if (Peer* peer = context_.mesh().find(address_.peer)) {
        context_.mesh().give_up(*peer);
    }
    finish(error);
}

ErrorPtr Connect::timeout_error() const {
    return make_error(WEFT_ERR_UNREACHABLE,
                      "the peer did not answer in time: does its process live, do both use the "
                      "same secret, do firewalls let UDP through?",
                      address_.peer);
}

// ---------------------------------------------------------------- accept

void Accept::start(Engine&) {
    context_.mesh().watch_changes(this, [this] { look(); });
    look();
}

void Accept::look() {
    if (finished()) {
        return;
    }
    if (const Peer* peer = context_.mesh().next_unclaimed()) {
        peer_ = peer->id();
        context_.mesh().unwatch_changes(this);
        finish(nullptr);
    }
}

void Accept::fail(const ErrorPtr& error) {
    context_.mesh().unwatch_changes(this);
    finish(error);
}

ErrorPtr Accept::timeout_error() const {
    return make_error(WEFT_ERR_TIMEOUT, "no peer connected in time");
}

// ---------------------------------------------------------------- messages

PeerMessage::PeerMessage(Context& context, PeerId peer, Direction direction, void* data,
                         std::size_t length, std::uint64_t tag, Time deadline)
    : Operation(deadline), context_(context), peer_(peer), direction_(direction) {
    transfer_.tag = {.group = kPeerMessages, .message = tag};
    transfer_.data = static_cast<std::byte*>(data);
    transfer_.size = length;
    transfer_.observer = this;
}

void PeerMessage::start(Engine&) {
    if (ErrorPtr error = why_not_open(context_, peer_)) {
        finish(std::move(error));
        return;
    }
    Peer& peer = *context_.mesh().find(peer_);
    channel_ = &peer.channel();
    Peer::Stream& stream = peer.stream(transfer_.tag.message);
    transfer_.tag.group =
        peer_group(direction_ == Direction::kSend ? stream.sent++ : stream.received++);
    channel_->watch(true);
    if (direction_ == Direction::kSend) {
        channel_->send(transfer_);
    } else {
        channel_->recv(transfer_);
    }
}

void PeerMessage::transfer_done(Transfer& transfer) noexcept {
    channel_->watch(false);
    if (transfer.state != Transfer::State::kFailed) {
        finish(nullptr);
    } else if (transfer.error->status == WEFT_ERR_MISMATCH && transfer.peer_size != transfer.size) {
        finish(make_error(WEFT_ERR_MISMATCH,
                          "the peer sent " + std::to_string(transfer.peer_size) +
                              " bytes under tag " + std::to_string(transfer.tag.message) +
                              " where " + std::to_string(transfer.size) + " were expected",
                          peer_));
    } else {
        finish(transfer.error);
    }
}

void PeerMessage::fail(const ErrorPtr& error) {
    channel_->cancel(transfer_);
    channel_->watch(false);
    finish(error);
}

ErrorPtr PeerMessage::timeout_error() const {
    const bool sending = direction_ == Direction::kSend;
    return make_error(
        WEFT_ERR_TIMEOUT,
        std::string(sending ? "send" : "recv") + " of " + std::to_string(transfer_.size) +
            " bytes under tag " + std::to_string(transfer_.tag.message) +
            " was not done in time: the peer has not " + (sending ? "taken them" : "sent them"),
        peer_);
}

}  // namespace weft::engine
