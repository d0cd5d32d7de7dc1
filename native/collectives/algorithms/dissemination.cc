// Dissemination barrier: in round k rank r tells r + 2^k that it, and all it has heard of, have
// arrived. ceil(log2 n) rounds, any n. (At the end ranks are heard of more than once where n is no
// power of two; a barrier does not mind.)
//
// Hensgen, Finkel, Manber: "Two algorithms for barrier synchronization", IJPP 17(1), 1988.
#include "collectives/algorithms/algorithm.h"

namespace weft::collectives {

namespace {

void write(ProgramBuilder& to) {
    const std::int32_t n = to.size();
    Slice heard = input(0);
    for (std::int32_t distance = 1; distance < n; distance *= 2) {
        to.send(wrap(to.rank() + distance, n), heard);
        const Slice known = 2 * distance < n ? scratch(to.add_scratch_blocks(1)) : output(0);
        to.copy(known, heard);
        to.recv_reduce(wrap(to.rank() - distance, n), known);
        heard = known;
    }
}

std::int32_t chunks(Collective /*collective*/, std::int32_t /*size*/, std::int32_t /*slices*/) {
    return 1;
}

}  // namespace

const Algorithm kDissemination = {
    .name = "dissemination",
    .reference = "Hensgen, Finkel & Manber 1988",
    .growth = Growth::kLogarithmic,
    .collectives = collective_set(Collective::kBarrier),
    .chunks = chunks,
    .write = write,
};

}  // namespace weft::collectives
