#include "transport/handshake.h"

#include <algorithm>
#include <array>
#include <optional>

#include "transport/connection.h"
#include "wire/bytes.h"
#include "wire/siphash.h"

namespace weft::transport {
namespace {

using wire::PacketKind;

constexpr PacketKind kNothing = PacketKind::kAck;

void put_transcript(wire::Writer& out, const wire::Handshake& side) {
    out.put(side.version);
    out.put(side.initial_sequence);
    out.put(side.source_connection);
    out.put(side.peer_id);
    out.put(side.chunk_size);
    out.put(side.window);
    out.put(side.eager_window);
    out.put(side.eager_limit);
}
constexpr std::size_t kTranscriptSize = 48;

// The proof in a packet of the kind: a hash of what both sides have said up to it. The kind is part
// of it, so that no proof can be reflected as another.
std::uint64_t prove(const Config& config, PacketKind kind, const wire::Handshake& client,
                    const wire::Handshake* server) {
    std::array<std::uint8_t, 5 + 2 * kTranscriptSize> bytes{};
    wire::Writer out(bytes.data());
    out.put(static_cast<std::uint8_t>(kind));
    out.put(config.epoch);
    put_transcript(out, client);
    if (server != nullptr) {
        put_transcript(out, *server);
    }
    return wire::siphash(config.key, bytes);
}

bool sane(const wire::Handshake& side) {
    return side.source_connection != 0 && side.chunk_size >= 1 &&
           side.chunk_size <= wire::kMaxChunkSize && side.window >= 64 &&
           side.window <= 64 * wire::kMaxAckWords;
}

}  // namespace

std::optional<RejectReason> check_hello(const Config& config, const wire::Packet& hello) {
    const wire::Handshake& body = hello.handshake;
    if (hello.kind != PacketKind::kHello || body.version != wire::kProtocolVersion) {
        return RejectReason::kVersion;
    }
    if (hello.epoch != config.epoch) {
        return RejectReason::kEpoch;
    }
    if (body.proof != prove(config, PacketKind::kHello, body, nullptr)) {
        return RejectReason::kProof;
    }
    return sane(body) ? std::nullopt : std::optional(RejectReason::kOptions);
}

wire::Packet make_reject(const wire::Packet& hello, RejectReason reason) {
    wire::Packet packet;
    packet.kind = PacketKind::kReject;
    packet.epoch = hello.epoch;
    packet.path = hello.path;
    packet.connection = hello.handshake.source_connection;
    packet.code.code = static_cast<std::uint32_t>(reason);
    return packet;
}

Handshaker::Handshaker(Shared& shared, Role role, Time now)
    : shared_(shared),
      phase_(role == Role::kClient ? Phase::kHello : Phase::kAwaitResponse),
      send_(role == Role::kClient ? PacketKind::kHello : kNothing),
      deadline_(now + shared.config.handshake_timeout),
      interval_(shared.config.handshake_interval),
      timer_(role == Role::kClient ? now + interval_ : deadline_) {}

wire::Handshake Handshaker::self(PacketKind kind) const {
    wire::Handshake side;
    side.initial_sequence = shared_.local_sequence;
    side.source_connection = shared_.local_id;
    side.peer_id = shared_.config.peer_id;
    side.chunk_size = shared_.config.chunk_size;
    side.window = shared_.config.window;
    side.eager_window = shared_.config.eager_window;
    side.eager_limit = shared_.config.eager_limit;
    side.proof = kind == PacketKind::kHello ? prove(shared_.config, kind, side, nullptr)
                                            : prove(shared_.config, kind, shared_.remote, &side);
    return side;
}

void Handshaker::learn(const wire::Handshake& remote) {
    shared_.remote = remote;
    shared_.remote_id = remote.source_connection;
    shared_.stats.remote_peer = remote.peer_id;
    shared_.stats.chunk_size = std::min(shared_.config.chunk_size, remote.chunk_size);
}

void Handshaker::take_hello(const wire::Packet& hello) {
    learn(hello.handshake);
    send_ = PacketKind::kChallenge;
}

bool Handshaker::on_packet(Time now, const wire::Packet& packet) {
    switch (packet.kind) {
        case PacketKind::kHello:  // repeated: our challenge was lost
            if (phase_ == Phase::kAwaitResponse &&
                packet.handshake.source_connection == shared_.remote_id) {
                send_ = PacketKind::kChallenge;
                return false;
            }
            break;
        case PacketKind::kChallenge:
            if (phase_ == Phase::kHello) {
                return on_challenge(now, packet);
            }
            break;
        case PacketKind::kResponse:
            if (phase_ == Phase::kAwaitResponse || phase_ == Phase::kDone) {
                return on_response(now, packet);
            }
            break;
        case PacketKind::kConfirm:
            if (phase_ == Phase::kResponse) {
                finish();
                return true;
            }
            break;
        case PacketKind::kReject:
            if (phase_ == Phase::kHello) {
                shared_.verdict = FailureReason::kRejected;
                shared_.verdict_code = packet.code.code;
                shared_.verdict_attempts = attempts_;
                return false;
            }
            break;
        default:
            break;
    }
    shared_.drop(now, Drop::kUnexpected);
    return false;
}

bool Handshaker::on_challenge(Time now, const wire::Packet& packet) {
    const wire::Handshake client = self(PacketKind::kHello);
    const std::uint64_t proof =
        prove(shared_.config, PacketKind::kChallenge, client, &packet.handshake);
    if (packet.handshake.proof != proof || packet.handshake.version != wire::kProtocolVersion ||
        !sane(packet.handshake)) {
        shared_.drop(now, Drop::kForeign);
        return false;
    }
    learn(packet.handshake);
    phase_ = Phase::kResponse;
    send_ = PacketKind::kResponse;
    interval_ = shared_.config.handshake_interval;
    timer_ = now + interval_;
    return false;
}

bool Handshaker::on_response(Time now, const wire::Packet& packet) {
    const wire::Handshake server = self(PacketKind::kChallenge);
    const std::uint64_t proof =
        prove(shared_.config, PacketKind::kResponse, shared_.remote, &server);
    if (packet.proof.proof != proof) {
        shared_.drop(now, Drop::kForeign);
        return false;
    }
    const bool first = phase_ == Phase::kAwaitResponse;
    finish();
    send_ = PacketKind::kConfirm;  // also when it is a repeat: our confirm was lost
    return first;
}

void Handshaker::on_timer(Time now) {
    if (now < timer_) {
        return;
    }
    if (now >= deadline_) {
        shared_.verdict = FailureReason::kHandshakeTimeout;
        shared_.verdict_attempts = attempts_;
        timer_ = kNever;
        return;
    }
    send_ = phase_ == Phase::kHello ? PacketKind::kHello : PacketKind::kResponse;
    interval_ *= 2;
    timer_ = std::min(now + interval_, deadline_);
}

bool Handshaker::poll(Time now, Transmit& transmit) {
    if (send_ == kNothing) {
        return false;
    }
    // Every try takes another path: the first ones may be dead.
    const auto path = static_cast<PathId>(attempts_++ % shared_.paths.size());
    wire::Packet& packet = transmit.packet;
    shared_.address(packet, send_, path, now);
    transmit.cookie = 0;
    transmit.burst_remaining = 0;
    if (send_ == PacketKind::kHello || send_ == PacketKind::kChallenge) {
        packet.handshake = self(send_);
    } else if (send_ == PacketKind::kResponse) {
        const wire::Handshake client = self(PacketKind::kHello);
        packet.proof.proof = prove(shared_.config, send_, client, &shared_.remote);
    }
    send_ = kNothing;
    return true;
}

}  // namespace weft::transport
