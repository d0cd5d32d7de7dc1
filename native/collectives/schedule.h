// A collective as data: per rank an ordered list of steps over chunks.
//
// Vocabulary
//  - Block: what one rank contributes or receives. all_reduce, reduce, broadcast: one block in
//  `input` and in `output`.
//    all_gather(v), gather: one in `input`, `size` in `output`. reduce_scatter(v), scatter: the
//    reverse. all_to_all(v): `size` in both. barrier: one block of no elements in both. `output` of
//    reduce and gather, and `input` of broadcast and scatter, exist at the root only.
//  - Chunk: every block is cut into `chunks` chunks, balanced: a block of N elements gives its
//  first N % chunks chunks one
//    element more. Chunk c of block b has the index b * chunks + c. One schedule thus serves every
//    size; a Layout maps chunks to elements from the arguments of one operation. Chunks may be
//    empty.
//  - Step: send, recv, recv_reduce, copy or reduce of a Slice (consecutive chunks of one buffer).
//
// Semantics (dataflow)
//  - A step may start when all earlier steps of its rank that touch an overlapping chunk (read
//  after write, write after
//    read, write after write) have ended, and the one it names in `after`; a Plan holds exactly
//    these dependencies. Whoever runs a schedule starts every step that may start; the order in the
//    program is only the priority among those. A cap on steps in flight could deadlock.
//  - The k-th send from a to b in a lane meets the k-th receive at b from a in that lane (in
//  program order, not in time),
//    and both must have the same number of chunks (and elements). Lanes are independent streams of
//    messages.
//  - recv_reduce: dst = dst op incoming. reduce: dst = dst op src. The operand order is part of the
//  semantics, so a
//    schedule fixes the expression that is computed and equal input gives bit-identical output in
//    every run.
//  - `input` is never a destination.
//
// In place: with the usual aliasing (own_alias below) every schedule works unchanged, since
// dependencies are computed for both cases and a copy onto itself is nothing to do. all_to_all(v)
// has no such aliasing: give it a copy of the input.
//
// This file has no sockets, threads or clocks. verify.h proves schedules, cost.h predicts them,
// executor.h runs them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace weft::collectives {

enum class Collective : std::uint8_t {
    kAllReduce,
    kReduce,
    kBroadcast,
    kAllGather,
    kAllGatherV,
    kReduceScatter,
    kReduceScatterV,
    kAllToAll,
    kAllToAllV,
    kGather,
    kScatter,
    kBarrier,
};
constexpr int kCollectives = 12;

// "all_reduce", "all_gatherv", ... (a static string).
std::string_view collective_name(Collective collective) noexcept;
// Throws Error(INVALID), which lists the names that exist.
Collective collective_from_name(std::string_view name);
// Has a root (reduce, broadcast, gather, scatter).
bool is_rooted(Collective collective) noexcept;
// Combines contributions (all_reduce, reduce, reduce_scatter(v)); barrier does not count.
bool is_reducing(Collective collective) noexcept;

enum class Buffer : std::uint8_t { kInput = 0, kOutput = 1, kScratch = 2 };
constexpr int kBuffers = 3;
std::string_view buffer_name(Buffer buffer) noexcept;

// Chunks first .. first + count - 1 of a buffer. They are consecutive in memory too.
struct Slice {
    Buffer buffer = Buffer::kInput;
    std::int32_t first = 0;
    std::int32_t count = 0;
    bool operator==(const Slice&) const = default;
};

enum class StepKind : std::uint8_t { kSend, kRecv, kRecvReduce, kCopy, kReduce };
std::string_view step_kind_name(StepKind kind) noexcept;

constexpr bool receives(StepKind kind) noexcept {
    return kind == StepKind::kRecv || kind == StepKind::kRecvReduce;
}

constexpr std::int32_t kNoPeer = -1;
constexpr std::int32_t kNoStep = -1;
constexpr std::int32_t kMaxLanes = 256;
constexpr std::int32_t kMaxChunks = 1 << 22;  // of one buffer

