// Conversations over a network that loses nothing: every kind of message, in both directions.
#include <doctest/doctest.h>

#include "traffic.h"

namespace weft::transport::test {
namespace {

TEST_CASE("messages of many sizes arrive whole, in both directions") {
    Pair pair(options_with(4));
    REQUIRE(pair.connect(pair.now() + kSecond));
    CHECK(pair.client().connection().remote_peer() == 202);
    CHECK(pair.server()->connection().remote_peer() == 101);
    Traffic up(pair, Side::kClient, 1);
    Traffic down(pair, Side::kServer, 2);
    for (const std::size_t size : {0, 1, 999, 1000, 1001, 64000, 1000000}) {
        for (const bool post_first : {true, false}) {
            up.add(size, post_first);
            down.add(size, post_first);
        }
    }
    CHECK_FALSE(pair.run([&] { return up.complete() && down.complete(); }, pair.now() + kSecond));
    up.post_all();
    down.post_all();
    CHECK(pair.run([&] { return up.complete() && down.complete(); }, pair.now() + kSecond));
    up.check_bytes();
    down.check_bytes();
    CHECK(pair.client().connection().stats().retransmitted == 0);
    CHECK(pair.server()->connection().stats().retransmitted == 0);
}

TEST_CASE("sequence numbers survive the wrap of their 32 bits") {
    PairOptions options = options_with(3);
    options.link.loss = 0.05;
    options.link.jitter = 20 * kMicrosecond;
    options.client.rto_min = options.server.rto_min = kMillisecond;
    std::mt19937_64 random(5);
    int calls = 0;
    // The second number that a connection draws is its first sequence number.
    options.random = [&] { return calls++ % 3 == 1 ? std::uint64_t{0xFFFFFF80} : random(); };
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + kSecond));
    Traffic up(pair, Side::kClient, 1);
    Traffic down(pair, Side::kServer, 2);
    for (int i = 0; i < 20; ++i) {
        up.add(50000, true);
        down.add(50000, true);
    }
    CHECK(pair.run([&] { return up.complete() && down.complete(); }, pair.now() + 10 * kSecond));
    up.check_bytes();
    down.check_bytes();
}

TEST_CASE("what is queued before the handshake ends goes out after it") {
    Pair pair(options_with(1));
    const std::vector<std::uint8_t> bytes = random_bytes(5000, 1);
    std::vector<std::uint8_t> landed(5000);
    SendRequest request;
    request.tag = {1, 1};
    REQUIRE(pair.client().send(pair.now(), request, bytes) != kNoMessage);
    REQUIRE(pair.connect(pair.now() + kSecond));
    pair.server()->post(pair.now(), {1, 1}, landed);
    CHECK(pair.run([&] { return find(pair.client().events(), EventKind::kMessageSent) != nullptr; },
                   pair.now() + kSecond));
    CHECK(landed == bytes);
}

TEST_CASE("events carry what the message was opened with") {
    Pair pair(options_with(2));
    REQUIRE(pair.connect(pair.now() + kSecond));
    const std::vector<std::uint8_t> bytes = random_bytes(2500, 1);
    std::vector<std::uint8_t> landed(2500);
    SendRequest request;
    request.tag = {0xAAAA, 0xBBBB};
    request.signature = 0xCCCC;
    request.priority = 5;
    pair.client().send(pair.now(), request, bytes);
    auto& events = pair.server()->events();
    REQUIRE(pair.run([&] { return find(events, EventKind::kMessageOpened) != nullptr; },
                     pair.now() + kSecond));
    const Event opened = *find(events, EventKind::kMessageOpened);
    CHECK(opened.tag == Tag{0xAAAA, 0xBBBB});
    CHECK(opened.signature == 0xCCCC);
    CHECK(opened.size == 2500);
    CHECK(opened.priority == 5);
    CHECK(find(events, EventKind::kMessageReceived) == nullptr);
    pair.server()->post(pair.now(), request.tag, landed);
    REQUIRE(pair.run([&] { return find(events, EventKind::kMessageReceived) != nullptr; },
                     pair.now() + kSecond));
    CHECK(landed == bytes);
}

TEST_CASE("the more urgent message overtakes") {
    PairOptions options = options_with(1);
    options.link.rate = 100e6;
    options.client.congestion = {"none", {{"window_chunks", 64}}};
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + kSecond));
    Traffic bulk(pair, Side::kClient, 1);
    bulk.add(1000000, true, 0);
    pair.run([] { return false; }, pair.now() + kMillisecond);
    Traffic urgent(pair, Side::kClient, 2);
    urgent.add(10000, true, 9);
    CHECK(pair.run([&] { return urgent.complete(); }, pair.now() + kSecond));
    CHECK_FALSE(bulk.complete());
    CHECK(pair.run([&] { return bulk.complete(); }, pair.now() + kSecond));
}

TEST_CASE("send refuses what cannot be sent") {
    Pair pair(options_with(1));
    REQUIRE(pair.connect(pair.now() + kSecond));
    Connection& client = pair.client().connection();
    SendRequest request;
    request.size = wire::kMaxMessageSize + 1;
    CHECK(client.send(pair.now(), request) == kNoMessage);
    request.size = 1;
    request.priority = 16;
    CHECK(client.send(pair.now(), request) == kNoMessage);
    request.priority = 0;
    client.close(pair.now());
    CHECK(client.send(pair.now(), request) == kNoMessage);
}

