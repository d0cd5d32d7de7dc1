#include "collectives/schedule.h"

#include <algorithm>
#include <array>
#include <limits>

#include "datapath/error.h"

namespace weft::collectives {

namespace {

constexpr std::array<std::string_view, kCollectives> kCollectiveNames = {
    "all_reduce",      "reduce",     "broadcast",   "all_gather", "all_gatherv", "reduce_scatter",
    "reduce_scatterv", "all_to_all", "all_to_allv", "gather",     "scatter",     "barrier"};
constexpr std::array<std::string_view, kBuffers> kBufferNames = {"input", "output", "scratch"};
constexpr std::array<std::string_view, 5> kStepKindNames = {"send", "recv", "recv_reduce", "copy",
                                                            "reduce"};

std::string describe(const Slice& slice) {
    std::string text(buffer_name(slice.buffer));
    text += "[" + std::to_string(slice.first);
    if (slice.count != 1) text += ":" + std::to_string(std::int64_t{slice.first} + slice.count);
    return text + "]";
}

bool has_lengths_per_rank(Collective collective) noexcept {
    return collective == Collective::kAllGatherV || collective == Collective::kReduceScatterV;
}

}  // namespace

std::string_view collective_name(Collective collective) noexcept {
    return kCollectiveNames[static_cast<std::size_t>(collective)];
}

Collective collective_from_name(std::string_view name) {
    for (std::size_t i = 0; i < kCollectiveNames.size(); ++i) {
        if (kCollectiveNames[i] == name) return static_cast<Collective>(i);
    }
    std::string message = "unknown collective \"" + std::string(name) + "\"; there are:";
    for (std::string_view known : kCollectiveNames) message += " " + std::string(known);
    throw Error(WEFT_ERR_INVALID, message);
}

bool is_rooted(Collective collective) noexcept {
    return collective == Collective::kReduce || collective == Collective::kBroadcast ||
           collective == Collective::kGather || collective == Collective::kScatter;
}

bool is_reducing(Collective collective) noexcept {
    return collective == Collective::kAllReduce || collective == Collective::kReduce ||
           collective == Collective::kReduceScatter || collective == Collective::kReduceScatterV;
}

std::string_view buffer_name(Buffer buffer) noexcept {
    return kBufferNames[static_cast<std::size_t>(buffer)];
}

std::string_view step_kind_name(StepKind kind) noexcept {
    return kStepKindNames[static_cast<std::size_t>(kind)];
}

std::string describe(const Step& step) {
    std::string text(step_kind_name(step.kind));
    switch (step.kind) {
        case StepKind::kSend:
            text += " " + describe(step.source) + " to " + std::to_string(step.peer);
            break;
        case StepKind::kRecv:
        case StepKind::kRecvReduce:
            text += " from " + std::to_string(step.peer) + " into " + describe(step.target);
            break;
        case StepKind::kCopy:
        case StepKind::kReduce:
            text += " " + describe(step.source) + " into " + describe(step.target);
            break;
    }
    if (step.lane != 0) text += " in lane " + std::to_string(step.lane);
    if (step.after != kNoStep) text += " after step " + std::to_string(step.after);
    return text;
}

std::int32_t blocks(const Spec& spec, std::int32_t rank, Buffer buffer) noexcept {
    const bool input = buffer == Buffer::kInput;
    const bool root = rank == spec.root;
    switch (spec.collective) {
        case Collective::kAllReduce:
        case Collective::kBarrier:
            return 1;
        case Collective::kReduce:
            return input || root ? 1 : 0;
        case Collective::kBroadcast:
            return !input || root ? 1 : 0;
        case Collective::kAllGather:
        case Collective::kAllGatherV:
            return input ? 1 : spec.size;
        case Collective::kReduceScatter:
        case Collective::kReduceScatterV:
            return input ? spec.size : 1;
        case Collective::kAllToAll:
        case Collective::kAllToAllV:
            return spec.size;
        case Collective::kGather:
            return input ? 1 : (root ? spec.size : 0);
        case Collective::kScatter:
            return !input ? 1 : (root ? spec.size : 0);
    }
    return 0;
}

Alias own_alias(const Spec& spec, std::int32_t rank) noexcept {
    const std::int32_t own = rank * spec.chunks;
    const bool root = rank == spec.root;
    switch (spec.collective) {
        case Collective::kAllReduce:
            return {0, 0, spec.chunks};
        case Collective::kReduce:
        case Collective::kBroadcast:
            return {0, 0, root ? spec.chunks : 0};
        case Collective::kAllGather:
        case Collective::kAllGatherV:
            return {0, own, spec.chunks};
        case Collective::kReduceScatter:
        case Collective::kReduceScatterV:
            return {own, 0, spec.chunks};
        case Collective::kGather:
            return root ? Alias{0, own, spec.chunks} : Alias{};
        case Collective::kScatter:
            return root ? Alias{own, 0, spec.chunks} : Alias{};
        case Collective::kAllToAll:
        case Collective::kAllToAllV:
        case Collective::kBarrier:
            return {};
    }
    return {};
}

void check(const Spec& spec) {
    const std::string name(collective_name(spec.collective));
    if (spec.size < 1 || spec.size > kMaxChunks) {
        throw Error(WEFT_ERR_INVALID, name + ": a group has at least 1 rank and at most " +
                                          std::to_string(kMaxChunks) + ", not " +
                                          std::to_string(spec.size));
    }
    if (spec.chunks < 1) {
        throw Error(WEFT_ERR_INVALID, name + ": blocks are cut into at least 1 chunk, not " +
                                          std::to_string(spec.chunks));
    }
    const std::int32_t most_blocks =
        std::max(blocks(spec, spec.root, Buffer::kInput), blocks(spec, spec.root, Buffer::kOutput));
    if (std::int64_t{spec.chunks} * most_blocks > kMaxChunks) {
        throw Error(WEFT_ERR_INVALID, name + ": " + std::to_string(spec.chunks) +
                                          " chunks for each of " + std::to_string(most_blocks) +
                                          " blocks are more than " + std::to_string(kMaxChunks) +
                                          "; use fewer chunks");
    }
    const std::int32_t roots = is_rooted(spec.collective) ? spec.size : 1;
    if (spec.root < 0 || spec.root >= roots) {
        throw Error(WEFT_ERR_INVALID, name + ": root " + std::to_string(spec.root) +
                                          " is outside 0.." + std::to_string(roots - 1));
    }
}

namespace {

class ProgramCheck {
  public:
    ProgramCheck(const Spec& spec, const Program& program) : spec_(spec), program_(program) {}

