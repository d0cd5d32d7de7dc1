#include "engine/patience.h"

#include <doctest/doctest.h>

using weft::engine::kMicrosecond;
using weft::engine::kMillisecond;
using weft::engine::Patience;
using weft::engine::Time;

namespace {

constexpr Time kSoon = 100 * kMicrosecond;
constexpr Time kLate = 400 * kMicrosecond;
static_assert(kSoon < Patience::kMost && Patience::kMost < kLate);

}  // namespace

TEST_CASE("a waiter is patient until waiting turns out to be in vain") {
    Patience patience;
    CHECK(patience.span() == Patience::kMost);
    Time before = patience.span();
    for (int i = 0; i < 40; ++i) {
        patience.slept(kLate);
        CHECK(patience.span() <= before / 2);
        before = patience.span();
    }
    CHECK(patience.span() == 0);
}

TEST_CASE("it is patient again as soon as sleeping turns out to be in vain") {
    Patience patience;
    for (int i = 0; i < 40; ++i) patience.slept(kLate);
    int sleeps = 0;
    for (; patience.span() < kSoon; ++sleeps) patience.slept(kSoon);
    CHECK(sleeps <= 5);
    for (int i = 0; i < 40; ++i) patience.slept(kSoon);
    CHECK(patience.span() == Patience::kMost);
}

TEST_CASE("a core that others keep is left to them") {
    Patience patience;
    patience.yielded(kSoon);
    CHECK(patience.span() == Patience::kMost);
    patience.yielded(4 * kMillisecond);
    CHECK(patience.span() == 0);
    patience.slept(kSoon);
    CHECK(patience.span() > 0);
}
