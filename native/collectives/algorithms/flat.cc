// Flat: everybody sends all it has to everybody (or to the root) and combines on its own. One
// message delay, n - 1 times the traffic: for the tiniest messages, where the delay is all that
// counts.
//
// All ranks compute ((x0 op x1) op x2) ..., in rank order, up to the order of the two operands of
// one op (which the kernels make immaterial, reduce/reduce.h), so results are bit-identical
// everywhere.
#include "collectives/algorithms/algorithm.h"

namespace weft::collectives {

namespace {

void send_to_all(ProgramBuilder& to, Slice source) {
    for (std::int32_t hop = 1; hop < to.size(); ++hop)
        to.send(wrap(to.rank() + hop, to.size()), source);
}

// Contributions of lower ranks are summed in the place of rank 0's, our own is joined in `sum`, and
// the higher ones follow there.
void combine_in_rank_order(ProgramBuilder& to, Slice sum, Slice own, std::int32_t received) {
    const std::int32_t block = to.chunks();
    const auto from = [&](std::int32_t rank) { return scratch(received + rank * block, block); };
    for (std::int32_t rank = 0; rank < to.size(); ++rank) {
        if (rank != to.rank()) to.recv(rank, from(rank));
    }
    for (std::int32_t rank = 1; rank < to.rank(); ++rank) to.reduce(from(0), from(rank));
    to.copy(sum, own);
    if (to.rank() > 0) to.reduce(sum, from(0));
    for (std::int32_t rank = to.rank() + 1; rank < to.size(); ++rank) to.reduce(sum, from(rank));
}

void all_reduce(ProgramBuilder& to) {
    send_to_all(to, input(0, to.chunks()));
    combine_in_rank_order(to, output(0, to.chunks()), input(0, to.chunks()),
                          to.add_scratch_blocks(to.size()));
}

void reduce(ProgramBuilder& to) {
    if (to.rank() != to.root()) {
        to.send(to.root(), input(0, to.chunks()));
    } else {
        combine_in_rank_order(to, output(0, to.chunks()), input(0, to.chunks()),
                              to.add_scratch_blocks(to.size()));
    }
}

void broadcast(ProgramBuilder& to) {
    if (to.rank() != to.root()) {
        to.recv(to.root(), output(0, to.chunks()));
    } else {
        send_to_all(to, input(0, to.chunks()));
        to.copy(output(0, to.chunks()), input(0, to.chunks()));
    }
}

void write(ProgramBuilder& to) {
    switch (to.spec().collective) {
        case Collective::kAllReduce:
        case Collective::kBarrier:  // chunks without elements: a token from everybody
            return all_reduce(to);
        case Collective::kReduce:
            return reduce(to);
        case Collective::kBroadcast:
            return broadcast(to);
        default:
            return;
    }
}

std::int32_t chunks(Collective /*collective*/, std::int32_t /*size*/, std::int32_t /*slices*/) {
    return 1;
}

}  // namespace

const Algorithm kFlat = {
    .name = "flat",
    .reference = "folklore; the eager form of all-pairs exchange",
    .growth = Growth::kLinear,
    .collectives = collective_set(Collective::kAllReduce, Collective::kReduce,
                                  Collective::kBroadcast, Collective::kBarrier),
    .chunks = chunks,
    .write = write,
};

}  // namespace weft::collectives
