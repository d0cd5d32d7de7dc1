// Ring: every rank talks to its two neighbours only, and every byte crosses every edge once per
// phase, which is optimal in bandwidth: all_reduce moves 2 (n-1)/n of the vector per rank in 2
// (n-1) steps.
//
// Patarasuk, Yuan: "Bandwidth optimal all-reduce algorithms for clusters of workstations", JPDC
// 69(2), 2009; Thakur, Rabenseifner, Gropp: "Optimization of Collective Communication Operations in
// MPICH", IJHPCA 19(1), 2005. broadcast and reduce are the pipelined chains of the same ring.
#include "collectives/algorithms/algorithm.h"

namespace weft::collectives {

namespace {

// Slice s is a ring of its own over the chunks s * n .. s * n + n - 1, in its own lane: slices
// overtake each other.
void all_reduce(ProgramBuilder& to) {
    const std::int32_t n = to.size();
    const std::int32_t rank = to.rank();
    const std::int32_t right = wrap(rank + 1, n);
    const std::int32_t left = wrap(rank - 1, n);
    for (std::int32_t slice = 0; slice < to.chunks() / n; ++slice) {
        to.lane(lane_of(slice));
        const auto chunk = [&](std::int32_t part) { return slice * n + wrap(part, n); };
        for (std::int32_t step = 0; step < n - 1; ++step) {
            const std::int32_t sent = chunk(rank - step);
            const std::int32_t received = chunk(rank - step - 1);
            to.send(right, step == 0 ? input(sent) : output(sent));
            to.copy(output(received), input(received));
            to.recv_reduce(left, output(received));
        }
        for (std::int32_t step = 0; step < n - 1; ++step) {
            to.send(right, output(chunk(rank + 1 - step)));
            to.recv(left, output(chunk(rank - step)));
        }
    }
}

void all_gather(ProgramBuilder& to) {
    const std::int32_t n = to.size();
    const std::int32_t rank = to.rank();
    const std::int32_t slices = to.chunks();
    to.copy(output(rank * slices, slices), input(0, slices));
    for (std::int32_t slice = 0; slice < slices; ++slice) {
        to.lane(lane_of(slice));
        for (std::int32_t step = 0; step < n - 1; ++step) {
            const std::int32_t sent = wrap(rank - step, n);
            to.send(wrap(rank + 1, n), step == 0 ? input(slice) : output(sent * slices + slice));
            to.recv(wrap(rank - 1, n), output(wrap(rank - step - 1, n) * slices + slice));
        }
    }
}

// Block b starts at rank b + 1 and is complete after n - 1 hops, at rank b. Partial sums live in
// scratch: two blocks in turn, or, where blocks have lengths of their own, one for each block that
// passes through.
void reduce_scatter(ProgramBuilder& to) {
    const std::int32_t n = to.size();
    const std::int32_t rank = to.rank();
    const std::int32_t slices = to.chunks();
    std::vector<std::int32_t> partial(static_cast<std::size_t>(n), 0);
    const bool reuse = to.spec().collective == Collective::kReduceScatter;
    for (std::int32_t step = 0; step < n - 2; ++step) {
        const std::int32_t block = wrap(rank - 2 - step, n);
        partial[static_cast<std::size_t>(block)] =
            reuse && step >= 2 ? (step % 2) * slices : to.add_scratch_block_like(block);
    }
    for (std::int32_t slice = 0; slice < slices; ++slice) {
        to.lane(lane_of(slice));
        for (std::int32_t step = 0; step < n - 1; ++step) {
            const std::int32_t sent = wrap(rank - 1 - step, n);
            const std::int32_t received = wrap(rank - 2 - step, n);
            const auto place = [&](std::int32_t block) {
                return block == rank ? output(slice)
                                     : scratch(partial[static_cast<std::size_t>(block)] + slice);
            };
            to.send(wrap(rank + 1, n), step == 0 ? input(sent * slices + slice) : place(sent));
            to.copy(place(received), input(received * slices + slice));
            to.recv_reduce(wrap(rank - 1, n), place(received));
        }
    }
}

void broadcast(ProgramBuilder& to) {
    const std::int32_t n = to.size();
    const bool root = to.rank() == to.root();
    const bool last = wrap(to.rank() + 1, n) == to.root();
    for (std::int32_t chunk = 0; chunk < to.chunks(); ++chunk) {
        if (!root) to.recv(wrap(to.rank() - 1, n), output(chunk));
        if (!last) to.send(wrap(to.rank() + 1, n), root ? input(chunk) : output(chunk));
        if (root) to.copy(output(chunk), input(chunk));
    }
}

// The chain begins at the root's left neighbour's far end: root + n - 1 -> ... -> root + 1 -> root.
void reduce(ProgramBuilder& to) {
    const std::int32_t n = to.size();
    const bool root = to.rank() == to.root();
    const bool first = wrap(to.rank() + 1, n) == to.root();
    const bool relays = !root && !first;
    const std::int32_t sums = relays ? to.add_scratch_blocks(1) : 0;
    for (std::int32_t chunk = 0; chunk < to.chunks(); ++chunk) {
        const Slice place = root ? output(chunk) : scratch(sums + chunk);
        if (!first) {
            to.copy(place, input(chunk));
            to.recv_reduce(wrap(to.rank() + 1, n), place);
        }
        if (!root) to.send(wrap(to.rank() - 1, n), first ? input(chunk) : place);
    }
}

void write(ProgramBuilder& to) {
    switch (to.spec().collective) {
        case Collective::kAllReduce:
            return all_reduce(to);
        case Collective::kAllGather:
        case Collective::kAllGatherV:
            return all_gather(to);
        case Collective::kReduceScatter:
        case Collective::kReduceScatterV:
            return reduce_scatter(to);
        case Collective::kBroadcast:
            return broadcast(to);
        case Collective::kReduce:
            return reduce(to);
        default:
            return;
    }
}

std::int32_t chunks(Collective collective, std::int32_t size, std::int32_t slices) {
    return collective == Collective::kAllReduce ? size * slices : slices;
}

}  // namespace

const Algorithm kRing = {
    .name = "ring",
    .reference = "Patarasuk & Yuan 2009; Thakur, Rabenseifner & Gropp 2005",
    .growth = Growth::kLinear,
    .collectives =
        collective_set(Collective::kAllReduce, Collective::kAllGather, Collective::kAllGatherV,
                       Collective::kReduceScatter, Collective::kReduceScatterV,
                       Collective::kBroadcast, Collective::kReduce),
    .chunks = chunks,
    .write = write,
};

}  // namespace weft::collectives
