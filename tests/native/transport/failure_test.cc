// How connections end when something is wrong: always with a typed error, always in bounded time.
#include <doctest/doctest.h>

#include <string>

#include "traffic.h"

namespace weft::transport::test {
namespace {

void set_all_links(Pair& pair, std::uint16_t paths, bool down) {
    for (PathId path = 0; path < paths; ++path) {
        pair.network().link(Side::kClient, path).down = down;
        pair.network().link(Side::kServer, path).down = down;
    }
}

bool failed(Endpoint& host) {
    return host.connection().state() == State::kFailed;
}

TEST_CASE("nobody there: the handshake times out") {
    PairOptions options = options_with(4);
    options.link.down = true;
    options.client.handshake_timeout = 2 * kSecond;
    Pair pair(options);
    const Time start = pair.now();
    CHECK(pair.run([&] { return failed(pair.client()); }, start + 10 * kSecond));
    CHECK(pair.now() - start == 2 * kSecond);
    const Failure& failure = pair.client().connection().failure();
    CHECK(failure.reason == FailureReason::kHandshakeTimeout);
    CHECK(failure.attempts > 3);
    CHECK(count(pair.client().events(), EventKind::kFailed) == 1);
    CHECK(pair.client().connection().next_timeout() == kNever);
}

TEST_CASE("another secret, another epoch: turned away with the reason") {
    PairOptions options = options_with(1);
    RejectReason reason = RejectReason::kProof;
    SUBCASE("secret") {
        options.client.key[15] ^= 1;
    }
    SUBCASE("epoch") {
        options.client.epoch = 8;
        reason = RejectReason::kEpoch;
    }
    Pair pair(options);
    CHECK(pair.run([&] { return failed(pair.client()); }, pair.now() + kSecond));
    CHECK(pair.server() == nullptr);
    CHECK(pair.rejected() == 1);
    const Failure& failure = pair.client().connection().failure();
    CHECK(failure.reason == FailureReason::kRejected);
    CHECK(failure.code == static_cast<std::uint32_t>(reason));
    CHECK(failure.to_string().find(to_string(reason)) != std::string::npos);
}

TEST_CASE("a half-open server gives up") {
    PairOptions options = options_with(1);
    Pair pair(options);
    pair.network().link(Side::kServer, 0).down = true;
    REQUIRE(pair.run([&] { return pair.server() != nullptr; }, pair.now() + kSecond));
    const Time start = pair.now();
    CHECK(pair.run([&] { return failed(*pair.server()); }, start + 20 * kSecond));
    CHECK(pair.server()->connection().failure().reason == FailureReason::kHandshakeTimeout);
    CHECK(pair.now() - start <= options.server.handshake_timeout);
}

TEST_CASE("a peer that dies amid a transfer is noticed within two seconds by both sides") {
    for (const std::uint16_t paths : {std::uint16_t{1}, std::uint16_t{16}}) {
        CAPTURE(paths);
        PairOptions options = options_with(paths);
        options.link.rate = 1e6;
        Pair pair(options);
        REQUIRE(pair.connect(pair.now() + kSecond));
        Traffic up(pair, Side::kClient, 1);
        up.add(10000000, true);
        pair.run([] { return false; }, pair.now() + 20 * kMillisecond);
        set_all_links(pair, paths, true);
        const Time death = pair.now();
        CHECK(pair.run([&] { return failed(pair.client()) && failed(*pair.server()); },
                       death + 10 * kSecond));
        CHECK(pair.now() - death < 2 * kSecond);
        const Failure& failure = pair.client().connection().failure();
        CHECK(failure.reason == FailureReason::kPeerSilent);
        CHECK(failure.remote_peer == 202);
        CHECK(failure.silence >= 1400 * kMillisecond);
        CHECK(failure.paths.size() == paths);
        CHECK(failure.to_string().find("peer 202") != std::string::npos);
        CHECK(pair.server()->connection().failure().reason == FailureReason::kPeerSilent);
    }
}

TEST_CASE("whoever waits for nothing does not notice; whoever expects something does") {
    Pair pair(options_with(3));
    REQUIRE(pair.connect(pair.now() + kSecond));
    // Let the last acknowledgements go.
    pair.run([] { return false; }, pair.now() + kSecond);
    set_all_links(pair, 3, true);
    CHECK(pair.client().connection().next_timeout() == kNever);
    CHECK_FALSE(pair.run([&] { return failed(pair.client()); }, pair.now() + 60 * kSecond));
    const Time start = pair.now();
    pair.client().connection().expect(start, true);
    CHECK(pair.run([&] { return failed(pair.client()); }, start + 10 * kSecond));
    CHECK(pair.now() - start == 1500 * kMillisecond);
    CHECK(pair.client().connection().stats().probes_sent == 7);
}

TEST_CASE("an idle peer that answers probes is alive for as long as one likes") {
    PairOptions options = options_with(2);
    options.link.loss = 0.1;
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + 5 * kSecond));
    pair.client().connection().expect(pair.now(), true);
    CHECK_FALSE(pair.run([&] { return failed(pair.client()); }, pair.now() + 30 * kSecond));
    pair.client().connection().expect(pair.now(), false);
    CHECK(pair.client().connection().next_timeout() == kNever);
}

