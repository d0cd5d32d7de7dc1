// weft.h, chapter custom schedules.
#include "capi/guard.h"
#include "capi/handles.h"
#include "collectives/algorithms/algorithm.h"
#include "collectives/verify.h"

using weft::Error;
using weft::capi::guarded;
using weft::capi::need;
namespace collectives = weft::collectives;

namespace {

collectives::Slice slice(weft_buffer buffer, int32_t chunk, int32_t count) {
    if (buffer < WEFT_INPUT || buffer > WEFT_SCRATCH) {
        throw Error(WEFT_ERR_INVALID, "buffer " + std::to_string(static_cast<int>(buffer)) +
                                          " is none of WEFT_INPUT, WEFT_OUTPUT, WEFT_SCRATCH");
    }
    return {static_cast<collectives::Buffer>(buffer), chunk, count};
}

// Appends a step; whether it makes sense is for the verifier to say, which sees the whole.
weft_status append(weft_schedule* schedule, int32_t rank, int32_t lane, collectives::StepKind kind,
                   int32_t peer, const std::function<void(collectives::Step&)>& fill) {
    return guarded([&] {
        need(schedule, "schedule");
        collectives::Schedule& value = schedule->schedule;
        if (rank < 0 || rank >= value.spec.size) {
            throw Error(WEFT_ERR_INVALID, "schedule \"" + value.name + "\": rank " +
                                              std::to_string(rank) + " is not in 0.." +
                                              std::to_string(value.spec.size - 1));
        }
        if (lane < 0 || lane >= collectives::kMaxLanes) {
            throw Error(WEFT_ERR_INVALID, "schedule \"" + value.name + "\": lane " +
                                              std::to_string(lane) + " is not in 0.." +
                                              std::to_string(collectives::kMaxLanes - 1));
        }
        collectives::Step step{.kind = kind,
                               .lane = static_cast<std::uint8_t>(lane),
                               .peer = peer,
                               .source = {},
                               .target = {}};
        fill(step);
        value.programs[static_cast<std::size_t>(rank)].steps.push_back(step);
        schedule->verified = false;
    });
}

}  // namespace

weft_status weft_schedule_create(const char* name, const char* collective, int32_t size,
                                 int32_t chunks, int32_t scratch_chunks, weft_schedule** schedule) {
    return guarded([&] {
        need(name, "name");
        need(collective, "collective");
        need(schedule, "schedule");
        *schedule = nullptr;
        if (scratch_chunks < 0) {
            throw Error(WEFT_ERR_INVALID, "scratch_chunks must not be negative");
        }
        collectives::Schedule value{.name = name, .spec = {}, .programs = {}};
        value.spec = {.collective = collectives::collective_from_name(collective),
                      .size = size,
                      .root = 0,
                      .chunks = chunks};
        collectives::check(value.spec);
        for (int32_t rank = 0; rank < size; ++rank) {
            collectives::Program program;
            program.rank = rank;
            program.scratch_chunks = scratch_chunks;
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
    return append(schedule, rank, lane, collectives::StepKind::kSend, to,
                  [&](collectives::Step& step) { step.source = slice(buffer, chunk, count); });
}

weft_status weft_schedule_recv(weft_schedule* schedule, int32_t rank, int32_t lane, int32_t from,
                               weft_buffer buffer, int32_t chunk, int32_t count) {
    return append(schedule, rank, lane, collectives::StepKind::kRecv, from,
                  [&](collectives::Step& step) { step.target = slice(buffer, chunk, count); });
}

weft_status weft_schedule_recv_reduce(weft_schedule* schedule, int32_t rank, int32_t lane,
                                      int32_t from, weft_buffer buffer, int32_t chunk,
                                      int32_t count) {
    return append(schedule, rank, lane, collectives::StepKind::kRecvReduce, from,
                  [&](collectives::Step& step) { step.target = slice(buffer, chunk, count); });
}

weft_status weft_schedule_copy(weft_schedule* schedule, int32_t rank, int32_t lane, weft_buffer to,
                               int32_t to_chunk, weft_buffer from, int32_t from_chunk,
                               int32_t count) {
    return append(schedule, rank, lane, collectives::StepKind::kCopy, collectives::kNoPeer,
                  [&](collectives::Step& step) {
                      step.target = slice(to, to_chunk, count);
                      step.source = slice(from, from_chunk, count);
                  });
}

weft_status weft_schedule_reduce(weft_schedule* schedule, int32_t rank, int32_t lane,
                                 weft_buffer to, int32_t to_chunk, weft_buffer from,
                                 int32_t from_chunk, int32_t count) {
    return append(schedule, rank, lane, collectives::StepKind::kReduce, collectives::kNoPeer,
                  [&](collectives::Step& step) {
                      step.target = slice(to, to_chunk, count);
                      step.source = slice(from, from_chunk, count);
                  });
}

weft_status weft_schedule_verify(weft_schedule* schedule) {
    return guarded([&] {
        need(schedule, "schedule");
        collectives::verify(schedule->schedule);
        schedule->verified = true;
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
