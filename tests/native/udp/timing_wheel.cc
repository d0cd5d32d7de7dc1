// The timing wheel against a sorted multimap, by random commands over times from nanoseconds to
// hours.
#include "datapath/timing_wheel.h"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <vector>

using weft::datapath::kNever;
using weft::datapath::Time;
using weft::datapath::Timer;
using weft::datapath::TimingWheel;

namespace {

// What the wheel is to be: who is due when.
struct Model {
    std::map<const Timer*, Time> due;
    Time next() const {
        Time first = kNever;
        for (const auto& [timer, at] : due) first = std::min(first, at);
        return first;
    }
};

}  // namespace

TEST_CASE("timing wheel: fires what a sorted list fires, at the same times") {
    std::mt19937_64 random(20261129);
    const auto up_to = [&](std::uint64_t bits) {
        return static_cast<Time>(random() >> (64 - 1 - random() % bits));
    };
    for (int round = 0; round < 50; ++round) {
        Time now = up_to(50);
        const bool beyond = round % 3 == 0;  // the coarsest wheel's turn, 2^38 ns
        TimingWheel wheel(now);
        Model model;
        std::vector<Timer> timers(1 + random() % 40);
        for (int step = 0; step < 2000; ++step) {
            Timer& timer = timers[random() % timers.size()];
            if (random() % 3 != 0) {
                const Time due = random() % 10 == 0 ? kNever : now - 1000 + up_to(beyond ? 42 : 37);
                wheel.set(timer, due);
                if (due == kNever) {
                    model.due.erase(&timer);
                } else {
                    model.due[&timer] = due;
                }
            } else {
                now += up_to(round % 2 == 0 ? 24 : 40);
                std::vector<Timer*> again;
                wheel.run(now, [&](Timer& fired) {
                    REQUIRE(model.due.contains(&fired));
                    REQUIRE(model.due[&fired] <= now);
                    REQUIRE(fired.due == kNever);
                    model.due.erase(&fired);
                    if (random() % 4 == 0) {  // sets itself, or takes another off, while it fires
                        again.push_back(&fired);
                        wheel.set(fired, now);
                    } else if (random() % 8 == 0) {
                        Timer& other = timers[random() % timers.size()];
                        wheel.set(other, kNever);
                        model.due.erase(&other);
                        std::erase(again, &other);
                    }
                });
                for (const Timer* late : again) model.due[late] = now;
                for (const auto& [left, at] : model.due) {
                    const bool just_set = at == now && left->due == now;
                    REQUIRE((at > now || just_set));
                }
            }
            // With timers beyond the coarsest wheel it may ask to be run before one is due.
            const Time next = wheel.next(), first = model.next();
            REQUIRE((next == first || (beyond && next < first && next > now)));
        }
        for (Timer& timer : timers) wheel.set(timer, kNever);
        CHECK(wheel.next() == kNever);
    }
}
