#include "collectives/verify.h"

#include <algorithm>
#include <deque>
#include <limits>
#include <map>
#include <tuple>

#include "collectives/expression.h"
#include "collectives/places.h"
#include "datapath/error.h"

namespace weft::collectives {

namespace {

struct StepId {
    std::int32_t rank = 0;
    std::int32_t step = kNoStep;
    bool operator==(const StepId&) const = default;
};

class Verifier {
  public:
    Verifier(const Schedule& schedule, const VerifyOptions& options)
        : schedule_(schedule),
          spec_(schedule.spec),
          options_(options),
          expressions_(schedule.spec) {}

    void run() {
        make_plans();
        match_messages();
        for (bool in_place : {false, true}) {
            memory_ = Memory(*this, in_place);
            execute();
            check_outputs();
        }
    }

  private:
    // Expression and last writer of every chunk of every rank, with input and output laid over each
    // other or not.
    class Memory {
      public:
        Memory() = default;
        Memory(const Verifier& verifier, bool in_place);

        struct Chunk {
            Expression value = kUndefined;
            std::int32_t writer = kNoStep;
        };
        Chunk& at(std::int32_t rank, Buffer buffer, std::int32_t chunk);
        bool same(std::int32_t rank, const Slice& a, const Slice& b) {
            return &at(rank, a.buffer, a.first) == &at(rank, b.buffer, b.first);
        }

      private:
        struct Rank {
            Places places;
            std::vector<Chunk> chunks;
        };
        std::vector<Rank> ranks_;
    };

    struct StepState {
        std::uint32_t waits = 0;  // dependencies that have not ended
        bool started = false;
        bool ended = false;
        bool has_room = false;            // a send that may end before its receive is posted
        std::vector<Expression> payload;  // of a started send
    };

    const Step& step_of(StepId id) const {
        return plans_[static_cast<std::size_t>(id.rank)].steps[static_cast<std::size_t>(id.step)];
    }
    StepState& state_of(StepId id) {
        return states_[static_cast<std::size_t>(id.rank)][static_cast<std::size_t>(id.step)];
    }
    StepId counterpart(StepId id) const {
        return counterparts_[static_cast<std::size_t>(id.rank)][static_cast<std::size_t>(id.step)];
    }
    std::string name(StepId id) const {
        return "rank " + std::to_string(id.rank) + ", step " + std::to_string(id.step) + " (" +
               describe(step_of(id)) + ")";
    }
    [[noreturn]] void refuse(const std::string& where, const std::string& why) const {
        std::string title = std::string(collective_name(spec_.collective)) + " schedule";
        if (!schedule_.name.empty()) title += " \"" + schedule_.name + "\"";
        throw Error(WEFT_ERR_SCHEDULE, title + ", " + where + ": " + why);
    }

    void make_plans();
    void match_messages();
    void pair_up(const std::vector<StepId>& sends, const std::vector<StepId>& recvs);
    void check_lengths(StepId send, StepId recv) const;
    void execute();
    void start(StepId id);
    void deliver(StepId send, StepId recv);
    void release_buffered(StepId recv);
    void end(StepId id);
    void write(StepId id, std::int32_t index, Expression value);
    Expression read(StepId id, const Slice& slice, std::int32_t index);
    [[noreturn]] void report_deadlock();
    StepId blocker(StepId id);
    void check_outputs();
    void check_output(std::int32_t rank, std::int32_t chunk);

