// weft.h, chapter custom schedules.
#include "capi/guard.h"
#include "capi/handles.h"
#include "collectives/algorithms/algorithm.h"
#include "collectives/verify.h"

using weft::Error;
using weft::capi::guarded;
using weft::capi::need;
using weft::collectives::StepKind;
namespace collectives = weft::collectives;

namespace {

constexpr auto kNoBuffer = static_cast<collectives::Buffer>(0xff);

collectives::Slice slice(weft_buffer buffer, int32_t chunk, int32_t count) {
    const bool known = buffer >= WEFT_INPUT && buffer <= WEFT_SCRATCH;
    return {known ? static_cast<collectives::Buffer>(buffer) : kNoBuffer, chunk, count};
}

collectives::Step step(StepKind kind, int32_t peer, collectives::Slice source,
                       collectives::Slice target) {
    collectives::Step value;
    value.kind = kind;
    value.peer = peer;
    value.source = source;
    value.target = target;
    return value;
}

collectives::Program& program_of(weft_schedule* schedule, int32_t rank) {
    need(schedule, "schedule");
    collectives::Schedule& value = schedule->schedule;
    if (rank < 0 || rank >= value.spec.size) {
        throw Error(WEFT_ERR_INVALID, "schedule \"" + value.name + "\": rank " +
                                          std::to_string(rank) + " is not in 0.." +
                                          std::to_string(value.spec.size - 1));
    }
    return value.programs[static_cast<std::size_t>(rank)];
}

// Appends a step; whether it makes sense is for the verifier to say, which sees the whole.
weft_status append(weft_schedule* schedule, int32_t rank, int32_t lane, collectives::Step added) {
    return guarded([&] {
        collectives::Program& program = program_of(schedule, rank);
        if (lane < 0 || lane >= collectives::kMaxLanes) {
            throw Error(WEFT_ERR_INVALID, "schedule \"" + schedule->schedule.name + "\": lane " +
                                              std::to_string(lane) + " is not in 0.." +
                                              std::to_string(collectives::kMaxLanes - 1));
        }
        if (added.source.buffer == kNoBuffer || added.target.buffer == kNoBuffer) {
            throw Error(WEFT_ERR_INVALID, "schedule \"" + schedule->schedule.name +
                                              "\": the buffer is none of WEFT_INPUT, "
                                              "WEFT_OUTPUT, WEFT_SCRATCH");
        }
        added.lane = static_cast<std::uint8_t>(lane);
        program.steps.push_back(added);
    });
}

}  // namespace

weft_status weft_schedule_create(const char* name, const char* collective, int32_t size,
                                 int32_t chunks, int32_t root, weft_schedule** schedule) {
    return guarded([&] {
        need(name, "name");
        need(collective, "collective");
        need(schedule, "schedule");
        *schedule = nullptr;
        collectives::Schedule value{.name = name, .spec = {}, .programs = {}};
        value.spec = {.collective = collectives::collective_from_name(collective),
                      .size = size,
                      .root = root,
                      .chunks = chunks};
        collectives::check(value.spec);
        for (int32_t rank = 0; rank < size; ++rank) {
            collectives::Program program;
            program.rank = rank;
            value.programs.push_back(std::move(program));
        }
        *schedule = new weft_schedule{std::move(value)};
    });
}

weft_status weft_schedule_builtin(const char* algorithm, const char* collective, int32_t size,
                                  int32_t chunks, int32_t root, weft_schedule** schedule) {
    return guarded([&] {
        need(algorithm, "algorithm");
        need(collective, "collective");
        need(schedule, "schedule");
        *schedule = nullptr;
        const auto kind = collectives::collective_from_name(collective);
        const collectives::Algorithm& found = collectives::find_algorithm(algorithm, kind);
        *schedule = new weft_schedule{collectives::build_schedule(
            found, collectives::make_spec(found, kind, size, root, chunks))};
    });
}

weft_status weft_schedule_send(weft_schedule* schedule, int32_t rank, int32_t lane, int32_t to,
                               weft_buffer buffer, int32_t chunk, int32_t count) {
    return append(schedule, rank, lane, step(StepKind::kSend, to, slice(buffer, chunk, count), {}));
}

weft_status weft_schedule_recv(weft_schedule* schedule, int32_t rank, int32_t lane, int32_t from,
                               weft_buffer buffer, int32_t chunk, int32_t count) {
    return append(schedule, rank, lane,
                  step(StepKind::kRecv, from, {}, slice(buffer, chunk, count)));
}

weft_status weft_schedule_recv_reduce(weft_schedule* schedule, int32_t rank, int32_t lane,
                                      int32_t from, weft_buffer buffer, int32_t chunk,
                                      int32_t count) {
    return append(schedule, rank, lane,
                  step(StepKind::kRecvReduce, from, {}, slice(buffer, chunk, count)));
}

weft_status weft_schedule_copy(weft_schedule* schedule, int32_t rank, int32_t lane, weft_buffer to,
                               int32_t to_chunk, weft_buffer from, int32_t from_chunk,
                               int32_t count) {
    return append(schedule, rank, lane,
                  step(StepKind::kCopy, collectives::kNoPeer, slice(from, from_chunk, count),
                       slice(to, to_chunk, count)));
}

weft_status weft_schedule_reduce(weft_schedule* schedule, int32_t rank, int32_t lane,
                                 weft_buffer to, int32_t to_chunk, weft_buffer from,
                                 int32_t from_chunk, int32_t count) {
    return append(schedule, rank, lane,
                  step(StepKind::kReduce, collectives::kNoPeer, slice(from, from_chunk, count),
                       slice(to, to_chunk, count)));
}

weft_status weft_schedule_scratch(weft_schedule* schedule, int32_t rank, int32_t like,
                                  int32_t* first_chunk) {
    return guarded([&] {
        collectives::Program& program = program_of(schedule, rank);
        need(first_chunk, "first_chunk");
        const collectives::Spec& spec = schedule->schedule.spec;
        if (like != WEFT_NO_RANK && (like < 0 || like >= spec.size)) {
            throw Error(WEFT_ERR_INVALID, "schedule \"" + schedule->schedule.name +
                                              "\": scratch like rank " + std::to_string(like) +
                                              ", which is not in 0.." +
                                              std::to_string(spec.size - 1));
        }
        collectives::ProgramBuilder builder(spec, std::move(program));
        *first_chunk = like == WEFT_NO_RANK ? builder.add_scratch_blocks(1)
                                            : builder.add_scratch_block_like(like);
        program = builder.finish();
    });
}

weft_status weft_schedule_after(weft_schedule* schedule, int32_t rank, int32_t step) {
    return guarded([&] {
        collectives::Program& program = program_of(schedule, rank);
        const auto steps = static_cast<int32_t>(program.steps.size());
        if (step < 0 || step >= steps - 1) {
            throw Error(WEFT_ERR_INVALID, "schedule \"" + schedule->schedule.name + "\": rank " +
                                              std::to_string(rank) + " has " +
                                              std::to_string(steps) +
                                              " steps, the last of which cannot wait for step " +
                                              std::to_string(step));
        }
        program.steps.back().after = step;
    });
}

weft_status weft_schedule_verify(weft_schedule* schedule) {
    return guarded([&] {
        need(schedule, "schedule");
        collectives::verify(schedule->schedule);
    });
}

weft_status weft_comm_register_schedule(weft_comm* comm, weft_schedule* schedule) {
    return guarded([&] {
        need(comm, "comm");
        need(schedule, "schedule");
        comm->communicator->register_schedule(schedule->schedule);
    });
}

void weft_schedule_free(weft_schedule* schedule) {
    delete schedule;
}
