// Conversations over networks that lose, repeat, reorder, corrupt and trim: every byte arrives
// exactly once, or the connection ends with a typed error, in bounded virtual time; and all of it
// the same way for the same seed.
#include <doctest/doctest.h>

#include <string>

#include "traffic.h"
#include "transport/congestion/congestion.h"
#include "transport/paths/scheduler.h"

namespace weft::transport::test {
namespace {

struct Storm {
    const char* name;
    Link link;
    bool checksum;
};

Link make_link(double loss, double duplicate, Time jitter, double corrupt, double trim) {
    Link link;
    link.loss = loss;
    link.duplicate = duplicate;
    link.jitter = jitter;
    link.corrupt = corrupt;
    link.trim = trim;
    link.mark = 0.1;
    return link;
}

const Storm kStorms[] = {
    {"loss", make_link(0.1, 0, 0, 0, 0), false},
    {"duplication", make_link(0, 0.1, 0, 0, 0), false},
    {"reordering", make_link(0, 0, kMillisecond, 0, 0), false},
    {"corruption", make_link(0, 0, 0, 0.1, 0), true},
    {"trimming", make_link(0, 0, 0, 0, 0.2), true},
    {"all at once", make_link(0.1, 0.1, 200 * kMicrosecond, 0.05, 0.05), true},
    {"heavy loss", make_link(0.4, 0, 0, 0, 0), false},
};

struct Outcome {
    std::uint64_t hash = 0;
    Time duration = 0;
    Stats stats;
};

Outcome weather(const Storm& storm, std::uint64_t seed, std::uint16_t paths,
                const std::string& scheduler, const PolicyChoice& congestion,
                const std::string& recovery = "selective_repeat") {
    const std::string weathered = std::string(storm.name) + " " + recovery;
    CAPTURE(weathered);
    PairOptions options = options_with(paths, seed);
    options.link = storm.link;
    options.checksum = storm.checksum;
    for (Config* config : {&options.client, &options.server}) {
        config->scheduler.name = scheduler;
        config->congestion = congestion;
        config->recovery.name = recovery;
        config->rto_initial = 5 * kMillisecond;
        config->rto_min = kMillisecond;
        config->handshake_interval = 5 * kMillisecond;
    }
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + 5 * kSecond));
    Traffic up(pair, Side::kClient, 1);
    Traffic down(pair, Side::kServer, 2);
    std::mt19937_64 random(seed);
    for (int i = 0; i < 40; ++i) {
        const std::size_t size = random() % 4 == 0 ? random() % 300000 : random() % 3000;
        up.add(size, random() % 2 == 0, static_cast<std::uint8_t>(random() % 16), i % 8 == 0);
        down.add(random() % 5000, true);
    }
    const Time start = pair.now();
    pair.run([] { return false; }, start + 20 * kMillisecond);
    up.post_all();
    const bool complete =
        pair.run([&] { return up.complete() && down.complete(); }, start + 100 * kSecond);
    INFO(pair.client().connection().failure().to_string());
    CHECK(complete);
    up.check_bytes();
    down.check_bytes();
    pair.client().connection().close(pair.now());
    const auto closed = [](Endpoint* host) { return host->connection().state() == State::kClosed; };
    CHECK(pair.run([&] { return closed(&pair.client()) && closed(pair.server()); },
                   pair.now() + 10 * kSecond));
    CHECK(count(pair.client().events(), EventKind::kMessageOpened) == down.size());
    CHECK(count(pair.server()->events(), EventKind::kMessageOpened) == up.size());
    return {pair.network().trace_hash(), pair.now() - start, pair.client().connection().stats()};
}

