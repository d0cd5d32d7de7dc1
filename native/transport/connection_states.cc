// The states of a connection from the first hello to the end, and how the two sides part.
#include <algorithm>
#include <utility>

#include "transport/connection_parts.h"

namespace weft::transport {

void Connection::Parts::set_state(Time now, State state) {
    shared.stats.state = state;
    shared.observe(
        {.now = now, .kind = TraceKind::kState, .value = static_cast<std::uint64_t>(state)});
}

void Connection::Parts::establish(Time now) {
    sender.open();
    receiver.open();
    set_state(now, State::kEstablished);
    Event event;
    event.kind = EventKind::kConnected;
    shared.events.push(event);
}

void Connection::Parts::act_on_verdict(Time now) {
    const FailureReason reason = std::exchange(shared.verdict, FailureReason::kNone);
    if (!alive()) {
        return;
    }
    failure.reason = reason;
    failure.code = shared.verdict_code;
    failure.attempts = shared.verdict_attempts;
    failure.silence = now - shared.last_heard;
    failure.remote_peer = shared.stats.remote_peer;
    failure.paths = shared.paths;
    finish(now, State::kFailed, EventKind::kFailed, shared.verdict_code);
    close_code = reason == FailureReason::kAborted
                     ? shared.verdict_code
                     : kOwnVerdict + static_cast<std::uint32_t>(reason);
    close_due = shared.remote_id != 0 && reason != FailureReason::kPeerAborted;
}

void Connection::Parts::finish(Time now, State state, EventKind last_event, std::uint32_t code) {
    set_state(now, state);
    close_timer = kNever;
    close_due = false;
    liveness.set_waiting(now, false);
    Event event;
    event.kind = last_event;
    event.code = code;
    shared.events.push(event);
}

// Sends kClose, now and again until it is answered.
void Connection::Parts::say_goodbye(Time now, std::uint32_t code) {
    close_code = code;
    close_due = true;
    close_interval = shared.config.handshake_interval;
    close_timer = now + close_interval;
    close_deadline = now + shared.config.close_timeout;
}

void Connection::Parts::on_close_timer(Time now) {
    if (now < close_timer) {
        return;
    }
    if (now >= close_deadline) {
        finish(now, State::kClosed, EventKind::kClosed, 0);  // the peer left first, it seems
        return;
    }
    close_due = true;
    close_interval *= 2;
    close_timer = std::min(now + close_interval, close_deadline);
}

void Connection::Parts::on_close(Time now, const wire::Packet& packet) {
    if (packet.code.code != kOrderly) {
        shared.verdict = FailureReason::kPeerAborted;
        shared.verdict_code = packet.code.code;
        return;
    }
    // Who leaves in order may have all that we sent, and its kClose have overtaken on another path
    // what says so. It acknowledges until it is answered, and repeats its kClose, which counts.
    if (sender.idle() || peer_leaves) {
        part(now);
    }
    peer_leaves = true;
}

void Connection::Parts::part(Time now) {
    close_reply_due = true;
    const bool both = state() == State::kClosing;
    finish(now, State::kClosed, both ? EventKind::kClosed : EventKind::kPeerClosed, 0);
}

}  // namespace weft::transport
