// Policies: chosen by name with clear errors, true to their papers' equations.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <string>

#include "traffic.h"
#include "transport/congestion/congestion.h"
#include "transport/congestion/swift.h"
#include "transport/paths/scheduler.h"
#include "transport/recovery/recovery.h"

namespace weft::transport::test {
namespace {

const PolicyContext kContext{
    .paths = 4, .chunk_size = 1000, .window = 1024, .destination = 1, .seed = 0};

template <typename Make>
std::string error_of(Make make) {
    try {
        make();
    } catch (const ConfigError& error) {
        return error.what();
    }
    return "no error";
}

TEST_CASE("unknown policies and parameters are named, with what there is instead") {
    CHECK(error_of([] { make_congestion_control({"cubit", {}}, kContext); }) ==
          "unknown congestion control 'cubit'; there are: none, swift, timely, dctcp, dcqcn, nscc, "
          "eqds, cubic");
    CHECK(error_of([] { make_path_scheduler({"", {}}, kContext); }) ==
          "unknown path scheduler ''; there are: single, round_robin, random, least_in_flight, "
          "power_of_two, reps, plb, flowlet, mrc, destination_rotation, weighted");
    CHECK(error_of([] { make_loss_recovery({"x", {}}, kContext); }) ==
          "unknown loss recovery 'x'; there are: selective_repeat, go_back_n");
    CHECK(error_of([] { make_congestion_control({"none", {{"beta", 1}}}, kContext); }) ==
          "congestion control 'none' has no parameter 'beta'; it has: window_chunks, per_path, "
          "median");
    CHECK(error_of([] { make_path_scheduler({"round_robin", {{"beta", 1}}}, kContext); }) ==
          "path scheduler 'round_robin' has no parameter 'beta'; it has: none");
    CHECK(error_of([] { make_congestion_control({"swift", {{"beta", 1.5}}}, kContext); }) ==
          "congestion control 'swift': parameter 'beta' is 1.5, but must lie between 0.01 and 1");
    CHECK(error_of([] {
              make_congestion_control({"swift", {{"base_target_us", std::nan("")}}}, kContext);
          }) != "no error");
}

TEST_CASE("a bad configuration is refused when the connection is made, by name") {
    const auto attempt = [](auto change) {
        Config config;
        change(config);
        return error_of([&] { Connection::client(config, [] { return 1; }, 0); });
    };
    CHECK(attempt([](Config&) {}) == "no error");
    CHECK(attempt([](Config& config) { config.paths = 0; }) ==
          "transport option 'paths' is 0, but must lie between 1 and 4096");
    CHECK(attempt([](Config& config) { config.window = 63; }).find("'window'") !=
          std::string::npos);
    CHECK(attempt([](Config& config) { config.chunk_size = 0; }).find("'chunk_size'") !=
          std::string::npos);
    CHECK(attempt([](Config& config) { config.rto_max = 1; }).find("'rto_max'") !=
          std::string::npos);
    CHECK(attempt([](Config& config) { config.scheduler.name = "reps!"; }).find("'reps!'") !=
          std::string::npos);
}

// --- Swift, Algorithm 1

class SwiftTrace {
  public:
    // `empty` is what the network takes when it is empty.
    explicit SwiftTrace(std::vector<std::pair<std::string, double>> parameters,
                        Time empty = 20 * kMicrosecond)
        : choice_{"swift", std::move(parameters)},
          reader_("congestion control", choice_),
          swift_(reader_, kContext) {
        ack(0, empty, 0);
    }

    void ack(Time now, Time delay, std::uint64_t chunks = 1, Time queued_back = 0) {
        AckSample sample;
        sample.now = now;
        sample.rtt = delay + queued_back;
        sample.queued_back = queued_back;
        sample.bytes = 1000 * chunks;
        swift_.on_ack(sample, {});
    }
    void loss(Time now, LossCause cause, double share = 1) {
        LossSample sample;
        sample.now = now;
        sample.cause = cause;
        sample.share = share;
        swift_.on_loss(sample, {});
    }
    Swift& swift() { return swift_; }

