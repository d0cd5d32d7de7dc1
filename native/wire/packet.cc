// Encoding and decoding of packets. Layouts are spelled out once per direction, in the order of the
// bytes.
#include "wire/packet.h"

#include "wire/bytes.h"
#include "wire/checksum.h"

namespace weft::wire {
namespace {

constexpr std::size_t kHandshakeSize = 56;
constexpr std::size_t kDataSize = kDataHeaderSize - kCommonHeaderSize;
constexpr std::size_t kGrantSize = 32;
constexpr std::size_t kAbandonSize = 12;
constexpr std::size_t kAckSize = 28;  // without the bitmap
constexpr std::size_t kCodeSize = 4;
constexpr std::size_t kProofSize = 8;
constexpr std::size_t kProbeSize = 6;
constexpr std::size_t kTotalSize = 8;
constexpr std::size_t kChecksumAt = 16;
constexpr std::uint8_t kKnownFlags = kFlagChecksum | kFlagEager | kFlagWantsGrant;

// Size of a kind's fixed body; nothing for a kind that does not exist.
std::optional<std::size_t> body_size(PacketKind kind) {
    switch (kind) {
        case PacketKind::kHello:
        case PacketKind::kChallenge:
            return kHandshakeSize;
        case PacketKind::kResponse:
            return kProofSize;
        case PacketKind::kConfirm:
            return 0;
        case PacketKind::kData:
            return kDataSize;
        case PacketKind::kGrant:
            return kGrantSize;
        case PacketKind::kCancel:
        case PacketKind::kRefuse:
        case PacketKind::kSkip:
            return kAbandonSize;
        case PacketKind::kAck:
            return kAckSize;
        case PacketKind::kProbe:
        case PacketKind::kProbeReply:
            return kProbeSize;
        case PacketKind::kReject:
        case PacketKind::kClose:
        case PacketKind::kCloseReply:
            return kCodeSize;
        case PacketKind::kCredit:
        case PacketKind::kDemand:
            return kTotalSize;
    }
    return std::nullopt;
}

void encode_handshake(Writer& out, const Handshake& body) {
    out.put(body.version);
    out.put(body.initial_sequence);
    out.put(body.source_connection);
    out.put(body.peer_id);
    out.put(body.chunk_size);
    out.put(body.window);
    out.put(body.eager_window);
    out.put(body.eager_limit);
    out.put(body.proof);
}

void decode_handshake(Reader& in, Handshake& body) {
    in.get(body.version);
    in.get(body.initial_sequence);
    in.get(body.source_connection);
    in.get(body.peer_id);
    in.get(body.chunk_size);
    in.get(body.window);
    in.get(body.eager_window);
    in.get(body.eager_limit);
    in.get(body.proof);
}

void encode_data(Writer& out, const Data& body) {
    out.put(body.length);
    out.put(body.message);
    out.put(body.offset);
    out.put(body.size);
    out.put(body.tag_group);
    out.put(body.tag_message);
    out.put(body.signature);
}

bool decode_data(Reader& in, Data& body) {
    in.get(body.length);
    in.get(body.message);
    in.get(body.offset);
    in.get(body.size);
    in.get(body.tag_group);
    in.get(body.tag_message);
    in.get(body.signature);
    return body.length <= kMaxChunkSize && body.size <= kMaxMessageSize &&
           body.offset <= body.size && body.length <= body.size - body.offset;
}

void encode_ack(Writer& out, const Ack& body) {
    out.put(body.echo_sequence);
    out.put(body.echo_timestamp);
    out.put(body.echo_path);
    out.put(body.echo_flags);
    out.put(body.word_count);
    out.put(body.delay);
    out.put(body.marked);
    out.put(body.eager_credit);
    for (std::size_t i = 0; i < body.word_count; ++i) {
        out.put(body.words[i]);
    }
}

// `left` is what the datagram holds after the common header.
DecodeStatus decode_ack(Reader& in, Ack& body, std::size_t left) {
    in.get(body.echo_sequence);
    in.get(body.echo_timestamp);
    in.get(body.echo_path);
    in.get(body.echo_flags);
    in.get(body.word_count);
    in.get(body.delay);
    in.get(body.marked);
    in.get(body.eager_credit);
    if (body.word_count > kMaxAckWords) {
        return DecodeStatus::kMalformed;
    }
    if (left < kAckSize + std::size_t{8} * body.word_count) {
        return DecodeStatus::kTruncated;
    }
    for (std::size_t i = 0; i < body.word_count; ++i) {
        in.get(body.words[i]);
    }
    return DecodeStatus::kOk;
}

// Decodes the body; the datagram is known to hold the fixed part of it.
DecodeStatus decode_body(Reader& in, Packet& packet, std::size_t left) {
    switch (packet.kind) {
        case PacketKind::kHello:
        case PacketKind::kChallenge:
            packet.handshake = {};
            decode_handshake(in, packet.handshake);
            break;
        case PacketKind::kResponse:
            in.get(packet.proof.proof);
            break;
        case PacketKind::kConfirm:
            break;
        case PacketKind::kData:
            return decode_data(in, packet.data) ? DecodeStatus::kOk : DecodeStatus::kMalformed;
        case PacketKind::kGrant:
            in.get(packet.grant.message);
            in.get_bytes(packet.grant.remote);
            break;
        case PacketKind::kCancel:
        case PacketKind::kRefuse:
        case PacketKind::kSkip:
            in.get(packet.abandon.message);
            in.get(packet.abandon.code);
            break;
        case PacketKind::kAck:
            return decode_ack(in, packet.ack, left);
        case PacketKind::kProbe:
        case PacketKind::kProbeReply:
            in.get(packet.probe.echo_timestamp);
            in.get(packet.probe.echo_path);
            break;
        case PacketKind::kReject:
        case PacketKind::kClose:
        case PacketKind::kCloseReply:
            in.get(packet.code.code);
            break;
        case PacketKind::kCredit:
        case PacketKind::kDemand:
            in.get(packet.total.bytes);
            break;
    }
    return DecodeStatus::kOk;
}

// CRC of a whole packet, with its own field taken as zero.
std::uint32_t packet_checksum(std::span<const std::uint8_t> header,
                              std::span<const std::uint8_t> payload) {
    static constexpr std::array<std::uint8_t, 4> kZero{};
    std::uint32_t crc = crc32c(0, header.first(kChecksumAt));
    crc = crc32c(crc, kZero);
    crc = crc32c(crc, header.subspan(kChecksumAt + kZero.size()));
    return crc32c(crc, payload);
}

}  // namespace

std::size_t encoded_size(const Packet& packet) {
    const std::size_t fixed = kCommonHeaderSize + body_size(packet.kind).value_or(0);
    return packet.kind == PacketKind::kAck ? fixed + std::size_t{8} * packet.ack.word_count : fixed;
}

std::size_t encode(const Packet& packet, std::span<std::uint8_t> out) {
    Writer writer(out.data());
    writer.put(static_cast<std::uint8_t>(packet.kind));
    writer.put(static_cast<std::uint8_t>((packet.flags & 0x0F) | (packet.priority << 4)));
    writer.put(packet.path);
    writer.put(packet.epoch);
    writer.put(packet.connection);
    writer.put(std::uint32_t{0});  // checksum: seal() writes it
    writer.put(packet.sequence);
    writer.put(packet.timestamp);
    switch (packet.kind) {
        case PacketKind::kHello:
        case PacketKind::kChallenge:
            encode_handshake(writer, packet.handshake);
            break;
        case PacketKind::kResponse:
            writer.put(packet.proof.proof);
            break;
        case PacketKind::kConfirm:
            break;
        case PacketKind::kData:
            encode_data(writer, packet.data);
            break;
        case PacketKind::kGrant:
            writer.put(packet.grant.message);
            writer.put_bytes(packet.grant.remote);
            break;
        case PacketKind::kCancel:
        case PacketKind::kRefuse:
        case PacketKind::kSkip:
            writer.put(packet.abandon.message);
            writer.put(packet.abandon.code);
            break;
        case PacketKind::kAck:
            encode_ack(writer, packet.ack);
            break;
        case PacketKind::kProbe:
        case PacketKind::kProbeReply:
            writer.put(packet.probe.echo_timestamp);
            writer.put(packet.probe.echo_path);
            break;
        case PacketKind::kReject:
        case PacketKind::kClose:
        case PacketKind::kCloseReply:
            writer.put(packet.code.code);
            break;
        case PacketKind::kCredit:
        case PacketKind::kDemand:
            writer.put(packet.total.bytes);
            break;
    }
    return encoded_size(packet);
}

void seal(std::span<std::uint8_t> header, std::span<const std::uint8_t> payload) {
    header[1] = static_cast<std::uint8_t>(header[1] | kFlagChecksum);
    Writer(header.data() + kChecksumAt).put(packet_checksum(header, payload));
}

const char* to_string(DecodeStatus status) {
    switch (status) {
        case DecodeStatus::kOk:
            return "ok";
        case DecodeStatus::kTruncated:
            return "truncated";
        case DecodeStatus::kTrailing:
            return "trailing bytes";
        case DecodeStatus::kUnknownKind:
            return "unknown kind";
        case DecodeStatus::kMalformed:
            return "malformed";
        case DecodeStatus::kCorrupt:
            return "checksum mismatch";
        case DecodeStatus::kUnsealed:
            return "checksum missing";
    }
    return "unknown";
}

DecodeStatus decode(std::span<const std::uint8_t> bytes, Packet& packet,
                    std::span<const std::uint8_t>& payload, ChecksumRule checksum,
                    bool header_only) {
    payload = {};
    if (bytes.size() < kCommonHeaderSize) {
        return DecodeStatus::kTruncated;
    }
    Reader reader(bytes.data());
    std::uint8_t kind = 0;
    std::uint8_t flags = 0;
    std::uint32_t crc = 0;
    reader.get(kind);
    reader.get(flags);
    reader.get(packet.path);
    reader.get(packet.epoch);
    reader.get(packet.connection);
    reader.get(crc);
    reader.get(packet.sequence);
    reader.get(packet.timestamp);
    packet.kind = static_cast<PacketKind>(kind);
    packet.flags = flags & 0x0F;
    packet.priority = flags >> 4;
    const std::optional<std::size_t> body = body_size(packet.kind);
    if (!body) {
        return DecodeStatus::kUnknownKind;
    }
    if (bytes.size() - kCommonHeaderSize < *body) {
        // Of a chunk whose payload is gone, the common header says all that is still to be known.
        if (!header_only || packet.kind != PacketKind::kData) {
            return DecodeStatus::kTruncated;
        }
        packet.data = {};
        return (packet.flags & ~kKnownFlags) == 0 ? DecodeStatus::kOk : DecodeStatus::kMalformed;
    }
    const bool sealed = (flags & kFlagChecksum) != 0;
    if (!header_only) {
        if (!sealed && checksum == ChecksumRule::kRequired) {
            return DecodeStatus::kUnsealed;
        }
        if (sealed && packet_checksum(bytes, {}) != crc) {
            return DecodeStatus::kCorrupt;
        }
    }
    if ((packet.flags & ~kKnownFlags) != 0) {
        return DecodeStatus::kMalformed;
    }
    const DecodeStatus status = decode_body(reader, packet, bytes.size() - kCommonHeaderSize);
    if (status != DecodeStatus::kOk) {
        return status;
    }
    const std::span<const std::uint8_t> rest = bytes.subspan(encoded_size(packet));
    const std::size_t expected = packet.kind == PacketKind::kData ? packet.data.length : 0;
    if (rest.size() > expected) {
        return DecodeStatus::kTrailing;
    }
    if (rest.size() < expected && !header_only) {
        return DecodeStatus::kTruncated;
    }
    payload = rest;
    return DecodeStatus::kOk;
}

std::optional<Route> peek_route(std::span<const std::uint8_t> bytes) {
    if (bytes.size() < kCommonHeaderSize || !body_size(static_cast<PacketKind>(bytes[0]))) {
        return std::nullopt;
    }
    Route route{static_cast<PacketKind>(bytes[0]), 0};
    Reader(bytes.data() + 8).get(route.connection);
    return route;
}

}  // namespace weft::wire
