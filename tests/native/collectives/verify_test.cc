// The verifier refuses what is wrong and says where; mutations of right schedules are refused or
// harmless.
#include "collectives/verify.h"

#include <doctest/doctest.h>

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "collectives/algorithms/algorithm.h"
#include "datapath/error.h"
#include "interpreter.h"

namespace weft::collectives {
namespace {

// The refusal's message; empty if the schedule passed.
std::string refusal(const Schedule& schedule, const VerifyOptions& options = {}) {
    try {
        verify(schedule, options);
    } catch (const Error& error) {
        CHECK(error.info()->status == WEFT_ERR_SCHEDULE);
        return error.what();
    }
    return "";
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

using Write = std::function<void(ProgramBuilder&)>;

Schedule custom(const Spec& spec, const Write& write) {
    Schedule schedule{.name = "mine", .spec = spec, .programs = {}};
    for (std::int32_t rank = 0; rank < spec.size; ++rank) {
        ProgramBuilder builder(spec, rank);
        write(builder);
        schedule.programs.push_back(builder.finish());
    }
    return schedule;
}

constexpr Spec kPair{.collective = Collective::kAllReduce, .size = 2, .root = 0, .chunks = 1};

// A right exchange between two ranks, to which the cases below do harm.
void exchange(ProgramBuilder& to) {
    const std::int32_t peer = 1 - to.rank();
    const std::int32_t inbox = to.add_scratch_blocks(1);
    to.send(peer, input(0));
    to.recv(peer, scratch(inbox));
    to.copy(output(0), input(0));
    to.reduce(output(0), scratch(inbox));
}

TEST_CASE("a right schedule passes") {
    CHECK(refusal(custom(kPair, exchange)).empty());
}

TEST_CASE("a missing contribution is refused with rank and chunk") {
    const std::string text =
        refusal(custom(kPair, [](ProgramBuilder& to) { to.copy(output(0), input(0)); }));
    CHECK(contains(text, "rank 0, output chunk 0"));
    CHECK(contains(text, "misses the contribution of rank 1"));
}

TEST_CASE("a double count is refused with rank, step and chunk") {
    const std::string text = refusal(custom(kPair, [](ProgramBuilder& to) {
        exchange(to);
        to.reduce(output(0), scratch(0));
    }));
    CHECK(contains(text, "rank 0, step 4"));
    CHECK(contains(text, "output chunk 0"));
    CHECK(contains(text, "contribution of rank 1 twice"));
}

TEST_CASE("unequal chunks are not combined") {
    const Spec spec{.collective = Collective::kReduceScatter, .size = 2, .root = 0, .chunks = 1};
    const std::string text = refusal(custom(spec, [](ProgramBuilder& to) {
        const std::int32_t inbox = to.add_scratch_blocks(1);
        to.send(1 - to.rank(), input(to.rank()));  // the other's block would be right
        to.recv(1 - to.rank(), scratch(inbox));
        to.copy(output(0), input(to.rank()));
        to.reduce(output(0), scratch(inbox));
    }));
    CHECK(contains(text, "combine equal chunks only"));
}

TEST_CASE("exchanging in place by rendezvous is a deadlock, which buffering resolves") {
    // recv_reduce overwrites (in place) what the pending send still reads, and the send waits for
    // the peer's recv_reduce.
    const Schedule schedule = custom(kPair, [](ProgramBuilder& to) {
        to.send(1 - to.rank(), input(0));
        to.copy(output(0), input(0));
        to.recv_reduce(1 - to.rank(), output(0));
    });
    const std::string text = refusal(schedule);
    CHECK(contains(text, "deadlock with 0 buffered messages"));
    CHECK(contains(text, "rank 0, step 0"));
    CHECK(contains(text, "rank 1, step 2"));
    CHECK(refusal(schedule, {.buffered_messages = 1}).empty());
}

TEST_CASE("deadlocks that no finite buffer resolves, and those that need a bigger one") {
    const Schedule circle = custom(kPair, [](ProgramBuilder& to) {
        const std::int32_t inbox = to.add_scratch_blocks(1);
        const std::int32_t got = to.recv(1 - to.rank(), scratch(inbox));
        to.send(1 - to.rank(), input(0), got);
        to.copy(output(0), input(0));
        to.reduce(output(0), scratch(inbox));
    });
    CHECK(contains(refusal(circle, {.buffered_messages = 1000}), "deadlock"));

    const Spec spec{.collective = Collective::kBroadcast, .size = 2, .root = 0, .chunks = 3};
    const Schedule reversed = custom(spec, [](ProgramBuilder& to) {
        if (to.rank() == 0) {
            to.copy(output(0, 3), input(0, 3));
            std::int32_t sent = kNoStep;
            for (std::int32_t chunk = 0; chunk < 3; ++chunk) {
                to.lane(chunk);
                sent = to.send(1, input(chunk), sent);
            }
        } else {
            std::int32_t got = kNoStep;
            for (std::int32_t chunk = 2; chunk >= 0; --chunk) {
                to.lane(chunk);
                got = to.recv(0, output(chunk), got);
            }
        }
    });
    CHECK(contains(refusal(reversed, {.buffered_messages = 0}), "deadlock"));
    CHECK(contains(refusal(reversed, {.buffered_messages = 1}), "deadlock"));
    CHECK(refusal(reversed, {.buffered_messages = 2}).empty());
}

TEST_CASE("messages need a counterpart of the same number of chunks") {
    CHECK(contains(refusal(custom(kPair,
                                  [](ProgramBuilder& to) {
                                      exchange(to);
                                      if (to.rank() == 0) to.send(1, input(0));
                                  })),
                   "rank 0, step 4 (send input[0] to 1): nothing at rank 1 receives it"));
    CHECK(contains(refusal(custom(kPair,
                                  [](ProgramBuilder& to) {
                                      exchange(to);
                                      if (to.rank() == 1) to.recv(0, scratch(0));
                                  })),
                   "rank 1, step 4 (recv from 0 into scratch[0]): rank 0 never sends it"));
    const Spec spec{.collective = Collective::kBroadcast, .size = 2, .root = 0, .chunks = 2};
    CHECK(contains(refusal(custom(spec,
                                  [](ProgramBuilder& to) {
                                      if (to.rank() == 0) {
                                          to.copy(output(0, 2), input(0, 2));
                                          to.send(1, input(0, 2));
                                      } else {
                                          to.recv(0, output(0));
                                      }
                                  })),
                   "has 2 chunks"));
}

TEST_CASE("chunks that may differ in length are not confused") {
    const Spec spec{.collective = Collective::kBroadcast, .size = 2, .root = 0, .chunks = 2};
    CHECK(contains(refusal(custom(spec,
                                  [](ProgramBuilder& to) {
                                      if (to.rank() == 0) {
                                          to.copy(output(0, 2), input(0, 2));
                                          to.send(1, input(0));
                                      } else {
                                          to.recv(0, output(1));
                                      }
                                  })),
                   "may differ in length"));
}

TEST_CASE("reads of what nobody wrote, and writes to input") {
    CHECK(contains(refusal(custom(kPair,
                                  [](ProgramBuilder& to) {
                                      to.copy(output(0), scratch(to.add_scratch_blocks(1)));
                                  })),
                   "reads scratch chunk 0, to which nothing was written"));
    CHECK(contains(
        refusal(custom(kPair, [](ProgramBuilder& to) { to.recv(1 - to.rank(), input(0)); })),
        "writes to input"));
    CHECK(contains(refusal(custom(kPair, [](ProgramBuilder& to) { to.copy(output(1), input(0)); })),
                   "outside the 1 chunks"));
    CHECK(contains(refusal(custom(kPair, [](ProgramBuilder&) {})), "no step writes it"));
}

TEST_CASE("malformed steps") {
    Schedule schedule = custom(kPair, exchange);
    const auto refused_with = [&](const Step& step) {
        Schedule bad = schedule;
        bad.programs[1].steps.push_back(step);
        return refusal(bad);
    };
    CHECK(contains(
        refused_with({.kind = StepKind::kSend, .peer = 1, .source = input(0), .target = {}}),
        "to itself"));
    CHECK(contains(
        refused_with({.kind = StepKind::kSend, .peer = 2, .source = input(0), .target = {}}),
        "no such peer"));
    CHECK(contains(
        refused_with({.kind = StepKind::kSend, .peer = 0, .source = input(0, 0), .target = {}}),
        "covers no chunk"));
    CHECK(contains(
        refused_with({.kind = StepKind::kSend, .peer = 0, .source = input(-1), .target = {}}),
        "outside"));
    CHECK(contains(
        refused_with(
            {.kind = StepKind::kSend, .peer = 0, .source = input(0, INT32_MAX), .target = {}}),
        "outside"));
    CHECK(contains(
        refused_with({.kind = StepKind::kCopy, .source = scratch(0), .target = scratch(0)}),
        "overlap"));
    CHECK(contains(
        refused_with(
            {.kind = StepKind::kCopy, .source = input(0), .target = output(0), .after = 4}),
        "earlier step"));
    schedule.programs.pop_back();
    CHECK(contains(refusal(schedule), "programs for 1 ranks"));
}

TEST_CASE("all ranks must combine in the same order") {
    const Spec spec{.collective = Collective::kAllReduce, .size = 3, .root = 0, .chunks = 1};
    const auto everyone_sums = [&](bool in_rank_order) {
        return custom(spec, [=](ProgramBuilder& to) {
            const std::int32_t n = to.size();
            const std::int32_t inbox = to.add_scratch_blocks(n);
            for (std::int32_t hop = 1; hop < n; ++hop) to.send(wrap(to.rank() + hop, n), input(0));
            for (std::int32_t hop = 1; hop < n; ++hop) {
                const std::int32_t peer = wrap(to.rank() - hop, n);
                to.recv(peer, scratch(inbox + peer));
            }
            to.copy(scratch(inbox + to.rank()), input(0));
            const auto order = [&](std::int32_t k) {
                return in_rank_order ? k : wrap(to.rank() + k, n);
            };
            to.copy(output(0), scratch(inbox + order(0)));
            for (std::int32_t k = 1; k < n; ++k) to.reduce(output(0), scratch(inbox + order(k)));
        });
    };
    CHECK(refusal(everyone_sums(true)).empty());
    CHECK(contains(refusal(everyone_sums(false)), "another order"));
}

TEST_CASE("collectives that combine nothing refuse to") {
    const Spec spec{.collective = Collective::kAllGather, .size = 2, .root = 0, .chunks = 1};
    CHECK(contains(refusal(custom(spec,
                                  [](ProgramBuilder& to) {
                                      to.send(1 - to.rank(), input(0));
                                      to.copy(output(0), input(0));
                                      to.recv_reduce(1 - to.rank(), output(0));
                                  })),
                   "combines nothing"));
}

// Every schedule that differs from a right one in one step.
std::vector<Schedule> mutations(const Schedule& original) {
    std::vector<Schedule> result;
    for (std::size_t rank = 0; rank < original.programs.size(); ++rank) {
        for (std::size_t i = 0; i < original.programs[rank].steps.size(); ++i) {
            const auto mutate = [&](auto change) {
                Schedule& mutant = result.emplace_back(original);
                change(mutant.programs[rank].steps);
            };
            const auto mutate_step = [&](auto change) {
                mutate([&](std::vector<Step>& steps) { change(steps[i]); });
            };
            const Step& step = original.programs[rank].steps[i];
            mutate([&](std::vector<Step>& steps) {
                steps.erase(steps.begin() + static_cast<long>(i));
            });
            mutate([&](std::vector<Step>& steps) {
                steps.insert(steps.begin() + static_cast<long>(i), step);
            });
            if (i > 0) mutate([&](std::vector<Step>& steps) { std::swap(steps[i], steps[i - 1]); });
            if (step.peer != kNoPeer) {
                mutate_step([&](Step& it) { it.peer = (it.peer + 1) % original.spec.size; });
                mutate_step([](Step& it) { it.lane ^= 1; });
            }
            for (const std::int32_t delta : {-1, 1}) {
                if (step.source.count > 0) mutate_step([&](Step& it) { it.source.first += delta; });
                if (step.target.count > 0) mutate_step([&](Step& it) { it.target.first += delta; });
                if (step.source.count > 0) mutate_step([&](Step& it) { it.source.count += delta; });
                if (step.target.count > 0) mutate_step([&](Step& it) { it.target.count += delta; });
            }
            if (step.source.count > 0) {
                mutate_step([](Step& it) {
                    it.source.buffer =
                        it.source.buffer == Buffer::kInput ? Buffer::kOutput : Buffer::kInput;
                });
            }
            mutate_step([](Step& it) {
                constexpr StepKind kSwapped[] = {StepKind::kSend, StepKind::kRecvReduce,
                                                 StepKind::kRecv, StepKind::kReduce,
                                                 StepKind::kCopy};
                it.kind = kSwapped[static_cast<std::size_t>(it.kind)];
            });
        }
    }
    return result;
}

TEST_CASE("a mutation of one step is refused, or an independent interpreter finds it harmless") {
    int refused = 0;
    int harmless = 0;
    for (int kind = 0; kind < kCollectives - 1;
         ++kind) {  // barrier moves no numbers that the oracle could compare
        const auto collective = static_cast<Collective>(kind);
        for (const Algorithm* algorithm : algorithms_for(collective)) {
            for (const std::int32_t size : {2, 3, 5}) {
                const Spec spec = make_spec(*algorithm, collective, size,
                                            is_rooted(collective) ? 1 : 0, size == 5 ? 1 : 2);
                for (const Schedule& mutant : mutations(build_schedule(*algorithm, spec))) {
                    if (!refusal(mutant).empty()) {
                        ++refused;
                        continue;
                    }
                    ++harmless;
                    CAPTURE(std::string(algorithm->name));
                    CAPTURE(std::string(collective_name(collective)));
                    CAPTURE(size);
                    for (const std::uint64_t seed : {1, 2, 3}) {
                        for (const bool in_place : {false, true}) {
                            const auto flaw = test::Interpreter(mutant, in_place, seed).run();
                            REQUIRE_MESSAGE(!flaw, flaw.value_or(""));
                        }
                    }
                }
            }
        }
    }
    MESSAGE("mutants refused: " << refused << ", harmless: " << harmless);
    CHECK(refused > 4 * harmless);  // most single mutations do harm; a verifier that lets
                                    // everything pass fails above
}

TEST_CASE("a dropped send is refused whatever the algorithm") {
    for (int kind = 0; kind < kCollectives; ++kind) {
        for (const Algorithm* algorithm : algorithms_for(static_cast<Collective>(kind))) {
            const Schedule right =
                build_schedule(*algorithm, make_spec(*algorithm, static_cast<Collective>(kind), 6));
            for (std::size_t rank = 0; rank < right.programs.size(); ++rank) {
                for (std::size_t i = 0; i < right.programs[rank].steps.size(); ++i) {
                    if (right.programs[rank].steps[i].kind != StepKind::kSend) continue;
                    Schedule wrong = right;
                    wrong.programs[rank].steps.erase(wrong.programs[rank].steps.begin() +
                                                     static_cast<long>(i));
                    REQUIRE(refusal(wrong) != "");
                }
            }
        }
    }
}

// Any values at all, as they may come over the C API: mostly nonsense, sometimes nearly a schedule.
Schedule arbitrary(std::mt19937_64& random) {
    const auto below = [&](std::int32_t bound) {
        return static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(bound));
    };
    const auto collective = static_cast<Collective>(below(kCollectives));
    const std::vector<const Algorithm*> known = algorithms_for(collective);
    const std::int32_t size = 1 + below(4);
    const Algorithm& algorithm = *known[random() % known.size()];
    const std::int32_t root = is_rooted(collective) ? below(size) : 0;
    Schedule schedule = build_schedule(algorithm, make_spec(algorithm, collective, size, root));
    const auto number = [&]() -> std::int32_t {
        constexpr std::int32_t kExtremes[] = {INT32_MIN, -1, 0, 1, INT32_MAX};
        return below(4) == 0 ? kExtremes[below(5)] : below(6);
    };
    const auto slice = [&] { return Slice{static_cast<Buffer>(below(3)), number(), number()}; };
    for (std::int32_t change = below(4); change > 0; --change) {
        Program& program = schedule.programs[random() % schedule.programs.size()];
        const std::size_t at = random() % (program.steps.size() + 1);
        const Step step{.kind = static_cast<StepKind>(below(5)),
                        .lane = static_cast<std::uint8_t>(random()),
                        .peer = number(),
                        .source = below(2) == 0 ? Slice{} : slice(),
                        .target = below(2) == 0 ? Slice{} : slice(),
                        .after = below(2) == 0 ? kNoStep : number()};
        switch (below(5)) {
            case 0:
                program.scratch_chunks = number();
                break;
            case 1:
                program.scratch_like.push_back(number());
                break;
            case 2:
                if (at < program.steps.size())
                    program.steps.erase(program.steps.begin() + static_cast<long>(at));
                break;
            default:
                program.steps.insert(program.steps.begin() + static_cast<long>(at), step);
        }
    }
    return schedule;
}

TEST_CASE("no value, however wrong, does anything but pass or be refused; what passes is right") {
    std::mt19937_64 random(11);
    int passed = 0;
    for (int i = 0; i < 20000; ++i) {
        const Schedule schedule = arbitrary(random);
        if (!refusal(schedule, {.buffered_messages = i % 3}).empty()) continue;
        ++passed;
        const auto flaw = test::Interpreter(schedule, i % 2 == 0, random()).run();
        CAPTURE(i);
        REQUIRE_MESSAGE(!flaw, flaw.value_or(""));
    }
    CHECK(passed > 1000);  // the unchanged ones at least: the oracle had something to judge
    CHECK(passed < 19000);
}

}  // namespace
}  // namespace weft::collectives
