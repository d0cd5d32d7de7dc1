// The packet codec: a byte-exact layout, round trips, and its refusal of everything else.
#include "wire/packet.h"

#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <vector>

namespace weft::wire {
namespace {

constexpr PacketKind kAllKinds[] = {
    PacketKind::kHello,  PacketKind::kChallenge,  PacketKind::kResponse,   PacketKind::kConfirm,
    PacketKind::kReject, PacketKind::kData,       PacketKind::kGrant,      PacketKind::kCancel,
    PacketKind::kRefuse, PacketKind::kSkip,       PacketKind::kAck,        PacketKind::kProbe,
    PacketKind::kClose,  PacketKind::kCloseReply, PacketKind::kProbeReply, PacketKind::kCredit,
    PacketKind::kDemand};

// A valid packet of the kind with every field random.
Packet random_packet(PacketKind kind, std::mt19937_64& random) {
    const auto u32 = [&] { return static_cast<std::uint32_t>(random()); };
    Packet packet;
    packet.kind = kind;
    packet.flags = static_cast<std::uint8_t>(random() & (kFlagEager | kFlagWantsGrant));
    packet.priority = static_cast<std::uint8_t>(random() & kMaxPriority);
    packet.path = static_cast<std::uint16_t>(random());
    packet.epoch = u32();
    packet.connection = random();
    packet.sequence = u32();
    packet.timestamp = u32();
    switch (kind) {
        case PacketKind::kHello:
        case PacketKind::kChallenge:
            packet.handshake = {u32(), u32(),    random(), random(), u32(),
                                u32(), random(), random(), random()};
            break;
        case PacketKind::kResponse:
            packet.proof.proof = random();
            break;
        case PacketKind::kConfirm:
            break;
        case PacketKind::kData: {
            const std::uint64_t size = random() % (kMaxMessageSize + 1);
            const std::uint64_t offset = random() % (size + 1);
            const auto length = static_cast<std::uint32_t>(
                random() % (std::min<std::uint64_t>(size - offset, 2000) + 1));
            packet.data = {length, random(), offset, size, random(), random(), random()};
            break;
        }
        case PacketKind::kGrant:
            packet.grant.message = random();
            for (auto& byte : packet.grant.remote) {
                byte = static_cast<std::uint8_t>(random());
            }
            break;
        case PacketKind::kCancel:
        case PacketKind::kRefuse:
        case PacketKind::kSkip:
            packet.abandon = {random(), u32()};
            break;
        case PacketKind::kAck:
            packet.ack.echo_sequence = u32();
            packet.ack.echo_timestamp = u32();
            packet.ack.echo_path = static_cast<std::uint16_t>(random());
            packet.ack.echo_flags = static_cast<std::uint8_t>(random());
            packet.ack.word_count = static_cast<std::uint8_t>(random() % (kMaxAckWords + 1));
            packet.ack.delay = u32();
            packet.ack.marked = u32();
            packet.ack.eager_credit = random();
            for (auto& word : packet.ack.words) {
                word = random();
            }
            break;
        case PacketKind::kProbe:
        case PacketKind::kProbeReply:
            packet.probe = {u32(), static_cast<std::uint16_t>(random())};
            break;
        case PacketKind::kReject:
        case PacketKind::kClose:
        case PacketKind::kCloseReply:
            packet.code.code = u32();
            break;
        case PacketKind::kCredit:
        case PacketKind::kDemand:
            packet.total.bytes = random();
            break;
    }
    return packet;
}

std::vector<std::uint8_t> to_bytes(const Packet& packet, std::mt19937_64& random, bool sealed) {
    std::vector<std::uint8_t> header(encoded_size(packet));
    CHECK(encode(packet, header) == header.size());
    std::vector<std::uint8_t> payload(packet.kind == PacketKind::kData ? packet.data.length : 0);
    for (auto& byte : payload) {
        byte = static_cast<std::uint8_t>(random());
    }
    if (sealed) {
        seal(header, payload);
    }
    header.insert(header.end(), payload.begin(), payload.end());
    return header;
}

// Two packets are the same when they have the same bytes; the oracle is encode(), whose layout is
// pinned below.
std::vector<std::uint8_t> header_bytes(const Packet& packet) {
    std::vector<std::uint8_t> header(encoded_size(packet));
    encode(packet, header);
    return header;
}

TEST_CASE("the layout of a data packet is pinned byte by byte") {
    Packet packet;
    packet.kind = PacketKind::kData;
    packet.flags = kFlagEager;
    packet.priority = 9;
    packet.path = 0x0102;
    packet.epoch = 0x03040506;
    packet.connection = 0x0708090A0B0C0D0E;
    packet.sequence = 0x0F101112;
    packet.timestamp = 0x13141516;
    packet.data = {3, 0x1718, 0x191A1B, 0x1C1D1E1F20, 0x21, 0x22, 0x2324252627282930};
    const std::vector<std::uint8_t> expected = {
        16,   0x92, 0x02, 0x01, 0x06, 0x05, 0x04, 0x03,              // kind .. epoch
        0x0E, 0x0D, 0x0C, 0x0B, 0x0A, 0x09, 0x08, 0x07, 0, 0, 0, 0,  // connection, checksum
        0x12, 0x11, 0x10, 0x0F, 0x16, 0x15, 0x14, 0x13,              // sequence, time stamp
        3,    0,    0,    0,    0x18, 0x17, 0,    0,    0, 0, 0, 0,  // length, message
        0x1B, 0x1A, 0x19, 0,    0,    0,    0,    0,                 // offset
        0x20, 0x1F, 0x1E, 0x1D, 0x1C, 0,    0,    0,                 // size
        0x21, 0,    0,    0,    0,    0,    0,    0,                 // tag
        0x22, 0,    0,    0,    0,    0,    0,    0,                 //
        0x30, 0x29, 0x28, 0x27, 0x26, 0x25, 0x24, 0x23};             // signature
    CHECK(header_bytes(packet) == expected);
    CHECK(expected.size() == kDataHeaderSize);
}

TEST_CASE("every kind survives encode and decode, sealed or not") {
    std::mt19937_64 random(7);
    for (const PacketKind kind : kAllKinds) {
        for (int round = 0; round < 200; ++round) {
            const Packet packet = random_packet(kind, random);
            const bool sealed = round % 2 == 0;
            const auto bytes = to_bytes(packet, random, sealed);
            Packet back;
            std::span<const std::uint8_t> payload;
            CHECK(decode(bytes, back, payload, ChecksumRule::kRequired) ==
                  (sealed ? DecodeStatus::kOk : DecodeStatus::kUnsealed));
            REQUIRE(decode(bytes, back, payload) == DecodeStatus::kOk);
            back.flags = static_cast<std::uint8_t>(back.flags & ~kFlagChecksum);
            CHECK(header_bytes(back) == header_bytes(packet));
            CHECK(payload.size() == (kind == PacketKind::kData ? packet.data.length : 0));
            const auto route = peek_route(bytes);
            REQUIRE(route);
            CHECK(route->kind == kind);
            CHECK(route->connection == packet.connection);
        }
    }
}

TEST_CASE("every truncation and every extension is refused") {
    std::mt19937_64 random(8);
    for (const PacketKind kind : kAllKinds) {
        Packet packet = random_packet(kind, random);
        if (kind == PacketKind::kData) {
            packet.data = {100, 1, 0, 100, 0, 0, 0};
        }
        auto bytes = to_bytes(packet, random, false);
        Packet back;
        std::span<const std::uint8_t> payload;
        for (std::size_t size = 0; size < bytes.size(); ++size) {
            CHECK(decode(std::span(bytes).first(size), back, payload) == DecodeStatus::kTruncated);
        }
        bytes.push_back(0);
        CHECK(decode(bytes, back, payload) == DecodeStatus::kTrailing);
    }
}

TEST_CASE("a checksum catches every single flipped bit but that of its own flag") {
    std::mt19937_64 random(9);
    for (const PacketKind kind : kAllKinds) {
        Packet packet = random_packet(kind, random);
        if (kind == PacketKind::kData) {
            packet.data.size = 64;
            packet.data.offset = 0;
            packet.data.length = 64;
        }
        auto bytes = to_bytes(packet, random, true);
        Packet back;
        std::span<const std::uint8_t> payload;
        for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
            bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1u << (bit % 8)));
            CHECK(decode(bytes, back, payload, ChecksumRule::kRequired) != DecodeStatus::kOk);
            bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1u << (bit % 8)));
        }
        CHECK(decode(bytes, back, payload, ChecksumRule::kRequired) == DecodeStatus::kOk);
    }
}

