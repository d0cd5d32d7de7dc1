// CRC-32C and SipHash-2-4 against their published test vectors.
#include "wire/checksum.h"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <random>
#include <string_view>
#include <vector>

#include "wire/siphash.h"

namespace weft::wire {
namespace {

std::vector<std::uint8_t> bytes_of(std::string_view text) {
    return {text.begin(), text.end()};
}

TEST_CASE("crc32c: vectors of RFC 3720 B.4 and the check value of the CRC catalogue") {
    std::vector<std::uint8_t> zeros(32, 0x00);
    std::vector<std::uint8_t> ones(32, 0xFF);
    std::vector<std::uint8_t> rising(32);
    std::vector<std::uint8_t> falling(32);
    for (std::size_t i = 0; i < 32; ++i) {
        rising[i] = static_cast<std::uint8_t>(i);
        falling[i] = static_cast<std::uint8_t>(31 - i);
    }
    for (auto* crc : {&crc32c, &crc32c_portable}) {
        CHECK(crc(0, zeros) == 0x8A9136AAu);
        CHECK(crc(0, ones) == 0x62A8AB43u);
        CHECK(crc(0, rising) == 0x46DD794Eu);
        CHECK(crc(0, falling) == 0x113FDB5Cu);
        CHECK(crc(0, bytes_of("123456789")) == 0xE3069283u);
        CHECK(crc(0, {}) == 0u);
    }
}

TEST_CASE("crc32c: the instruction and the tables agree, in one piece or in two") {
    std::mt19937_64 random(1);
    for (std::size_t size = 0; size < 300; ++size) {
        std::vector<std::uint8_t> data(size);
        for (auto& byte : data) {
            byte = static_cast<std::uint8_t>(random());
        }
        const std::span<const std::uint8_t> all(data);
        const std::size_t cut = size == 0 ? 0 : random() % size;
        CHECK(crc32c(0, all) == crc32c_portable(0, all));
        CHECK(crc32c(crc32c(0, all.first(cut)), all.subspan(cut)) == crc32c(0, all));
    }
}

TEST_CASE("siphash-2-4: vectors of the reference implementation, key 00..0f, input 00, 01, ...") {
    std::array<std::uint8_t, 16> key{};
    std::vector<std::uint8_t> input(15);
    for (std::size_t i = 0; i < key.size(); ++i) {
        key[i] = static_cast<std::uint8_t>(i);
    }
    for (std::size_t i = 0; i < input.size(); ++i) {
        input[i] = static_cast<std::uint8_t>(i);
    }
    constexpr std::array<std::uint64_t, 9> kExpected = {
        0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a,
        0x85676696d7fb7e2d, 0xcf2794e0277187b7, 0x18765564cd99a68d,
        0xcbc9466e58fee3ce, 0xab0200f58b01d137, 0x93f5f5799a932462};
    for (std::size_t size = 0; size < kExpected.size(); ++size) {
        CHECK(siphash(key, std::span(input).first(size)) == kExpected[size]);
    }
    CHECK(siphash(key, input) == 0xa129ca6149be45e5);  // the example in the paper's appendix A
}

}  // namespace
}  // namespace weft::wire