    void run() {
        if (program_.rank < 0 || program_.rank >= spec_.size) {
            refuse("there is no such rank in a group of " + std::to_string(spec_.size));
        }
        check_scratch();
        for (step_ = 0; step_ < program_.steps.size(); ++step_) check_step(program_.steps[step_]);
    }

  private:
    [[noreturn]] void refuse(const std::string& why) const {
        std::string place = std::string(collective_name(spec_.collective)) + " schedule, rank " +
                            std::to_string(program_.rank);
        if (step_ < program_.steps.size()) {
            place +=
                ", step " + std::to_string(step_) + " (" + describe(program_.steps[step_]) + ")";
        }
        throw Error(WEFT_ERR_SCHEDULE, place + ": " + why);
    }

    void check_scratch() const {
        if (program_.scratch_chunks < 0 || program_.scratch_chunks > kMaxChunks) {
            refuse(std::to_string(program_.scratch_chunks) + " scratch chunks are not in 0.." +
                   std::to_string(kMaxChunks));
        }
        if (program_.scratch_chunks == 0) return;
        if (spec_.collective == Collective::kAllToAllV) {
            refuse(
                "all_to_allv cannot use scratch: nobody but the two ends knows how long a block "
                "is; send it directly");
        }
        if (!has_lengths_per_rank(spec_.collective)) {
            if (!program_.scratch_like.empty())
                refuse("scratch_like is for all_gatherv and reduce_scatterv only");
            return;
        }
        if (program_.scratch_like.size() * static_cast<std::size_t>(spec_.chunks) !=
            static_cast<std::size_t>(program_.scratch_chunks)) {
            refuse(
                "scratch_like must name a rank for every scratch block: blocks have lengths of "
                "their own here");
        }
        for (std::int32_t like : program_.scratch_like) {
            if (like < 0 || like >= spec_.size)
                refuse("scratch_like names rank " + std::to_string(like));
        }
    }

    void check_slice(const Slice& slice) const {
        const std::int32_t room = slice.buffer == Buffer::kScratch
                                      ? program_.scratch_chunks
                                      : blocks(spec_, program_.rank, slice.buffer) * spec_.chunks;
        if (slice.count < 1) refuse("covers no chunk; leave the step out");
        if (slice.first < 0 || slice.first > room - slice.count) {
            refuse(describe(slice) + " is outside the " + std::to_string(room) + " chunks that " +
                   std::string(buffer_name(slice.buffer)) + " has at this rank");
        }
    }

    void check_step(const Step& step) const {
        const bool local = step.kind == StepKind::kCopy || step.kind == StepKind::kReduce;
        if (local && step.peer != kNoPeer) refuse("a local step has no peer");
        if (!local && (step.peer < 0 || step.peer >= spec_.size)) refuse("there is no such peer");
        if (!local && step.peer == program_.rank)
            refuse("a rank sends nothing to itself; use copy");
        if (step.after < kNoStep || step.after >= static_cast<std::int64_t>(step_))
            refuse("`after` must name an earlier step");
        const bool reads = local || step.kind == StepKind::kSend;
        if (reads) check_slice(step.source);
        if (!reads && step.source != Slice{}) refuse("a receive has no source");
        if (step.kind == StepKind::kSend) {
            if (step.target != Slice{}) refuse("a send has no target");
            return;
        }
        check_slice(step.target);
        if (step.target.buffer == Buffer::kInput) refuse("writes to input; use output or scratch");
        if (local) check_pair(step.source, step.target);
    }

