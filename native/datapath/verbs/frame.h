// What goes over the wire between two verbs datapaths besides the transport's own packets
// (docs/rdma.md has the tables; all integers little-endian).
//
//  Prefix     before every packet or note: which rail it comes from; for a chunk that is sent
//  again,
//             on which lane its first copy was written (that copy may yet land: see Edge).
//  Card       who we are and where: after the prefix of what is said to somebody who may not know
//             it. Also the datapath's address.
//  Note       48 bytes: search for rails (kCheck, kChecked), state of a lane's queue pair (kLane),
//             the question whether all that was written on a lane before has landed (kFence,
//             kMarker), and the question whether control datagrams come through (kKnock, kHeard).
//             Told from a packet by its first byte.
//  Immediate  of a chunk that the device writes into its destination: 16 bits of its sequence
//             number, 6 of the destination's slot, 10 of its place in the message in chunks. Each
//             is the low end of a number that the receiver knows to within less than half the range
//             (windows are at most kMostWindow chunks), so that wrapping does not matter.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datapath/verbs/provider.h"
#include "transport/config.h"

namespace weft::datapath::verbs {

inline constexpr std::size_t kMostRails = 4;     // as many keys as a descriptor has room for
inline constexpr std::size_t kMostControls = 8;  // unreliable-datagram pairs per rail
inline constexpr std::size_t kSlots = 64;        // destinations that a peer may write to at once
inline constexpr std::uint32_t kMostWindow = 512;
inline constexpr std::size_t kGrhSize = 40;  // before every unreliable datagram (IBTA 11.4.1.2)

// --- Prefix

inline constexpr std::size_t kPrefixSize = 4;
inline constexpr std::uint16_t kNoLane = 0xFFFF;

struct Prefix {
    std::uint8_t rail = 0;  // of the sender
    bool card = false;      // a Card follows
    std::uint16_t first_lane = kNoLane;
};

void encode(const Prefix& prefix, std::span<std::uint8_t, kPrefixSize> out);
std::optional<Prefix> decode_prefix(std::span<const std::uint8_t> bytes);

// --- Card

struct RailCard {
    bool ethernet = true;
    std::uint32_t mtu = 1024;
    std::uint16_t lid = 0;
    Gid gid{};
    std::vector<std::uint32_t> controls;  // queue pair numbers
};

struct Card {
    QpKind kind = QpKind::kUc;
    std::vector<RailCard> rails;
};

std::string encode(const Card& card);
// Throws Error(INVALID) when the bytes are not a card. `used`: how many were.
Card decode_card(std::string_view bytes, std::size_t* used = nullptr);

// --- Note

enum class NoteKind : std::uint8_t {
    kCheck = 0xD1,
    kChecked = 0xD2,
    kLane = 0xD3,
    kFence = 0xD4,
    kMarker = 0xD5,
    kKnock = 0xD6,
    kHeard = 0xD7,
};

struct Note {
    NoteKind kind = NoteKind::kCheck;
    std::uint8_t from_rail = 0;  // of the sender of the note
    std::uint8_t to_rail = 0;
    bool wants = false;       // kLane: say yours, too; kKnock: answer on every way
    std::uint16_t index = 0;  // of the lane; kKnock, kHeard: of the asker's way
    std::uint16_t count = 0;  // of lanes, or ways
    std::uint64_t id = 0;     // checks: peer that is meant, or that answers; else: connection of
                              // the receiver of the note
    std::uint64_t word = 0;   // checks: nonce; all others but kLane: number of the question
    std::uint32_t pair = 0;   // kLane: our queue pair's number
    std::uint32_t psn = 0;    // kLane: and its first packet sequence number
    std::uint32_t known = 0;  // kLane: number of the pair of yours that ours is connected to
    std::uint32_t life = 0;   // kLane: counts the queue pairs that this lane of ours has had
    std::uint64_t proof = 0;
};

inline constexpr std::size_t kNoteSize = 48;
std::array<std::uint8_t, kNoteSize> encode(const Note& note);
// Nothing when the first byte is not a note's, the size is wrong, or a flag is unknown.
std::optional<Note> decode_note(std::span<const std::uint8_t> bytes);
// The proof that every note carries but checks (those say no more than that somebody is there).
std::uint64_t prove(const Note& note, const transport::Key& key);

// --- Immediate

struct Immediate {
    std::uint16_t sequence = 0;
    std::uint8_t slot = 0;
    std::uint16_t place = 0;
};

constexpr std::uint32_t encode(const Immediate& immediate) {
    return std::uint32_t{immediate.sequence} << 16 | (immediate.slot & 63u) << 10 |
           (immediate.place & 1023u);
}

constexpr Immediate decode_immediate(std::uint32_t bits) {
    return {static_cast<std::uint16_t>(bits >> 16), static_cast<std::uint8_t>(bits >> 10 & 63),
            static_cast<std::uint16_t>(bits & 1023)};
}

// The number with these low `bits` bits that is nearest to `near`.
constexpr std::uint64_t expand(std::uint64_t low, unsigned bits, std::uint64_t near) {
    const std::uint64_t span = std::uint64_t{1} << bits;
    const std::uint64_t ahead = (low - near) & (span - 1);
    return ahead < span / 2 || near + ahead < span ? near + ahead : near + ahead - span;
}

// --- Descriptor of a destination (wire::RemoteDescriptor)

struct Descriptor {
    std::uint64_t address = 0;  // at most 56 bits
    std::uint8_t slot = 0;
    std::array<std::uint32_t, kMostRails> keys{};
};

wire::RemoteDescriptor encode(const Descriptor& descriptor);
// Nothing for the descriptor that is all zero.
std::optional<Descriptor> decode_descriptor(const wire::RemoteDescriptor& bytes);

}  // namespace weft::datapath::verbs
