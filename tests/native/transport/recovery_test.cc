// How single losses are found and mended: overtaken, trimmed, tail, timeout; and where repeats go.
#include <doctest/doctest.h>

#include <map>

#include "traffic.h"

namespace weft::transport::test {
namespace {

PairOptions slow_timeouts(std::uint16_t paths) {
    PairOptions options = options_with(paths);
    for (Config* config : {&options.client, &options.server}) {
        config->rto_min = 50 * kMillisecond;
    }
    return options;
}

// A pair whose round-trip times are known.
std::unique_ptr<Pair> warmed_up(const PairOptions& options) {
    auto pair = std::make_unique<Pair>(options);
    REQUIRE(pair->connect(pair->now() + kSecond));
    Traffic warm(*pair, Side::kClient, 99);
    warm.add(100000, true);
    REQUIRE(pair->run([&] { return warm.complete(); }, pair->now() + kSecond));
    return pair;
}

// Sends one message and loses all that is sent in the first instant.
Time time_with_lost_start(Pair& pair, std::size_t size) {
    Traffic up(pair, Side::kClient, 1);
    pair.network().link(Side::kClient, 0).down = true;
    up.add(size, true);
    pair.run([] { return false; }, pair.now());
    pair.network().link(Side::kClient, 0).down = false;
    const Time start = pair.now();
    REQUIRE(pair.run([&] { return up.complete(); }, start + kSecond));
    up.check_bytes();
    return pair.now() - start;
}

TEST_CASE("a lost tail is probed for long before its timeout") {
    auto pair = warmed_up(slow_timeouts(1));
    CHECK(time_with_lost_start(*pair, 500) < 5 * kMillisecond);
    const Stats stats = pair->client().connection().stats();
    CHECK(stats.tail_probes == 1);
    CHECK(stats.timeouts == 0);
}

TEST_CASE("without tail probes the timeout mends it") {
    PairOptions options = slow_timeouts(1);
    options.client.recovery.parameters = {{"tail_probe", 0}};
    auto pair = warmed_up(options);
    const Time time = time_with_lost_start(*pair, 500);
    CHECK(time >= 50 * kMillisecond);
    CHECK(time < 60 * kMillisecond);
    const Stats stats = pair->client().connection().stats();
    CHECK(stats.tail_probes == 0);
    CHECK(stats.timeouts == 1);
}

TEST_CASE("a trimmed chunk is known to be lost at once, and is no timeout") {
    PairOptions options = slow_timeouts(2);
    options.link.trim = 0.2;
    auto pair = warmed_up(options);
    const Stats stats = pair->client().connection().stats();
    CHECK(stats.trims > 10);
    CHECK(stats.trims == stats.retransmitted);
    CHECK(stats.timeouts == 0);
    CHECK(stats.fast_retransmits == 0);
}

TEST_CASE("overtaken chunks are mended without a timeout") {
    PairOptions options = slow_timeouts(4);
    options.link.rate = 50e6;
    auto pair = warmed_up(options);
    pair->network().link(Side::kClient, 1).loss = 0.05;
    Traffic up(*pair, Side::kClient, 1);
    up.add(2000000, true);
    REQUIRE(pair->run([&] { return up.complete(); }, pair->now() + kSecond));
    up.check_bytes();
    const Stats stats = pair->client().connection().stats();
    CHECK(stats.fast_retransmits > 10);
    CHECK(stats.timeouts == 0);
    CHECK(stats.spurious <= stats.tail_probes);
}

TEST_CASE("what one path lost goes out again on another") {
    struct Watch final : TraceSink {
        void trace(const TraceEvent& event) override {
            if (event.kind == TraceKind::kChunkLost) {
                lost_on[event.sequence & 0xFFFFFFFF] = event.path;
            } else if (event.kind == TraceKind::kPacketSent &&
                       event.value == static_cast<std::uint64_t>(wire::PacketKind::kData)) {
                const auto lost = lost_on.find(event.sequence);
                if (lost != lost_on.end()) {
                    same += event.path == lost->second ? 1 : 0;
                    other += event.path != lost->second ? 1 : 0;
                    lost_on.erase(lost);
                }
            }
        }
        std::map<std::uint64_t, PathId> lost_on;
        std::size_t same = 0;
        std::size_t other = 0;
    } watch;
    for (const char* scheduler : {"round_robin", "least_in_flight"}) {
        PairOptions options = options_with(4);
        options.link.loss = 0.1;
        options.client.scheduler.name = scheduler;
        options.client.path_timeouts = 255;  // all paths stay in use
        Pair pair(options);
        REQUIRE(pair.connect(pair.now() + 5 * kSecond));
        watch.lost_on.clear();
        pair.client().connection().set_trace(&watch);
        Traffic up(pair, Side::kClient, 1);
        up.add(1000000, true);
        REQUIRE(pair.run([&] { return up.complete(); }, pair.now() + 10 * kSecond));
        pair.client().connection().set_trace(nullptr);
    }
    CHECK(watch.other > 100);
    CHECK(watch.same == 0);
}

// --- Go back N

PairOptions going_back(std::uint16_t paths) {
    PairOptions options = slow_timeouts(paths);
    for (Config* config : {&options.client, &options.server}) {
        config->recovery = {"go_back_n", {}};
        config->congestion = {"none", {{"window_chunks", 20}}};
    }
    return options;
}

TEST_CASE("go back n: one loss repeats everything sent since, in order") {
    Pair pair(going_back(1));
    REQUIRE(pair.connect(pair.now() + kSecond));
    Connection& client = pair.client().connection();
    Connection& server = pair.server()->connection();
    SendRequest request;
    request.size = 20'000;
    REQUIRE(client.send(pair.now(), request) != kNoMessage);
    Transmit transmit;
    Time now = pair.now();
    std::vector<std::uint64_t> first;
    while (client.poll_transmit(now, transmit)) {
        first.push_back(transmit.packet.data.offset / 1000);
        if (first.back() != 5) {
            server.handle_packet(now, transmit.packet, {});
        }
    }
    REQUIRE(first.size() == 20);
    now += 10 * kMicrosecond;
    while (server.poll_transmit(now, transmit)) {
        client.handle_packet(now, transmit.packet, {});
    }
    CHECK(server.stats().bytes_received == 5'000);  // what came after the gap was not taken
    CHECK(server.stats().drops[static_cast<std::size_t>(Drop::kOutOfOrder)] == 14);
    std::vector<std::uint64_t> again;
    while (client.poll_transmit(now, transmit)) {
        again.push_back(transmit.packet.data.offset / 1000);
        server.handle_packet(now, transmit.packet, {});
    }
    REQUIRE(again.size() == 15);
    for (std::size_t i = 0; i < again.size(); ++i) {
        CHECK(again[i] == 5 + i);
    }
    CHECK(server.stats().bytes_received == 20'000);
    CHECK(client.stats().timeouts == 0);
}

TEST_CASE("go back n pays for every loss with a window, selective repeat with a chunk") {
    const auto repeats = [](const char* recovery) {
        PairOptions options = going_back(1);
        options.client.recovery.name = options.server.recovery.name = recovery;
        options.link.rate = 50e6;
        options.link.delay = 100 * kMicrosecond;
        auto pair = warmed_up(options);
        pair->network().link(Side::kClient, 0).loss = 0.01;
        Traffic up(*pair, Side::kClient, 1);
        up.add(2'000'000, true);
        REQUIRE(pair->run([&] { return up.complete(); }, pair->now() + 10 * kSecond));
        up.check_bytes();
        return pair->client().connection().stats().retransmitted;
    };
    const std::uint64_t selective = repeats("selective_repeat");
    const std::uint64_t back = repeats("go_back_n");
    CHECK(selective >= 10);  // of 2,000 chunks, 20 expected
    CHECK(selective <= 40);
    CHECK(back > 5 * selective);
}

TEST_CASE("a mixed pair gets its bytes across, whichever side keeps order") {
    for (const bool client : {true, false}) {
        PairOptions options = options_with(2);
        options.link.loss = 0.02;
        (client ? options.client : options.server).recovery.name = "go_back_n";
        Pair pair(options);
        REQUIRE(pair.connect(pair.now() + kSecond));
        Traffic up(pair, Side::kClient, 1);
        Traffic down(pair, Side::kServer, 2);
        up.add(300'000, true);
        down.add(300'000, true);
        REQUIRE(
            pair.run([&] { return up.complete() && down.complete(); }, pair.now() + 60 * kSecond));
        up.check_bytes();
        down.check_bytes();
    }
}

}  // namespace
}  // namespace weft::transport::test
