// The cost model against the closed forms of the literature, and the tuner's choices.
#include "collectives/tuner.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "collectives/cost.h"
#include "datapath/error.h"

namespace weft::collectives {
namespace {

// Network edges only, everything else free: the model of the papers.
constexpr double kAlpha = 10e-6;
constexpr double kBeta = 1.0 / 1e9;

CostModel alpha_beta(double gamma = 0) {
    CostModel model;
    model.remote = {.latency = kAlpha,
                    .overhead = 0,
                    .per_byte = kBeta,
                    .uses_processor = false,
                    .eager_bytes = SIZE_MAX};
    model.step = 0;
    model.copy_per_byte = 0;
    model.reduce_per_byte = gamma;
    return model;
}

Hosts apart(std::int32_t size) {
    Hosts hosts;
    for (std::int32_t rank = 0; rank < size; ++rank) hosts.push_back(rank);
    return hosts;
}

double predicted(const Algorithm& algorithm, Collective collective, std::int32_t size,
                 std::size_t bytes, const CostModel& model, std::int32_t slices = 1) {
    return estimate(build_schedule(algorithm, make_spec(algorithm, collective, size, 0, slices)),
                    bytes, model, apart(size))
        .seconds;
}

TEST_CASE("predictions are the closed forms of Thakur et al. where those are exact") {
    for (const std::int32_t size : {2, 4, 8, 16}) {
        CAPTURE(size);
        const double n = size;
        const std::size_t bytes = 1 << 20;
        const double m = static_cast<double>(bytes);
        const double rounds = std::log2(n);
        const CostModel model = alpha_beta();
        const auto close = [](double value) { return doctest::Approx(value).epsilon(1e-6); };
        CHECK(predicted(kRing, Collective::kAllReduce, size, bytes, model) ==
              close(2 * (n - 1) * kAlpha + 2 * (n - 1) / n * m * kBeta));
        CHECK(predicted(kRing, Collective::kAllGather, size, bytes, model) ==
              close((n - 1) * kAlpha + (n - 1) / n * m * kBeta));
        CHECK(predicted(kHalvingDoubling, Collective::kAllReduce, size, bytes, model) ==
              close(2 * rounds * kAlpha + 2 * (n - 1) / n * m * kBeta));
        CHECK(predicted(kBruck, Collective::kAllGather, size, bytes, model) ==
              close(rounds * kAlpha + (n - 1) / n * m * kBeta));
        CHECK(predicted(kBinomialTree, Collective::kBroadcast, size, bytes, model) >=
              rounds * kAlpha + m * kBeta);
        CHECK(predicted(kBinomialTree, Collective::kBroadcast, size, bytes, model) <=
              close(rounds * (kAlpha + m * kBeta)));
        CHECK(predicted(kDissemination, Collective::kBarrier, size, 0, model) ==
              close(rounds * kAlpha));
        CHECK(predicted(kBruck, Collective::kAllToAll, size, bytes, model) ==
              close(rounds * (kAlpha + m / 2 * kBeta)));
    }
}

TEST_CASE("a reduction adds its gamma term") {
    const double gamma = 1.0 / 2e9;
    const double m = 1 << 20;
    const double free = predicted(kRing, Collective::kAllReduce, 4, 1 << 20, alpha_beta());
    const double paid = predicted(kRing, Collective::kAllReduce, 4, 1 << 20, alpha_beta(gamma));
    CHECK(paid - free == doctest::Approx(3.0 / 4 * m * gamma).epsilon(1e-6));
}

TEST_CASE("pipelining pays where hops are in a row, and costs where they are not") {
    const CostModel model = alpha_beta();
    const double whole = predicted(kRing, Collective::kBroadcast, 8, 16 << 20, model, 1);
    const double sliced = predicted(kRing, Collective::kBroadcast, 8, 16 << 20, model, 16);
    const double m = 16 << 20;
    CHECK(whole == doctest::Approx(7 * (kAlpha + m * kBeta)).epsilon(1e-6));
    CHECK(sliced == doctest::Approx(7 * kAlpha + (7 + 15) * m / 16 * kBeta).epsilon(1e-3));
}

TEST_CASE("ranks that share processors share their time") {
    CostModel model;
    const Hosts one_host(8, 0);
    const Schedule schedule =
        build_schedule(kDirect, make_spec(kDirect, Collective::kAllReduce, 8));
    const double alone = estimate(schedule, 8 << 20, model, one_host).seconds;
    model.processors = 2;
    const double shared = estimate(schedule, 8 << 20, model, one_host).seconds;
    CHECK(shared > 3 * alone);
    CHECK(shared < 5 * alone);
}

TEST_CASE("the tuner prefers few messages when small and few bytes when large") {
    const Tuner tuner(CostModel{}, apart(16));
    const auto small = tuner.explain(Collective::kAllReduce, 64);
    const auto large = tuner.explain(Collective::kAllReduce, 256 << 20);
    CHECK(small.candidates.size() == algorithms_for(Collective::kAllReduce).size());
    CHECK(tuner.choose(Collective::kAllReduce, 64).algorithm == small.chosen);
    CHECK(small.chosen != "ring");
    CHECK(small.chosen != large.chosen);
    for (std::size_t i = 1; i < large.candidates.size(); ++i) {
        CHECK(large.candidates[i - 1].estimate.seconds <= large.candidates[i].estimate.seconds);
        CHECK(large.candidates[0].estimate.sent_bytes <= large.candidates[i].estimate.sent_bytes);
    }
    CHECK(large.reason.find(large.chosen) == 0);
    CHECK(to_json(large).find("\"chosen\": \"" + large.chosen + "\"") != std::string::npos);
}

TEST_CASE("every collective has a choice at every size and in groups of any size") {
    for (const std::int32_t size : {1, 2, 3, 16, 1000}) {
        Hosts hosts = apart(size);
        for (std::int32_t& host : hosts) host /= 8;
        const Tuner tuner(CostModel{}, hosts);
        for (int kind = 0; kind < kCollectives; ++kind) {
            for (const std::size_t bytes : {std::size_t{0}, std::size_t{8}, std::size_t{1} << 20}) {
                const auto collective = static_cast<Collective>(kind);
                const Tuner::Choice choice = tuner.choose(collective, bytes);
                CHECK(find_algorithm(choice.algorithm, collective).supports(collective));
                for (const Candidate& each : tuner.explain(collective, bytes).candidates) {
                    CHECK(std::isfinite(each.estimate.seconds));
                    CHECK(each.estimate.seconds >= 0);
                }
            }
        }
    }
}

TEST_CASE("extrapolation agrees with simulation where both can be had") {
    // 32 ranks are beyond the limit: compare with their own simulation.
    for (const Algorithm* algorithm : {&kRing, &kHalvingDoubling, &kDirect, &kDoubleBinaryTree}) {
        CAPTURE(std::string(algorithm->name));
        const Tuner tuner(alpha_beta(), apart(32),
                          {{Collective::kAllReduce, std::string(algorithm->name)}});
        const auto explanation = tuner.explain(Collective::kAllReduce, 3 << 10);
        double extrapolated = 0;
        for (const Candidate& each : explanation.candidates) {
            if (each.algorithm == algorithm) extrapolated = each.estimate.seconds;
        }
        const double simulated =
            predicted(*algorithm, Collective::kAllReduce, 32, 3 << 10, alpha_beta());
        CHECK(extrapolated == doctest::Approx(simulated).epsilon(0.25));
    }
}

TEST_CASE("options override, and bad ones are refused") {
    const Tuner tuner(CostModel{}, apart(4), {{Collective::kAllReduce, "double_binary_tree"}});
    CHECK(tuner.choose(Collective::kAllReduce, 8).algorithm == "double_binary_tree");
    CHECK(tuner.explain(Collective::kAllReduce, 8).reason.find("option") != std::string::npos);
    CHECK_THROWS_AS(Tuner(CostModel{}, apart(4), {{Collective::kAllReduce, "bruck"}}), Error);
    CHECK_THROWS_AS(Tuner(CostModel{}, {}), Error);
    CHECK_THROWS_AS(estimate(build_schedule(kRing, make_spec(kRing, Collective::kAllReduce, 3)), 8,
                             CostModel{}, apart(2)),
                    Error);
}

// A switch of 100 us there and back.
SwitchCost distant(double per_packet) {
    return {.slots = 64, .values = 256, .round_trip = 100e-6, .per_packet = per_packet};
}

TEST_CASE("a sum in the switch: two round trips, then what rate or slots allow") {
    const auto seconds = [](double per_packet, std::size_t elements) {
        return estimate(distant(per_packet), elements).seconds;
    };
    CHECK(seconds(1e-6, 1) == doctest::Approx(300e-6));
    CHECK(seconds(1e-6, std::size_t{64} * 256) == doctest::Approx(300e-6));
    CHECK(seconds(1e-6, std::size_t{64} * 256 + 1) == doctest::Approx(400e-6));  // by its slots
    CHECK(seconds(5e-6, std::size_t{640} * 256) == doctest::Approx(200e-6 + 640 * 5e-6));
    // Values travel with the data and the first opening; other openings and the commit are headers.
    CHECK(estimate(distant(1e-6), std::size_t{640} * 256).sent_bytes ==
          (640 + 1) * std::size_t{24 + 1024} + 64 * std::size_t{24});
    CHECK(what_bounds(distant(1e-6), 1).find("opening") != std::string::npos);
    CHECK(what_bounds(distant(1e-6), 1 << 20).find("slots") != std::string::npos);
    CHECK(what_bounds(distant(9e-6), 1 << 20).find("packets") != std::string::npos);
}

TEST_CASE("what a sum in the switch costs is found from a short one and a long one") {
    const SwitchCost real = distant(3e-6);
    SwitchCost found = distant(0);
    found.measured(estimate(real, 1).seconds, estimate(real, std::size_t{640} * 256).seconds, 640);
    CHECK(found.round_trip == doctest::Approx(real.round_trip));
    CHECK(found.per_packet == doctest::Approx(real.per_packet));
    // Where the slots are the bound, a packet's share of the round trip is all that can be seen.
    const SwitchCost quick = distant(0.1e-6);
    found.measured(estimate(quick, 1).seconds, estimate(quick, std::size_t{640} * 256).seconds,
                   640);
    CHECK(estimate(found, 1 << 22).seconds == doctest::Approx(estimate(quick, 1 << 22).seconds));
}

TEST_CASE("sums go to the switch where it is sooner, and the explanation says why, or why not") {
    CostModel model;
    const std::size_t bytes = 16 << 20;
    CHECK_FALSE(Tuner(model, apart(8)).by_switch(bytes, 4));
    model.innet = SwitchCost{.per_packet = 0.4e-6};
    const Tuner cheap(model, apart(8));
    CHECK(cheap.by_switch(bytes, 4));
    CHECK_FALSE(cheap.by_switch(bytes, 2));  // halves travel as words
    const auto chosen = cheap.explain(Collective::kAllReduce, bytes);
    CHECK(chosen.chosen == "innet");
    CHECK(chosen.candidates.front().algorithm->name == "innet");
    CHECK(chosen.reason.find("its part once") != std::string::npos);
    CHECK(chosen.reason.find("bound by its 24576 packets") != std::string::npos);
    CHECK(find_algorithm(cheap.choose(Collective::kAllReduce, bytes).algorithm,
                         Collective::kAllReduce)
              .supports(Collective::kAllReduce));  // what finishes a call without the switch
    CHECK(cheap.explain(Collective::kAllReduce, bytes, false).chosen != "innet");
    CHECK(cheap.explain(Collective::kBroadcast, bytes).chosen != "innet");

    model.innet = SwitchCost{.per_packet = 20e-6};
    const Tuner dear(model, apart(8));
    CHECK_FALSE(dear.by_switch(bytes, 4));
    const auto left = dear.explain(Collective::kAllReduce, bytes);
    CHECK(left.chosen != "innet");
    CHECK(left.reason.find("innet is bound by its 24576 packets of 256 values, 20.00 us each") !=
          std::string::npos);
    CHECK(Tuner(model, apart(8), {}, true).explain(Collective::kAllReduce, bytes).chosen ==
          "innet");
    const Tuner ring(model, apart(8), {{Collective::kAllReduce, "ring"}});
    CHECK_FALSE(ring.by_switch(bytes, 4));
}

TEST_CASE("more workers do not make a sum in the switch slower") {
    CostModel model;
    model.innet = SwitchCost{};
    const auto predicted_for = [&](std::int32_t ranks) {
        const auto all = Tuner(model, apart(ranks)).explain(Collective::kAllReduce, 1 << 20);
        return std::ranges::find_if(
                   all.candidates,
                   [](const Candidate& each) { return each.algorithm->name == "innet"; })
            ->estimate.seconds;
    };
    CHECK(predicted_for(2) == predicted_for(32));
}

}  // namespace
}  // namespace weft::collectives