TEST_CASE("a chunk that lies outside its message is malformed") {
    std::mt19937_64 random(10);
    const auto status_of = [&](Data data, std::size_t payload_size) {
        Packet packet;
        packet.kind = PacketKind::kData;
        packet.data = data;
        auto bytes = header_bytes(packet);
        bytes.resize(bytes.size() + payload_size);
        Packet back;
        std::span<const std::uint8_t> payload;
        return decode(bytes, back, payload);
    };
    CHECK(status_of({10, 1, 90, 100, 0, 0, 0}, 10) == DecodeStatus::kOk);
    CHECK(status_of({10, 1, 91, 100, 0, 0, 0}, 10) == DecodeStatus::kMalformed);
    CHECK(status_of({0, 1, 101, 100, 0, 0, 0}, 0) == DecodeStatus::kMalformed);
    CHECK(status_of({0, 1, ~std::uint64_t{0}, 100, 0, 0, 0}, 0) == DecodeStatus::kMalformed);
    CHECK(status_of({0, 1, 0, kMaxMessageSize + 1, 0, 0, 0}, 0) == DecodeStatus::kMalformed);
    CHECK(status_of({kMaxChunkSize + 1, 1, 0, kMaxMessageSize, 0, 0, 0}, 0) ==
          DecodeStatus::kMalformed);
}

