// The life of an edge, from its handshake to the ways in which it ends.
#include "datapath/edge/message_edge.h"

namespace weft::datapath {

MessageEdge::MessageEdge(std::string name, PeerId peer, ChannelOwner* owner, Phase phase)
    : phase_(phase),
      owner_(owner),
      name_(std::move(name)),
      peer_(peer),
      caller_(owner != nullptr) {}

MessageEdge::~MessageEdge() = default;

Channel::State MessageEdge::state() const noexcept {
    switch (phase_) {
        case Phase::kChecking:
        case Phase::kConnecting:
            return Channel::State::kConnecting;
        case Phase::kOpen:
        case Phase::kLeft:
            return Channel::State::kOpen;
        case Phase::kClosing:
        case Phase::kEnded:
            return Channel::State::kClosed;
        case Phase::kFailed:
            return Channel::State::kFailed;
    }
    return Channel::State::kFailed;
}

void MessageEdge::announce() {
    phase_ = Phase::kOpen;
    if (owner_ != nullptr && channel_ != nullptr) {
        owner_->channel_open(*channel_);
    }
}

void MessageEdge::close() {
    const Time now = clock_now();
    const ErrorPtr why = make_error(WEFT_ERR_ABORTED, who() + ": the edge was closed here", peer_);
    if (phase_ == Phase::kConnecting || phase_ == Phase::kOpen) {
        phase_ = Phase::kClosing;
        error_ = why;
        fail_receives(why);
        connection_->close(now);
        touch();
    } else if (phase_ == Phase::kChecking || phase_ == Phase::kLeft) {
        end(why);
    }
}

void MessageEdge::need_open() const {
    if (phase_ != Phase::kOpen) {
        throw Error(WEFT_ERR_STATE, who() + ": the edge is not open", peer_);
    }
}

void MessageEdge::set_policies(const transport::PolicyChange& change) {
    need_open();
    try {
        connection_->set_policies(change);
    } catch (const transport::ConfigError& error) {
        throw Error(WEFT_ERR_INVALID, error.what());
    }
    touch();
}

void MessageEdge::deny_path(std::uint16_t path, bool denied) {
    need_open();
    if (!connection_->deny_path(clock_now(), path, denied)) {
        throw Error(WEFT_ERR_INVALID,
                    who() + ": path " + std::to_string(path) +
                        (path < paths() ? " is the last good one: it stays in use"
                                        : " is not there: the edge has paths 0 to " +
                                              std::to_string(paths() - 1)),
                    peer_);
    }
    touch();
}

void MessageEdge::channel_gone() {
    channel_ = nullptr;
    depart();
    sweep_soon();
}

void MessageEdge::depart() {
    owner_ = nullptr;
    forget_transfers();
    if (phase_ == Phase::kConnecting) {
        refuse();
    } else {
        close();
    }
}

// A word to the peer would make its call fail, which is to go on waiting: ours will take its place.
void MessageEdge::overrule() {
    connection_.reset();
    end_unopened();
}

void MessageEdge::refuse() {
    if (connection_) {
        connection_->abort(clock_now(), 0);
        touch();
    }
    end_unopened();
}

void MessageEdge::end_unopened() {
    owner_ = nullptr;
    end(make_error(WEFT_ERR_ABORTED, who() + ": the edge was given up here", peer_));
    sweep_soon();
}

void MessageEdge::drop() noexcept {
    owner_ = nullptr;
    if (!error_) {
        error_ = make_error(WEFT_ERR_STATE, who() + ": the datapath of this edge is gone", peer_);
    }
    phase_ = Phase::kEnded;
    forget_transfers();
    connection_.reset();
    retired();
    wake_at_ = kNever;
}

// The peer said goodbye. Messages that came whole before that are still there to be received; the
// owner hears of the loss after the last of them, or after a while.
void MessageEdge::on_peer_closed(Time now) {
    if (phase_ != Phase::kOpen) {
        end(error_);
        return;
    }
    phase_ = Phase::kLeft;
    error_ = make_error(
        WEFT_ERR_PEER_DEAD,
        who() + " closed its edge to this process in order (it has left, or is shutting down)",
        peer_);
    drop_incomplete();
    fail_transfers(error_);
    farewell_at_ = now + peer_timeout();
    if (phase_ == Phase::kLeft && unmatched_.empty()) {
        leave(now);
    }
}

void MessageEdge::leave(Time) {
    if (phase_ != Phase::kLeft) {
        return;
    }
    phase_ = Phase::kEnded;
    farewell_at_ = kNever;
    forget_transfers();
    if (owner_ != nullptr) {
        owner_->channel_failed(*channel_, error_);
    }
}

void MessageEdge::end(const ErrorPtr& why) {
    phase_ = Phase::kEnded;
    farewell_at_ = kNever;
    error_ = why;
    ended();
    fail_transfers(why);
    sweep_soon();
}

void MessageEdge::on_failed() {
    const ErrorPtr why = explain(connection_->failure());
    if (phase_ == Phase::kClosing || (phase_ == Phase::kConnecting && !caller_)) {
        end(why);
    } else if (phase_ < Phase::kEnded) {
        fail(why);
    }
}

void MessageEdge::fail(const ErrorPtr& why) {
    phase_ = Phase::kFailed;
    farewell_at_ = kNever;
    error_ = why;
    ended();
    fail_transfers(why);
    sweep_soon();
    if (owner_ != nullptr) {
        owner_->channel_failed(*channel_, error_);
    }
}

}  // namespace weft::datapath
