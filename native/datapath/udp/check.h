// The datapath's own datagrams, told from the transport's by their first byte: path checks (before
// there is a connection) and path bindings (once there is one). All are 24 bytes, little-endian; a
// check request is padded to the size that it tries.
//
//   kCheck   does this pair of addresses work, at this size?   u8 kind, u8 0, u16 candidate, u32 0,
//   u64 target peer, u64 nonce kChecked it does                                           u8 kind,
//   u8 0, u16 candidate, u32 size, u64 own peer, u64 nonce kBind    path i of my connection leads
//   through here        u8 kind, u8 0, u16 path, u32 paths, u64 connection, u64 proof kBound noted
//   the same, for the other side's connection
//
// Checks carry no proof: an answer says no more than that a process with this id has the port, and
// is never larger than its question. Bindings steer where a connection's packets go, and are
// therefore proved with the shared key.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "transport/config.h"

namespace weft::datapath::udp {

enum class NoteKind : std::uint8_t { kCheck = 0xC1, kChecked = 0xC2, kBind = 0xC3, kBound = 0xC4 };

struct Note {
    NoteKind kind = NoteKind::kCheck;
    std::uint16_t index = 0;  // of the candidate, or of the path
    std::uint32_t count = 0;  // kChecked: bytes of the datagram that came; bindings: paths in all
    std::uint64_t id = 0;     // of the peer, or of the connection
    std::uint64_t word = 0;   // nonce, or proof
};

inline constexpr std::size_t kNoteSize = 24;

std::array<std::uint8_t, kNoteSize> encode_note(const Note& note);
// Nothing when the first byte is not a note's or the datagram is too short.
std::optional<Note> decode_note(std::span<const std::uint8_t> bytes);

// The proof that a binding carries.
std::uint64_t prove(const Note& note, const transport::Key& key);

}  // namespace weft::datapath::udp
