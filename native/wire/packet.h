// The packets of Weft's transport: their fields, and how they lie in bytes.
//
// Invariants: all integers are little-endian and written byte by byte (no struct is ever cast onto
// the wire); every packet starts with the same 28-byte common header; a packet describes itself (a
// data packet carries its message's whole descriptor), so that any packet may be the first to
// arrive. decode() accepts any bytes whatsoever and never reads beyond them. docs/protocol.md has
// the tables.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace weft::wire {

inline constexpr std::uint32_t kProtocolVersion = 1;

enum class PacketKind : std::uint8_t {
    // Set-up; answered one by one, repeated by the client (transport/handshake.h).
    kHello = 1,
    kChallenge = 2,
    kResponse = 3,
    kConfirm = 4,
    kReject = 5,
    // Sequenced: each takes a sequence number, is acknowledged, and is sent again when lost.
    kData = 16,    // one chunk of a message; zero bytes long when it only announces the message
    kGrant = 17,   // receiver to sender: a destination is posted, send without credit
    kCancel = 18,  // sender to receiver: the message will not be completed
    kRefuse = 19,  // receiver to sender: the message is not wanted
    kSkip = 20,    // stands in for a chunk whose message was cancelled: fills its sequence number
    // Unsequenced.
    kAck = 32,
    kProbe = 33,
    kProbeReply = 34,
    kClose = 35,
    kCloseReply = 36,
    kCredit =
        37,  // receiver to sender: the total of bytes that it may send, by credit-based control
    kDemand = 38,  // sender to receiver: the total that it would like to
};

// Whether packets of this kind take a sequence number.
constexpr bool is_sequenced(PacketKind kind) {
    return kind >= PacketKind::kData && kind <= PacketKind::kSkip;
}

// Low four bits of the flags byte (the high four are the priority).
inline constexpr std::uint8_t kFlagChecksum = 1;    // the checksum field holds a CRC-32C
inline constexpr std::uint8_t kFlagEager = 2;       // kData: counts against the eager credit
inline constexpr std::uint8_t kFlagWantsGrant = 4;  // kData: the message cannot end without a grant

inline constexpr std::uint8_t kMaxPriority = 15;
inline constexpr std::uint64_t kMaxMessageSize = std::uint64_t{1} << 40;
inline constexpr std::uint32_t kMaxChunkSize = 1 << 20;
inline constexpr std::size_t kMaxAckWords = 64;  // 64 * 64 = 4096 chunks

// 24 opaque bytes which a receiver hands to the sender of a message (verbs: address, key, size).
using RemoteDescriptor = std::array<std::uint8_t, 24>;

// kHello, kChallenge: what a side says of itself, and its proof of the shared key.
struct Handshake {
    std::uint32_t version = kProtocolVersion;
    std::uint32_t initial_sequence = 0;   // of the side's first sequenced packet
    std::uint64_t source_connection = 0;  // id that the other side must put into its packets
    std::uint64_t peer_id = 0;            // who the side is
    std::uint32_t chunk_size = 0;         // largest chunk that the side takes, bytes
    std::uint32_t window = 0;        // how many sequence numbers it tracks beyond the first gap
    std::uint64_t eager_window = 0;  // bytes that may come before a destination is posted, in all
    std::uint64_t eager_limit = 0;   // and per message
    std::uint64_t proof = 0;         // SipHash-2-4 over the transcript
};

struct Data {
    std::uint32_t length = 0;   // bytes of payload in this packet
    std::uint64_t message = 0;  // sender's message number
    std::uint64_t offset = 0;   // of the payload in the message, bytes
    std::uint64_t size = 0;     // of the whole message, bytes
    std::uint64_t tag_group = 0;
    std::uint64_t tag_message = 0;
    std::uint64_t signature = 0;
};

struct Grant {
    std::uint64_t message = 0;
    RemoteDescriptor remote{};
};

// kCancel, kRefuse, kSkip.
struct Abandon {
    std::uint64_t message = 0;
    // The application's reason; in kSkip the bytes of the chunk (with kFlagEager, so that its
    // credit returns).
    std::uint32_t code = 0;
};

// Bits of Ack::echo_flags: what befell the chunk that the acknowledgement echoes.
inline constexpr std::uint8_t kEchoMarked = 1;     // it carried an ECN congestion mark
inline constexpr std::uint8_t kEchoDuplicate = 2;  // it had been received before
inline constexpr std::uint8_t kEchoTrimmed = 4;    // a switch cut its payload off: it is lost
inline constexpr std::uint8_t kEchoValid = 8;      // clear: no chunk triggered this acknowledgement
inline constexpr std::uint8_t kEchoDiscarded = 16;  // out of order, at a receiver that keeps it

