// Hashes of texts against a second, slower way to the same words; rows against the sentence that
// says where each belongs.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "pruning/keys.h"
#include "pruning/places.h"
#include "pruning/rows.h"

using namespace weft::pruning;

namespace {

// Octet by octet, from the definition.
std::uint64_t slow_hash(const std::string& text, std::uint64_t salt) {
    std::uint64_t state = mix(text.size() ^ salt);
    std::uint64_t word = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        word |= std::uint64_t{static_cast<unsigned char>(text[i])} << (8 * (i % 8));
        if (i % 8 == 7 || i + 1 == text.size()) {
            state = mix((state * kGolden) + word);
            word = 0;
        }
    }
    return state;
}

template <typename Edge>
void check_hashes(std::uint64_t salt) {
    std::mt19937 random(static_cast<std::uint32_t>(salt));
    std::vector<std::string> texts;
    for (std::size_t length = 0; length < 40; ++length) {
        std::string text(length, '\0');
        for (char& octet : text) octet = static_cast<char>(random());
        texts.push_back(text);
        texts.emplace_back(length, '\0');  // only its length tells such a one apart
    }
    std::vector<Edge> edges{0};
    std::vector<std::uint8_t> octets;
    for (const std::string& text : texts) {
        octets.insert(octets.end(), text.begin(), text.end());
        edges.push_back(static_cast<Edge>(octets.size()));
    }
    std::vector<std::uint64_t> hashes(texts.size());
    REQUIRE(hash_texts(std::span<const Edge>(edges), octets, salt, hashes));
    for (std::size_t i = 0; i < texts.size(); ++i) CHECK(hashes[i] == slow_hash(texts[i], salt));
    const std::set<std::string> different(texts.begin(), texts.end());
    CHECK(std::set<std::uint64_t>(hashes.begin(), hashes.end()).size() == different.size());
}

}  // namespace

TEST_CASE("a text's hash is that of its words, whatever lies beside it") {
    for (const std::uint64_t salt : {0ULL, 1ULL, 0xFFFFFFFFFFFFFFFFULL}) {
        check_hashes<std::int32_t>(salt);
        check_hashes<std::int64_t>(salt);
    }
}

TEST_CASE("edges outside of the octets are refused") {
    const std::vector<std::uint8_t> octets(8);
    std::vector<std::uint64_t> hashes(1);
    using Edges = std::vector<std::int32_t>;
    const auto refused = [&](const Edges& edges) {
        return !hash_texts(std::span<const std::int32_t>(edges), octets, 0, hashes);
    };
    CHECK_FALSE(refused({0, 8}));
    CHECK(refused({0, 9}));
    CHECK(refused({-1, 4}));
    CHECK(refused({4, 3}));
    CHECK(refused({0}));
    CHECK(refused({0, 1, 2}));
    CHECK(refused({0, std::numeric_limits<std::int32_t>::min()}));
}

TEST_CASE("codes keep the order of numbers, and zero says none") {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    const std::vector<double> values{-kInfinity, -2.5, -1e-300, 0.0, 1e-300, 1.0, 7.25, kInfinity};
    for (std::size_t i = 1; i < values.size(); ++i)
        CHECK(ordered(values[i - 1]) < ordered(values[i]));
    CHECK(ordered(-0.0) == ordered(0.0));
    CHECK(ordered(std::int64_t{-1}) < ordered(std::int64_t{0}));
    CHECK(ordered(std::numeric_limits<std::int64_t>::min()) == 0);

    const Scale scale{ordered(std::int64_t{-10}), 2, 6, false};  // steps of four, to 13
    const Scale turned{scale.low, scale.shift, scale.top, true};
    for (std::int64_t value = -20; value < 20; ++value) {
        const bool inside = value >= -10 && value < 14;
        const auto step = static_cast<std::uint32_t>((value + 10) / 4);
        CHECK(scale.code(value) == (inside ? step + 1 : 0));
        CHECK(turned.code(value) == (inside ? 6 - step : 0));
    }
    const Scale all{0, 32, 0xFFFFFFFE, false};
    CHECK(all.code(std::numeric_limits<double>::quiet_NaN()) == 0);
    CHECK(all.code(1.0) < all.code(2.0));
}

TEST_CASE("a row that stands for others is an earlier one of their key") {
    std::mt19937 random(5);
    for (const std::uint32_t keys : {1U, 3U, 1000U, 1U << 20U}) {
        std::vector<std::uint32_t> codes(3 * std::size_t{20000});
        for (std::size_t i = 0; i < codes.size(); i += 3) {
            const auto key = static_cast<std::uint32_t>(random() % keys);
            codes[i] = key / 7;
            codes[i + 1] = key % 7;
            codes[i + 2] = static_cast<std::uint32_t>(random());  // no part of the key
        }
        std::vector<std::uint32_t> first(codes.size() / 3);
        first_alike(codes, first);
        std::size_t own = 0;
        for (std::uint32_t i = 0; i < first.size(); ++i) {
            REQUIRE(first[i] <= i);
            CHECK(first[first[i]] == first[i]);
            CHECK(codes[3 * std::size_t{first[i]}] == codes[3 * std::size_t{i}]);
            CHECK(codes[(3 * std::size_t{first[i]}) + 1] == codes[(3 * std::size_t{i}) + 1]);
            own += first[i] == i ? 1 : 0;
        }
        if (keys <= 3) CHECK(own == keys);
        if (keys == 1000) CHECK(own < 2 * std::size_t{keys});
    }
}

TEST_CASE("the n-th row of a lane lies in packet n, and in its order") {
    std::mt19937 random(3);
    for (const std::size_t count : {0UL, 1UL, 7UL, 8UL, 9UL, 1000UL}) {
        std::vector<std::uint32_t> ids(count);
        std::vector<std::uint32_t> codes(count * 3);
        std::vector<std::uint8_t> lanes(count);
        std::ranges::generate(ids, std::ref(random));
        std::ranges::generate(codes, std::ref(random));
        for (std::uint8_t& lane : lanes) lane = static_cast<std::uint8_t>(random() % kLanes);
        const LaneCounts counts = count_lanes(lanes);
        const std::size_t packets = std::ranges::max(counts);
        std::vector<std::uint32_t> rows(packets * kLanes * kWords);
        std::vector<std::uint8_t> masks(packets);
        lay_out(ids, codes, lanes, counts, rows, masks);

        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            std::size_t packet = 0;
            for (std::size_t i = 0; i < count; ++i) {
                if (lanes[i] != lane) continue;
                CHECK((masks[packet] >> lane & 1) == 1);
                const std::uint32_t* row = &rows[((packet * kLanes) + lane) * kWords];
                const std::uint32_t wanted[] = {ids[i], codes[3 * i], codes[(3 * i) + 1],
                                                codes[(3 * i) + 2]};
                for (std::size_t word = 0; word < kWords; ++word) {
                    const auto* octet = reinterpret_cast<const std::uint8_t*>(row + word);
                    for (std::size_t k = 0; k < 4; ++k)
                        CHECK(octet[k] == (wanted[word] >> (24 - (8 * k)) & 0xFF));
                }
                ++packet;
            }
            for (; packet < packets; ++packet) CHECK((masks[packet] >> lane & 1) == 0);
        }
    }
}
