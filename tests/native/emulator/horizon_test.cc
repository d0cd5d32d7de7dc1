#include "emulator/horizon.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <vector>

using weft::emulator::Horizon;
using weft::emulator::ShortestWays;
using namespace weft::fabric;

namespace {

// Delay and serialization of the one way through switches `via`, by hand.
Time along(const std::vector<Link>& links, std::uint32_t bytes) {
    Time total = 0;
    for (const Link& link : links)
        total += link.delay + static_cast<Time>(bytes * 8e12 / link.rate);
    return total;
}

}  // namespace

TEST_CASE("the shortest way of a leaf-spine is four cables, below one leaf two") {
    LeafSpine shape;
    shape.down = {10e9, 3 * kMicrosecond};
    shape.up = {40e9, 5 * kMicrosecond};
    const ShortestWays ways(leaf_spine(shape));
    const Link down{0, 0, 10e9, 3 * kMicrosecond};
    const Link up{0, 0, 40e9, 5 * kMicrosecond};
    for (const std::uint32_t bytes : {84U, 1538U}) {
        const Time far = along({down, up, up, down}, bytes);
        CHECK(std::abs(ways.least(0, 15, bytes) - far) <= 4);
        CHECK(std::abs(ways.least(0, 1, bytes) - along({down, down}, bytes)) <= 4);
    }
}

TEST_CASE("a bound is never above the quickest of several ways") {
    Topology topology;
    topology.hosts = 2;
    const NodeId a = topology.add_switch("a", 0);
    const NodeId b = topology.add_switch("b", 0);
    topology.add_link(0, a, 1e9, kMicrosecond);
    topology.add_link(1, b, 1e9, kMicrosecond);
    topology.add_link(a, b, 1e12, 50 * kMicrosecond);  // far, but quick
    topology.add_link(a, b, 1e6, 2 * kMicrosecond);    // near, but slow
    const ShortestWays ways(topology);
    const Link edge{0, 0, 1e9, kMicrosecond};
    for (const std::uint32_t bytes : {84U, 9000U}) {
        const Time quick = along({edge, edge, {0, 0, 1e12, 50 * kMicrosecond}}, bytes);
        const Time near = along({edge, edge, {0, 0, 1e6, 2 * kMicrosecond}}, bytes);
        CHECK(ways.least(0, 1, bytes) <= std::min(quick, near) + 4);
        CHECK(ways.least(0, 1, bytes) >= 4 * kMicrosecond);
    }
}

TEST_CASE("while nothing can leave, what happens inside wakes nobody") {
    Horizon horizon;
    CHECK(horizon.next(0, 5) == kNever);
    horizon.entered(7, 100);
    CHECK(horizon.next(0, 5) == 100);
    CHECK(horizon.next(100, 130) == 130);  // it had to queue: event by event
    CHECK(horizon.next(110, 120) == 120);
    horizon.left(7);
    CHECK(horizon.next(120, 125) == kNever);
    horizon.entered(7, 300);  // another packet with the same cargo
    CHECK(horizon.next(130, 140) == 300);
    horizon.doubt();
    CHECK(horizon.next(130, 140) == 140);
}

TEST_CASE("random packets: never later than the plainest account says") {
    std::mt19937_64 random(4);  // NOLINT: equal runs
    Horizon horizon;
    std::map<std::uint32_t, Time> inside;  // cargo, earliest time
    Time now = 0;
    for (int step = 0; step < 20'000; ++step) {
        now += static_cast<Time>(random() % 10);
        const auto cargo = static_cast<std::uint32_t>(random() % 40);
        if (inside.erase(cargo) > 0) {
            horizon.left(cargo);
        } else {
            inside[cargo] = now + static_cast<Time>(random() % 60);
            horizon.entered(cargo, inside[cargo]);
        }
        const Time event = now + static_cast<Time>(random() % 30);
        Time expected = kNever;
        for (const auto& [_, earliest] : inside)
            expected = std::min(expected, earliest <= now ? event : earliest);
        REQUIRE(horizon.next(now, event) == expected);
    }
}