struct Step {
    StepKind kind = StepKind::kCopy;
    std::uint8_t lane = 0;
    std::int32_t peer = kNoPeer;   // rank; kNoPeer for copy and reduce
    Slice source;                  // send, copy, reduce; empty otherwise
    Slice target;                  // recv, recv_reduce, copy, reduce; empty otherwise
    std::int32_t after = kNoStep;  // also waits for this earlier step of its rank (pacing, e.g. one
                                   // partner at a time)
    bool operator==(const Step&) const = default;
};

// e.g. "recv_reduce from 3 into output[4:6] in lane 1"
std::string describe(const Step& step);

// What all ranks agree on.
struct Spec {
    Collective collective = Collective::kAllReduce;
    std::int32_t size = 1;    // ranks
    std::int32_t root = 0;    // rooted collectives only, otherwise 0
    std::int32_t chunks = 1;  // per block
    bool operator==(const Spec&) const = default;
};

// Number of blocks that `rank` has in input or output (0: the buffer does not exist there).
std::int32_t blocks(const Spec& spec, std::int32_t rank, Buffer buffer) noexcept;

// In-place operation at `rank`: chunk 0 of the buffer with one block lies on chunk `first` of the
// other buffer, and so on for `count` chunks. all_reduce, reduce and broadcast (root): input[0..]
// on output[0..]; all_gather(v), gather (root): input on the own block of output;
// reduce_scatter(v), scatter (root): output on the own block of input. count == 0: no aliasing.
struct Alias {
    std::int32_t input_first = 0;
    std::int32_t output_first = 0;
    std::int32_t count = 0;
};
Alias own_alias(const Spec& spec, std::int32_t rank) noexcept;

// One rank's part.
struct Program {
    std::int32_t rank = 0;
    std::vector<Step> steps;
    std::int32_t scratch_chunks = 0;
    // Scratch is cut into blocks of `chunks` chunks like the other buffers. Empty: they all have
    // the uniform block's size. Otherwise (needed by the v-collectives) scratch block j is as long
    // as rank scratch_like[j]'s block.
    std::vector<std::int32_t> scratch_like;
    bool operator==(const Program&) const = default;
};

// The whole value: what the verifier proves, users write and tools draw. A running rank needs only
// its own Program.
struct Schedule {
    std::string name;
    Spec spec;
    std::vector<Program> programs;  // [rank]
};

// Throws Error(INVALID) if the collective's size, root or chunks are out of range.
void check(const Spec& spec);
// Throws Error(SCHEDULE) naming rank and step if a step leaves its buffers or is malformed (peer,
// lane, lengths, writes input).
void check(const Spec& spec, const Program& program);
// 64-bit FNV-1a of everything but the name: equal on ranks that hold the same schedule.
std::uint64_t fingerprint(const Schedule& schedule) noexcept;

// Writes one rank's program. Algorithms and the DSL append through it; `slice.count` says how many
// chunks a step covers.
class ProgramBuilder {
  public:
    ProgramBuilder(const Spec& spec, std::int32_t rank) : spec_(spec) { program_.rank = rank; }
    // Goes on with a program that was begun before.
    ProgramBuilder(const Spec& spec, Program begun) : spec_(spec), program_(std::move(begun)) {}

    const Spec& spec() const noexcept { return spec_; }
    std::int32_t rank() const noexcept { return program_.rank; }
    std::int32_t size() const noexcept { return spec_.size; }
    std::int32_t chunks() const noexcept { return spec_.chunks; }
    std::int32_t root() const noexcept { return spec_.root; }

    // Lane of the steps that follow; at first 0.
    void lane(std::int32_t lane) noexcept { lane_ = static_cast<std::uint8_t>(lane); }

