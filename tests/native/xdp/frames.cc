// Frames as bytes: what is written is read back, sums agree with a plain reading of RFC 1071, and
// no bytes whatever lead astray.
#include <cstring>
#include <numeric>

#include "../udp/node.h"
#include "datapath/xdp/frame.h"

namespace weft::datapath::xdp {
namespace {

using test::random_bytes;

std::span<const std::uint8_t> as_octets(const std::vector<std::byte>& bytes) {
    return {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
}

// RFC 1071, word by word and carry by carry.
std::uint16_t checksum(std::vector<std::uint8_t> bytes) {
    if (bytes.size() % 2 != 0) {
        bytes.push_back(0);
    }
    std::uint32_t total = 0;
    for (std::size_t i = 0; i < bytes.size(); i += 2) {
        total += static_cast<std::uint32_t>(bytes[i] << 8 | bytes[i + 1]);
        total = (total & 0xFFFF) + (total >> 16);
    }
    return static_cast<std::uint16_t>(~total);
}

const Mac kMacA{2, 0, 0, 0, 0, 1}, kMacB{2, 0, 0, 0, 0, 2};

struct Flow {
    Endpoint from, to;
};

Flow flow(bool v6) {
    Flow ends{*Endpoint::parse(v6 ? "fd00::1:2" : "10.1.2.3"),
              *Endpoint::parse(v6 ? "fd00::abcd" : "10.250.0.255")};
    ends.from.set_port(40001);
    ends.to.set_port(0xFE01);
    return ends;
}

std::vector<std::uint8_t> write(const Flow& ends, const std::vector<std::byte>& payload) {
    const Envelope envelope(kMacA, kMacB, ends.from, ends.to);
    std::vector<std::uint8_t> frame(envelope.size() + payload.size());
    const std::uint64_t total = copy_and_sum(frame.data() + envelope.size(), as_octets(payload));
    envelope.write(frame.data(), payload.size(), total);
    return frame;
}

TEST_CASE("a datagram that was written is read back, with sums as RFC 1071 has them") {
    for (const bool v6 : {false, true}) {
        for (const std::size_t size : {0u, 1u, 2u, 3u, 80u, 1401u, 8932u, 60'000u}) {
            CAPTURE(v6);
            CAPTURE(size);
            const Flow ends = flow(v6);
            const auto payload = random_bytes(size, size + 1);
            const auto frame = write(ends, payload);
            CHECK(std::equal(kMacB.begin(), kMacB.end(), frame.begin()));
            Datagram back;
            REQUIRE(parse(frame, true, back) == Verdict::kOk);
            CHECK(back.from == ends.from);
            CHECK(back.to == ends.to);
            CHECK_FALSE(back.marked);
            CHECK(std::ranges::equal(back.payload, as_octets(payload)));

            const std::size_t ip = v6 ? 40 : 20;
            if (!v6) {
                CHECK(checksum({frame.begin() + 14, frame.begin() + 34}) == 0);
            }
            const auto from_ip = ends.from.ip(), to_ip = ends.to.ip();
            std::vector<std::uint8_t> summed(from_ip.begin(), from_ip.end());
            summed.insert(summed.end(), to_ip.begin(), to_ip.end());
            const std::size_t length = 8 + size;
            for (const std::size_t part : {std::size_t{17}, length}) {
                summed.push_back(static_cast<std::uint8_t>(part >> 8));
                summed.push_back(static_cast<std::uint8_t>(part));
            }
            summed.insert(summed.end(), frame.begin() + 14 + static_cast<std::ptrdiff_t>(ip),
                          frame.end());
            CHECK(checksum(summed) == 0);
            CHECK((frame[14 + ip + 6] | frame[14 + ip + 7]) != 0);  // 0 would mean: none
        }
    }
}

TEST_CASE("sums of parts join, wherever the cut is") {
    const auto bytes = random_bytes(301, 5);
    const auto all = as_octets(bytes);
    const auto fold = [](std::uint64_t total) {
        while (total >> 16 != 0) {
            total = (total & 0xFFFF) + (total >> 16);
        }
        return total;
    };
    for (std::size_t cut = 0; cut <= all.size(); ++cut) {
        REQUIRE(fold(join(sum(all.first(cut)), cut, sum(all.subspan(cut)))) == fold(sum(all)));
    }
}

TEST_CASE("every damaged bit behind the Ethernet header is noticed") {
    for (const bool v6 : {false, true}) {
        const auto frame = write(flow(v6), random_bytes(100, 3));
        Datagram whole;
        REQUIRE(parse(frame, true, whole) == Verdict::kOk);
        for (std::size_t bit = 14 * 8; bit < frame.size() * 8; ++bit) {
            const std::size_t ip_byte = bit / 8 - 14;
            if (v6 && (ip_byte < 4 || ip_byte == 7)) {
                continue;  // class, flow label and hop limit are in no sum
            }
            auto damaged = frame;
            damaged[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
            Datagram back;
            CAPTURE(bit);
            CHECK(parse(damaged, true, back) != Verdict::kOk);
        }
    }
}

TEST_CASE("a sum that was left to a network card passes, IPv4 may have none, IPv6 may not") {
    for (const bool v6 : {false, true}) {
        const Flow ends = flow(v6);
        auto frame = write(ends, random_bytes(100, 3));
        const std::size_t check = 14 + (v6 ? 40 : 20) + 6;
        std::vector<std::uint8_t> pseudo;
        for (const Endpoint* end : {&ends.from, &ends.to}) {
            pseudo.insert(pseudo.end(), end->ip().begin(), end->ip().end());
        }
        for (const std::uint8_t byte : std::initializer_list<std::uint8_t>{0, 17, 0, 108}) {
            pseudo.push_back(byte);
        }
        const auto left = static_cast<std::uint16_t>(~checksum(pseudo));
        frame[check] = static_cast<std::uint8_t>(left >> 8);
        frame[check + 1] = static_cast<std::uint8_t>(left);
        Datagram back;
        CHECK(parse(frame, true, back) == Verdict::kOk);
        frame[check] = frame[check + 1] = 0;
        CHECK((parse(frame, true, back) == Verdict::kOk) == !v6);
        frame[check] ^= 0x55;
        CHECK(parse(frame, true, back) == Verdict::kCorrupt);
        CHECK(parse(frame, false, back) == Verdict::kOk);
    }
}

TEST_CASE("congestion marks are seen, and padding behind the datagram is not") {
    for (const bool v6 : {false, true}) {
        auto frame = write(flow(v6), random_bytes(2, 3));
        frame[15] |= v6 ? 0x30 : 3;
        frame.resize(80);
        Datagram back;
        REQUIRE(parse(frame, false, back) == Verdict::kOk);
        CHECK(back.marked);
        CHECK(back.payload.size() == 2);
    }
}

TEST_CASE("no bytes lead a reader beyond them") {
    std::mt19937_64 random(11);
    for (int round = 0; round < 200'000; ++round) {
        const bool v6 = random() % 2 == 0;
        auto frame = write(flow(v6), random_bytes(random() % 40, random()));
        for (std::uint64_t harm = random() % 4; harm > 0; --harm) {
            frame[12 + random() % 12] = static_cast<std::uint8_t>(random());
        }
        frame.resize(random() % (frame.size() + 1));
        const std::vector<std::uint8_t> tight(frame);  // so that sanitizers see its end
        Datagram back;
        if (parse(tight, random() % 2 == 0, back) == Verdict::kOk) {
            REQUIRE(back.payload.data() >= tight.data());
            REQUIRE(back.payload.data() + back.payload.size() <= tight.data() + tight.size());
        }
    }
}

}  // namespace
}  // namespace weft::datapath::xdp