  private:
    PolicyChoice choice_;
    ParameterReader reader_;
    Swift swift_;
};

constexpr Time kUs = kMicrosecond;

TEST_CASE("swift: one chunk more per round trip below the target") {
    SwiftTrace trace({{"base_target_us", 100}, {"initial_window", 10}});
    trace.ack(kSecond, 50 * kUs);
    CHECK(trace.swift().cwnd() == doctest::Approx(10.1));
    trace.ack(kSecond, 50 * kUs, 5);
    CHECK(trace.swift().cwnd() == doctest::Approx(10.1 + 5 / 10.1));
    CHECK(trace.swift().pacing_rate() == 0);
}

TEST_CASE("swift: shrinks in proportion to the excess, at most by half, once per round trip") {
    SwiftTrace trace({{"base_target_us", 100}, {"initial_window", 10}});
    trace.ack(kSecond, 125 * kUs);  // excess 25 of 125: 1 - 0.8 * 0.2
    CHECK(trace.swift().cwnd() == doctest::Approx(8.4));
    trace.ack(kSecond + 100 * kUs, 125 * kUs);
    CHECK(trace.swift().cwnd() == doctest::Approx(8.4));
    trace.ack(kSecond + 125 * kUs, 10000 * kUs);  // the delay decides how long a round trip is
    CHECK(trace.swift().cwnd() == doctest::Approx(8.4));
    trace.ack(kSecond + 20 * kMillisecond, 10000 * kUs);
    CHECK(trace.swift().cwnd() == doctest::Approx(4.2));
}

TEST_CASE("swift: queues of the way back are not its own, up to half of the round trip") {
    SwiftTrace trace({{"base_target_us", 100}, {"initial_window", 10}});
    trace.ack(kSecond, 80 * kUs, 1, 80 * kUs);
    CHECK(trace.swift().cwnd() == doctest::Approx(10.1));
    trace.ack(kSecond, 125 * kUs, 1, 100 * kUs);
    CHECK(trace.swift().cwnd() == doctest::Approx(10.1 * 0.84));
    trace.ack(kSecond + 200 * kUs, 125 * kUs, 1, 100 * kUs);  // 225 us have not passed yet
    CHECK(trace.swift().cwnd() == doctest::Approx(10.1 * 0.84));
    trace.ack(kSecond + 1000 * kUs, 50 * kUs, 1, 250 * kUs);  // taken for 150: an excess of a third
    CHECK(trace.swift().cwnd() == doctest::Approx(10.1 * 0.84 * (1 - 0.8 / 3)));
}

TEST_CASE("swift: below one chunk it paces") {
    SwiftTrace trace({{"base_target_us", 100}, {"initial_window", 0.5}});
    CHECK(trace.swift().window() == 1000);
    trace.ack(kSecond, 50 * kUs);
    CHECK(trace.swift().cwnd() == doctest::Approx(1.5));
    trace.ack(kSecond, 1000 * kUs);
    CHECK(trace.swift().cwnd() == doctest::Approx(0.75));
    // 0.75 chunks of 1000 bytes every 1000 us.
    CHECK(trace.swift().pacing_rate() == doctest::Approx(0.75e6));
}

TEST_CASE("swift: loss halves once per round trip, timeouts in a row fall to the minimum") {
    SwiftTrace trace({{"base_target_us", 100}, {"initial_window", 64}, {"min_window", 0.05}});
    trace.ack(kSecond, 99 * kUs);
    const double before = trace.swift().cwnd();
    trace.loss(kSecond, LossCause::kReordered);
    trace.loss(kSecond, LossCause::kReordered);
    CHECK(trace.swift().cwnd() == doctest::Approx(before / 2));
    trace.loss(kSecond + kMillisecond, LossCause::kTailProbe);
    CHECK(trace.swift().cwnd() == doctest::Approx(before / 2));
    for (int i = 0; i < 5; ++i) {
        trace.loss(kSecond + kMillisecond, LossCause::kTimeout);
    }
    CHECK(trace.swift().cwnd() == doctest::Approx(0.05));
}

TEST_CASE("swift: a loss takes its path's share, those of a round trip together a half") {
    SwiftTrace trace({{"base_target_us", 100}, {"initial_window", 64}});
    trace.ack(kSecond, 99 * kUs);
    const double before = trace.swift().cwnd();
    trace.loss(kSecond, LossCause::kReordered, 0.25);
    CHECK(trace.swift().cwnd() == doctest::Approx(before * 0.875));
    trace.loss(kSecond + 50 * kUs, LossCause::kReordered, 0.25);
    CHECK(trace.swift().cwnd() == doctest::Approx(before * 0.875 * 0.875));
    for (int i = 0; i < 20; ++i) {
        trace.loss(kSecond + 60 * kUs, LossCause::kReordered, 0.25);
    }
    CHECK(trace.swift().cwnd() == doctest::Approx(before / 2));
    trace.loss(kSecond + 99 * kUs, LossCause::kTrimmed, 0.5);  // the next round trip
    CHECK(trace.swift().cwnd() == doctest::Approx(before / 2 * 0.75));
}

TEST_CASE("swift: a loss within a round trip of a decrease for delay costs no more") {
    SwiftTrace trace({{"base_target_us", 100}, {"initial_window", 64}});
    trace.ack(kSecond, 125 * kUs);  // 1 - 0.8 * 0.2
    const double before = trace.swift().cwnd();
    CHECK(before == doctest::Approx(64 * 0.84));
    trace.loss(kSecond + 124 * kUs, LossCause::kReordered);
    trace.loss(kSecond + 124 * kUs, LossCause::kTimeout);
    CHECK(trace.swift().cwnd() == before);
    trace.loss(kSecond + 125 * kUs, LossCause::kReordered, 0.5);
    CHECK(trace.swift().cwnd() == doctest::Approx(before * 0.75));
    trace.ack(kSecond + 126 * kUs, 125 * kUs);  // a loss does not hide how long the queue is
    CHECK(trace.swift().cwnd() == doctest::Approx(before * 0.75 * 0.84));
}

TEST_CASE("swift: flow scaling raises the target by its whole range for the smallest windows") {
    const auto target_at = [](double cwnd) {
        SwiftTrace trace({{"base_target_us", 100},
                          {"flow_scaling_us", 50},
                          {"flow_scaling_min", 0.25},
                          {"flow_scaling_max", 100},
                          {"min_window", 0.05},
                          {"initial_window", cwnd}});
        return trace.swift().target_delay();
    };
    CHECK(target_at(0.25) == doctest::Approx(150 * kUs).epsilon(1e-6));
    CHECK(target_at(0.05) == doctest::Approx(150 * kUs).epsilon(1e-6));
    CHECK(target_at(100) == doctest::Approx(100 * kUs).epsilon(1e-6));
    CHECK(target_at(500) == doctest::Approx(100 * kUs).epsilon(1e-6));
    // alpha / sqrt(1) + beta with alpha = 50 / (2 - 0.1), beta = -alpha / 10.
    CHECK(target_at(1) == doctest::Approx((100 + 50 / 1.9 * 0.9) * kUs).epsilon(1e-5));
    SwiftTrace hops({{"base_target_us", 100}, {"hop_us", 3}, {"hops", 5}});
    CHECK(hops.swift().target_delay() == 115 * kUs);
}

TEST_CASE("swift: without a given target, a long network is not strangled") {
    SwiftTrace near({{"initial_window", 10}});
    CHECK(near.swift().target_delay() == (20 + 1000) * kUs);
    SwiftTrace far({{"initial_window", 10}}, 2000 * kUs);
    CHECK(far.swift().target_delay() == (2000 + 5000) * kUs);
    far.ack(kSecond, 6500 * kUs);
    CHECK(far.swift().cwnd() > 10);
    SwiftTrace told({{"base_target_us", 100}, {"initial_window", 10}}, 2000 * kUs);
    CHECK(told.swift().target_delay() == 100 * kUs);
}

TEST_CASE("swift keeps a bottleneck busy and its queue near the target") {
    PairOptions options = options_with(1);
    options.link.rate = 100e6;
    options.client.congestion = {"swift", {{"base_target_us", 500}}};
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + kSecond));
    Traffic warm(pair, Side::kClient, 1);
    warm.add(5000000, true);
    REQUIRE(pair.run([&] { return warm.complete(); }, pair.now() + kSecond));
    const Time start = pair.now();
    Traffic up(pair, Side::kClient, 2);
    up.add(20000000, true);
    REQUIRE(pair.run([&] { return up.complete(); }, pair.now() + kSecond));
    const double seconds = static_cast<double>(pair.now() - start) / 1e9;
    CHECK(20e6 / seconds > 0.85 * 100e6);  // 1000 of 1080 bytes are payload
    const Stats stats = pair.client().connection().stats();
    CHECK(stats.rtt.smoothed() > 250 * kUs);
    CHECK(stats.rtt.smoothed() < 700 * kUs);
    CHECK(stats.retransmitted == 0);
}

TEST_CASE("swift lets several connections' worth of paths share without loss of a shallow queue") {
    PairOptions options = options_with(4);
    options.link.rate = 25e6;
    options.link.queue_limit = 2 * kMillisecond;
    options.client.congestion = {"swift", {{"base_target_us", 400}}};
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + kSecond));
    Traffic up(pair, Side::kClient, 1);
    up.add(20000000, true);
    const Time start = pair.now();
    REQUIRE(pair.run([&] { return up.complete(); }, pair.now() + kSecond));
    const double seconds = static_cast<double>(pair.now() - start) / 1e9;
    CHECK(20e6 / seconds > 0.8 * 100e6);
    CHECK(pair.client().connection().stats().retransmitted == 0);
}

}  // namespace
}  // namespace weft::transport::test
