// The socket layer by itself: trains, what the kernel refuses, and what it has no room for.
#include <poll.h>

#include <deque>
#include <map>

#include "datapath/error.h"
#include "datapath/udp/socket.h"
#include "node.h"

namespace weft::datapath::test {
namespace {

using udp::Endpoint;
using udp::ReceiveBatch;
using udp::SendBatch;
using udp::Socket;
using udp::SocketCounters;

struct Ends {
    explicit Ends(bool gso = true, bool gro = true, const char* address = "127.0.0.1")
        : from(*Endpoint::parse(address), {1 << 20, gso, gro}),
          to(*Endpoint::parse(address), {4 << 20, gso, gro}) {}

    // A datagram whose header tells its number and whose payload is `size` bytes of that number.
    void add(std::uint32_t number, std::span<const std::byte> payload) {
        const auto header = batch.header();
        REQUIRE(header.size() >= 4);
        std::memcpy(header.data(), &number, 4);
        batch.add(from, to.local(), 4, payload);
    }

    // Number -> payload of all that arrives until nothing has come for a while.
    std::map<std::uint32_t, std::vector<std::uint8_t>> drain() {
        std::map<std::uint32_t, std::vector<std::uint8_t>> got;
        pollfd ready{to.fd(), POLLIN, 0};
        while (poll(&ready, 1, 100) > 0) {
            received.receive(to);
            received.for_each([&](const udp::Arrived& datagram) {
                CHECK(datagram.from == from.local());
                CHECK_FALSE(datagram.marked);
                CHECK(std::abs(datagram.at - now()) < kSecond);
                std::uint32_t number = 0;
                REQUIRE(datagram.bytes.size() >= 4);
                std::memcpy(&number, datagram.bytes.data(), 4);
                const auto payload = datagram.bytes.subspan(4);
                CHECK(got.emplace(number, std::vector<std::uint8_t>(payload.begin(), payload.end()))
                          .second);
            });
        }
        return got;
    }

    SocketCounters counters;
    Socket from, to;
    SendBatch batch{counters};
    ReceiveBatch received{counters};
};

TEST_CASE("trains come apart into the datagrams they were made of") {
    for (const bool gso : {true, false}) {
        for (const bool gro : {true, false}) {
            for (const char* address : {"127.0.0.1", "::1"}) {
                CAPTURE(gso);
                CAPTURE(gro);
                CAPTURE(address);
                Ends ends(gso, gro, address);
                std::mt19937_64 random(5);
                std::map<std::uint32_t, std::vector<std::uint8_t>> sent;
                std::deque<std::vector<std::byte>> payloads;
                for (std::uint32_t number = 0; number < 300; ++number) {
                    // Runs of equal sizes, as bursts are, with shorter and longer ones in between.
                    const std::size_t size = random() % 5 == 0 ? random() % 9000 : 1000;
                    payloads.emplace_back(size, static_cast<std::byte>(number));
                    sent.emplace(
                        number, std::vector<std::uint8_t>(size, static_cast<std::uint8_t>(number)));
                    if (ends.batch.header().empty()) {
                        REQUIRE(ends.batch.flush());
                    }
                    ends.add(number, payloads.back());
                }
                REQUIRE(ends.batch.flush());
                CHECK(ends.batch.empty());
                CHECK(ends.drain() == sent);
                CHECK(ends.counters.datagrams_sent == 300);
                CHECK(ends.counters.datagrams_received == 300);
                if (gso && ends.from.gso()) {
                    CHECK(ends.counters.trains_sent < 200);
                } else {
                    CHECK(ends.counters.trains_sent == 300);
                }
            }
        }
    }
}

TEST_CASE(
    "where the kernel refuses trains the datagrams travel alone, and no train is tried again") {
    Ends ends;
    if (!ends.from.gso()) {
        MESSAGE("skipped: this kernel knows no UDP_SEGMENT");
        return;
    }
    const int on = 1;
    REQUIRE(setsockopt(ends.from.fd(), SOL_SOCKET, SO_NO_CHECK, &on, sizeof on) ==
            0);  // trains need checksums
    const std::vector<std::byte> payload(1000, std::byte{1}), rest(10, std::byte{2}), nothing;
    for (std::uint32_t number = 0; number < 20; ++number) {
        ends.add(number, payload);
    }
    ends.add(20, rest);
    for (std::uint32_t number = 21; number < 25; ++number) {
        ends.add(number, nothing);
    }
    REQUIRE(ends.batch.flush());
    CHECK_FALSE(ends.from.gso());
    CHECK(ends.counters.gso_refused == 1);
    ends.add(25, payload);
    ends.add(26, payload);
    REQUIRE(ends.batch.flush());
    const auto got = ends.drain();
    CHECK(got.size() == 27);
    CHECK(got.at(0).size() == 1000);
    CHECK(got.at(20).size() == 10);
    CHECK(got.at(24).empty());
}

TEST_CASE("what cannot be sent is counted by reason and keeps nothing else back") {
    Ends ends;
    const std::vector<std::byte> payload(100);
    const auto header = ends.batch.header();
    std::memset(header.data(), 0, 4);
    Endpoint nowhere = *Endpoint::parse("0.0.0.1");
    nowhere.set_port(9);
    ends.add(1, payload);
    ends.batch.add(ends.from, nowhere, 4, payload);
    ends.add(2, payload);
    REQUIRE(ends.batch.flush());
    CHECK(ends.counters.unreachable + ends.counters.failed + ends.counters.forbidden == 1);
    CHECK(ends.drain().size() == 2);
}

TEST_CASE("bytes that are taken back are not sent") {
    Ends ends;
    // Ever larger, so that each begins a train: what rides in one train is lost with it.
    const std::vector<std::byte> before(100), taken(1000), after(2000);
    ends.add(1, before);
    ends.add(2, taken);
    ends.add(3, after);
    ends.batch.forget(taken.data(), taken.size());
    REQUIRE(ends.batch.flush());
    const auto got = ends.drain();
    CHECK(got.size() == 2);
    CHECK(got.contains(1));
    CHECK(got.contains(3));
}

}  // namespace
}  // namespace weft::datapath::test