TEST_CASE("every byte arrives exactly once, in every storm, with every policy") {
    const auto check = [](const Storm& storm, const std::string& scheduler,
                          const PolicyChoice& congestion, std::uint16_t paths) {
        const std::string label = std::string(storm.name) + " " + scheduler + " " +
                                  congestion.name + " " + std::to_string(paths);
        CAPTURE(label);
        weather(storm, 42 + paths, paths, scheduler, congestion);
    };
    for (const Storm& storm : kStorms) {
        for (const std::string& scheduler : path_schedulers()) {
            check(storm, scheduler, {"swift", {}}, 8);
        }
        for (const std::string& congestion : congestion_controls()) {
            check(storm, "least_in_flight", {congestion, {}}, 1);
            check(storm, "least_in_flight", {congestion, {}}, 8);
            if (congestion != "eqds") {
                check(storm, "round_robin", {congestion, {{"per_path", 1}}}, 8);
                check(storm, "random", {congestion, {{"median", 9}}}, 8);
            }
        }
        weather(storm, 7, 1, "single", {"swift", {}}, "go_back_n");
        weather(storm, 8, 3, "round_robin", {"dctcp", {}}, "go_back_n");
    }
}

TEST_CASE("the same seed gives the same trace, another seed another one") {
    const Storm& all = kStorms[5];
    const Outcome first = weather(all, 7, 4, "round_robin", {"swift", {}});
    const Outcome again = weather(all, 7, 4, "round_robin", {"swift", {}});
    const Outcome other = weather(all, 8, 4, "round_robin", {"swift", {}});
    CHECK(first.hash == again.hash);
    CHECK(first.duration == again.duration);
    CHECK(first.stats.chunks_sent == again.stats.chunks_sent);
    CHECK(first.hash != other.hash);
}

TEST_CASE("many seeds of the worst weather") {
    for (std::uint64_t seed = 100; seed < 140; ++seed) {
        CAPTURE(seed);
        weather(kStorms[5], seed, static_cast<std::uint16_t>(1 + seed % 9), "least_in_flight",
                {"swift", {}});
    }
}

// Sanitizers slow every packet down about tenfold; what they look for shows in fewer of them.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kManyPackets = 100'000;
#else
constexpr std::size_t kManyPackets = 1'000'000;
#endif

TEST_CASE("a million data packets through rough weather") {
    PairOptions options = options_with(16);
    options.link = make_link(0.01, 0.01, 20 * kMicrosecond, 0.01, 0.01);
    options.checksum = true;
    for (Config* config : {&options.client, &options.server}) {
        config->chunk_size = 64;
        config->rto_min = kMillisecond;
        config->window = 4096;
        config->congestion.name = "none";
    }
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + 5 * kSecond));
    Traffic up(pair, Side::kClient, 1);
    Traffic down(pair, Side::kServer, 2);
    for (int i = 0; i < 10; ++i) {
        up.add(64 * kManyPackets / 20, true);
        down.add(64 * kManyPackets / 20, true);
    }
    CHECK(pair.run([&] { return up.complete() && down.complete(); }, pair.now() + 100 * kSecond));
    up.check_bytes();
    down.check_bytes();
    const Stats stats = pair.server()->connection().stats();
    CHECK(stats.chunks_received + pair.client().connection().stats().chunks_received >=
          kManyPackets);
}

TEST_CASE("jitter alone is soon no longer mistaken for loss") {
    PairOptions options = options_with(4);
    options.link.jitter = kMillisecond;
    options.client.window = 256;
    options.server.window = 256;
    options.client.congestion.name = "none";
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + kSecond));
    std::uint64_t before = 0;
    std::uint64_t after = 0;
    for (std::uint64_t round = 0; round < 2; ++round) {
        before = pair.client().connection().stats().retransmitted;
        Traffic traffic(pair, Side::kClient, round);
        traffic.add(4000000, true);
        REQUIRE(pair.run([&] { return traffic.complete(); }, pair.now() + 10 * kSecond));
        after = pair.client().connection().stats().retransmitted;
    }
    CHECK(before > 0);                  // it had to be learnt
    CHECK(after - before < 4000 / 50);  // of the 4000 chunks of the second message
}

}  // namespace
}  // namespace weft::transport::test