TEST_CASE("an orderly close first delivers what was sent") {
    PairOptions options = options_with(2);
    options.link.loss = 0.1;
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + 5 * kSecond));
    Traffic up(pair, Side::kClient, 1);
    up.add(100000, true);
    pair.client().connection().close(pair.now());
    CHECK(pair.client().connection().state() == State::kClosing);
    const auto both_closed = [&] {
        return pair.client().connection().state() == State::kClosed &&
               pair.server()->connection().state() == State::kClosed;
    };
    CHECK(pair.run(both_closed, pair.now() + 5 * kSecond));
    CHECK(up.complete());
    up.check_bytes();
    CHECK(count(pair.client().events(), EventKind::kClosed) == 1);
    CHECK(count(pair.server()->events(), EventKind::kPeerClosed) == 1);
    CHECK(pair.client().connection().next_timeout() == kNever);
    CHECK(pair.server()->connection().next_timeout() == kNever);
}

TEST_CASE("who closes once it has everything has not lost it for the sender") {
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        CAPTURE(seed);
        PairOptions options = options_with(4, seed);
        options.link.jitter = kMillisecond;  // the close overtakes acknowledgements
        Pair pair(options);
        REQUIRE(pair.connect(pair.now() + 5 * kSecond));
        Traffic up(pair, Side::kClient, 1);
        up.add(5000, true);
        const auto& arrived = pair.server()->events();
        const Time end = pair.now() + 5 * kSecond;
        REQUIRE(pair.run([&] { return count(arrived, EventKind::kMessageReceived) == 1; }, end));
        pair.server()->connection().close(pair.now());
        CHECK(pair.run([&] { return pair.client().connection().state() == State::kClosed; }, end));
        CHECK(up.complete());
        CHECK(count(pair.client().events(), EventKind::kPeerClosed) == 1);
    }
}

TEST_CASE("both sides may close at once") {
    Pair pair(options_with(1));
    REQUIRE(pair.connect(pair.now() + kSecond));
    pair.client().connection().close(pair.now());
    pair.server()->connection().close(pair.now());
    const auto both_closed = [&] {
        return pair.client().connection().state() == State::kClosed &&
               pair.server()->connection().state() == State::kClosed;
    };
    CHECK(pair.run(both_closed, pair.now() + kSecond));
}

TEST_CASE("an observer sees packets, acknowledgements and states") {
    struct Tally final : TraceSink {
        void trace(const TraceEvent& event) override {
            ++kinds[static_cast<std::size_t>(event.kind)];
        }
        std::uint64_t of(TraceKind kind) const { return kinds[static_cast<std::size_t>(kind)]; }
        std::array<std::uint64_t, 8> kinds{};
    } tally;
    PairOptions options = options_with(2);
    options.link.loss = 0.1;
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + 5 * kSecond));
    pair.client().connection().set_trace(&tally);
    Traffic up(pair, Side::kClient, 1);
    up.add(100000, true);
    REQUIRE(pair.run([&] { return up.complete(); }, pair.now() + 5 * kSecond));
    pair.client().connection().set_trace(nullptr);
    const Stats stats = pair.client().connection().stats();
    CHECK(tally.of(TraceKind::kChunkAcked) == 100);
    CHECK(tally.of(TraceKind::kChunkLost) == stats.retransmitted);
    CHECK(tally.of(TraceKind::kChunkLost) > 0);
    CHECK(tally.of(TraceKind::kPacketSent) >= stats.chunks_sent);
    CHECK(tally.of(TraceKind::kWindow) > 0);
}

TEST_CASE("statistics add up") {
    PairOptions options = options_with(4);
    options.link.mark = 0.5;
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + kSecond));
    Traffic up(pair, Side::kClient, 1);
    up.add(400000, true);
    REQUIRE(pair.run([&] { return up.complete(); }, pair.now() + kSecond));
    const Stats sent = pair.client().connection().stats();
    const Stats got = pair.server()->connection().stats();
    CHECK(sent.bytes_sent == 400000);
    CHECK(got.bytes_received == 400000);
    CHECK(sent.messages_sent == 1);
    CHECK(got.messages_received == 1);
    CHECK(sent.in_flight == 0);
    CHECK(sent.chunks_sent >= 400);
    CHECK(got.chunks_received == sent.chunks_sent - sent.retransmitted);
    CHECK(sent.acks_received <= got.acks_sent);
    CHECK(sent.marks > 100);
    std::uint64_t over_paths = 0;
    for (const Path& path : sent.paths) {
        CHECK(path.in_flight == 0);
        CHECK(path.chunks_sent > 0);
        over_paths += path.chunks_sent;
    }
    CHECK(over_paths == sent.chunks_sent);
    // Twice 10 us of delay; an acknowledgement's holding time is taken out.
    CHECK(sent.rtt.minimum() == 20 * kMicrosecond);
}

}  // namespace
}  // namespace weft::transport::test
