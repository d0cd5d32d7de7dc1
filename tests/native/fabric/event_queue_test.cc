// The event queue against an obviously right one: a multimap, which keeps equal keys in order of
// insertion.
#include "fabric/event_queue.h"

#include <doctest/doctest.h>

#include <map>

#include "fabric/random.h"

using namespace weft::fabric;

TEST_CASE("events leave in order of time, equal times in order of insertion") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        Random random(seed);
        EventQueue queue;
        std::multimap<Time, std::uint32_t> oracle;
        Time now = 0;
        std::uint32_t payload = 0;
        for (int step = 0; step < 20'000; ++step) {
            if (random.below(100) < 52 || oracle.empty()) {
                // From the same instant to seconds ahead, so that every wheel and the heap are
                // used; coarse steps, so that many times are equal.
                const Time span = Time{1} << random.below(42);
                const Time grain = Time{1} << random.below(12);
                const Time when =
                    now +
                    static_cast<Time>(random.uniform() * static_cast<double>(span)) / grain * grain;
                queue.push(when, payload);
                oracle.emplace(when, payload++);
            } else {
                const Time limit = now + (Time{1} << random.below(44));
                Event event;
                const bool popped = queue.pop(limit, event);
                REQUIRE(popped == (oracle.begin()->first <= limit));
                if (popped) {
                    REQUIRE(event.time == oracle.begin()->first);
                    REQUIRE(event.payload == oracle.begin()->second);
                    now = event.time;
                    oracle.erase(oracle.begin());
                } else {
                    now = limit;
                }
            }
            REQUIRE(queue.size() == oracle.size());
            if (step % 64 == 0)
                REQUIRE(queue.next_time() == (oracle.empty() ? kNever : oracle.begin()->first));
        }
        Event event;
        while (queue.pop(kNever, event)) {
            REQUIRE(event.payload == oracle.begin()->second);
            oracle.erase(oracle.begin());
        }
        CHECK(oracle.empty());
    }
}

TEST_CASE("an event in the past happens now, before all later ones") {
    EventQueue queue;
    queue.push(5 * kMillisecond, 1);
    Event event;
    REQUIRE(queue.pop(kNever, event));
    queue.push(6 * kMillisecond, 2);
    queue.push(1 * kMillisecond, 3);
    REQUIRE(queue.pop(kNever, event));
    CHECK(event.payload == 3);
}
