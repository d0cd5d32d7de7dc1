#include "interpreter.h"

#include <algorithm>
#include <array>

namespace weft::collectives::test {

namespace {

int buffer_index(Buffer buffer) {
    return static_cast<int>(buffer);
}

// Number of earlier steps of the same stream: which message of the stream this is.
int message_number(const Program& program, std::size_t step) {
    const Step& own = program.steps[step];
    return static_cast<int>(std::count_if(
        program.steps.begin(), program.steps.begin() + static_cast<long>(step),
        [&](const Step& other) {
            const bool sends = own.kind == StepKind::kSend;
            return other.peer == own.peer && other.lane == own.lane &&
                   (other.kind == StepKind::kSend) == sends && (sends || receives(other.kind));
        }));
}

}  // namespace

// A length for every class of chunks that must agree: block and position (uneven on purpose).
std::size_t Interpreter::length(std::int32_t rank, Buffer buffer, std::int32_t chunk) const {
    const Spec& spec = schedule_.spec;
    const Program& program = schedule_.programs[static_cast<std::size_t>(rank)];
    const std::int32_t position = chunk % spec.chunks;
    const std::int32_t block = chunk / spec.chunks;
    std::int32_t like = 0;
    if (spec.collective == Collective::kAllGatherV ||
        spec.collective == Collective::kReduceScatterV) {
        like = buffer == Buffer::kScratch ? program.scratch_like[static_cast<std::size_t>(block)]
                                          : block;
        if (buffer != Buffer::kScratch && blocks(spec, rank, buffer) == 1) like = rank;
    } else if (spec.collective == Collective::kAllToAllV) {
        like = buffer == Buffer::kInput ? rank * 7 + block : block * 7 + rank;
    }
    return static_cast<std::size_t>((position * 5 + like * 3) % 4 +
                                    (spec.collective == Collective::kAllGatherV ? 0 : 1));
}

Interpreter::Place Interpreter::place(std::int32_t rank, Buffer buffer, std::int32_t chunk) const {
    const Spec& spec = schedule_.spec;
    const bool root = rank == spec.root;
    if (in_place_ && buffer == Buffer::kInput) {
        switch (spec.collective) {
            case Collective::kAllReduce:
                return {buffer_index(Buffer::kOutput), chunk};
            case Collective::kReduce:
            case Collective::kBroadcast:
                if (root) return {buffer_index(Buffer::kOutput), chunk};
                break;
            case Collective::kGather:
                if (root) return {buffer_index(Buffer::kOutput), rank * spec.chunks + chunk};
                break;
            case Collective::kAllGather:
            case Collective::kAllGatherV:
                return {buffer_index(Buffer::kOutput), rank * spec.chunks + chunk};
            default:
                break;
        }
    }
    if (in_place_ && buffer == Buffer::kOutput) {
        if (spec.collective == Collective::kReduceScatter ||
            spec.collective == Collective::kReduceScatterV ||
            (spec.collective == Collective::kScatter && root)) {
            return {buffer_index(Buffer::kInput), rank * spec.chunks + chunk};
        }
    }
    return {buffer_index(buffer), chunk};
}

std::vector<Number>& Interpreter::at(std::int32_t rank, Buffer buffer, std::int32_t chunk) {
    const Place where = place(rank, buffer, chunk);
    return memory_[static_cast<std::size_t>(rank)]
        .buffers[where.first][static_cast<std::size_t>(where.second)];
}

void Interpreter::fill() {
    const Spec& spec = schedule_.spec;
    memory_.assign(static_cast<std::size_t>(spec.size), {});
    inputs_.assign(static_cast<std::size_t>(spec.size), {});
    done_.clear();
    messages_.clear();
    for (std::int32_t rank = 0; rank < spec.size; ++rank) {
        RankState& state = memory_[static_cast<std::size_t>(rank)];
        const Program& program = schedule_.programs[static_cast<std::size_t>(rank)];
        done_.emplace_back(program.steps.size(), false);
        for (Buffer buffer : {Buffer::kInput, Buffer::kOutput, Buffer::kScratch}) {
            const std::int32_t count = buffer == Buffer::kScratch
                                           ? program.scratch_chunks
                                           : blocks(spec, rank, buffer) * spec.chunks;
            for (std::int32_t chunk = 0; chunk < count; ++chunk) {
                auto& numbers =
                    state.buffers[buffer_index(buffer)].emplace_back(length(rank, buffer, chunk));
                for (Number& number : numbers) number = random_();  // garbage in output and scratch
            }
        }
        inputs_[static_cast<std::size_t>(rank)] = state.buffers[0];
        for (std::size_t chunk = 0; chunk < state.buffers[0].size(); ++chunk) {
            at(rank, Buffer::kInput, static_cast<std::int32_t>(chunk)) =
                inputs_[static_cast<std::size_t>(rank)][chunk];
        }
    }
}

bool Interpreter::conflict(std::int32_t rank, const Step& earlier, const Step& later) const {
    const auto touches = [&](const Slice& a, const Slice& b) {
        for (std::int32_t i = 0; i < a.count; ++i) {
            for (std::int32_t j = 0; j < b.count; ++j) {
                if (a.buffer == b.buffer && a.first + i == b.first + j) return true;
                if (place(rank, a.buffer, a.first + i) == place(rank, b.buffer, b.first + j))
                    return true;
            }
        }
        return false;
    };
    return touches(earlier.target, later.source) || touches(earlier.source, later.target) ||
           touches(earlier.target, later.target);
}

bool Interpreter::may_run(std::int32_t rank, std::size_t step) const {
    const std::vector<Step>& steps = schedule_.programs[static_cast<std::size_t>(rank)].steps;
    const std::vector<bool>& done = done_[static_cast<std::size_t>(rank)];
    for (std::size_t i = 0; i < step; ++i) {
        if (done[i]) continue;
        if (steps[step].after == static_cast<std::int32_t>(i) ||
            conflict(rank, steps[i], steps[step]))
            return false;
    }
    return true;
}

// False: a receive whose message has not come.
bool Interpreter::execute(std::int32_t rank, std::size_t index) {
    const Program& program = schedule_.programs[static_cast<std::size_t>(rank)];
    const Step& step = program.steps[index];
    Message message;
    if (step.kind == StepKind::kSend || !receives(step.kind)) {
        for (std::int32_t i = 0; i < step.source.count; ++i) {
            message.chunks.push_back(at(rank, step.source.buffer, step.source.first + i));
        }
    }
    const int number = step.peer == kNoPeer ? 0 : message_number(program, index);
    if (step.kind == StepKind::kSend) {
        messages_[{rank, step.peer, step.lane, number}] = std::move(message);
        return true;
    }
    if (receives(step.kind)) {
        const auto found = messages_.find({step.peer, rank, step.lane, number});
        if (found == messages_.end()) return false;
        message = std::move(found->second);
        messages_.erase(found);
    }
    message.chunks.resize(static_cast<std::size_t>(step.target.count));
    for (std::int32_t i = 0; i < step.target.count; ++i) {
        std::vector<Number>& target = at(rank, step.target.buffer, step.target.first + i);
        std::vector<Number>& incoming = message.chunks[static_cast<std::size_t>(i)];
        incoming.resize(target.size(), 0xdead);
        const bool combines = step.kind == StepKind::kRecvReduce || step.kind == StepKind::kReduce;
        for (std::size_t k = 0; k < target.size(); ++k)
            target[k] = incoming[k] + (combines ? target[k] : 0);
    }
    return true;
}

std::vector<Number> Interpreter::expected(std::int32_t rank, std::int32_t chunk) const {
    const Spec& spec = schedule_.spec;
    const std::int32_t block = chunk / spec.chunks;
    const std::int32_t position = chunk % spec.chunks;
    const auto input_of = [&](std::int32_t source, std::int32_t index) {
        return inputs_[static_cast<std::size_t>(source)][static_cast<std::size_t>(index)];
    };
    std::int32_t summed = chunk;
    switch (spec.collective) {
        case Collective::kBroadcast:
            return input_of(spec.root, chunk);
        case Collective::kScatter:
            return input_of(spec.root, rank * spec.chunks + chunk);
        case Collective::kAllGather:
        case Collective::kAllGatherV:
        case Collective::kGather:
            return input_of(block, position);
        case Collective::kAllToAll:
        case Collective::kAllToAllV:
            return input_of(block, rank * spec.chunks + position);
        case Collective::kReduceScatter:
        case Collective::kReduceScatterV:
            summed = rank * spec.chunks + chunk;
            break;
        default:
            break;
    }
    std::vector<Number> sum = input_of(0, summed);
    for (std::int32_t source = 1; source < spec.size; ++source) {
        const std::vector<Number> more = input_of(source, summed);
        for (std::size_t k = 0; k < sum.size(); ++k) sum[k] += more[k];
    }
    return sum;
}

std::optional<std::string> Interpreter::check() const {
    const Spec& spec = schedule_.spec;
    if (spec.collective == Collective::kBarrier) return std::nullopt;  // no elements
    if (!messages_.empty()) return "a message was never received";
    for (std::int32_t rank = 0; rank < spec.size; ++rank) {
        const std::int32_t outputs = blocks(spec, rank, Buffer::kOutput) * spec.chunks;
        for (std::int32_t chunk = 0; chunk < outputs; ++chunk) {
            const Place where = place(rank, Buffer::kOutput, chunk);
            const auto& got = memory_[static_cast<std::size_t>(rank)]
                                  .buffers[where.first][static_cast<std::size_t>(where.second)];
            if (got != expected(rank, chunk)) {
                return "rank " + std::to_string(rank) + " output chunk " + std::to_string(chunk) +
                       " is wrong";
            }
        }
    }
    return std::nullopt;
}

std::optional<std::string> Interpreter::run() {
    fill();
    std::vector<std::pair<std::int32_t, std::size_t>> left;
    for (const Program& program : schedule_.programs) {
        for (std::size_t step = 0; step < program.steps.size(); ++step)
            left.emplace_back(program.rank, step);
    }
    while (!left.empty()) {
        std::shuffle(left.begin(), left.end(), random_);
        const std::size_t before = left.size();
        std::erase_if(left, [&](const auto& entry) {
            const auto& [rank, step] = entry;
            if (!may_run(rank, step) || !execute(rank, step)) return false;
            done_[static_cast<std::size_t>(rank)][step] = true;
            return true;
        });
        if (left.size() == before) return "stuck";
    }
    return check();
}

}  // namespace weft::collectives::test