    const Schedule& schedule_;
    const Spec& spec_;
    const VerifyOptions& options_;
    Expressions expressions_;
    std::vector<Plan> plans_;
    std::vector<std::vector<StepId>> counterparts_;  // [rank][step] the other end of a message
    std::vector<std::vector<StepId>>
        freed_by_;  // [rank][recv step] the send that its posting makes room for
    std::vector<std::vector<std::int32_t>>
        send_numbers_;  // [rank][send step] among the sends to that peer
    std::vector<std::vector<StepState>> states_;
    Memory memory_;
    std::deque<StepId> startable_;
};

Verifier::Memory::Memory(const Verifier& verifier, bool in_place) {
    const Spec& spec = verifier.spec_;
    for (const Plan& plan : verifier.plans_) {
        const Places places(spec, plan.rank, plan.scratch_chunks, in_place);
        ranks_.push_back({places, std::vector<Chunk>(places.count())});
        const std::int32_t inputs = blocks(spec, plan.rank, Buffer::kInput) * spec.chunks;
        for (std::int32_t chunk = 0; chunk < inputs; ++chunk) {
            at(plan.rank, Buffer::kInput, chunk).value =
                verifier.expressions_.leaf(plan.rank, chunk);
        }
    }
}

Verifier::Memory::Chunk& Verifier::Memory::at(std::int32_t rank, Buffer buffer,
                                              std::int32_t chunk) {
    Rank& of = ranks_[static_cast<std::size_t>(rank)];
    return of.chunks[of.places.of(buffer, chunk)];
}

void Verifier::make_plans() {
    if (schedule_.programs.size() != static_cast<std::size_t>(spec_.size)) {
        refuse("as a whole", "has programs for " + std::to_string(schedule_.programs.size()) +
                                 " ranks, the group has " + std::to_string(spec_.size));
    }
    for (std::int32_t rank = 0; rank < spec_.size; ++rank) {
        const Program& program = schedule_.programs[static_cast<std::size_t>(rank)];
        if (program.rank != rank)
            refuse("rank " + std::to_string(rank), "holds the program of another rank");
        plans_.push_back(make_plan(spec_, program));
        counterparts_.emplace_back(program.steps.size());
        freed_by_.emplace_back(program.steps.size());
        send_numbers_.emplace_back(program.steps.size(), 0);
    }
}

void Verifier::match_messages() {
    using Stream = std::tuple<std::int32_t, std::int32_t, std::uint8_t>;  // from, to, lane
    std::map<Stream, std::pair<std::vector<StepId>, std::vector<StepId>>> streams;
    std::map<std::pair<std::int32_t, std::int32_t>, std::vector<StepId>> sends_of_pair;
    for (const Plan& plan : plans_) {
        for (std::int32_t i = 0; i < static_cast<std::int32_t>(plan.steps.size()); ++i) {
            const Step& step = plan.steps[static_cast<std::size_t>(i)];
            if (step.kind == StepKind::kSend) {
                streams[{plan.rank, step.peer, step.lane}].first.push_back({plan.rank, i});
                sends_of_pair[{plan.rank, step.peer}].push_back({plan.rank, i});
            } else if (receives(step.kind)) {
                streams[{step.peer, plan.rank, step.lane}].second.push_back({plan.rank, i});
            }
        }
    }
    for (const auto& [stream, ends] : streams) pair_up(ends.first, ends.second);
    // Send k of an ordered pair finds room once the receive of send k - buffered_messages was
    // posted.
    const auto room = static_cast<std::size_t>(options_.buffered_messages);
    for (const auto& [pair, sends] : sends_of_pair) {
        for (std::size_t k = 0; k < sends.size(); ++k) {
            send_numbers_[static_cast<std::size_t>(sends[k].rank)]
                         [static_cast<std::size_t>(sends[k].step)] = static_cast<std::int32_t>(k);
            if (room == 0 || k < room) continue;
            const StepId recv = counterpart(sends[k - room]);
            freed_by_[static_cast<std::size_t>(recv.rank)][static_cast<std::size_t>(recv.step)] =
                sends[k];
        }
    }
}

void Verifier::pair_up(const std::vector<StepId>& sends, const std::vector<StepId>& recvs) {
    const std::size_t matched = std::min(sends.size(), recvs.size());
    for (std::size_t k = 0; k < matched; ++k) {
        counterparts_[static_cast<std::size_t>(sends[k].rank)]
                     [static_cast<std::size_t>(sends[k].step)] = recvs[k];
        counterparts_[static_cast<std::size_t>(recvs[k].rank)]
                     [static_cast<std::size_t>(recvs[k].step)] = sends[k];
        check_lengths(sends[k], recvs[k]);
    }
    if (sends.size() > matched) {
        const StepId send = sends[matched];
        refuse(name(send), "nothing at rank " + std::to_string(step_of(send).peer) +
                               " receives it; add a recv from " + std::to_string(send.rank) +
                               " in lane " + std::to_string(step_of(send).lane) +
                               " there, or drop it");
    }
    if (recvs.size() > matched) {
        const StepId recv = recvs[matched];
        refuse(name(recv), "rank " + std::to_string(step_of(recv).peer) +
                               " never sends it; add a send to " + std::to_string(recv.rank) +
                               " in lane " + std::to_string(step_of(recv).lane) +
                               " there, or drop it");
    }
}

void Verifier::check_lengths(StepId send, StepId recv) const {
    const Slice& source = step_of(send).source;
    const Slice& target = step_of(recv).target;
    if (source.count != target.count) {
        refuse(name(recv), "meets " + name(send) + ", which has " + std::to_string(source.count) +
                               " chunks; both must have the same number (messages match in program "
                               "order per lane)");
    }
    for (std::int32_t i = 0; i < source.count; ++i) {
        const auto length = [&](StepId id, const Slice& slice) {
            return length_class(spec_, schedule_.programs[static_cast<std::size_t>(id.rank)],
                                slice.buffer, slice.first + i);
        };
        if (length(send, source) == length(recv, target)) continue;
        refuse(name(recv),
               "meets " + name(send) + ", but chunk " + std::to_string(source.first + i) +
                   " there and chunk " + std::to_string(target.first + i) +
                   " here may differ in length; keep every chunk at its place in the block");
    }
}

void Verifier::execute() {
    states_.clear();
    std::size_t left = 0;
    for (const Plan& plan : plans_) {
        std::vector<StepState>& states = states_.emplace_back(plan.steps.size());
        const std::vector<std::int32_t>& numbers =
            send_numbers_[static_cast<std::size_t>(plan.rank)];
        for (std::size_t i = 0; i < states.size(); ++i) {
            states[i].waits = plan.dependencies[i];
            states[i].has_room =
                plan.steps[i].kind == StepKind::kSend && numbers[i] < options_.buffered_messages;
        }
        for (std::uint32_t step : plan.ready)
            startable_.push_back({plan.rank, static_cast<std::int32_t>(step)});
        left += states.size();
    }
    while (!startable_.empty()) {
        const StepId id = startable_.front();
        startable_.pop_front();
        start(id);
    }
    for (const std::vector<StepState>& states : states_) {
        for (const StepState& state : states) left -= state.ended ? 1 : 0;
    }
    if (left > 0) report_deadlock();
}

void Verifier::start(StepId id) {
    const Step& step = step_of(id);
    StepState& state = state_of(id);
    state.started = true;
    if (step.kind == StepKind::kSend) {
        for (std::int32_t i = 0; i < step.source.count; ++i)
            state.payload.push_back(read(id, step.source, i));
        const StepId recv = counterpart(id);
        if (state_of(recv).started) {
            deliver(id, recv);
        } else if (state.has_room) {
            end(id);
        }
    } else if (receives(step.kind)) {
        release_buffered(id);
        const StepId send = counterpart(id);
        if (state_of(send).started) deliver(send, id);
    } else {
        const bool moves =
            step.kind == StepKind::kReduce || !memory_.same(id.rank, step.source, step.target);
        for (std::int32_t i = 0; moves && i < step.source.count; ++i)
            write(id, i, read(id, step.source, i));
        end(id);
    }
}

// A receive was posted: the send that waited for its place in the buffer may end as soon as it
// starts.
void Verifier::release_buffered(StepId recv) {
    const StepId send =
        freed_by_[static_cast<std::size_t>(recv.rank)][static_cast<std::size_t>(recv.step)];
    if (send.step == kNoStep) return;
    state_of(send).has_room = true;
    if (state_of(send).started && !state_of(send).ended) end(send);
}

void Verifier::deliver(StepId send, StepId recv) {
    const std::vector<Expression>& payload = state_of(send).payload;
    for (std::size_t i = 0; i < payload.size(); ++i)
        write(recv, static_cast<std::int32_t>(i), payload[i]);
    if (!state_of(send).ended) end(send);
    end(recv);
}

void Verifier::end(StepId id) {
    state_of(id).ended = true;
    for (std::uint32_t next : plans_[static_cast<std::size_t>(id.rank)].successors_of(
             static_cast<std::uint32_t>(id.step))) {
        const StepId waiting{id.rank, static_cast<std::int32_t>(next)};
        if (--state_of(waiting).waits == 0) startable_.push_back(waiting);
    }
}

Expression Verifier::read(StepId id, const Slice& slice, std::int32_t index) {
    const Expression value = memory_.at(id.rank, slice.buffer, slice.first + index).value;
    if (value == kUndefined) {
        refuse(name(id), "reads " + std::string(buffer_name(slice.buffer)) + " chunk " +
                             std::to_string(slice.first + index) +
                             ", to which nothing was written before; write it in an earlier step");
    }
    return value;
}

// Puts an incoming value in place, or combines it with what is there.
void Verifier::write(StepId id, std::int32_t index, Expression value) {
    const Step& step = step_of(id);
    Memory::Chunk& chunk = memory_.at(id.rank, step.target.buffer, step.target.first + index);
    if (step.kind == StepKind::kRecvReduce || step.kind == StepKind::kReduce) {
        const Expression held = read(id, step.target, index);
        const std::string place = std::string(buffer_name(step.target.buffer)) + " chunk " +
                                  std::to_string(step.target.first + index);
        if (spec_.collective != Collective::kBarrier) {
            if (!is_reducing(spec_.collective)) {
                refuse(name(id), "combines values, but " +
                                     std::string(collective_name(spec_.collective)) +
                                     " combines nothing; use recv or copy");
            }
            if (expressions_.chunk_of(held) != expressions_.chunk_of(value)) {
                refuse(name(id), place + " holds " + expressions_.describe(held) +
                                     " and would be combined with " + expressions_.describe(value) +
                                     "; combine equal chunks only");
            }
            const std::int32_t twice = expressions_.common_rank(held, value);
            if (twice >= 0) {
                refuse(name(id), place + " would count the contribution of rank " +
                                     std::to_string(twice) + " twice: it holds " +
                                     expressions_.describe(held) + " and gets " +
                                     expressions_.describe(value) +
                                     "; use recv or copy, or send something else");
            }
        }
        value = expressions_.combine(held, value);
    }
    chunk.value = value;
    chunk.writer = id.step;
}

// What keeps a step that has not ended: its counterpart, or a step of its own rank.
StepId Verifier::blocker(StepId id) {
    if (state_of(id).started) return counterpart(id);
    const Plan& plan = plans_[static_cast<std::size_t>(id.rank)];
    for (std::uint32_t i = 0; i < plan.steps.size(); ++i) {
        const StepId earlier{id.rank, static_cast<std::int32_t>(i)};
        if (state_of(earlier).ended) continue;
        const auto successors = plan.successors_of(i);
        if (std::binary_search(successors.begin(), successors.end(),
                               static_cast<std::uint32_t>(id.step)))
            return earlier;
    }
    return id;
}

void Verifier::report_deadlock() {
    constexpr std::size_t kShown = 8;
    StepId id;
    for (const Plan& plan : plans_) {
        const auto& states = states_[static_cast<std::size_t>(plan.rank)];
        const auto stuck = std::find_if(states.begin(), states.end(),
                                        [](const StepState& state) { return !state.ended; });
        if (stuck == states.end()) continue;
        id = {plan.rank, static_cast<std::int32_t>(stuck - states.begin())};
        break;
    }
    std::vector<StepId> chain;
    while (std::find(chain.begin(), chain.end(), id) == chain.end()) {
        chain.push_back(id);
        id = blocker(id);
    }
    chain.erase(chain.begin(), std::find(chain.begin(), chain.end(), id));
    std::string circle;
    for (std::size_t i = 1; i < chain.size() && i < kShown; ++i)
        circle += " waits for " + name(chain[i]) + ", which";
    if (chain.size() > kShown) circle += " ... which";
    refuse(name(chain.front()),
           "deadlock with " + std::to_string(options_.buffered_messages) +
               " buffered messages per pair: it" + circle + " waits for " + name(chain.front()) +
               "; receive into chunks that nothing pending still reads (scratch), or reorder");
}

void Verifier::check_outputs() {
    for (const Plan& plan : plans_) {
        const std::int32_t outputs = blocks(spec_, plan.rank, Buffer::kOutput) * spec_.chunks;
        for (std::int32_t chunk = 0; chunk < outputs; ++chunk) check_output(plan.rank, chunk);
    }
}

void Verifier::check_output(std::int32_t rank, std::int32_t chunk) {
    const Memory::Chunk& held = memory_.at(rank, Buffer::kOutput, chunk);
    std::string place = "rank " + std::to_string(rank) + ", output chunk " + std::to_string(chunk);
    if (held.writer != kNoStep)
        place += ", last written by step " + std::to_string(held.writer) + " (" +
                 describe(step_of({rank, held.writer})) + ")";
    if (held.value == kUndefined)
        refuse(place, "no step writes it; add the copy or recv that fills it");

    const std::int32_t own =
        rank * spec_.chunks + chunk;  // for outputs of one block: the same chunk of our block
    const std::int32_t block = chunk / spec_.chunks;
    const std::int32_t position = chunk % spec_.chunks;
    Expression wanted = kUndefined;  // remains so where all ranks contribute
    std::int32_t summed = chunk;
    switch (spec_.collective) {
        case Collective::kAllReduce:
        case Collective::kReduce:
        case Collective::kBarrier:
            break;
        case Collective::kReduceScatter:
        case Collective::kReduceScatterV:
            summed = own;
            break;
        case Collective::kBroadcast:
            wanted = expressions_.leaf(spec_.root, chunk);
            break;
        case Collective::kAllGather:
        case Collective::kAllGatherV:
        case Collective::kGather:
            wanted = expressions_.leaf(block, position);
            break;
        case Collective::kAllToAll:
        case Collective::kAllToAllV:
            wanted = expressions_.leaf(block, rank * spec_.chunks + position);
            break;
        case Collective::kScatter:
            wanted = expressions_.leaf(spec_.root, own);
            break;
    }
    if (wanted != kUndefined) {
        if (held.value != wanted) {
            refuse(place, "ends with " + expressions_.describe(held.value) + " instead of " +
                              expressions_.describe(wanted));
        }
        return;
    }
    if (expressions_.chunk_of(held.value) != summed) {
        refuse(place, "ends with " + expressions_.describe(held.value) +
                          " instead of input chunk " + std::to_string(summed));
    }
    if (!expressions_.is_complete(held.value)) {
        refuse(place, "misses the contribution of " + expressions_.missing(held.value) +
                          "; add the recv_reduce that brings it");
    }
    if (spec_.collective == Collective::kAllReduce &&
        held.value != memory_.at(0, Buffer::kOutput, chunk).value) {
        refuse(place,
               "is combined in another order than at rank 0, so the two would differ in rounding; "
               "combine once and "
               "send the result, or use the same order everywhere");
    }
}

}  // namespace

void verify(const Schedule& schedule, const VerifyOptions& options) {
    check(schedule.spec);
    const Spec& spec = schedule.spec;
    if (std::int64_t{spec.size} * blocks(spec, spec.root, Buffer::kInput) * spec.chunks >
        std::numeric_limits<std::int32_t>::max()) {
        throw Error(WEFT_ERR_SCHEDULE, "schedule \"" + schedule.name +
                                           "\" is too large to be verified; use fewer chunks");
    }
    if (options.buffered_messages < 0)
        throw Error(WEFT_ERR_INVALID, "verify: buffered_messages is negative");
    Verifier(schedule, options).run();
}

}  // namespace weft::collectives
