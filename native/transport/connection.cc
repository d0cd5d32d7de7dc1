// The connection itself: which part hears of which packet and whose turn it is to send. Its states
// are in connection_states.cc, everything else is in the parts.
#include "transport/connection.h"

#include <algorithm>
#include <utility>

#include "transport/connection_parts.h"

namespace weft::transport {
namespace {

using wire::PacketKind;

constexpr std::size_t kMaxPendingReplies = 16;  // more probes than that are not answered

bool is_handshake(PacketKind kind) {
    return kind >= PacketKind::kHello && kind <= PacketKind::kReject;
}

}  // namespace

// --- Inputs

void Connection::Parts::on_probe_reply(Time now, const wire::Packet& packet) {
    const PathId path = packet.probe.echo_path;
    if (path >= shared.paths.size()) {
        shared.drop(now, Drop::kMalformed);
        return;
    }
    const Time rtt = static_cast<std::uint32_t>(now) - packet.probe.echo_timestamp;
    shared.paths[path].rtt.add(std::max<Time>(rtt, 1));
    health.on_reply(now, path);
}

// The dead answer what the living still tell them, so that these need not wait for a timeout.
Landed Connection::Parts::on_packet_of_dead(const wire::Packet& packet) {
    if (packet.kind == PacketKind::kClose) {
        close_reply_due = state() == State::kClosed;
    } else if (state() == State::kFailed && packet.kind != PacketKind::kCloseReply &&
               failure.reason != FailureReason::kPeerAborted) {
        close_due = true;
    }
    return {};
}

Landed Connection::handle_packet(Time now, const wire::Packet& packet, const Arrival& arrival) {
    Parts& p = *parts_;
    if (packet.epoch != p.shared.config.epoch) {
        p.shared.drop(now, Drop::kWrongEpoch);
        return {};
    }
    if (packet.connection != p.shared.local_id && packet.kind != PacketKind::kHello) {
        p.shared.drop(now, Drop::kForeign);
        return {};
    }
    if (p.shared.trace != nullptr) [[unlikely]] {
        p.shared.observe({.now = now,
                          .kind = TraceKind::kPacketReceived,
                          .path = packet.path,
                          .sequence = packet.sequence,
                          .value = static_cast<std::uint64_t>(packet.kind)});
    }
    if (!p.alive()) {
        return p.on_packet_of_dead(packet);
    }
    if (!is_handshake(packet.kind)) {
        if (p.state() == State::kConnecting && p.handshaker.peer_proved()) {
            p.handshaker.finish();  // the kConfirm was lost or overtaken
            p.establish(now);
        }
        if (!p.open()) {
            p.shared.drop(now, Drop::kUnexpected);
            return {};
        }
        p.shared.last_heard = now;
    }
    Landed landed;
    if (wire::is_sequenced(packet.kind)) {
        p.sender.on_sequenced(now, packet);
        landed = p.receiver.on_packet(now, packet, arrival);
    } else if (packet.kind == PacketKind::kAck) {
        p.sender.on_ack(now, packet);
        if (p.peer_leaves && p.sender.idle()) {
            p.part(now);
        }
    } else if (packet.kind == PacketKind::kProbe) {
        if (p.replies.size() < kMaxPendingReplies) {
            p.replies.push({packet.path, packet.timestamp});
        }
    } else if (packet.kind == PacketKind::kProbeReply) {
        p.on_probe_reply(now, packet);
    } else if (packet.kind == PacketKind::kCredit) {
        p.sender.on_credit(now, packet.total.bytes);
    } else if (packet.kind == PacketKind::kDemand) {
        p.credits.on_demand(now, packet.total.bytes);
    } else if (packet.kind == PacketKind::kClose) {
        p.on_close(now, packet);
    } else if (packet.kind == PacketKind::kCloseReply) {
        if (p.state() == State::kClosing && p.close_timer != kNever) {
            p.finish(now, State::kClosed, EventKind::kClosed, 0);
        }
    } else if (p.handshaker.on_packet(now, packet)) {
        p.shared.last_heard = now;
        p.establish(now);
    }
    if (p.shared.verdict != FailureReason::kNone) [[unlikely]] {
        p.act_on_verdict(now);
    }
    return landed;
}

void Connection::handle_undecodable(wire::DecodeStatus status) {
    const bool corrupt =
        status == wire::DecodeStatus::kCorrupt || status == wire::DecodeStatus::kUnsealed;
    parts_->shared.drop(parts_->shared.last_heard, corrupt ? Drop::kCorrupt : Drop::kMalformed);
}

void Connection::handle_timeout(Time now) {
    Parts& p = *parts_;
    if (!p.alive()) {
        return;
    }
    p.handshaker.on_timer(now);
    if (p.open()) {
        p.sender.on_timer(now);
        p.receiver.on_timer(now);
        p.liveness.on_timer(now);
        p.on_close_timer(now);
    }
    if (p.shared.verdict != FailureReason::kNone) [[unlikely]] {
        p.act_on_verdict(now);
    }
}

// --- Outputs

void Connection::Parts::put_signal(Time now, Transmit& transmit, PacketKind kind, PathId path) {
    shared.address(transmit.packet, kind, path, now);
    transmit.packet.probe = {};
    transmit.cookie = 0;
    transmit.burst_remaining = 0;
}

// Packets outside of the flow of data: set-up, farewell, answers to probes.
bool Connection::Parts::poll_signals(Time now, Transmit& transmit) {
    if (handshaker.has_output() && alive()) {
        return handshaker.poll(now, transmit);
    }
    if (close_due) {
        close_due = false;
        put_signal(now, transmit, PacketKind::kClose, next_probe_path());
        transmit.packet.code.code = close_code;
        return true;
    }
    if (close_reply_due) {
        close_reply_due = false;
        put_signal(now, transmit, PacketKind::kCloseReply, next_probe_path());
        transmit.packet.code.code = kOrderly;
        return true;
    }
    if (!replies.empty() && open()) {
        const Reply reply = replies.front();
        replies.pop();
        const auto back = static_cast<PathId>(reply.path % shared.paths.size());
        put_signal(now, transmit, PacketKind::kProbeReply, back);
        transmit.packet.probe = {reply.echo, reply.path};
        return true;
    }
    return false;
}

// Credits for the peer, and our demand for its. A demand goes before the data it is about.
bool Connection::Parts::poll_credits(Time now, Transmit& transmit) {
    if (credits.due(now)) {
        return credits.poll(now, next_good_path(), transmit);
    }
    const std::uint64_t demand = sender.poll_demand(now);
    if (demand == 0) {
        return false;
    }
    put_signal(now, transmit, PacketKind::kDemand, next_good_path());
    transmit.packet.total.bytes = demand;
    return true;
}

bool Connection::Parts::poll_probes(Time now, Transmit& transmit) {
    PathId path = health.poll_probe(now);
    if (path == kNoPath && liveness.take_probe()) {
        path = next_probe_path();
    }
    if (path == kNoPath) {
        return false;
    }
    put_signal(now, transmit, PacketKind::kProbe, path);
    ++shared.stats.probes_sent;
    return true;
}

bool Connection::Parts::poll(Time now, Transmit& transmit) {
    if (sender.in_burst() && open()) {
        return sender.poll(now, transmit);
    }
    if (poll_signals(now, transmit)) {
        return true;
    }
    if (!open()) {
        return false;
    }
    if (receiver.poll_ack(now, transmit) || poll_credits(now, transmit) ||
        sender.poll(now, transmit) || poll_probes(now, transmit)) {
        return true;
    }
    settle(now);  // which may raise a signal
    return poll_signals(now, transmit);
}

bool Connection::poll_transmit(Time now, Transmit& transmit) {
    if (!parts_->poll(now, transmit)) {
        return false;
    }
    if (parts_->shared.trace != nullptr) [[unlikely]] {
        const wire::Packet& packet = transmit.packet;
        const bool data = packet.kind == PacketKind::kData;
        parts_->shared.observe({.now = now,
                                .kind = TraceKind::kPacketSent,
                                .path = packet.path,
                                .bytes = data ? packet.data.length : 0,
                                .sequence = packet.sequence,
                                .message = data ? packet.data.message : kNoMessage,
                                .value = static_cast<std::uint64_t>(packet.kind)});
    }
    return true;
}

// Nothing more to send now: is there something to wait for, or to end?
void Connection::Parts::settle(Time now) {
    if (shared.verdict != FailureReason::kNone) [[unlikely]] {
        act_on_verdict(now);
        return;
    }
    liveness.set_waiting(now, awaits_peer());
    if (state() == State::kClosing && close_timer == kNever && sender.idle()) {
        say_goodbye(now, kOrderly);
    }
}

bool Connection::poll_event(Event& event) {
    RingQueue<Event>& events = parts_->shared.events;
    if (events.empty()) {
        return false;
    }
    event = events.front();
    events.pop();
    return true;
}

Time Connection::next_timeout() const {
    const Parts& p = *parts_;
    if (!p.alive()) {
        return kNever;
    }
    if (!p.open()) {
        return p.handshaker.next_timeout();
    }
    return std::min({p.sender.next_timeout(), p.receiver.next_timeout(), p.credits.next_timeout(),
                     p.liveness.next_timeout(), p.health.next_timeout(), p.close_timer});
}

// --- Commands

MessageId Connection::send(Time, const SendRequest& request) {
    if (parts_->state() > State::kEstablished || request.size > wire::kMaxMessageSize ||
        request.priority > wire::kMaxPriority) {
        return kNoMessage;
    }
    return parts_->sender.send(request);
}

bool Connection::cancel(Time, MessageId message, std::uint32_t code) {
    return parts_->alive() && parts_->sender.cancel(message, code);
}

bool Connection::accept(Time, MessageId message, std::uint64_t cookie,
                        const wire::RemoteDescriptor* remote) {
    return parts_->open() && parts_->receiver.accept(message, cookie, remote);
}

bool Connection::refuse(Time, MessageId message, std::uint32_t code) {
    return parts_->open() && parts_->receiver.refuse(message, code);
}

void Connection::expect(Time now, bool waiting) {
    parts_->expecting = waiting;
    if (parts_->open()) {
        parts_->liveness.set_waiting(now, parts_->awaits_peer());
    }
}

void Connection::set_policies(const PolicyChange& change) {
    parts_->sender.set_policies(change);
}

bool Connection::deny_path(Time now, PathId path, bool denied) {
    return parts_->health.set_denied(now, path, denied);
}

bool Connection::waits() const {
    return parts_->open() && parts_->awaits_peer();
}

void Connection::renew_path(Time now, PathId path) {
    parts_->health.on_renewal(now, path);
}

void Connection::hold_chunks(bool held) {
    parts_->sender.hold(held);
}

void Connection::hear(Time now) {
    if (parts_->open()) {
        parts_->shared.last_heard = now;
    }
}

void Connection::close(Time now) {
    Parts& p = *parts_;
    if (p.state() == State::kEstablished) {
        p.set_state(now, State::kClosing);
    } else if (p.alive() && !p.open()) {
        // Nobody is there yet: what was queued goes nowhere.
        p.finish(now, State::kClosed, EventKind::kClosed, 0);
    }
}

void Connection::abort(Time now, std::uint32_t code) {
    Parts& p = *parts_;
    if (!p.alive()) {
        return;
    }
    p.shared.verdict = FailureReason::kAborted;
    p.shared.verdict_code = code == kOrderly || code >= kOwnVerdict ? 1 : code;
    p.act_on_verdict(now);
}

// --- Making and asking

Connection::Connection(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Connection::~Connection() = default;

std::unique_ptr<Connection> Connection::client(Config config, const RandomSource& random,
                                               Time now) {
    auto parts = std::make_unique<Parts>(std::move(config), Role::kClient, random, now);
    return std::unique_ptr<Connection>(new Connection(std::move(parts)));
}

std::unique_ptr<Connection> Connection::server(Config config, const RandomSource& random, Time now,
                                               const wire::Packet& hello) {
    auto parts = std::make_unique<Parts>(std::move(config), Role::kServer, random, now);
    parts->handshaker.take_hello(hello);
    return std::unique_ptr<Connection>(new Connection(std::move(parts)));
}

State Connection::state() const {
    return parts_->state();
}

std::uint64_t Connection::id() const {
    return parts_->shared.local_id;
}

std::uint64_t Connection::remote_peer() const {
    return parts_->shared.stats.remote_peer;
}

std::uint32_t Connection::chunk_size() const {
    return parts_->shared.stats.chunk_size;
}

bool Connection::has_unfinished_messages() const {
    return parts_->sender.has_messages() || parts_->receiver.awaits_bytes();
}

const Failure& Connection::failure() const {
    return parts_->failure;
}

const Config& Connection::config() const {
    return parts_->shared.config;
}

Stats Connection::stats() const {
    Stats stats = parts_->shared.stats;
    parts_->sender.fill(stats);
    stats.paths = parts_->shared.paths;
    return stats;
}

void Connection::set_trace(TraceSink* sink) {
    parts_->shared.trace = sink;
}

}  // namespace weft::transport
