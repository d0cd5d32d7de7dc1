// Credits: demand and grant as running totals, the pace that a host's connections share, and what
// becomes of lost credits. Also the reports of trimmed chunks, the other half of an incast's
// mending.
#include <doctest/doctest.h>

#include <deque>
#include <map>
#include <vector>

#include "traffic.h"
#include "transport/congestion/eqds.h"
#include "transport/credit_source.h"

namespace weft::transport::test {
namespace {

constexpr Time kUs = kMicrosecond;

struct EqdsTrace {
    EqdsTrace()
        : choice{"eqds", {{"initial_window", 10}, {"patience_us", 100}}},
          reader("congestion control", choice),
          eqds(reader, {.paths = 1, .chunk_size = 1000, .window = 1024}) {}
    // Sends as many whole chunks of `backlog` as the window lets go; returns how many.
    int send(std::uint64_t& backlog) {
        int sent = 0;
        while (backlog >= 1000 && in_flight + 1000 <= eqds.window()) {
            eqds.on_sent(now, 0, 1000);
            in_flight += 1000;
            backlog -= 1000;
            ++sent;
        }
        return sent;
    }
    void ack(std::uint32_t chunks) {
        in_flight -= 1000 * chunks;
        eqds.on_ack({.now = now, .bytes = 1000 * chunks, .chunks = chunks, .in_flight = in_flight},
                    {});
    }

