// Frames: what is read from them, and what befalls them. Checksums are verified by the definition
// (RFC 1071: the sum over what is covered, checksum included, is all ones), not by our own code.
#include "emulator/frame.h"

#include <doctest/doctest.h>

#include <numeric>
#include <vector>

#include "emulator/lateness.h"
#include "emulator/neighbours.h"
#include "fabric/random.h"

using namespace weft::emulator;

namespace {

using Frame = std::vector<std::uint8_t>;

void put16(Frame& frame, std::size_t at, std::size_t value) {
    frame[at] = static_cast<std::uint8_t>(value >> 8);
    frame[at + 1] = static_cast<std::uint8_t>(value);
}

unsigned ones_sum(const Frame& bytes) {
    unsigned total = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) total += bytes[i] * (i % 2 == 0 ? 256U : 1U);
    while (total > 0xFFFF) total = (total & 0xFFFF) + (total >> 16);
    return total;
}

Frame slice(const Frame& frame, std::size_t from, std::size_t to) {
    return {frame.begin() + static_cast<std::ptrdiff_t>(from),
            frame.begin() + static_cast<std::ptrdiff_t>(to)};
}

bool ipv4_header_is_right(const Frame& frame) {
    return ones_sum(slice(frame, 14, 34)) == 0xFFFF;
}

bool udp_is_right(const Frame& frame, bool v6) {
    const std::size_t at = v6 ? 54 : 34;
    Frame covered = v6 ? slice(frame, 22, 54) : slice(frame, 26, 34);
    const std::size_t length = frame.size() - at;
    const std::uint8_t tail[] = {0, 17, static_cast<std::uint8_t>(length >> 8),
                                 static_cast<std::uint8_t>(length)};
    covered.insert(covered.end(), tail, tail + 4);
    const Frame datagram = slice(frame, at, frame.size());
    covered.insert(covered.end(), datagram.begin(), datagram.end());
    return ones_sum(covered) == 0xFFFF;
}

// A UDP datagram from 10.0.0.1 to 10.0.0.2 (or fd00::1 to fd00::2) whose IPv4 header sums up.
Frame udp(std::size_t payload, bool v6 = false, std::uint16_t source_port = 4000) {
    const std::size_t at = v6 ? 54 : 34;
    Frame frame(at + 8 + payload);
    std::iota(frame.begin() + static_cast<std::ptrdiff_t>(at) + 8, frame.end(), std::uint8_t{7});
    const std::uint8_t macs[] = {2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1};
    std::copy(std::begin(macs), std::end(macs), frame.begin());
    put16(frame, 12, v6 ? 0x86DD : 0x0800);
    if (v6) {
        frame[14] = 0x60;
        frame[15] = 0x20;  // ECT(0)
        put16(frame, 18, 8 + payload);
        frame[20] = 17;
        frame[21] = 64;
        frame[22] = frame[38] = 0xFD;
        frame[37] = 1;
        frame[53] = 2;
    } else {
        frame[14] = 0x45;
        frame[15] = 2;  // ECT(0)
        put16(frame, 16, 28 + payload);
        frame[22] = 64;
        frame[23] = 17;
        frame[26] = frame[30] = 10;
        frame[29] = 1;
        frame[33] = 2;
        put16(frame, 24, 0xFFFF - ones_sum(slice(frame, 14, 34)));
    }
    put16(frame, at, source_port);
    put16(frame, at + 2, 5000);
    put16(frame, at + 4, 8 + payload);
    return frame;
}

}  // namespace

TEST_CASE("the five-tuple decides a flow, and nothing else does") {
    for (const bool v6 : {false, true}) {
        const Frame frame = udp(100, v6);
        const FrameView view = parse(frame);
        CHECK(view.kind == (v6 ? FrameKind::kIpv6 : FrameKind::kIpv4));
        CHECK(view.ecn_capable);
        CHECK(view.trimmable);
        CHECK(view.transport == (v6 ? 54 : 34));
        CHECK(parse(udp(900, v6)).entropy == view.entropy);
        CHECK(parse(udp(100, v6, 4001)).entropy != view.entropy);
    }
    CHECK(parse(udp(100)).ipv4 == 0x0A000002);
    Frame fragment = udp(100);
    fragment[20] = 0x20;  // more fragments
    Frame other = udp(100, false, 4001);
    other[20] = 0x20;
    CHECK(parse(fragment).entropy == parse(other).entropy);
    CHECK_FALSE(parse(fragment).trimmable);
}

TEST_CASE("source ports spread over 64 ways as evenly as chance does") {
    std::vector<int> ways(64);
    for (std::uint16_t port = 0; port < 6400; ++port) {
        const std::uint64_t hash = weft::fabric::mix(77 ^ parse(udp(10, false, port)).entropy);
        ++ways[weft::fabric::reduce(static_cast<std::uint32_t>(hash), 64)];
    }
    double chi = 0;
    for (const int count : ways) chi += (count - 100.0) * (count - 100.0) / 100.0;
    CHECK(chi < 120);  // 63 degrees of freedom: 1 in 10^5
}

TEST_CASE("a congestion mark leaves the header's checksum right") {
    Frame frame = udp(50);
    CHECK(ipv4_header_is_right(frame));
    mark_congestion(frame, parse(frame));
    CHECK((frame[15] & 3) == 3);
    CHECK(ipv4_header_is_right(frame));
    CHECK_FALSE(parse(frame).ecn_capable);
    Frame v6 = udp(50, true);
    mark_congestion(v6, parse(v6));
    CHECK((v6[15] >> 4 & 3) == 3);
}

