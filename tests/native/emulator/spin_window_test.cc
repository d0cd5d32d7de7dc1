#include "emulator/spin_window.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

using weft::emulator::SpinWindow;

constexpr std::int64_t kMost = 200'000;
constexpr std::int64_t kLeast = 8'000;
constexpr std::int64_t kMillisecond = 1'000'000;

TEST_CASE("the window settles near the 99th percentile of what timers are late by") {
    std::mt19937_64 random(20261129);  // NOLINT: equal runs
    std::exponential_distribution<double> late(1.0 / 20'000);
    SpinWindow window(kMost);
    std::vector<std::int64_t> seen;
    for (int i = 0; i < 50'000; ++i) {
        seen.push_back(static_cast<std::int64_t>(late(random)));
        window.woke(seen.back());
    }
    std::ranges::sort(seen);
    const std::int64_t p98 = seen[seen.size() * 98 / 100];
    const std::int64_t p995 = seen[seen.size() * 995 / 1000];
    const std::int64_t width = window.width(0);
    CHECK(width > p98);
    CHECK(width < p995);
}

TEST_CASE("punctual timers need no spinning, hopeless ones get no more than is allowed") {
    SpinWindow punctual(kMost);
    SpinWindow hopeless(kMost);
    for (int i = 0; i < 10'000; ++i) {
        punctual.woke(0);
        hopeless.woke(10 * kMillisecond);
    }
    CHECK(punctual.width(0) == kLeast);
    CHECK(hopeless.width(0) == kMost);
}

TEST_CASE("a quarter of the time is all that spinning takes") {
    SpinWindow window(kMost);
    std::int64_t now = 0;
    std::int64_t spun = 0;
    while (now < 10'000 * kMillisecond) {  // always something due: spins whenever it may
        const std::int64_t width = window.width(now);
        now += width;
        if (width > kLeast) {
            window.spun(width);
            spun += width;
        }
    }
    CHECK(spun > now / 5);
    CHECK(spun < now / 4 + 60 * kMillisecond);  // what was saved up, and one last window
    window.spun(kMillisecond);
    CHECK(window.width(now) == kLeast);
    CHECK(window.width(now + 100 * kMillisecond) > kLeast);
}
