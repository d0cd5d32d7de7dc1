// From a program to a Plan: dependencies between the steps of one rank, and the numbering of its
// messages.
#include <algorithm>
#include <map>

#include "collectives/places.h"
#include "collectives/schedule.h"

namespace weft::collectives {

namespace {

// Finds, for one way of laying the buffers in memory, which earlier steps each step must wait for.
class ConflictScan {
  public:
    ConflictScan(const Spec& spec, const Program& program, bool in_place)
        : places_(spec, program.rank, program.scratch_chunks, in_place), chunks_(places_.count()) {}

    // Calls wait_for(earlier) for the conflicts of step `index`, possibly more than once for one
    // step.
    template <typename WaitFor>
    void visit(std::uint32_t index, const Step& step, WaitFor wait_for) {
        if (step.kind == StepKind::kCopy && same_place(step)) return;  // nothing moves
        for (std::int32_t i = 0; i < step.source.count; ++i) {
            Chunk& chunk = at(step.source.buffer, step.source.first + i);
            if (chunk.written) wait_for(chunk.writer);
            chunk.readers.push_back(index);
        }
        for (std::int32_t i = 0; i < step.target.count; ++i) {
            Chunk& chunk = at(step.target.buffer, step.target.first + i);
            // Readers since the last write have waited for that write themselves.
            if (chunk.written && chunk.readers.empty()) wait_for(chunk.writer);
            for (std::uint32_t reader : chunk.readers) wait_for(reader);
            chunk.readers.clear();
            chunk.writer = index;
            chunk.written = true;
        }
    }

  private:
    struct Chunk {
        std::uint32_t writer = 0;
        bool written = false;
        std::vector<std::uint32_t> readers;  // since the last write
    };

    bool same_place(const Step& step) const noexcept {
        return places_.of(step.source.buffer, step.source.first) ==
               places_.of(step.target.buffer, step.target.first);
    }

    Chunk& at(Buffer buffer, std::int32_t chunk) { return chunks_[places_.of(buffer, chunk)]; }

    Places places_;
    std::vector<Chunk> chunks_;
};

// edges[i]: the steps that step i must wait for, each once.
std::vector<std::vector<std::uint32_t>> find_conflicts(const Spec& spec, const Program& program) {
    const std::size_t count = program.steps.size();
    std::vector<std::vector<std::uint32_t>> edges(count);
    std::vector<std::uint32_t> seen(count, 0);  // index + 1 of the last step that noted this one
    ConflictScan apart(spec, program, false);
    ConflictScan in_place(spec, program, true);
    for (std::uint32_t i = 0; i < count; ++i) {
        const Step& step = program.steps[i];
        const auto wait_for = [&](std::uint32_t earlier) {
            if (earlier == i || seen[earlier] == i + 1) return;
            seen[earlier] = i + 1;
            edges[i].push_back(earlier);
        };
        apart.visit(i, step, wait_for);
        in_place.visit(i, step, wait_for);
        if (step.after != kNoStep) wait_for(static_cast<std::uint32_t>(step.after));
    }
    return edges;
}

void link_successors(Plan& plan, const std::vector<std::vector<std::uint32_t>>& edges) {
    const std::size_t count = edges.size();
    plan.dependencies.resize(count);
    plan.successor_begin.assign(count + 1, 0);
    for (std::size_t i = 0; i < count; ++i) {
        plan.dependencies[i] = static_cast<std::uint32_t>(edges[i].size());
        for (std::uint32_t earlier : edges[i]) ++plan.successor_begin[earlier + 1];
        if (edges[i].empty()) plan.ready.push_back(static_cast<std::uint32_t>(i));
    }
    for (std::size_t i = 0; i < count; ++i) plan.successor_begin[i + 1] += plan.successor_begin[i];
    plan.successors.resize(plan.successor_begin[count]);
    std::vector<std::uint32_t> next(plan.successor_begin.begin(), plan.successor_begin.end() - 1);
    for (std::size_t i = 0; i < count; ++i) {
        for (std::uint32_t earlier : edges[i])
            plan.successors[next[earlier]++] = static_cast<std::uint32_t>(i);
    }
}

void number_messages(Plan& plan) {
    struct Stream {
        std::int32_t peer;
        std::uint8_t lane;
        bool receiving;
        auto operator<=>(const Stream&) const = default;
    };
    std::map<Stream, std::uint32_t> next;
    plan.messages.assign(plan.steps.size(), 0);
    for (std::size_t i = 0; i < plan.steps.size(); ++i) {
        const Step& step = plan.steps[i];
        if (step.peer == kNoPeer) continue;
        plan.messages[i] = next[{step.peer, step.lane, receives(step.kind)}]++;
        plan.lanes = std::max(plan.lanes, step.lane + 1);
        plan.peers.push_back(step.peer);
    }
    std::sort(plan.peers.begin(), plan.peers.end());
    plan.peers.erase(std::unique(plan.peers.begin(), plan.peers.end()), plan.peers.end());
}

}  // namespace

Plan make_plan(const Spec& spec, Program program) {
    check(spec);
    check(spec, program);
    Plan plan;
    plan.spec = spec;
    plan.rank = program.rank;
    plan.scratch_chunks = program.scratch_chunks;
    link_successors(plan, find_conflicts(spec, program));
    plan.steps = std::move(program.steps);
    plan.scratch_like = std::move(program.scratch_like);
    number_messages(plan);
    return plan;
}

}  // namespace weft::collectives
