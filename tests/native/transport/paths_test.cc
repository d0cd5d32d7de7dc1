// Path schedulers, each against the rule of its paper, by hand-made traces.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <vector>

#include "traffic.h"
#include "transport/paths/reps.h"
#include "transport/paths/scheduler.h"

namespace weft::transport::test {
namespace {

PolicyContext context_of(std::uint16_t paths, std::uint64_t seed = 0) {
    return {.paths = paths, .chunk_size = 1000, .window = 1024, .destination = 1, .seed = seed};
}

const PolicyContext kContext = context_of(4);

using Parameters = std::vector<std::pair<std::string, double>>;

std::unique_ptr<PathScheduler> make(const char* name, const PolicyContext& context,
                                    Parameters parameters = {}) {
    return make_path_scheduler({name, std::move(parameters)}, context);
}

// How often each path is picked in `picks` bursts.
std::vector<int> histogram(PathScheduler& scheduler, const std::vector<Path>& paths, int picks) {
    std::vector<int> counts(paths.size());
    for (int i = 0; i < picks; ++i) {
        const PathId path = scheduler.pick({}, paths);
        REQUIRE(path < paths.size());
        ++counts[path];
    }
    return counts;
}

TEST_CASE("round robin takes the usable paths in turn") {
    auto scheduler = make_path_scheduler({"round_robin", {}}, kContext);
    std::vector<Path> paths(4);
    for (const int expected : {0, 1, 2, 3, 0}) {
        CHECK(scheduler->pick({}, paths) == expected);
    }
    paths[1].health = PathHealth::kSuspect;
    paths[2].window = 10;
    paths[2].in_flight = 10;
    CHECK(scheduler->pick({}, paths) == 3);
    CHECK(scheduler->pick({}, paths) == 0);
    CHECK(scheduler->pick({.avoid = 3}, paths) == 0);
    paths[0].health = PathHealth::kSuspect;
    CHECK(scheduler->pick({.avoid = 3}, paths) == 3);  // better than none
    paths[3].health = PathHealth::kSuspect;
    CHECK(scheduler->pick({}, paths) == kNoPath);
}

TEST_CASE("least in flight takes the emptiest usable path, ties in turn") {
    auto scheduler = make_path_scheduler({"least_in_flight", {}}, kContext);
    std::vector<Path> paths(4);
    for (const int expected : {0, 1, 2, 3, 0}) {
        CHECK(scheduler->pick({}, paths) == expected);
    }
    paths[0].in_flight = 5;
    paths[1].in_flight = 3;
    paths[2].in_flight = 9;
    paths[3].in_flight = 1;
    CHECK(scheduler->pick({}, paths) == 3);
    CHECK(scheduler->pick({.avoid = 3}, paths) == 1);
    paths[3].health = PathHealth::kSuspect;
    CHECK(scheduler->pick({}, paths) == 1);
    for (Path& path : paths) {
        path.health = PathHealth::kSuspect;
    }
    CHECK(scheduler->pick({}, paths) == kNoPath);
    paths[2].health = PathHealth::kGood;
    CHECK(scheduler->pick({.avoid = 2}, paths) == 2);
}

TEST_CASE("every scheduler: usable paths only, the avoided one last, none when there is none") {
    for (const std::string& name : path_schedulers()) {
        CAPTURE(name);
        auto scheduler = make(name.c_str(), context_of(6, 3));
        std::vector<Path> paths(6);
        const bool sticks = name == "single" || name == "plb" || name == "flowlet";
        Time now = kSecond;
        std::mt19937_64 random(1);
        for (int i = 0; i < 2000; ++i) {
            const std::size_t changed = random() % 6;
            paths[changed].health = random() % 3 == 0 ? PathHealth::kSuspect : PathHealth::kGood;
            paths[changed].window = random() % 4 == 0 ? 0 : 1000;
            const PathId avoid = random() % 3 == 0 ? static_cast<PathId>(random() % 6) : kNoPath;
            const auto usable = std::count_if(paths.begin(), paths.end(),
                                              [](const Path& path) { return path.usable(); });
            const PathId path = scheduler->pick({.now = now += 1000, .avoid = avoid}, paths);
            if (path == kNoPath) {
                // Those that stay with one path wait for its window.
                CHECK((usable == 0 || sticks));
                continue;
            }
            REQUIRE(path < 6);
            CHECK(paths[path].usable());
            CHECK((path != avoid || usable == 1 || sticks));
            const bool marked = random() % 2 == 0;
            scheduler->on_echo({.now = now,
                                .path = path,
                                .rtt = 20000,
                                .marked = marked,
                                .marked_chunks = marked,
                                .delivered = {&path, 1}},
                               paths);
            if (random() % 20 == 0) {
                const auto cause = random() % 2 == 0 ? LossCause::kTimeout : LossCause::kTrimmed;
                scheduler->on_loss({.now = now, .path = path, .cause = cause}, paths);
            }
        }
    }
}

TEST_CASE("a seed decides everything") {
    for (const std::string& name : path_schedulers()) {
        CAPTURE(name);
        const std::vector<Path> paths(16);
        const auto picks = [&](std::uint64_t seed) {
            auto scheduler = make(name.c_str(), context_of(16, seed));
            std::vector<PathId> result;
            for (int i = 0; i < 50; ++i) {
                result.push_back(scheduler->pick({.now = i * kMillisecond}, paths));
            }
            return result;
        };
        CHECK(picks(5) == picks(5));
        if (name != "weighted") {
            CHECK(picks(5) != picks(6));
        }
    }
}

TEST_CASE("single: one path, whatever happens to it, until it is no longer good") {
    auto scheduler = make("single", context_of(8, 5));
    std::vector<Path> paths(8);
    CHECK(histogram(*scheduler, paths, 100)[5] == 100);
    CHECK(scheduler->pick({.avoid = 5}, paths) == 5);
    paths[5].window = 10;
    paths[5].in_flight = 10;
    CHECK(scheduler->pick({}, paths) == kNoPath);
    paths[5].health = PathHealth::kSuspect;
    const PathId other = scheduler->pick({}, paths);
    CHECK(other != 5);
    paths[5] = {};
    CHECK(scheduler->pick({}, paths) == other);  // it does not flap back
}

TEST_CASE("random: uniform over the paths") {
    auto scheduler = make("random", context_of(16, 9));
    const std::vector<Path> paths(16);
    // 16,000 draws: 1,000 each with a standard deviation of 31; six of them is beyond chance.
    for (const int count : histogram(*scheduler, paths, 16'000)) {
        CHECK(std::abs(count - 1000) < 6 * 31);
    }
}

TEST_CASE("power of two: the slowest of n paths is taken only when drawn twice") {
    auto scheduler = make("power_of_two", context_of(8, 9));
    std::vector<Path> paths(8);
    for (std::size_t i = 0; i < 8; ++i) {
        paths[i].rtt.add(static_cast<Time>(10'000 + 1000 * i));
    }
    const std::vector<int> counts = histogram(*scheduler, paths, 64'000);
    // Path i wins when the lower of two draws is i: (2 (n - 1 - i) + 1) / n^2.
    for (int i = 0; i < 8; ++i) {
        const double expected = 64'000 * (2.0 * (7 - i) + 1) / 64;
        CHECK(std::abs(counts[static_cast<std::size_t>(i)] - expected) < 6 * std::sqrt(expected));
    }
    paths[7] = {};  // not measured yet: wins whenever it is drawn, 1 - (7/8)^2
    const double expected = 64'000 * (1 - 49.0 / 64);
    CHECK(std::abs(histogram(*scheduler, paths, 64'000)[7] - expected) < 6 * std::sqrt(expected));
}

// --- REPS

struct RepsTrace {
    explicit RepsTrace(Parameters parameters)
        : choice{"reps", std::move(parameters)},
          reader("path scheduler", choice),
          reps(reader, context_of(4096, 1)),
          paths(4096) {}
    void ack(std::vector<PathId> delivered, std::uint32_t marked = 0, bool echo_marked = false) {
        reps.on_echo({.now = now,
                      .path = delivered.back(),
                      .rtt = 20'000,
                      .marked = echo_marked,
                      .marked_chunks = marked,
                      .delivered = delivered},
                     paths);
    }
    PathId pick() { return reps.pick({.now = now}, paths); }

    PolicyChoice choice;
    ParameterReader reader;
    Reps reps;
    std::vector<Path> paths;
    Time now = kSecond;
};

TEST_CASE("reps: clean paths come back, oldest first, once; marked ones do not") {
    RepsTrace trace({{"explore", 0}});
    trace.ack({7});
    trace.ack({8}, 1, true);
    trace.ack({9});
    CHECK(trace.pick() == 7);
    CHECK(trace.pick() == 9);
    const PathId drawn = trace.pick();
    CHECK((drawn != 7 && drawn != 9));  // 2 in 4096 by chance, and the seed is fixed
    // One acknowledgement for several chunks: all clean, or only the echo is known.
    trace.ack({20, 21, 22});
    trace.ack({30, 31, 32}, 1, false);
    trace.ack({40, 41, 42}, 1, true);
    CHECK(trace.pick() == 20);
    CHECK(trace.pick() == 21);
    CHECK(trace.pick() == 22);
    CHECK(trace.pick() == 32);
    const PathId next = trace.pick();
    CHECK((next < 20 || next > 42));
}

TEST_CASE("reps: the ring holds the last eight") {
    RepsTrace trace({{"explore", 0}});
    for (PathId path = 100; path < 112; ++path) {
        trace.ack({path});
    }
    for (PathId path = 104; path < 112; ++path) {
        CHECK(trace.pick() == path);
    }
}

TEST_CASE("reps: explores first, freezes after a timeout, thaws, and explores again") {
    RepsTrace trace({{"explore", 3}, {"freeze_us", 50}});
    trace.ack({7});
    for (int i = 0; i < 3; ++i) {
        CHECK(trace.pick() != 7);
    }
    trace.ack({8});
    trace.reps.on_loss({.now = trace.now, .path = 1, .cause = LossCause::kTimeout}, trace.paths);
    CHECK(trace.reps.frozen());
    CHECK(trace.pick() == 7);
    CHECK(trace.pick() == 8);
    std::set<PathId> reused;
    for (int i = 0; i < 10; ++i) {
        reused.insert(trace.pick());
    }
    CHECK(reused == std::set<PathId>{7, 8});  // Algorithm 2: nothing new while frozen
    trace.now += 51 * kMicrosecond;
    trace.ack({9});
    CHECK(!trace.reps.frozen());
    for (int i = 0; i < 3; ++i) {
        CHECK(trace.pick() != 9);
    }
    CHECK(trace.pick() == 9);
}

TEST_CASE("reps: a timeout after a long round trip was congestion, if told to see it so") {
    RepsTrace trace({{"explore", 0}, {"congested_rtt_us", 100}});
    trace.paths[1].rtt.add(150 * kMicrosecond);
    trace.paths[2].rtt.add(50 * kMicrosecond);
    trace.reps.on_loss({.now = trace.now, .path = 1, .cause = LossCause::kTimeout}, trace.paths);
    CHECK(!trace.reps.frozen());
    trace.reps.on_loss({.now = trace.now, .path = 2, .cause = LossCause::kReordered}, trace.paths);
    CHECK(!trace.reps.frozen());
    trace.reps.on_loss({.now = trace.now, .path = 2, .cause = LossCause::kTimeout}, trace.paths);
    CHECK(trace.reps.frozen());
}

// --- Flowlet, PLB

TEST_CASE("flowlet: the path changes after a pause and only then") {
    auto scheduler = make("flowlet", context_of(256, 1), {{"gap_us", 50}});
    const std::vector<Path> paths(256);
    Time now = kSecond;
    PathId last = scheduler->pick({.now = now}, paths);
    int changes = 0;
    for (int i = 0; i < 300; ++i) {
        const bool pause = i % 10 == 9;
        now += (pause ? 51 : 50) * kMicrosecond;
        const PathId path = scheduler->pick({.now = now}, paths);
        CHECK((pause || path == last));
        changes += path != last ? 1 : 0;
        last = path;
    }
    CHECK(changes > 25);  // of 30 pauses; a draw hits the same of 256 paths seldom
}

TEST_CASE("plb: a new path after M congested rounds in a row, after fewer when idle") {
    const Parameters parameters = {{"threshold", 0.5}, {"rounds", 4}, {"idle_rounds", 2}};
    std::vector<Path> paths(64);
    for (Path& path : paths) {
        path.rtt.add(10 * kMicrosecond);
        path.in_flight = 1;
    }
    auto scheduler = make("plb", context_of(64, 1), parameters);
    Time now = kSecond;
    const PathId start = scheduler->pick({.now = now}, paths);
    const std::vector<PathId> four(4, start);
    const auto round = [&](std::uint32_t marked) {
        now += 10 * kMicrosecond;
        scheduler->on_echo({.now = now,
                            .path = start,
                            .rtt = 10 * kMicrosecond,
                            .marked = marked > 0,
                            .marked_chunks = marked,
                            .delivered = four},
                           paths);
        return scheduler->pick({.now = now}, paths);
    };
    for (int i = 0; i < 3; ++i) {
        CHECK(round(2) == start);  // 2 of 4 is congested
    }
    CHECK(round(1) == start);  // 1 of 4 is not: begin to count again
    for (int i = 0; i < 3; ++i) {
        CHECK(round(4) == start);
    }
    CHECK(round(4) != start);

    scheduler = make("plb", context_of(64, 1), parameters);
    REQUIRE(scheduler->pick({.now = now}, paths) == start);
    paths[start].in_flight = 0;
    CHECK(round(4) == start);
    CHECK(round(4) != start);
}

TEST_CASE("plb: a timeout moves at once, and then holds still") {
    auto scheduler = make("plb", context_of(64, 1), {{"rounds", 1}, {"suspend_us", 1000}});
    std::vector<Path> paths(64);
    for (Path& path : paths) {
        path.rtt.add(10 * kMicrosecond);
    }
    Time now = kSecond;
    const PathId first = scheduler->pick({.now = now}, paths);
    scheduler->on_loss({.now = now, .path = first, .cause = LossCause::kTimeout}, paths);
    const PathId second = scheduler->pick({.now = now}, paths);
    CHECK(second != first);
    for (int i = 0; i < 5; ++i) {
        now += 20 * kMicrosecond;
        scheduler->on_echo({.now = now,
                            .path = second,
                            .rtt = 1,
                            .marked = true,
                            .marked_chunks = 1,
                            .delivered = {&second, 1}},
                           paths);
        CHECK(scheduler->pick({.now = now}, paths) == second);
    }
    now += kMillisecond;
    CHECK(scheduler->pick({.now = now}, paths) != second);
}

// --- MRC

TEST_CASE("mrc: active paths in turn, a marked one misses exactly one") {
    auto scheduler = make("mrc", context_of(8, 4));
    const std::vector<Path> paths(8);
    std::vector<PathId> order;
    for (int i = 0; i < 8; ++i) {
        order.push_back(scheduler->pick({}, paths));
    }
    CHECK(std::set<PathId>(order.begin(), order.end()).size() == 8);
    scheduler->on_echo({.path = order[2], .marked = true, .marked_chunks = 1}, paths);
    scheduler->on_loss({.path = order[5], .cause = LossCause::kTrimmed}, paths);
    for (const int i : {0, 1, 3, 4, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7}) {
        CHECK(scheduler->pick({}, paths) == order[static_cast<std::size_t>(i)]);
    }
    for (const PathId path : order) {
        scheduler->on_echo({.path = path, .marked = true, .marked_chunks = 1}, paths);
    }
    CHECK(scheduler->pick({}, paths) != kNoPath);  // all to be skipped is none to be skipped
}

TEST_CASE("mrc: every plane has its share, and a bad path is replaced within its plane") {
    auto scheduler = make("mrc", context_of(64, 4), {{"active", 16}, {"planes", 4}});
    std::vector<Path> paths(64);
    std::map<std::size_t, int> per_plane;
    std::set<PathId> active;
    for (int i = 0; i < 16; ++i) {
        const PathId path = scheduler->pick({}, paths);
        active.insert(path);
        ++per_plane[path % 4];
    }
    CHECK(active.size() == 16);
    for (std::size_t plane = 0; plane < 4; ++plane) {
        CHECK(per_plane[plane] == 4);
    }
    const PathId sick = *active.begin();
    paths[sick].health = PathHealth::kSuspect;
    std::set<PathId> later;
    for (int i = 0; i < 16; ++i) {
        later.insert(scheduler->pick({}, paths));
    }
    std::vector<PathId> fresh;
    std::set_difference(later.begin(), later.end(), active.begin(), active.end(),
                        std::back_inserter(fresh));
    REQUIRE(fresh.size() == 1);
    CHECK(fresh[0] % 4 == sick % 4);
    // A whole plane dies: the other three carry everything.
    for (std::size_t path = 0; path < 64; path += 4) {
        paths[path].health = PathHealth::kDenied;
    }
    const std::vector<int> counts = histogram(*scheduler, paths, 120);
    for (std::size_t path = 0; path < 64; path += 4) {
        CHECK(counts[path] == 0);
    }
}

// --- Rotation, weights

TEST_CASE("destination rotation: all paths once per turn, destinations in orders of their own") {
    const std::vector<Path> paths(32);
    const auto turn = [&](PathScheduler& scheduler) {
        std::vector<PathId> picks;
        for (int i = 0; i < 32; ++i) {
            picks.push_back(scheduler.pick({}, paths));
        }
        return picks;
    };
    PolicyContext context = context_of(32, 77);
    auto one = make("destination_rotation", context);
    context.destination = 2;
    auto two = make("destination_rotation", context);
    const std::vector<PathId> first = turn(*one);
    CHECK(std::set<PathId>(first.begin(), first.end()).size() == 32);
    CHECK(turn(*one) == first);
    CHECK(turn(*two) != first);
    one->pick({.avoid = first[0]}, paths);  // a repeat takes no turn
    CHECK(turn(*one) == first);
}

TEST_CASE("weighted: bursts in proportion, evenly interleaved") {
    auto scheduler = make("weighted", context_of(4), {{"w0", 4}, {"w1", 2}, {"w2", 1}, {"w3", 0}});
    std::vector<Path> paths(4);
    std::array<int, 4> counts{};
    for (int i = 1; i <= 700; ++i) {
        ++counts[scheduler->pick({}, paths)];
        // Never more than a burst away from the fluid share, at any moment.
        for (std::size_t path = 0; path < 3; ++path) {
            const double weight = path == 0 ? 4 : path == 1 ? 2 : 1;
            CHECK(std::abs(counts[path] - i * weight / 7) <= 1.0);
        }
    }
    CHECK(counts == std::array<int, 4>{400, 200, 100, 0});
    // A path that comes back does not get what it missed.
    paths[0].health = PathHealth::kSuspect;
    histogram(*scheduler, paths, 300);
    paths[0].health = PathHealth::kGood;
    CHECK(std::abs(histogram(*scheduler, paths, 70)[0] - 40) <= 2);
    for (std::size_t path = 0; path < 3; ++path) {
        paths[path].health = PathHealth::kSuspect;
    }
    CHECK(scheduler->pick({}, paths) == 3);  // rather than nothing
}

// --- On a live connection

TEST_CASE("policies change by name while messages flow") {
    Pair pair(options_with(8));
    REQUIRE(pair.connect(pair.now() + kSecond));
    Connection& connection = pair.client().connection();
    std::uint64_t group = 0;
    for (const std::string& name : path_schedulers()) {
        CAPTURE(name);
        Traffic up(pair, Side::kClient, ++group);
        up.add(300'000, true);
        pair.run([] { return false; }, pair.now() + 50 * kMicrosecond);
        connection.set_policies({.scheduler = PolicyChoice{name, {}}});
        REQUIRE(pair.run([&] { return up.complete(); }, pair.now() + kSecond));
        up.check_bytes();
    }
    CHECK_THROWS_AS(connection.set_policies({.scheduler = PolicyChoice{"rep", {}}}), ConfigError);
    CHECK_THROWS_AS(connection.set_policies({.recovery = PolicyChoice{"", {}}}), ConfigError);
    const PolicyChange half_wrong{.scheduler = PolicyChoice{"single", {}},
                                  .congestion = PolicyChoice{"swift", {{"betta", 1}}}};
    CHECK_THROWS_AS(connection.set_policies(half_wrong), ConfigError);
    CHECK(connection.config().scheduler.name != "single");
    Traffic more(pair, Side::kClient, ++group);
    more.add(10'000, true);
    CHECK(pair.run([&] { return more.complete(); }, pair.now() + kSecond));
}

TEST_CASE("a denied path carries nothing, not even probes, until it is allowed; one always stays") {
    PairOptions options = options_with(3);
    options.client.scheduler.name = "round_robin";
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + kSecond));
    Connection& connection = pair.client().connection();
    CHECK(!connection.deny_path(pair.now(), 3, true));
    CHECK(connection.deny_path(pair.now(), 0, true));
    CHECK(connection.deny_path(pair.now(), 2, true));
    CHECK(!connection.deny_path(pair.now(), 1, true));
    const auto sent = [&](std::size_t path) { return connection.stats().paths[path].chunks_sent; };
    Traffic up(pair, Side::kClient, 1);
    up.add(100'000, true);
    REQUIRE(pair.run([&] { return up.complete(); }, pair.now() + kSecond));
    CHECK(sent(0) == 0);
    CHECK(sent(1) == 100);
    CHECK(sent(2) == 0);
    CHECK(connection.stats().probes_sent == 0);
    CHECK(connection.deny_path(pair.now(), 0, false));
    CHECK(connection.deny_path(pair.now(), 1, true));
    Traffic more(pair, Side::kClient, 2);
    more.add(100'000, true);
    REQUIRE(pair.run([&] { return more.complete(); }, pair.now() + kSecond));
    CHECK(sent(0) == 100);
    CHECK(sent(1) == 100);
}

}  // namespace
}  // namespace weft::transport::test
