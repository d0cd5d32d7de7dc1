// Pairwise exchange: n - 1 phases; in phase k rank r sends to r + k and receives from r - k, and
// nothing of the next phase starts before that. At any time every rank has one sender and one
// receiver: no incast, even on a fabric with little buffer.
//
// Thakur, Rabenseifner, Gropp 2005, sections 4.2 and 4.3.
#include "collectives/algorithms/algorithm.h"

namespace weft::collectives {

namespace {

// The blocks are those of input on the way out. `received(source)` names where a partner's block
// goes.
template <typename Receive>
void exchange(ProgramBuilder& to, Receive receive) {
    const std::int32_t n = to.size();
    const std::int32_t slices = to.chunks();
    for (std::int32_t slice = 0; slice < slices; ++slice) {
        to.lane(lane_of(slice));
        std::int32_t sent = kNoStep;
        std::int32_t received = kNoStep;
        for (std::int32_t phase = 1; phase < n; ++phase) {
            const std::int32_t target = wrap(to.rank() + phase, n);
            sent = to.send(target, input(target * slices + slice), sent);
            received = receive(wrap(to.rank() - phase, n), slice, received);
        }
    }
}

void all_to_all(ProgramBuilder& to) {
    const std::int32_t slices = to.chunks();
    to.copy(output(to.rank() * slices, slices), input(to.rank() * slices, slices));
    exchange(to, [&](std::int32_t source, std::int32_t slice, std::int32_t after) {
        return to.recv(source, output(source * slices + slice), after);
    });
}

void reduce_scatter(ProgramBuilder& to) {
    const std::int32_t slices = to.chunks();
    to.copy(output(0, slices), input(to.rank() * slices, slices));
    exchange(to, [&](std::int32_t source, std::int32_t slice, std::int32_t after) {
        return to.recv_reduce(source, output(slice), after);
    });
}

void write(ProgramBuilder& to) {
    switch (to.spec().collective) {
        case Collective::kAllToAll:
        case Collective::kAllToAllV:
            return all_to_all(to);
        case Collective::kReduceScatter:
        case Collective::kReduceScatterV:
            return reduce_scatter(to);
        default:
            return;
    }
}

std::int32_t chunks(Collective /*collective*/, std::int32_t /*size*/, std::int32_t slices) {
    return slices;
}

}  // namespace

const Algorithm kPairwise = {
    .name = "pairwise",
    .reference = "Thakur, Rabenseifner & Gropp 2005",
    .growth = Growth::kLinear,
    .collectives = collective_set(Collective::kAllToAll, Collective::kAllToAllV,
                                  Collective::kReduceScatter, Collective::kReduceScatterV),
    .chunks = chunks,
    .write = write,
};

}  // namespace weft::collectives
