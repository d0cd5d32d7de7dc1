// Plans and layouts against plain recomputation.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "collectives/algorithms/algorithm.h"
#include "collectives/schedule.h"
#include "datapath/error.h"

namespace weft::collectives {
namespace {

bool overlap(const Slice& a, const Slice& b) {
    return a.count > 0 && b.count > 0 && a.buffer == b.buffer && a.first < b.first + b.count &&
           b.first < a.first + a.count;
}

bool conflict(const Step& a, const Step& b) {
    return overlap(a.target, b.source) || overlap(a.source, b.target) ||
           overlap(a.target, b.target);
}

// before[i]: all steps that step i transitively waits for.
std::vector<std::set<std::uint32_t>> closure(const Plan& plan) {
    std::vector<std::set<std::uint32_t>> before(plan.steps.size());
    for (std::uint32_t i = 0; i < plan.steps.size(); ++i) {
        for (const std::uint32_t next : plan.successors_of(i)) {
            REQUIRE(next > i);
            before[next].insert(i);
            before[next].insert(before[i].begin(), before[i].end());
        }
    }
    return before;
}

TEST_CASE(
    "a plan orders every two conflicting steps, and a random program no others than through a "
    "chain of conflicts") {
    std::mt19937_64 random(7);
    const Spec spec{
        .collective = Collective::kAllToAll, .size = 3, .root = 0, .chunks = 2};  // no aliasing
    for (int round = 0; round < 200; ++round) {
        ProgramBuilder builder(spec, 0);
        builder.add_scratch_blocks(2);
        const auto below = [&](std::int32_t bound) {
            return static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(bound));
        };
        for (int i = 0; i < 25; ++i) {
            const std::int32_t count = 1 + below(2);
            const std::int32_t at = 2 * below(2) + (count == 1 ? below(2) : 0);
            const std::int32_t from = 2 * below(3) + at % 2;
            if (below(3) == 0) {
                builder.send(1 + below(2), scratch(at, count));
            } else if (below(2) == 0) {
                builder.recv(1 + below(2), below(2) == 0 ? scratch(at, count) : output(at, count));
            } else {
                builder.reduce(scratch(at, count), output(from, count));
            }
        }
        const Plan plan = make_plan(spec, builder.finish());
        const auto before = closure(plan);
        // The transitive closure of the conflicts themselves.
        std::vector<std::set<std::uint32_t>> wanted(plan.steps.size());
        for (std::uint32_t j = 0; j < plan.steps.size(); ++j) {
            for (std::uint32_t i = 0; i < j; ++i) {
                if (!conflict(plan.steps[i], plan.steps[j])) continue;
                wanted[j].insert(i);
                wanted[j].insert(wanted[i].begin(), wanted[i].end());
            }
            REQUIRE(before[j] == wanted[j]);
        }
    }
}

TEST_CASE("dependency counts, ready lists and message numbers agree with the steps") {
    const Plan plan =
        make_plan(make_spec(kRing, Collective::kAllReduce, 5, 0, 3),
                  build_program(kRing, make_spec(kRing, Collective::kAllReduce, 5, 0, 3), 2));
    std::vector<std::uint32_t> waits(plan.steps.size(), 0);
    for (std::uint32_t i = 0; i < plan.steps.size(); ++i) {
        for (const std::uint32_t next : plan.successors_of(i)) ++waits[next];
    }
    CHECK(waits == plan.dependencies);
    std::vector<std::uint32_t> ready;
    for (std::uint32_t i = 0; i < waits.size(); ++i) {
        if (waits[i] == 0) ready.push_back(i);
    }
    CHECK(ready == plan.ready);
    CHECK(plan.peers == std::vector<std::int32_t>{1, 3});
    CHECK(plan.lanes == 3);
    std::map<std::tuple<int, int, bool>, std::uint32_t> seen;
    for (std::size_t i = 0; i < plan.steps.size(); ++i) {
        const Step& step = plan.steps[i];
        if (step.peer != kNoPeer)
            CHECK(plan.messages[i] == seen[{step.peer, step.lane, receives(step.kind)}]++);
    }
}

TEST_CASE("`after` makes a step wait for another that shares nothing with it") {
    const Spec spec{.collective = Collective::kAllToAll, .size = 2, .root = 0, .chunks = 1};
    ProgramBuilder builder(spec, 0);
    const std::int32_t first = builder.copy(output(0), input(0));
    builder.copy(output(1), input(1), first);
    const Plan plan = make_plan(spec, builder.finish());
    CHECK(plan.dependencies == std::vector<std::uint32_t>{0, 1});
}

TEST_CASE("chunks tile their block, balanced, at any count") {
    for (const std::int32_t chunks : {1, 2, 7}) {
        const Spec spec{
            .collective = Collective::kAllGather, .size = 3, .root = 0, .chunks = chunks};
        ProgramBuilder builder(spec, 1);
        builder.add_scratch_blocks(2);
        const Plan plan = make_plan(spec, builder.finish());
        for (const std::size_t count : {0U, 1U, 6U, 7U, 8U, 1000U}) {
            const Layout layout(plan, count);
            CHECK(layout.elements(Buffer::kInput) == count);
            CHECK(layout.elements(Buffer::kOutput) == 3 * count);
            CHECK(layout.elements(Buffer::kScratch) == 2 * count);
            std::size_t next = 0;
            for (std::int32_t chunk = 0; chunk < 3 * chunks; ++chunk) {
                const Extent extent = layout.extent(output(chunk));
                const auto position = static_cast<std::size_t>(chunk % chunks);
                const auto parts = static_cast<std::size_t>(chunks);
                CHECK(extent.offset == next);
                CHECK(extent.length == count / parts + (position < count % parts ? 1 : 0));
                next += extent.length;
            }
            CHECK(next == 3 * count);
            const Extent all = layout.extent(output(0, 3 * chunks));
            CHECK(all.offset == 0);
            CHECK(all.length == 3 * count);
        }
    }
}

TEST_CASE("blocks of unequal length follow the counts of ranks and pairs") {
    const std::size_t counts[] = {5, 0, 4};
    const Spec gather{.collective = Collective::kAllGatherV, .size = 3, .root = 0, .chunks = 2};
    ProgramBuilder builder(gather, 2);
    builder.add_scratch_block_like(0);
    builder.add_scratch_block_like(2);
    const Plan plan = make_plan(gather, builder.finish());
    const Layout layout(plan, counts);
    CHECK(layout.elements(Buffer::kInput) == 4);
    CHECK(layout.elements(Buffer::kOutput) == 9);
    CHECK(layout.elements(Buffer::kScratch) == 9);
    CHECK(layout.extent(output(1)).offset == 3);  // second chunk of rank 0's five
    CHECK(layout.extent(output(1)).length == 2);
    CHECK(layout.extent(output(2, 2)).length == 0);  // rank 1 has none
    CHECK(layout.extent(scratch(3)).offset == 7);
    CHECK(layout.extent(scratch(3)).length == 2);

    const std::size_t received[] = {1, 2, 3};
    const Spec exchange{.collective = Collective::kAllToAllV, .size = 3, .root = 0, .chunks = 1};
    const Plan pairs = make_plan(exchange, build_program(kDirect, exchange, 0));
    const Layout uneven(pairs, counts, received);
    CHECK(uneven.extent(input(2)).offset == 5);
    CHECK(uneven.extent(input(2)).length == 4);
    CHECK(uneven.extent(output(2)).offset == 3);
    CHECK(uneven.elements(Buffer::kOutput) == 6);
}

TEST_CASE("the fingerprint tells schedules apart, not names") {
    Schedule schedule = build_schedule(kRing, make_spec(kRing, Collective::kAllReduce, 4));
    const std::uint64_t before = fingerprint(schedule);
    schedule.name = "another";
    CHECK(fingerprint(schedule) == before);
    std::swap(schedule.programs[3].steps[0], schedule.programs[3].steps[1]);
    CHECK(fingerprint(schedule) != before);
}

TEST_CASE("a v-collective's scratch must say how long its blocks are") {
    const Spec spec{.collective = Collective::kReduceScatterV, .size = 2, .root = 0, .chunks = 1};
    ProgramBuilder builder(spec, 0);
    builder.add_scratch_blocks(1);
    CHECK_THROWS_AS(make_plan(spec, builder.finish()), Error);
}

}  // namespace
}  // namespace weft::collectives
