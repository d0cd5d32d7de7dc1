// Every built-in algorithm: proved by the verifier for all group sizes up to 33, and run on numbers
// by an independent oracle.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>

#include "collectives/algorithms/algorithm.h"
#include "collectives/verify.h"
#include "datapath/error.h"
#include "interpreter.h"

namespace weft::collectives {
namespace {

std::vector<Collective> all_collectives() {
    std::vector<Collective> result;
    for (int i = 0; i < kCollectives; ++i) result.push_back(static_cast<Collective>(i));
    return result;
}

template <typename Visit>
void for_built_ins(std::int32_t size, std::initializer_list<std::int32_t> slices, Visit visit) {
    for (const Collective collective : all_collectives()) {
        for (const Algorithm* algorithm : algorithms_for(collective)) {
            for (const std::int32_t slice_count : slices) {
                const std::int32_t roots = is_rooted(collective) ? size : 1;
                for (const std::int32_t root : std::set<std::int32_t>{0, roots / 2, roots - 1}) {
                    const Spec spec = make_spec(*algorithm, collective, size, root, slice_count);
                    CAPTURE(std::string(algorithm->name));
                    CAPTURE(std::string(collective_name(collective)));
                    CAPTURE(size);
                    CAPTURE(slice_count);
                    CAPTURE(root);
                    visit(build_schedule(*algorithm, spec));
                }
            }
        }
    }
}

TEST_CASE("every built-in algorithm is proved for groups of 1 to 33 and several chunkings") {
    int proved = 0;
    for (std::int32_t size = 1; size <= 33; ++size) {
        for_built_ins(size, {1, 2, 5}, [&](const Schedule& schedule) {
            REQUIRE_NOTHROW(verify(schedule));  // rendezvous: the strictest buffering
            ++proved;
        });
    }
    MESSAGE("schedules proved: " << proved);
}

TEST_CASE("buffering only makes things easier") {
    for (const std::int32_t size : {2, 5, 8}) {
        for_built_ins(size, {1, 3}, [](const Schedule& schedule) {
            for (const std::int32_t buffered : {1, 2, 100})
                REQUIRE_NOTHROW(verify(schedule, {.buffered_messages = buffered}));
        });
    }
}

TEST_CASE(
    "an independent interpreter gets the right numbers, in any order of execution, in and out of "
    "place") {
    for (std::int32_t size = 1; size <= 9; ++size) {
        for_built_ins(size, {1, 3}, [](const Schedule& schedule) {
            for (const bool in_place : {false, true}) {
                const auto flaw = test::Interpreter(schedule, in_place, 1234).run();
                REQUIRE_MESSAGE(!flaw, flaw.value_or(""));
            }
        });
    }
}

TEST_CASE("a rank's own program is the one in the whole schedule") {
    const Algorithm& ring = find_algorithm("ring", Collective::kAllReduce);
    const Spec spec = make_spec(ring, Collective::kAllReduce, 6, 0, 2);
    CHECK(build_program(ring, spec, 4) == build_schedule(ring, spec).programs[4]);
    const Spec large = make_spec(ring, Collective::kAllReduce, 1000);
    CHECK(make_plan(large, build_program(ring, large, 999)).peers ==
          std::vector<std::int32_t>{0, 998});
}

TEST_CASE("ring all_reduce moves the least that is possible") {
    const Spec spec = make_spec(kRing, Collective::kAllReduce, 8);
    for (const Program& program : build_schedule(kRing, spec).programs) {
        std::int32_t sent = 0;
        for (const Step& step : program.steps)
            sent += step.kind == StepKind::kSend ? step.source.count : 0;
        CHECK(sent == 2 * 7);  // of 8 chunks: 2 (n - 1) / n of the vector
    }
}

TEST_CASE("in the double binary tree no rank is an inner node of both trees") {
    for (std::int32_t size = 2; size <= 33; ++size) {
        const Spec spec = make_spec(kDoubleBinaryTree, Collective::kReduce, size);
        for (const Program& program : build_schedule(kDoubleBinaryTree, spec).programs) {
            if (program.rank == 0) continue;  // feeds both
            std::set<int> inner_lanes;
            int received = 0;
            for (const Step& step : program.steps) {
                if (!receives(step.kind)) continue;
                inner_lanes.insert(step.lane);
                ++received;
            }
            CAPTURE(size);
            CAPTURE(program.rank);
            CHECK(inner_lanes.size() <= 1);
            CHECK(received <= 2);
        }
    }
}

TEST_CASE("logarithmic algorithms take logarithmic numbers of messages") {
    for (const std::int32_t size : {2, 3, 7, 16, 31, 33}) {
        std::int32_t rounds = 0;
        while ((1 << rounds) < size) ++rounds;
        const auto most_sends = [&](const Algorithm& algorithm, Collective collective) {
            long most = 0;
            for (const Program& program :
                 build_schedule(algorithm, make_spec(algorithm, collective, size)).programs) {
                most = std::max(
                    most, static_cast<long>(std::count_if(
                              program.steps.begin(), program.steps.end(),
                              [](const Step& step) { return step.kind == StepKind::kSend; })));
            }
            return most;
        };
        CAPTURE(size);
        CHECK(most_sends(kBruck, Collective::kAllToAll) == rounds);
        CHECK(most_sends(kBruck, Collective::kAllGather) == rounds);
        CHECK(most_sends(kDissemination, Collective::kBarrier) == rounds);
        CHECK(most_sends(kBinomialTree, Collective::kBroadcast) == rounds);
        CHECK(most_sends(kHalvingDoubling, Collective::kAllReduce) <= 2 * rounds + 2);
    }
}

TEST_CASE("bad requests are refused with what exists") {
    const auto message_of = [](auto call) {
        try {
            call();
        } catch (const Error& error) {
            CHECK(error.info()->status == WEFT_ERR_INVALID);
            return std::string(error.what());
        }
        return std::string("nothing was thrown");
    };
    CHECK(message_of([] {
              find_algorithm("rings", Collective::kAllReduce);
          }).find("halving_doubling") != std::string::npos);
    CHECK(message_of([] { make_spec(kBruck, Collective::kAllReduce, 4); }).find("all_reduce") !=
          std::string::npos);
    CHECK(message_of([] { make_spec(kRing, Collective::kAllReduce, 4, 0, 0); }).find("slices") !=
          std::string::npos);
    CHECK(message_of([] { make_spec(kRing, Collective::kBroadcast, 4, 4); }).find("root 4") !=
          std::string::npos);
    CHECK(message_of([] { make_spec(kRing, Collective::kAllReduce, 0); }).find("at least 1 rank") !=
          std::string::npos);
    CHECK(message_of([] { collective_from_name("allreduce"); }).find("all_reduce") !=
          std::string::npos);
}

}  // namespace
}  // namespace weft::collectives