    // Each returns the index of the new step, for the `after` of a later one. Slices of no chunks
    // make no step (kNoStep).
    std::int32_t send(std::int32_t to, Slice source, std::int32_t after = kNoStep);
    std::int32_t recv(std::int32_t from, Slice target, std::int32_t after = kNoStep);
    std::int32_t recv_reduce(std::int32_t from, Slice target, std::int32_t after = kNoStep);
    std::int32_t copy(Slice target, Slice source, std::int32_t after = kNoStep);
    std::int32_t reduce(Slice target, Slice source, std::int32_t after = kNoStep);

    // Adds room for `count` whole blocks to scratch and returns the index of its first chunk.
    std::int32_t add_scratch_blocks(std::int32_t count);
    // The same for one block as long as rank `like`'s.
    std::int32_t add_scratch_block_like(std::int32_t like);

    Program finish() { return std::move(program_); }

  private:
    std::int32_t append(Step step);

    Spec spec_;
    Program program_;
    std::uint8_t lane_ = 0;
};

// A program made ready to run: flat arrays, nothing to look up. Immutable; a run copies
// `dependencies` and counts down.
struct Plan {
    Spec spec;
    std::int32_t rank = 0;
    std::vector<Step> steps;
    // messages[i]: for a send or receive, its position among the sends to (or receives from) that
    // peer in that lane; else 0.
    std::vector<std::uint32_t> messages;
    std::vector<std::uint32_t> dependencies;  // [step] how many steps must end before it may start
    std::vector<std::uint32_t> successor_begin;  // [step], and one more: range in `successors`
    std::vector<std::uint32_t> successors;       // steps that wait for it, ascending
    std::vector<std::uint32_t> ready;            // steps without dependencies, ascending
    std::vector<std::int32_t> peers;             // distinct, ascending
    std::int32_t lanes = 1;                      // highest lane in use + 1
    std::int32_t scratch_chunks = 0;
    std::vector<std::int32_t> scratch_like;

    std::span<const std::uint32_t> successors_of(std::uint32_t step) const noexcept {
        return std::span(successors)
            .subspan(successor_begin[step], successor_begin[step + 1] - successor_begin[step]);
    }
};

// Where a slice's chunks get their lengths from: equal classes have equal lengths in every
// operation. Sender and receiver, source and target of a copy must agree in it, chunk by chunk.
// Which number a class has means nothing else.
std::int64_t length_class(const Spec& spec, const Program& program, Buffer buffer,
                          std::int32_t chunk) noexcept;

// Checks the program (see check above) and computes its dependencies, O(chunks touched).
Plan make_plan(const Spec& spec, Program program);

struct Extent {
    std::size_t offset = 0;  // elements from the start of the buffer
    std::size_t length = 0;  // elements
};

// Where the chunks of one operation lie. The uniform form allocates nothing. Must not outlive the
// plan.
class Layout {
  public:
    // Blocks of `count` elements each.
    Layout(const Plan& plan, std::size_t count) noexcept;
    // all_gatherv, reduce_scatterv: rank r's block has counts[r] elements.
    Layout(const Plan& plan, std::span<const std::size_t> counts);
    // all_to_allv: block r of input has send_counts[r], block r of output recv_counts[r] elements.
    Layout(const Plan& plan, std::span<const std::size_t> send_counts,
           std::span<const std::size_t> recv_counts);

    Extent extent(Slice slice) const noexcept;
    // Elements of a whole buffer (scratch: how much the run must provide).
    std::size_t elements(Buffer buffer) const noexcept;

  private:
    std::size_t boundary(Buffer buffer, std::int32_t chunk) const noexcept;

    const Plan* plan_;
    std::size_t chunks_;
    std::size_t count_ = 0;      // uniform form
    std::size_t quotient_ = 0;   // count_ / chunks_
    std::size_t remainder_ = 0;  // count_ % chunks_
    std::vector<std::size_t>
        begins_[kBuffers];  // v-forms: first element of each block, and the end
};

}  // namespace weft::collectives