    PolicyChoice choice;
    ParameterReader reader;
    Eqds eqds;
    Time now = kSecond;
    std::uint64_t in_flight = 0;
};

TEST_CASE("eqds: the first window goes unasked, the rest for credit, chunk for chunk") {
    EqdsTrace trace;
    std::uint64_t backlog = 50'000;
    // What is missing beyond the unasked 10,000 bytes.
    CHECK(trace.eqds.poll_demand(trace.now, backlog) == 40'000);
    CHECK(trace.eqds.poll_demand(trace.now, backlog) == 0);  // said once
    CHECK(trace.send(backlog) == 10);
    CHECK(trace.eqds.poll_demand(trace.now, backlog) == 0);
    trace.ack(10);
    CHECK(trace.send(backlog) == 0);  // acknowledgements are no credit
    trace.eqds.on_credit(trace.now, 16'384);
    CHECK(trace.send(backlog) == 16);
    trace.eqds.on_credit(trace.now, 8'000);  // an old one, overtaken
    CHECK(trace.send(backlog) == 0);
    trace.eqds.on_credit(trace.now, 1'000'000);  // more than was asked for
    CHECK(trace.send(backlog) == 24);
    CHECK(backlog == 0);
    CHECK(trace.eqds.window() == trace.in_flight);
    // A loss needs credit again.
    trace.eqds.on_loss({.now = trace.now, .cause = LossCause::kTrimmed, .bytes = 1000}, {});
    trace.in_flight -= 1000;
    CHECK(trace.eqds.poll_demand(trace.now, 1000) == 41'000);
    // After a pause the next start is free again, however much was left.
    trace.ack(39);
    CHECK(trace.eqds.poll_demand(trace.now, 0) == 0);
    CHECK(trace.eqds.window() == 10'000);
}

TEST_CASE("eqds: an unanswered demand is repeated, and never a reason to stop for ever") {
    EqdsTrace trace;
    std::uint64_t backlog = 20'000;
    REQUIRE(trace.eqds.poll_demand(trace.now, backlog) == 10'000);
    REQUIRE(trace.send(backlog) == 10);
    trace.ack(10);
    int repeats = 0;
    int sent = 0;
    for (int i = 0; i < 20 && sent == 0; ++i) {
        trace.now = trace.eqds.next_timeout();
        REQUIRE(trace.now != kNever);
        repeats += trace.eqds.poll_demand(trace.now, backlog) == 10'000 ? 1 : 0;
        sent = trace.send(backlog);
    }
    CHECK(repeats == 4);
    CHECK(sent == 1);
    CHECK(trace.now - kSecond == (1 + 2 + 4 + 8) * 100 * kUs);  // doubling from 100 us
}

TEST_CASE("a host's pace is shared fairly by whoever has a demand, and never exceeded") {
    const double rate = 1e9;  // bytes per second: 16 KiB in about 16.5 us at 99 %
    const auto pacer = std::make_shared<CreditPacer>(rate);
    const std::vector<std::uint64_t> demands = {400'000, 400'000, 100'000, 1'000'000};
    std::vector<Shared> shared(demands.size());
    std::deque<CreditSource> sources;
    for (Shared& each : shared) {
        each.config.credit_pacer = pacer;
        sources.emplace_back(each);
    }
    Time now = kSecond;
    for (std::size_t i = 0; i < demands.size(); ++i) {
        sources[i].on_demand(now, demands[i]);
    }
    std::vector<std::uint64_t> granted(demands.size());
    Transmit transmit;
    std::uint64_t total = 0;
    while (true) {
        Time next = kNever;
        for (const CreditSource& source : sources) {
            next = std::min(next, source.next_timeout());
        }
        if (next == kNever) {
            break;
        }
        now = std::max(now, next);
        for (std::size_t i = 0; i < demands.size(); ++i) {
            while (sources[i].poll(now, 0, transmit)) {
                CHECK(transmit.packet.kind == wire::PacketKind::kCredit);
                total += transmit.packet.total.bytes - granted[i];
                granted[i] = transmit.packet.total.bytes;
            }
        }
        const double elapsed = static_cast<double>(now - kSecond) / 1e9;
        CHECK(static_cast<double>(total) <= 0.99 * rate * elapsed + 16'384 + 1);
        if (granted[2] < demands[2]) {  // all still ask: no one is a quantum ahead of another
            CHECK(*std::max_element(granted.begin(), granted.end()) <=
                  *std::min_element(granted.begin(), granted.end()) + 16'384);
        }
    }
    CHECK(granted == demands);
    sources[0].on_demand(now, demands[0]);  // its last credit was lost
    REQUIRE(sources[0].poll(now, 0, transmit));
    CHECK(transmit.packet.total.bytes == demands[0]);
    CHECK(!sources[0].poll(now, 0, transmit));
}

TEST_CASE("a host whose rate nobody knows grants everything at once, in one credit") {
    Shared shared;
    shared.config.credit_pacer = std::make_shared<CreditPacer>(0);
    CreditSource source(shared);
    source.on_demand(kSecond, std::uint64_t{1} << 60);
    Transmit transmit;
    REQUIRE(source.poll(kSecond, 0, transmit));
    CHECK(transmit.packet.total.bytes == std::uint64_t{1} << 60);
    CHECK(!source.poll(kSecond, 0, transmit));
}

TEST_CASE("the receiver's pace, not the sender's window, decides how fast bytes come") {
    PairOptions options = options_with(4);
    options.client.congestion = {"eqds", {{"initial_window", 10}}};
    options.server.link_rate = 100e6;
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + kSecond));
    Traffic up(pair, Side::kClient, 1);
    up.add(10'000'000, true);
    const Time start = pair.now();
    REQUIRE(pair.run([&] { return up.complete(); }, pair.now() + 5 * kSecond));
    up.check_bytes();
    const double rate = 10e6 / (static_cast<double>(pair.now() - start) / 1e9);
    CHECK(rate < 100e6);
    CHECK(rate > 95e6);
    CHECK(pair.client().connection().stats().in_flight == 0);
}

TEST_CASE("controls change on a living connection, to credits and back") {
    PairOptions options = options_with(4);
    options.server.link_rate = 100e6;
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + kSecond));
    std::uint64_t group = 0;
    for (const char* name : {"eqds", "swift", "eqds", "none", "eqds", "dctcp"}) {
        CAPTURE(name);
        Traffic up(pair, Side::kClient, ++group);
        up.add(300'000, true);
        pair.run([] { return false; }, pair.now() + 50 * kUs);
        pair.client().connection().set_policies({.congestion = PolicyChoice{name, {}}});
        REQUIRE(pair.run([&] { return up.complete(); }, pair.now() + kSecond));
        up.check_bytes();
    }
}

// --- Reports of trimmed chunks

TEST_CASE("every trimmed chunk of a batch is reported, not only the last") {
    // The receiver reads twenty packets before it answers, as a busy host does. The last five were
    // trimmed, so that nothing later reveals them.
    PairOptions options = options_with(1);
    options.client.congestion.name = "none";
    options.server.ack_delay = 0;
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + kSecond));
    Traffic up(pair, Side::kClient, 1);
    Connection& client = pair.client().connection();
    Connection& server = pair.server()->connection();
    SendRequest request;
    request.size = 20'000;
    REQUIRE(client.send(pair.now(), request) != kNoMessage);
    Transmit transmit;
    Time now = pair.now();
    int chunks = 0;
    while (client.poll_transmit(now, transmit)) {
        server.handle_packet(now, transmit.packet, {.trimmed = chunks++ >= 15});
    }
    REQUIRE(chunks == 20);
    now += 10 * kUs;
    while (server.poll_transmit(now, transmit)) {
        client.handle_packet(now, transmit.packet, {});
    }
    CHECK(client.stats().trims == 5);
    CHECK(client.stats().acks_received == 5);
    std::map<std::uint64_t, int> again;
    while (client.poll_transmit(now, transmit)) {
        ++again[transmit.packet.data.offset / 1000];
    }
    CHECK(again.size() == 5);
    for (const auto& [chunk, times] : again) {
        CHECK(chunk >= 15);
        CHECK(times == 1);
    }
}

}  // namespace
}  // namespace weft::transport::test
