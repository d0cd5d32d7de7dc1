// SipHash-2-4; variable names v0..v3 and the constants are those of the paper, section 2.
#include "wire/siphash.h"

#include <bit>
#include <cstddef>

#include "wire/bytes.h"

namespace weft::wire {
namespace {

struct SipState {
    std::uint64_t v0, v1, v2, v3;

    void round() {
        v0 += v1;
        v2 += v3;
        v1 = std::rotl(v1, 13) ^ v0;
        v3 = std::rotl(v3, 16) ^ v2;
        v0 = std::rotl(v0, 32);
        v2 += v1;
        v0 += v3;
        v1 = std::rotl(v1, 17) ^ v2;
        v3 = std::rotl(v3, 21) ^ v0;
        v2 = std::rotl(v2, 32);
    }

    void absorb(std::uint64_t word) {
        v3 ^= word;
        round();
        round();
        v0 ^= word;
    }
};

}  // namespace

std::uint64_t siphash(const std::array<std::uint8_t, 16>& key,
                      std::span<const std::uint8_t> bytes) {
    std::uint64_t k0 = 0;
    std::uint64_t k1 = 0;
    Reader key_reader(key.data());
    key_reader.get(k0);
    key_reader.get(k1);
    SipState state{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
                   k1 ^ 0x7465646279746573};

    const std::size_t whole = bytes.size() / 8;
    Reader reader(bytes.data());
    for (std::size_t i = 0; i < whole; ++i) {
        std::uint64_t word = 0;
        reader.get(word);
        state.absorb(word);
    }
    std::uint64_t last = static_cast<std::uint64_t>(bytes.size()) << 56;
    for (std::size_t i = 8 * whole; i < bytes.size(); ++i) {
        last |= static_cast<std::uint64_t>(bytes[i]) << (8 * (i % 8));
    }
    state.absorb(last);

    state.v2 ^= 0xff;
    for (int i = 0; i < 4; ++i) {
        state.round();
    }
    return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

}  // namespace weft::wire
