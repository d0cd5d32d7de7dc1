// What the verbs datapath reads from the wire: prefixes, cards, notes, descriptors, immediates. Any
// bytes are read without harm, and whatever is taken encodes to the same bytes again.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "datapath/error.h"
#include "datapath/verbs/frame.h"

namespace {

using namespace weft::datapath::verbs;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

void read_card(const std::string& bytes) {
    std::size_t used = 0;
    try {
        const Card card = decode_card(bytes, &used);
        require(used <= bytes.size());
        require(encode(card) == bytes.substr(0, used));
        require(!card.rails.empty() && card.rails.size() <= kMostRails);
        for (const RailCard& rail : card.rails) {
            require(!rail.controls.empty() && rail.mtu >= 256 && rail.mtu <= 4096);
        }
    } catch (const weft::Error&) {
        return;  // refused, in the one way that is expected
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // A copy of exactly this size, so that the address sanitizer sees the first byte read beyond
    // it.
    const std::vector<std::uint8_t> bytes(data, data + size);
    if (const auto prefix = decode_prefix(bytes)) {
        std::array<std::uint8_t, kPrefixSize> again;
        encode(*prefix, again);
        require(std::equal(again.begin(), again.end(), bytes.begin()));
        require(prefix->rail < kMostRails);
    }
    if (const auto note = decode_note(bytes)) {
        const auto again = encode(*note);
        require(std::equal(again.begin(), again.end(), bytes.begin()));
    }
    read_card({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    weft::wire::RemoteDescriptor raw{};
    if (size >= raw.size()) {
        std::copy_n(bytes.begin(), raw.size(), raw.begin());
        if (const auto descriptor = decode_descriptor(raw)) {
            require(descriptor->slot < kSlots);
            require(encode(*descriptor) == raw);
        }
    }
    if (size >= 8) {
        std::uint32_t bits = 0;
        std::uint32_t near = 0;
        std::copy_n(bytes.begin(), 4, reinterpret_cast<std::uint8_t*>(&bits));
        std::copy_n(bytes.begin() + 4, 4, reinterpret_cast<std::uint8_t*>(&near));
        require(encode(decode_immediate(bits)) == bits);
        const std::uint64_t whole = expand(decode_immediate(bits).place, 10, near);
        require((whole & 1023) == decode_immediate(bits).place);
        require(whole < std::uint64_t{near} + 512 + 512);
    }
    return 0;
}
