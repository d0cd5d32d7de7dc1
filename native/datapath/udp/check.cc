#include "datapath/udp/check.h"

#include "wire/bytes.h"
#include "wire/siphash.h"

namespace weft::datapath::udp {

std::array<std::uint8_t, kNoteSize> encode_note(const Note& note) {
    std::array<std::uint8_t, kNoteSize> bytes;
    wire::Writer out(bytes.data());
    out.put(static_cast<std::uint8_t>(note.kind));
    out.put(std::uint8_t{0});
    out.put(note.index);
    out.put(note.count);
    out.put(note.id);
    out.put(note.word);
    return bytes;
}

std::optional<Note> decode_note(std::span<const std::uint8_t> bytes) {
    if (bytes.size() < kNoteSize || bytes[0] < static_cast<std::uint8_t>(NoteKind::kCheck) ||
        bytes[0] > static_cast<std::uint8_t>(NoteKind::kBound)) {
        return std::nullopt;
    }
    Note note;
    wire::Reader in(bytes.data() + 2);
    note.kind = static_cast<NoteKind>(bytes[0]);
    in.get(note.index);
    in.get(note.count);
    in.get(note.id);
    in.get(note.word);
    return note;
}

std::uint64_t prove(const Note& note, const transport::Key& key) {
    Note bare = note;
    bare.word = 0;
    return wire::siphash(key, encode_note(bare));
}

}  // namespace weft::datapath::udp