TEST_CASE("a trimmed datagram is a valid datagram of its first bytes") {
    for (const bool v6 : {false, true}) {
        const Frame whole = udp(1200, v6);
        Frame frame = whole;
        frame.resize(trim(frame, parse(frame), 128));
        REQUIRE(frame.size() == 128);
        CHECK(udp_is_right(frame, v6));
        if (!v6) CHECK(ipv4_header_is_right(frame));
        const std::size_t payload = v6 ? 62 : 42;
        CHECK(slice(frame, payload, 128) == slice(whole, payload, 128));
        Frame small = udp(10, v6);
        CHECK(trim(small, parse(small), 128) == small.size());
    }
}

TEST_CASE("a checksum left to the network card is finished, and damage breaks it") {
    weft::fabric::Random random(5);
    for (std::size_t payload = 1; payload < 60; ++payload) {
        Frame frame = udp(payload);
        // What a kernel leaves: the pseudo-header's sum.
        const Frame pseudo{10, 0, 0, 1,  10, 0,
                           0,  2, 0, 17, 0,  static_cast<std::uint8_t>(8 + payload)};
        put16(frame, 40, ones_sum(pseudo));
        Offload offload;
        complete_checksum(frame, offload);  // not asked to
        CHECK_FALSE(udp_is_right(frame, false));
        offload.flags = Offload::kNeedsChecksum;
        offload.checksum_start = 34;
        offload.checksum_offset = 6;
        complete_checksum(frame, offload);
        CHECK(udp_is_right(frame, false));
        damage(frame, parse(frame), random.next());
        CHECK_FALSE(udp_is_right(frame, false));
        CHECK(ipv4_header_is_right(frame));
    }
}

TEST_CASE("random and cut-off bytes are read without harm") {
    weft::fabric::Random random(9);
    for (int round = 0; round < 50'000; ++round) {
        Frame frame =
            round % 2 == 0 ? udp(random.below(80), random.below(2) == 0) : Frame(random.below(120));
        for (int flips = 0; flips < 4 && !frame.empty(); ++flips)
            frame[random.below(static_cast<std::uint32_t>(frame.size()))] =
                static_cast<std::uint8_t>(random.next());
        frame.resize(random.below(static_cast<std::uint32_t>(frame.size()) + 1));
        const FrameView view = parse(frame);
        if (view.kind == FrameKind::kIpv4 || view.kind == FrameKind::kIpv6) {
            mark_congestion(frame, view);
            frame.resize(trim(frame, view, 60));
        }
        damage(frame, view, random.next());
        Offload offload;
        offload.flags = Offload::kNeedsChecksum;
        offload.checksum_start = static_cast<std::uint16_t>(random.next());
        offload.checksum_offset = static_cast<std::uint16_t>(random.next());
        complete_checksum(frame, offload);
        CHECK(Neighbours{}.answer(frame, parse(frame)).empty());
    }
}

TEST_CASE("two hosts cannot have one address, and frames find their host") {
    Neighbours neighbours;
    const Mac first{2, 0, 0, 0, 0, 1};
    const Mac second{2, 0, 0, 0, 0, 2};
    Ipv6 v6{};
    v6[0] = 0xFD;
    v6[15] = 1;
    neighbours.add(0, first, 0x0A000001, v6);
    v6[15] = 2;
    CHECK_THROWS_WITH(neighbours.add(1, second, 0x0A000001, v6),
                      "hosts h0 and h1 both have the address 10.0.0.1");
    neighbours.add(1, second, 0x0A000002, v6);
    CHECK(neighbours.destination(parse(udp(10))) == 1);
    CHECK(neighbours.destination(parse(udp(10, true))) == 1);
    Frame plain(60);
    plain[12] = 0x88;  // some protocol of somebody's own: by MAC address
    std::copy(first.begin(), first.end(), plain.begin());
    CHECK(neighbours.destination(parse(plain)) == 0);
    plain[0] = 0xFF;
    CHECK_FALSE(neighbours.destination(parse(plain)).has_value());
}

TEST_CASE("an ARP request is answered in the name of the host that has the address") {
    Neighbours neighbours;
    const Mac mac{2, 0, 0, 0, 0, 2};
    neighbours.add(0, mac, 0x0A000002, Ipv6{0xFD});
    const Frame request{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2,  0, 0, 0, 0, 1,  // Ethernet
                        8,    6,    0,    1,    8,    0,    6,  4, 0, 1,        // who has
                        2,    0,    0,    0,    0,    1,    10, 0, 0, 1,        // asks
                        0,    0,    0,    0,    0,    0,    10, 0, 0, 2};
    const Frame expected{2, 0, 0, 0, 0, 1, 2, 0,  0, 0, 0, 2, 8, 6, 0, 1, 8, 0,  6, 4, 0,
                         2, 2, 0, 0, 0, 0, 2, 10, 0, 0, 2, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1};
    CHECK(neighbours.answer(request, parse(request)) == expected);
    Frame stranger = request;
    stranger.back() = 9;
    CHECK(neighbours.answer(stranger, parse(stranger)).empty());
}

TEST_CASE("quantiles of lateness are right to a sixteenth") {
    Lateness lateness;
    CHECK(lateness.quantile(0.5) == 0);
    for (std::int64_t i = 1; i <= 100'000; ++i) lateness.add(i * 1000);
    CHECK(lateness.max() == 100'000'000);
    for (const double share : {0.00005, 0.1, 0.5, 0.9, 0.99}) {
        const double right = share * 1e8;
        CHECK(static_cast<double>(lateness.quantile(share)) >= right);
        CHECK(static_cast<double>(lateness.quantile(share)) <= right * 17 / 16 + 2000);
    }
    lateness.add(1LL << 60);
    CHECK(lateness.quantile(1.0) == 1LL << 60);
}
