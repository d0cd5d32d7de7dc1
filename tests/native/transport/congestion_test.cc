// Congestion controls against the equations of their papers, by hand-made traces: the expected
// numbers are computed here from the equations.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "traffic.h"
#include "transport/congestion/cubic.h"
#include "transport/congestion/dcqcn.h"
#include "transport/congestion/dctcp.h"
#include "transport/congestion/nscc.h"
#include "transport/congestion/swift.h"
#include "transport/congestion/timely.h"

namespace weft::transport::test {
namespace {

constexpr Time kUs = kMicrosecond;
constexpr double kGbit = 1e9 / 8;
using Parameters = std::vector<std::pair<std::string, double>>;

// A control fed by hand, in chunks of 1000 bytes.
template <typename Control>
struct Trace {
    explicit Trace(Parameters parameters, double link_rate = 0)
        : choice{"it", std::move(parameters)},
          reader("congestion control", choice),
          control(reader, {.paths = 4,
                           .chunk_size = 1000,
                           .window = 1024,
                           .destination = 1,
                           .seed = 0,
                           .link_rate = link_rate}) {
        reader.finish();
    }
    void ack(std::uint32_t chunks, std::uint32_t marked, Time rtt = 10 * kUs) {
        control.on_ack({.now = now,
                        .rtt = rtt,
                        .bytes = 1000 * std::uint64_t{chunks},
                        .chunks = chunks,
                        .marked = marked,
                        .echo_marked = marked != 0,
                        .in_flight = in_flight},
                       {});
    }
    void loss(LossCause cause, std::uint64_t bytes = 1000) {
        control.on_loss({.now = now, .cause = cause, .bytes = bytes}, {});
    }