    void check_pair(const Slice& source, const Slice& target) const {
        if (source.count != target.count)
            refuse("source and target have different numbers of chunks");
        if (source.buffer == target.buffer && source.first < target.first + target.count &&
            target.first < source.first + source.count) {
            refuse("source and target overlap");
        }
        for (std::int32_t i = 0; i < source.count; ++i) {
            if (length_class(spec_, program_, source.buffer, source.first + i) !=
                length_class(spec_, program_, target.buffer, target.first + i)) {
                refuse("chunk " + std::to_string(source.first + i) + " of " +
                       std::string(buffer_name(source.buffer)) + " and chunk " +
                       std::to_string(target.first + i) + " of " +
                       std::string(buffer_name(target.buffer)) +
                       " may differ in length; keep every chunk at its place in the block");
            }
        }
    }

    const Spec& spec_;
    const Program& program_;
    std::size_t step_ = std::numeric_limits<std::size_t>::max();
};

}  // namespace

std::int64_t length_class(const Spec& spec, const Program& program, Buffer buffer,
                          std::int32_t chunk) noexcept {
    const std::int64_t position = chunk % spec.chunks;
    const std::int64_t block = chunk / spec.chunks;
    std::int64_t like = 0;
    if (has_lengths_per_rank(spec.collective)) {
        if (buffer == Buffer::kScratch) {
            like = program.scratch_like[static_cast<std::size_t>(block)];
        } else {
            like = blocks(spec, program.rank, buffer) == 1 ? program.rank : block;
        }
    } else if (spec.collective == Collective::kAllToAllV) {
        like = buffer == Buffer::kInput ? program.rank * std::int64_t{spec.size} + block
                                        : block * std::int64_t{spec.size} + program.rank;
    }
    return like * spec.chunks + position;
}

void check(const Spec& spec, const Program& program) {
    ProgramCheck(spec, program).run();
}

std::uint64_t fingerprint(const Schedule& schedule) noexcept {
    std::uint64_t hash = 0xcbf29ce484222325;  // FNV-1a, 64 bit
    const auto mix = [&hash](std::int64_t value) {
        for (int byte = 0; byte < 8; ++byte) {
            hash =
                (hash ^ (static_cast<std::uint64_t>(value) >> (8 * byte) & 0xff)) * 0x100000001b3;
        }
    };
    const auto mix_slice = [&mix](const Slice& slice) {
        mix(static_cast<std::int64_t>(slice.buffer));
        mix(slice.first);
        mix(slice.count);
    };
    mix(static_cast<std::int64_t>(schedule.spec.collective));
    mix(schedule.spec.size);
    mix(schedule.spec.root);
    mix(schedule.spec.chunks);
    for (const Program& program : schedule.programs) {
        mix(program.scratch_chunks);
        for (std::int32_t like : program.scratch_like) mix(like);
        mix(static_cast<std::int64_t>(program.steps.size()));
        for (const Step& step : program.steps) {
            mix(static_cast<std::int64_t>(step.kind));
            mix(step.lane);
            mix(step.peer);
            mix_slice(step.source);
            mix_slice(step.target);
            mix(step.after);
        }
    }
    return hash;
}

std::int32_t ProgramBuilder::append(Step step) {
    if (step.source.count + step.target.count == 0) return kNoStep;
    step.lane = lane_;
    program_.steps.push_back(step);
    return static_cast<std::int32_t>(program_.steps.size()) - 1;
}

std::int32_t ProgramBuilder::send(std::int32_t to, Slice source, std::int32_t after) {
    return append(
        {.kind = StepKind::kSend, .peer = to, .source = source, .target = {}, .after = after});
}

std::int32_t ProgramBuilder::recv(std::int32_t from, Slice target, std::int32_t after) {
    return append(
        {.kind = StepKind::kRecv, .peer = from, .source = {}, .target = target, .after = after});
}

std::int32_t ProgramBuilder::recv_reduce(std::int32_t from, Slice target, std::int32_t after) {
    return append({.kind = StepKind::kRecvReduce,
                   .peer = from,
                   .source = {},
                   .target = target,
                   .after = after});
}

std::int32_t ProgramBuilder::copy(Slice target, Slice source, std::int32_t after) {
    return append({.kind = StepKind::kCopy, .source = source, .target = target, .after = after});
}

std::int32_t ProgramBuilder::reduce(Slice target, Slice source, std::int32_t after) {
    return append({.kind = StepKind::kReduce, .source = source, .target = target, .after = after});
}

std::int32_t ProgramBuilder::add_scratch_blocks(std::int32_t count) {
    const std::int32_t first = program_.scratch_chunks;
    program_.scratch_chunks += count * spec_.chunks;
    return first;
}

std::int32_t ProgramBuilder::add_scratch_block_like(std::int32_t like) {
    if (has_lengths_per_rank(spec_.collective)) program_.scratch_like.push_back(like);
    return add_scratch_blocks(1);
}

}  // namespace weft::collectives