TEST_CASE("a chunk that never gets through exhausts its retry budget though the peer lives") {
    PairOptions options = options_with(2);
    options.link.trim = 1;  // headers pass, payload never does
    options.client.max_attempts = 12;
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + kSecond));
    Traffic up(pair, Side::kClient, 1);
    up.add(3000, true);
    CHECK(pair.run([&] { return failed(pair.client()); }, pair.now() + 5 * kSecond));
    const Failure& failure = pair.client().connection().failure();
    CHECK(failure.reason == FailureReason::kRetryBudget);
    CHECK(failure.attempts == 12);
    // The peer hears of it at once.
    CHECK(pair.run([&] { return failed(*pair.server()); }, pair.now() + 10 * kMillisecond));
    CHECK(pair.server()->connection().failure().reason == FailureReason::kPeerAborted);
}

TEST_CASE("abort tells the peer the application's reason") {
    Pair pair(options_with(2));
    REQUIRE(pair.connect(pair.now() + kSecond));
    pair.server()->connection().abort(pair.now(), 4711);
    CHECK(pair.run([&] { return failed(pair.client()); }, pair.now() + 10 * kMillisecond));
    CHECK(pair.client().connection().failure().reason == FailureReason::kPeerAborted);
    CHECK(pair.client().connection().failure().code == 4711);
    CHECK(pair.server()->connection().failure().reason == FailureReason::kAborted);
    CHECK(find(pair.client().events(), EventKind::kFailed)->code == 4711);
}

TEST_CASE("closing towards a peer that is gone ends in bounded time") {
    Pair pair(options_with(1));
    REQUIRE(pair.connect(pair.now() + kSecond));
    set_all_links(pair, 1, true);
    const Time start = pair.now();
    pair.client().connection().close(start);
    CHECK(pair.run([&] { return pair.client().connection().state() == State::kClosed; },
                   start + 10 * kSecond));
    CHECK(pair.now() - start == 500 * kMillisecond);
}

TEST_CASE("a path that dies is left, and used again when it is back") {
    PairOptions options = options_with(4);
    for (Config* config : {&options.client, &options.server}) {
        config->rto_min = kMillisecond;
        config->rto_initial = 5 * kMillisecond;
    }
    options.link.rate = 20e6;
    options.link.queue_limit = 20 * kMillisecond;
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + kSecond));
    const auto health = [&](PathId path) {
        return pair.client().connection().stats().paths[path].health;
    };
    Traffic up(pair, Side::kClient, 1);
    up.add(20000000, true);
    pair.run([] { return false; }, pair.now() + 10 * kMillisecond);
    for (const Side side : {Side::kClient, Side::kServer}) {
        pair.network().link(side, 2).down = true;
    }
    CHECK(pair.run([&] { return health(2) == PathHealth::kSuspect; }, pair.now() + kSecond));
    const std::uint64_t sent = pair.client().connection().stats().paths[2].chunks_sent;
    pair.run([] { return false; }, pair.now() + 20 * kMillisecond);
    CHECK(pair.client().connection().stats().paths[2].chunks_sent == sent);
    for (const Side side : {Side::kClient, Side::kServer}) {
        pair.network().link(side, 2).down = false;
    }
    CHECK(pair.run([&] { return health(2) == PathHealth::kGood; }, pair.now() + kSecond));
    CHECK(pair.run([&] { return up.complete(); }, pair.now() + 5 * kSecond));
    CHECK(pair.client().connection().stats().paths[2].chunks_sent > sent);
    up.check_bytes();
}