    PolicyChoice choice;
    ParameterReader reader;
    Control control;
    Time now = kSecond;
    std::uint64_t in_flight = 0;
};

// --- Swift

TEST_CASE("swift: the automatic target leaves a full chunk time to cross a slow link") {
    Trace<Swift> swift({});
    swift.ack(0, 0, 100 * kUs);  // a small message's
    CHECK(swift.control.target_delay() == (100 + 1000) * kUs);
    swift.ack(1, 0, 800 * kUs);
    CHECK(swift.control.target_delay() == 5 * 800 * kUs);
    swift.ack(0, 0, 100 * kUs);
    CHECK(swift.control.target_delay() == 5 * 800 * kUs);
    const double before = swift.control.cwnd();
    swift.ack(1, 0, 3900 * kUs);
    CHECK(swift.control.cwnd() > before);
    swift.ack(1, 0, 700 * kUs);
    CHECK(swift.control.target_delay() == 5 * 700 * kUs);
}

TEST_CASE("swift: a target that was given is kept to the letter") {
    Trace<Swift> swift({{"base_target_us", 300}});
    swift.ack(0, 0, 100 * kUs);
    swift.ack(1, 0, 350 * kUs);
    CHECK(swift.control.target_delay() == 300 * kUs);
}

TEST_CASE("swift: a window below one waits for round trips, but never long for one that was long") {
    Trace<Swift> swift({});
    swift.ack(1, 0, 2000 * kUs);
    for (int i = 0; i < 5; ++i) {
        swift.loss(LossCause::kTimeout);
    }
    CHECK(swift.control.cwnd() == doctest::Approx(0.1));
    CHECK(swift.control.pacing_rate() == doctest::Approx(1000 / 0.02));  // a chunk in ten of them
    swift.ack(1, 0, 210'000 * kUs);                                      // the peer stood still
    for (int i = 0; i < 5; ++i) {
        swift.loss(LossCause::kTimeout);
    }
    CHECK(swift.control.pacing_rate() == doctest::Approx(1000 / 0.1));
}

// --- DCTCP

TEST_CASE("dctcp: alpha follows the marked fraction, the window falls by half of it per round") {
    Trace<Dctcp> trace({{"initial_window", 100}, {"gain", 0.0625}});
    double alpha = 1;  // RFC 8257 section 4.2
    double cwnd = 100;
    for (const std::uint32_t marked : {10u, 0u, 30u, 5u, 7u}) {
        const double size = cwnd;
        // The marks come first, then the rest of the round in one acknowledgement.
        const auto rest = static_cast<std::uint32_t>(std::ceil(size)) - marked;
        if (marked != 0) {
            trace.ack(marked, marked);
            cwnd *= 1 - alpha / 2;
            CHECK(trace.control.cwnd() == doctest::Approx(cwnd));
        }
        const bool slow_start = marked == 0 && alpha == 1;
        trace.ack(rest, 0);
        cwnd += slow_start ? rest : rest / cwnd;
        CHECK(trace.control.cwnd() == doctest::Approx(cwnd));
        alpha = (1 - 0.0625) * alpha + 0.0625 * marked / (marked + rest);
        CHECK(trace.control.alpha() == doctest::Approx(alpha));
    }
}

TEST_CASE("dctcp: slow start doubles until the first mark; losses halve once per round") {
    Trace<Dctcp> trace({{"initial_window", 10}});
    trace.ack(10, 0);
    CHECK(trace.control.cwnd() == doctest::Approx(20));
    trace.ack(10, 0);
    CHECK(trace.control.cwnd() == doctest::Approx(30));
    trace.loss(LossCause::kTailProbe);
    CHECK(trace.control.cwnd() == doctest::Approx(30));
    trace.loss(LossCause::kReordered);
    trace.loss(LossCause::kTimeout);
    CHECK(trace.control.cwnd() == doctest::Approx(15));
    trace.ack(15, 0);
    CHECK(trace.control.cwnd() == doctest::Approx(16));
}

// --- CUBIC

TEST_CASE("cubic: the curve of equation (1), its plateau, and fast convergence") {
    // A constant large enough that the cubic part leads Reno's within a second of 1 ms trips.
    const double c = 4000;
    const double beta = 0.7;
    Trace<Cubic> trace({{"initial_window", 100}, {"c", c}, {"beta", beta}});
    const Time rtt = kMillisecond;
    trace.ack(1, 0, rtt);  // the round trip is known
    trace.loss(LossCause::kReordered);
    const double peak = 101;
    CHECK(trace.control.cwnd() == doctest::Approx(peak * beta));
    const Time epoch = trace.now;
    const double k = std::cbrt(peak * (1 - beta) / c);  // equation (2)
    double cwnd = peak * beta;
    double reno = cwnd;
    for (int i = 0; i < 400; ++i) {
        trace.now += kMillisecond;
        trace.ack(10, 0, rtt);
        const double t = static_cast<double>(trace.now + rtt - epoch) / 1e9 - k;
        const double target = std::clamp(c * t * t * t + peak, cwnd, 1.5 * cwnd);
        reno += (reno < peak ? 3 * (1 - beta) / (1 + beta) : 1) * 10 / cwnd;
        cwnd = std::max(cwnd + (target - cwnd) * 10 / cwnd, reno);
        REQUIRE(trace.control.cwnd() == doctest::Approx(cwnd));
        if (std::abs(t) < 0.001) {
            CHECK(cwnd == doctest::Approx(peak).epsilon(0.02));  // the plateau is where it was lost
        }
    }
    CHECK(cwnd > 1.2 * peak);
    // A loss below the last peak: section 4.7.
    trace.loss(LossCause::kReordered);
    trace.now += 10 * rtt;
    const double lower = trace.control.cwnd();
    trace.loss(LossCause::kReordered);
    CHECK(trace.control.cwnd() == doctest::Approx(lower * beta));
}

TEST_CASE("cubic: slow start before the first loss; marks count unless told otherwise") {
    for (const bool ecn : {true, false}) {
        Trace<Cubic> trace({{"initial_window", 10}, {"ecn", ecn}});
        trace.ack(10, 0);
        CHECK(trace.control.cwnd() == doctest::Approx(20));
        trace.ack(10, 3);
        CHECK(trace.control.cwnd() == doctest::Approx(ecn ? 14 : 30));
    }
}

// --- TIMELY

TEST_CASE("timely: Algorithm 1, case by case") {
    const Parameters parameters = {{"line_gbit", 100}, {"segment_bytes", 1000}};
    Trace<Timely> trace(parameters);
    double rate = 100 * kGbit;
    double difference = 0;
    double previous = 0;
    int falling = 0;
    const auto step = [&](double rtt_us) {
        trace.ack(1, 0, static_cast<Time>(rtt_us * 1000));
        if (previous != 0) {
            difference = (1 - 0.875) * difference + 0.875 * (rtt_us - previous);
            const double gradient = difference / 20;
            if (rtt_us < 50) {
                rate += 0.01 * kGbit;
                falling = 0;
            } else if (rtt_us > 500) {
                rate *= 1 - 0.8 * (1 - 500 / rtt_us);
                falling = 0;
            } else if (gradient <= 0) {
                rate += (++falling >= 5 ? 5 : 1) * 0.01 * kGbit;
            } else {
                rate *= std::max(1 - 0.8 * gradient, 0.0);
                falling = 0;
            }
            rate = std::clamp(rate, 0.01 * kGbit, 100 * kGbit);
        }
        previous = rtt_us;
        REQUIRE(trace.control.pacing_rate() == doctest::Approx(rate));
    };
    step(100);
    step(105);  // rising gently: shrink in proportion
    CHECK(rate < 100 * kGbit);
    for (int i = 0; i < 8; ++i) {
        step(99 - i);  // falling: additive, hyperactive from the fifth on
    }
    step(1000);  // far above T_high
    step(600);
    step(40);  // below T_low, whatever the gradient
    step(45);
    std::mt19937_64 random(3);
    for (int i = 0; i < 500; ++i) {
        step(20 + static_cast<double>(random() % 600));
    }
}

TEST_CASE("timely: one decision per segment") {
    Trace<Timely> trace({{"line_gbit", 10}, {"segment_bytes", 4000}});
    for (int i = 0; i < 4; ++i) {
        trace.ack(1, 0, 100 * kUs);
    }
    for (int i = 0; i < 3; ++i) {
        trace.ack(1, 0, 110 * kUs);
        CHECK(trace.control.pacing_rate() == doctest::Approx(10 * kGbit));
    }
    trace.ack(1, 0, 110 * kUs);
    CHECK(trace.control.pacing_rate() ==
          doctest::Approx(10 * kGbit * (1 - 0.8 * (0.875 * 10 / 20))));
}

// --- DCQCN

TEST_CASE("dcqcn: cuts by half of alpha, and climbs back by the equations") {
    Trace<Dcqcn> trace({{"line_gbit", 40}, {"gain", 1.0 / 16}});
    const double line = 40 * kGbit;
    trace.ack(1, 1);
    double alpha = (1 - 1.0 / 16) * 1 + 1.0 / 16;
    double target = line;
    double rate = line / 2;  // alpha was 1
    CHECK(trace.control.pacing_rate() == doctest::Approx(rate));
    trace.ack(1, 1);  // at most one notice in 50 us
    CHECK(trace.control.pacing_rate() == doctest::Approx(rate));
    // Every 55 us: alpha decays, the timer steps. Five of fast recovery, then additive.
    for (int i = 1; i <= 12; ++i) {
        trace.now += 55 * kUs;
        trace.ack(1, 0);
        alpha *= 1 - 1.0 / 16;
        target += i > 5 ? 0.04 * kGbit : 0;
        rate = std::min((target + rate) / 2, line);
        CHECK(trace.control.pacing_rate() == doctest::Approx(rate));
        CHECK(trace.control.alpha() == doctest::Approx(alpha));
    }
    trace.ack(1, 1);
    CHECK(trace.control.pacing_rate() == doctest::Approx(rate * (1 - alpha / 2)));
}

TEST_CASE("dcqcn: the byte counter steps too, and both above F step fast") {
    Trace<Dcqcn> trace({{"line_gbit", 40}, {"counter_bytes", 10000}, {"fast_steps", 2}});
    trace.ack(1, 1);
    double target = 40 * kGbit;
    double rate = target / 2;
    for (int i = 1; i <= 4; ++i) {  // counter only
        trace.ack(10, 0);
        target += i > 2 ? 0.04 * kGbit : 0;
        rate = std::min((target + rate) / 2, 40 * kGbit);
        CHECK(trace.control.pacing_rate() == doctest::Approx(rate));
    }
    for (int i = 1; i <= 4; ++i) {  // now the timer follows: hyper once both are above 2
        trace.now += 55 * kUs;
        trace.ack(1, 0);
        target += i > 2 ? 0.4 * kGbit * (i - 2) : 0.04 * kGbit;
        rate = std::min((target + rate) / 2, 40 * kGbit);
        CHECK(trace.control.pacing_rate() == doctest::Approx(rate));
    }
}

// --- NSCC

TEST_CASE("nscc: the four quadrants") {
    const Parameters parameters = {{"base_rtt_us", 10},     {"target_us", 8},
                                   {"initial_window", 100}, {"eta_chunks", 0},
                                   {"delay_weight", 1},     {"fair_chunks", 2}};
    const auto after = [&](std::uint32_t marked, double delay_us) {
        Trace<Nscc> trace(parameters);
        trace.ack(8, marked, static_cast<Time>((10 + delay_us) * 1000));
        return trace.control.cwnd();
    };
    const double acked = 8000;
    const double cwnd = 100'000;
    // No mark, low delay: 4 chunks per window at no delay, less towards the target.
    CHECK(after(0, 0) == doctest::Approx(cwnd + 4000 * acked / cwnd));
    CHECK(after(0, 6) == doctest::Approx(cwnd + 4000 * (8.0 - 6) / 8 * acked / cwnd));
    // No mark, high delay: the fair increase.
    CHECK(after(0, 12) == doctest::Approx(cwnd + 2000 * acked / cwnd));
    // Mark, low delay: hold.
    CHECK(after(8, 4) == doctest::Approx(cwnd));
    // Mark, high delay: gamma times the excess.
    CHECK(after(8, 12) == doctest::Approx(cwnd * (1 - 0.8 * (12.0 - 8) / 12)));
    CHECK(after(8, 1000) == doctest::Approx(cwnd / 2));  // but at most half
}

TEST_CASE("nscc: one decrease per round trip, on the smoothed delay") {
    Trace<Nscc> trace({{"base_rtt_us", 10},
                       {"target_us", 8},
                       {"initial_window", 100},
                       {"eta_chunks", 0},
                       {"delay_weight", 0.0125}});
    trace.ack(8, 8, 22 * kUs);
    CHECK(trace.control.average_delay() == doctest::Approx(0.1 * 12'000));
    CHECK(trace.control.cwnd() == doctest::Approx(100'000));  // one slow chunk proves nothing
    double average = 0.1 * 12'000;
    for (int i = 0; i < 40 && average <= 8'000; ++i) {
        average += 0.1 * (12'000 - average);
        trace.ack(8, 8, 22 * kUs);
    }
    const double first = 100'000 * (1 - 0.8 * (average - 8'000) / average);
    CHECK(trace.control.cwnd() == doctest::Approx(first));
    trace.now += 21 * kUs;
    trace.ack(8, 8, 22 * kUs);
    CHECK(trace.control.cwnd() == doctest::Approx(first));
    trace.now += 1 * kUs;
    trace.ack(8, 8, 22 * kUs);
    CHECK(trace.control.cwnd() < first);
}

TEST_CASE("nscc: quick adapt takes what got through, and ignores what was under way") {
    Trace<Nscc> trace(
        {{"base_rtt_us", 10}, {"target_us", 8}, {"initial_window", 100}, {"eta_chunks", 0}});
    trace.in_flight = 99'000;
    trace.ack(1, 1, 10 * kUs);  // the interval of 18 us begins
    trace.loss(LossCause::kTrimmed, 2000);
    CHECK(trace.control.cwnd() == doctest::Approx(98'000));
    trace.now += 18 * kUs;
    trace.in_flight = 50'000;
    trace.ack(5, 1, 10 * kUs);  // 5 of 98 got through
    CHECK(trace.control.cwnd() == doctest::Approx(5'000));
    trace.ack(40, 0, 10 * kUs);  // 40,000 of the 50,000 that were under way
    CHECK(trace.control.cwnd() == doctest::Approx(5'000));
    trace.now += 10 * kUs;
    trace.ack(20, 0, 10 * kUs);
    CHECK(trace.control.cwnd() > 5'000);
}

TEST_CASE("nscc: the last chunk of a message, late on a slow path, says nothing of the window") {
    Trace<Nscc> trace(
        {{"base_rtt_us", 10}, {"target_us", 8}, {"initial_window", 100}, {"eta_chunks", 0}});
    trace.in_flight = 2'000;
    trace.ack(1, 1, 10 * kUs);
    trace.now += 18 * kUs;
    trace.in_flight = 1'000;
    trace.ack(1, 1, 100 * kUs);  // one of the two that there were, after many targets of delay
    trace.now += 18 * kUs;
    trace.in_flight = 50'000;
    trace.ack(1, 1, 100 * kUs);  // the other one, when the next message is under way
    CHECK(trace.control.cwnd() == doctest::Approx(100'000));
    trace.now += 18 * kUs;
    trace.ack(1, 1, 100 * kUs);  // one of 50
    CHECK(trace.control.cwnd() == doctest::Approx(1'000));
}

TEST_CASE("nscc: a window that nothing delays grows by a quarter of what comes back") {
    Trace<Nscc> trace({{"base_rtt_us", 12}, {"initial_window", 10}, {"proportional_chunks", 0}});
    const auto cwnd = [&] { return trace.control.cwnd(); };
    trace.ack(6, 0, 12 * kUs);
    const double at_first = cwnd();  // not yet a window
    CHECK(at_first < 10'200);
    trace.ack(6, 0, 12 * kUs);
    CHECK(cwnd() == doctest::Approx(at_first + 0.25 * 6000));
    trace.ack(4, 0, 12 * kUs);
    const double grown = at_first + 0.25 * 10'000;
    CHECK(cwnd() == doctest::Approx(grown));
    trace.ack(4, 0, 14 * kUs);  // something queues: a new window must show that nothing does
    trace.ack(8, 0, 12 * kUs);
    CHECK(cwnd() < grown + 300);
    trace.ack(8, 0, 12 * kUs);
    CHECK(cwnd() > grown + 1900);
}

TEST_CASE("nscc: steps scale with the bandwidth-delay product, the window ends at 1.5 of it") {
    // 800 Gbit/s and 12 us: eight times the reference product of 150 kB.
    Trace<Nscc> trace({{"base_rtt_us", 12}, {"initial_window", 100}, {"eta_chunks", 0}},
                      800 * kGbit);
    trace.ack(8, 0, 12 * kUs);
    CHECK(trace.control.cwnd() == doctest::Approx(100'000 + 8 * 4000 * 8000.0 / 100'000));
    Trace<Nscc> small({{"base_rtt_us", 12}, {"initial_window", 100}, {"eta_chunks", 0}},
                      40 * kGbit);
    small.ack(8, 0, 12 * kUs);
    CHECK(small.control.cwnd() == doctest::Approx(1.5 * 40 * kGbit * 12e-6));
}

// --- Forms: per path, and by the median

TEST_CASE("per path: each window hears of its own path only, and holds only it back") {
    const PolicyContext context{
        .paths = 3, .chunk_size = 1000, .window = 300, .destination = 1, .seed = 0};
    auto control = make_congestion_control(
        {"dctcp", {{"per_path", 1}, {"initial_window", 10}, {"gain", 0.5}}}, context);
    auto reference = make_congestion_control(
        {"dctcp", {{"initial_window", 10}, {"gain", 0.5}, {"max_window", 100}}}, context);
    std::vector<Path> paths(3);
    control->begin(paths);
    CHECK(control->window() == 30'000);
    for (const Path& path : paths) {
        CHECK(path.window == 10'000);
    }
    std::mt19937_64 random(5);
    for (int i = 0; i < 200; ++i) {
        // Chunks arrive on all paths; the acknowledgement echoes one of them. Only path 1 is
        // marked.
        const auto echoed = static_cast<PathId>(random() % 3);
        for (Path& path : paths) {
            path.bytes_acked += 2000;
            path.chunks_acked += 2;
        }
        static std::uint32_t pending = 0;
        pending += 2;
        AckSample sample{.now = kSecond + i * 20 * kUs,
                         .path = echoed,
                         .rtt = 10 * kUs,
                         .bytes = 6000,
                         .chunks = 6,
                         .marked = 2,
                         .echo_marked = echoed == 1};
        control->on_ack(sample, paths);
        if (echoed == 1) {  // one path alone, told the same
            sample.bytes = 1000 * std::uint64_t{pending};
            sample.chunks = sample.marked = pending;
            pending = 0;
            reference->on_ack(sample, {});
            CHECK(paths[1].window == reference->window());
        }
        CHECK(control->window() == paths[0].window + paths[1].window + paths[2].window);
    }
    CHECK(paths[1].window < 3'000);
    CHECK(paths[0].window == 100'000);  // its share of the sequence window
    CHECK(paths[2].window == 100'000);
    control->on_loss({.now = 2 * kSecond, .path = 2, .bytes = 1000}, paths);
    CHECK(paths[2].window == 50'000);
    CHECK(paths[0].window == 100'000);
}

TEST_CASE("per path: rates add up, but a few slow paths do not slow down the others") {
    const PolicyContext context{
        .paths = 2, .chunk_size = 1000, .window = 300, .destination = 1, .seed = 0};
    auto timely = make_congestion_control({"timely", {{"per_path", 1}, {"line_gbit", 8}}}, context);
    CHECK(timely->pacing_rate() == doctest::Approx(2 * 8 * kGbit));
    auto swift = make_congestion_control(
        {"swift", {{"per_path", 1}, {"initial_window", 1}, {"base_target_us", 20}}}, context);
    std::vector<Path> paths(2);
    swift->begin(paths);
    const auto congest = [&](PathId path) {
        for (int i = 1; i < 5; ++i) {
            swift->on_ack({.now = i * kSecond, .path = path, .rtt = 100 * kUs, .chunks = 1}, paths);
        }
    };
    congest(0);  // its window is below one chunk, which alone would be paced
    CHECK(swift->pacing_rate() == 0);
    congest(1);
    CHECK(swift->pacing_rate() > 0);
}

TEST_CASE("median feedback: a minority of bad paths moves nothing, a majority everything") {
    const auto run = [](int bad, double median) {
        const PolicyContext context{
            .paths = 16, .chunk_size = 1000, .window = 1024, .destination = 1, .seed = 0};
        Parameters parameters = {{"base_target_us", 50}, {"initial_window", 100}};
        if (median != 0) {
            parameters.emplace_back("median", median);
        }
        auto control = make_congestion_control({"swift", parameters}, context);
        for (int i = 0; i < 320; ++i) {
            const bool congested = i % 16 >= 16 - bad;
            control->on_ack({.now = kSecond + i * 10 * kUs,
                             .path = static_cast<PathId>(i % 16),
                             .rtt = (congested ? 500 : 20) * kUs,
                             .bytes = 1000,
                             .chunks = 1},
                            {});
        }
        return control->window();
    };
    CHECK(run(3, 0) < 60'000);    // the collapse that the paper describes
    CHECK(run(3, 15) > 100'000);  // 3 of 16 bad: as if none were
    CHECK(run(13, 15) < 60'000);
    CHECK(run(0, 15) == run(0, 0));
}

TEST_CASE("forms that make no sense are refused by name") {
    const auto error = [](PolicyChoice choice) -> std::string {
        try {
            make_congestion_control(choice, {.paths = 2, .chunk_size = 1000, .window = 64});
        } catch (const ConfigError& error) {
            return error.what();
        }
        return "none";
    };
    CHECK(error({"eqds", {{"per_path", 1}}}).find("'eqds' lives on credits") != std::string::npos);
    CHECK(error({"swift", {{"per_path", 1}, {"median", 5}}}).find("choose") != std::string::npos);
    CHECK(error({"swift", {{"median", 64}}}).find("'median' is 64") != std::string::npos);
}

// --- Over a bottleneck

// Four paths of 25 MB/s that mark from 200 us of queue on: long runs end near capacity, without
// standing queues beyond what the control aims at.
TEST_CASE("marks and delay keep a bottleneck busy and its queue short") {
    const std::pair<const char*, Parameters> controls[] = {
        {"dctcp", {}},
        {"nscc", {{"target_us", 300}}},
        {"cubic", {}},
        {"dcqcn", {{"line_gbit", 0.8}, {"add_gbit", 0.04}, {"gain", 0.0625}}},
        {"timely", {{"line_gbit", 0.8}, {"low_us", 150}, {"high_us", 1000}, {"min_rtt_us", 100}}},
    };
    for (const auto& [name, parameters] : controls) {
        const std::string label = name;
        CAPTURE(label);
        PairOptions options = options_with(4);
        options.link.rate = 25e6;
        options.link.mark_above = 200 * kUs;
        options.client.max_burst = 2000;
        options.client.congestion = {name, parameters};
        Pair pair(options);
        REQUIRE(pair.connect(pair.now() + kSecond));
        Traffic up(pair, Side::kClient, 1);
        up.add(20'000'000, true);
        const Time start = pair.now();
        CHECK(pair.run([&] { return up.complete(); }, pair.now() + 5 * kSecond));
        const double seconds = static_cast<double>(pair.now() - start) / 1e9;
        CHECK(20e6 / seconds > 0.75 * 100e6);
        const Stats stats = pair.client().connection().stats();
        CHECK(stats.rtt.smoothed() < 2 * kMillisecond);
        CHECK(stats.retransmitted == 0);
    }
}

}  // namespace
}  // namespace weft::transport::test
