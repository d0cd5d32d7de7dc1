#include "datapath/verbs/frame.h"

#include <algorithm>
#include <bit>

#include "datapath/error.h"
#include "wire/bytes.h"
#include "wire/siphash.h"

namespace weft::datapath::verbs {
namespace {

constexpr std::uint8_t kMagic = 0xB7;
constexpr std::uint8_t kHasCard = 4;
constexpr std::uint8_t kHasFirst = 8;
constexpr std::uint8_t kWants = 1;
constexpr std::uint8_t kCardVersion = 1;
constexpr std::size_t kRailSize = 1 + 1 + 2 + 16 + 1;
constexpr std::uint64_t kAddressMask = (std::uint64_t{1} << 56) - 1;

std::span<const std::uint8_t> octets(std::string_view text) {
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace

void encode(const Prefix& prefix, std::span<std::uint8_t, kPrefixSize> out) {
    wire::Writer writer(out.data());
    writer.put(kMagic);
    writer.put(static_cast<std::uint8_t>((prefix.rail & 3) | (prefix.card ? kHasCard : 0) |
                                         (prefix.first_lane != kNoLane ? kHasFirst : 0)));
    writer.put(prefix.first_lane);
}

std::optional<Prefix> decode_prefix(std::span<const std::uint8_t> bytes) {
    if (bytes.size() < kPrefixSize || bytes[0] != kMagic || bytes[1] >= 16) {
        return std::nullopt;
    }
    Prefix prefix{.rail = static_cast<std::uint8_t>(bytes[1] & 3),
                  .card = (bytes[1] & kHasCard) != 0};
    wire::Reader(bytes.data() + 2).get(prefix.first_lane);
    if (((bytes[1] & kHasFirst) != 0) != (prefix.first_lane != kNoLane)) {
        return std::nullopt;
    }
    return prefix;
}

std::string encode(const Card& card) {
    std::vector<std::uint8_t> bytes(3);
    bytes[0] = kCardVersion;
    bytes[1] = static_cast<std::uint8_t>(card.kind);
    bytes[2] = static_cast<std::uint8_t>(card.rails.size());
    for (const RailCard& rail : card.rails) {
        const std::size_t at = bytes.size();
        bytes.resize(at + kRailSize + 4 * rail.controls.size());
        wire::Writer writer(bytes.data() + at);
        writer.put(static_cast<std::uint8_t>(rail.ethernet ? 1 : 0));
        writer.put(static_cast<std::uint8_t>(std::bit_width(rail.mtu)));
        writer.put(rail.lid);
        writer.put_bytes(rail.gid);
        writer.put(static_cast<std::uint8_t>(rail.controls.size()));
        for (const std::uint32_t number : rail.controls) {
            writer.put(number);
        }
    }
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Card decode_card(std::string_view text, std::size_t* used) {
    const std::span<const std::uint8_t> bytes = octets(text);
    const auto require = [](bool good) {
        if (!good) {
            throw Error(WEFT_ERR_INVALID, "verbs: these bytes are no address of a process");
        }
    };
    require(bytes.size() >= 3 && bytes[0] == kCardVersion && bytes[1] <= 2 && bytes[2] >= 1 &&
            bytes[2] <= kMostRails);
    Card card{.kind = static_cast<QpKind>(bytes[1]), .rails = {}};
    std::size_t at = 3;
    for (std::size_t i = 0; i < bytes[2]; ++i) {
        require(bytes.size() >= at + kRailSize);
        RailCard rail;
        wire::Reader reader(bytes.data() + at);
        std::uint8_t ethernet = 0;
        std::uint8_t width = 0;
        std::uint8_t controls = 0;
        reader.get(ethernet);
        reader.get(width);
        reader.get(rail.lid);
        reader.get_bytes(rail.gid);
        reader.get(controls);
        at += kRailSize;
        require(ethernet <= 1 && width >= 9 && width <= 13 && controls >= 1 &&
                controls <= kMostControls && bytes.size() >= at + 4u * controls);
        rail.ethernet = ethernet == 1;
        rail.mtu = 1u << (width - 1);
        rail.controls.resize(controls);
        for (std::uint32_t& number : rail.controls) {
            reader.get(number);
        }
        at += 4u * controls;
        card.rails.push_back(std::move(rail));
    }
    if (used != nullptr) {
        *used = at;
    } else {
        require(at == bytes.size());
    }
    return card;
}

std::array<std::uint8_t, kNoteSize> encode(const Note& note) {
    std::array<std::uint8_t, kNoteSize> bytes;
    wire::Writer writer(bytes.data());
    writer.put(static_cast<std::uint8_t>(note.kind));
    writer.put(note.from_rail);
    writer.put(note.to_rail);
    writer.put(static_cast<std::uint8_t>(note.wants ? kWants : 0));
    writer.put(note.index);
    writer.put(note.count);
    writer.put(note.id);
    writer.put(note.word);
    writer.put(note.pair);
    writer.put(note.psn);
    writer.put(note.known);
    writer.put(note.life);
    writer.put(note.proof);
    return bytes;
}

std::optional<Note> decode_note(std::span<const std::uint8_t> bytes) {
    if (bytes.size() != kNoteSize || bytes[0] < static_cast<std::uint8_t>(NoteKind::kCheck) ||
        bytes[0] > static_cast<std::uint8_t>(NoteKind::kHeard) || bytes[1] >= kMostRails ||
        bytes[2] >= kMostRails || bytes[3] > kWants) {
        return std::nullopt;
    }
    Note note;
    note.kind = static_cast<NoteKind>(bytes[0]);
    note.from_rail = bytes[1];
    note.to_rail = bytes[2];
    note.wants = bytes[3] == kWants;
    wire::Reader reader(bytes.data() + 4);
    reader.get(note.index);
    reader.get(note.count);
    reader.get(note.id);
    reader.get(note.word);
    reader.get(note.pair);
    reader.get(note.psn);
    reader.get(note.known);
    reader.get(note.life);
    reader.get(note.proof);
    return note;
}

std::uint64_t prove(const Note& note, const transport::Key& key) {
    Note bare = note;
    bare.proof = 0;
    return wire::siphash(key, encode(bare));
}

wire::RemoteDescriptor encode(const Descriptor& descriptor) {
    wire::RemoteDescriptor bytes{};
    wire::Writer writer(bytes.data());
    writer.put((descriptor.address & kAddressMask) | (std::uint64_t{descriptor.slot} + 1)
                                                         << 56);  // never zero
    for (const std::uint32_t key : descriptor.keys) {
        writer.put(key);
    }
    return bytes;
}

std::optional<Descriptor> decode_descriptor(const wire::RemoteDescriptor& bytes) {
    Descriptor descriptor;
    std::uint64_t first = 0;
    wire::Reader reader(bytes.data());
    reader.get(first);
    for (std::uint32_t& key : descriptor.keys) {
        reader.get(key);
    }
    const std::uint64_t slot = first >> 56;
    if (slot == 0 || slot > kSlots) {
        return std::nullopt;
    }
    descriptor.address = first & kAddressMask;
    descriptor.slot = static_cast<std::uint8_t>(slot - 1);
    return descriptor;
}

}  // namespace weft::datapath::verbs