TEST_CASE("a trimmed data packet can still be read by its header") {
    std::mt19937_64 random(11);
    Packet packet;
    packet.kind = PacketKind::kData;
    packet.data = {1000, 1, 0, 5000, 0, 0, 0};
    const auto bytes = to_bytes(packet, random, true);
    const auto trimmed = std::span(bytes).first(kDataHeaderSize);
    Packet back;
    std::span<const std::uint8_t> payload;
    CHECK(decode(trimmed, back, payload) != DecodeStatus::kOk);
    CHECK(decode(trimmed, back, payload, ChecksumRule::kRequired, true) == DecodeStatus::kOk);
    CHECK(back.data.length == 1000);
    CHECK(payload.empty());
}

TEST_CASE("random bytes never decode to fields out of range") {
    std::mt19937_64 random(12);
    std::size_t accepted = 0;
    for (int round = 0; round < 200000; ++round) {
        std::vector<std::uint8_t> bytes(random() % 160);
        for (auto& byte : bytes) {
            byte = static_cast<std::uint8_t>(random());
        }
        if (!bytes.empty()) {
            bytes[0] = static_cast<std::uint8_t>(kAllKinds[random() % std::size(kAllKinds)]);
        }
        if (bytes.size() > 1) {
            bytes[1] &= 0xF6;
        }
        Packet back;
        std::span<const std::uint8_t> payload;
        if (decode(bytes, back, payload) == DecodeStatus::kOk) {
            ++accepted;
            CHECK(encoded_size(back) + payload.size() == bytes.size());
        }
    }
    CHECK(accepted > 0);
}

}  // namespace
}  // namespace weft::wire