TEST_CASE("a path that its datapath renews is probed at once, however long it was dead") {
    PairOptions options = options_with(4);
    for (Config* config : {&options.client, &options.server}) {
        config->rto_min = kMillisecond;
        config->rto_initial = 5 * kMillisecond;
        config->probe_interval = 100 * kMillisecond;
    }
    options.link.rate = 5e6;
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + kSecond));
    Traffic up(pair, Side::kClient, 1);
    up.add(200000000, true);
    const auto set_path = [&](bool down) {
        pair.network().link(Side::kClient, 2).down = down;
        pair.network().link(Side::kServer, 2).down = down;
    };
    const auto health = [&] { return pair.client().connection().stats().paths[2].health; };
    set_path(true);
    pair.run([] { return false; }, pair.now() + 4 * kSecond);  // probes are 1.6 s apart by now
    REQUIRE(health() == PathHealth::kSuspect);
    set_path(false);
    pair.client().connection().renew_path(pair.now(), 2);
    CHECK(pair.run([&] { return health() == PathHealth::kGood; }, pair.now() + 20 * kMillisecond));
}

TEST_CASE("while chunks are held the peer is answered, and nothing is lost or counted as tried") {
    Pair pair(options_with(2));
    REQUIRE(pair.connect(pair.now() + kSecond));
    Connection& held = pair.client().connection();
    held.hold_chunks(true);
    Traffic up(pair, Side::kClient, 1);
    up.add(100000, true);
    pair.server()->connection().expect(pair.now(), true);
    CHECK_FALSE(pair.run([&] { return failed(*pair.server()) || failed(pair.client()); },
                         pair.now() + 10 * kSecond));
    CHECK(pair.server()->connection().stats().probes_sent > 0);
    CHECK(held.stats().chunks_sent == 0);
    CHECK(held.next_timeout() > pair.now());
    held.hold_chunks(false);
    up.add(100, true);
    CHECK(pair.run([&] { return up.complete(); }, pair.now() + kSecond));
    CHECK(held.stats().retransmitted == 0);
    up.check_bytes();
}

TEST_CASE("a peer that the datapath hears is alive, and silent from its last word on") {
    Pair pair(options_with(2));
    REQUIRE(pair.connect(pair.now() + kSecond));
    Connection& client = pair.client().connection();
    client.expect(pair.now(), true);
    set_all_links(pair, 2, true);
    for (int i = 0; i < 50; ++i) {
        CHECK_FALSE(
            pair.run([&] { return failed(pair.client()); }, pair.now() + 100 * kMillisecond));
        client.hear(pair.now());
    }
    const Time last = pair.now();
    CHECK(pair.run([&] { return failed(pair.client()); }, last + 10 * kSecond));
    CHECK(pair.now() - last == 1500 * kMillisecond);
}

TEST_CASE("when every path is silent one of them stays in use") {
    PairOptions options = options_with(8);
    options.link.rate = 10e6;
    for (Config* config : {&options.client, &options.server}) {
        config->rto_min = kMillisecond;
        config->rto_initial = 5 * kMillisecond;
    }
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + kSecond));
    Traffic up(pair, Side::kClient, 1);
    up.add(2000000, true);
    pair.run([] { return false; }, pair.now() + 5 * kMillisecond);
    set_all_links(pair, 8, true);
    pair.run([] { return false; }, pair.now() + kSecond);
    std::size_t good = 0;
    for (const Path& path : pair.client().connection().stats().paths) {
        good += path.health == PathHealth::kGood ? 1 : 0;
    }
    CHECK(good == 1);
    set_all_links(pair, 8, false);
    CHECK(pair.run([&] { return up.complete(); }, pair.now() + 5 * kSecond));
    up.check_bytes();
    pair.run([] { return false; }, pair.now() + kSecond);
    for (const Path& path : pair.client().connection().stats().paths) {
        CHECK(path.health == PathHealth::kGood);
    }
}

}  // namespace
}  // namespace weft::transport::test