// The common header's `sequence` is the first sequence number not yet received ("cumulative").
// Word i of the bitmap covers sequence numbers 64 * (cumulative / 64 + i) + [0, 64), so that both
// sides' bitmaps line up word by word; bits below the cumulative number mean nothing.
struct Ack {
    std::uint32_t echo_sequence = 0;   // the chunk that triggered the acknowledgement
    std::uint32_t echo_timestamp = 0;  // its time stamp, as its sender wrote it
    std::uint16_t echo_path = 0;       // and the path that it took
    std::uint8_t echo_flags = 0;
    std::uint8_t word_count = 0;
    std::uint32_t delay = 0;   // how long the receiver held the acknowledgement, ns
    std::uint32_t marked = 0;  // chunks that ever came with an ECN mark, modulo 2^32
    std::uint64_t eager_credit =
        0;  // bytes of eager data permitted since the start of the connection
    std::array<std::uint64_t, kMaxAckWords> words;
};

// kReject, kClose, kCloseReply.
struct Code {
    std::uint32_t code = 0;
};

// kResponse.
struct Proof {
    std::uint64_t proof = 0;
};

// kProbe (all zero), kProbeReply: time stamp and path of the probe that it answers.
struct Probe {
    std::uint32_t echo_timestamp = 0;
    std::uint16_t echo_path = 0;
};

// kCredit, kDemand: a running total since the start of the connection, in bytes of payload.
struct Total {
    std::uint64_t bytes = 0;
};

struct Packet {
    PacketKind kind = PacketKind::kAck;
    std::uint8_t flags = 0;     // kFlag...
    std::uint8_t priority = 0;  // 0..15, larger is more urgent
    std::uint16_t path = 0;     // entropy value on which the packet was sent
    std::uint32_t epoch = 0;
    std::uint64_t connection = 0;  // id chosen by the receiver of this packet; 0 in kHello
    std::uint32_t sequence = 0;
    std::uint32_t timestamp = 0;  // sender's clock, ns modulo 2^32
    union {
        Handshake handshake;
        Data data;
        Grant grant;
        Abandon abandon;
        Ack ack;
        Code code;
        Proof proof;
        Probe probe;
        Total total;
    };
    Packet() : data{} {}
};

inline constexpr std::size_t kCommonHeaderSize = 28;
inline constexpr std::size_t kDataHeaderSize = kCommonHeaderSize + 52;
inline constexpr std::size_t kMaxHeaderSize = kCommonHeaderSize + 28 + 8 * kMaxAckWords;

// Bytes that encode() writes for `packet` (payload not counted).
std::size_t encoded_size(const Packet& packet);

// Writes the header of `packet` into `out`, which must hold encoded_size(packet) bytes; returns
// that number. The payload of a data packet follows it on the wire and is never seen here.
std::size_t encode(const Packet& packet, std::span<std::uint8_t> out);

// Writes the CRC-32C of header and payload into an encoded header and sets kFlagChecksum in it.
void seal(std::span<std::uint8_t> header, std::span<const std::uint8_t> payload);

enum class DecodeStatus : std::uint8_t {
    kOk,
    kTruncated,  // shorter than its kind or its length field demands
    kTrailing,   // longer than that
    kUnknownKind,
    kMalformed,  // a field is out of its range
    kCorrupt,    // the checksum does not match
    kUnsealed,   // no checksum, but one was required
};
const char* to_string(DecodeStatus status);

enum class ChecksumRule : std::uint8_t { kIfPresent, kRequired };

// Reads the packet in `bytes` (one datagram) and, on kOk, points `payload` at what follows the
// header. `header_only` accepts a data packet whose payload a switch has trimmed away, even into
// the header (the common header must be whole; what else is not, reads as zero). Its checksum is
// then not checked, for it covers the payload.
DecodeStatus decode(std::span<const std::uint8_t> bytes, Packet& packet,
                    std::span<const std::uint8_t>& payload,
                    ChecksumRule checksum = ChecksumRule::kIfPresent, bool header_only = false);

// What a datapath needs to find the connection of a datagram without decoding it.
struct Route {
    PacketKind kind;
    std::uint64_t connection;
};
std::optional<Route> peek_route(std::span<const std::uint8_t> bytes);

}  // namespace weft::wire
