// Direct (all-pairs): every rank deals with every other at once; two steps for all_reduce whatever
// the size of the group. The best choice inside one host and on fabrics that carry n^2 flows well;
// partners are visited in rotated order so that no rank is everybody's first target.
//
// Thakur, Rabenseifner, Gropp 2005 (section 4.2, the "linear" forms); all_reduce is its
// reduce_scatter and all_gather.
#include "collectives/algorithms/algorithm.h"

namespace weft::collectives {

namespace {

// Receives everybody's contribution to `place` (which holds ours), one after the other in rotated
// order: a fixed expression.
void combine_from_all(ProgramBuilder& to, Slice place) {
    for (std::int32_t hop = 1; hop < to.size(); ++hop)
        to.recv_reduce(wrap(to.rank() - hop, to.size()), place);
}

// Rank p owns chunks p * slices .. of the vector, sums them and sends the result to all.
void all_reduce(ProgramBuilder& to) {
    const std::int32_t n = to.size();
    const std::int32_t rank = to.rank();
    const std::int32_t slices = to.chunks() / n;
    for (std::int32_t slice = 0; slice < slices; ++slice) {
        to.lane(lane_of(slice));
        const std::int32_t own = rank * slices + slice;
        for (std::int32_t hop = 1; hop < n; ++hop) {
            const std::int32_t peer = wrap(rank + hop, n);
            to.send(peer, input(peer * slices + slice));
        }
        to.copy(output(own), input(own));
        combine_from_all(to, output(own));
        for (std::int32_t hop = 1; hop < n; ++hop) to.send(wrap(rank + hop, n), output(own));
        for (std::int32_t hop = 1; hop < n; ++hop) {
            const std::int32_t peer = wrap(rank - hop, n);
            to.recv(peer, output(peer * slices + slice));
        }
    }
}

// The same, but the owners send their sums to the root only. Owners other than the root sum in
// scratch.
void reduce(ProgramBuilder& to) {
    const std::int32_t n = to.size();
    const std::int32_t rank = to.rank();
    const std::int32_t root = to.root();
    const std::int32_t slices = to.chunks() / n;
    const std::int32_t sums = rank == root ? 0 : to.add_scratch_blocks(1);
    for (std::int32_t slice = 0; slice < slices; ++slice) {
        to.lane(lane_of(slice));
        const std::int32_t own = rank * slices + slice;
        const Slice place = rank == root ? output(own) : scratch(sums + own);
        for (std::int32_t hop = 1; hop < n; ++hop) {
            const std::int32_t peer = wrap(rank + hop, n);
            to.send(peer, input(peer * slices + slice));
        }
        to.copy(place, input(own));
        combine_from_all(to, place);
        if (rank != root) {
            to.send(root, place);
            continue;
        }
        for (std::int32_t hop = 1; hop < n; ++hop) {
            const std::int32_t peer = wrap(rank - hop, n);
            to.recv(peer, output(peer * slices + slice));
        }
    }
}

// The root gives one part to each other rank, which passes it on to the rest.
void broadcast(ProgramBuilder& to) {
    const std::int32_t n = to.size();
    const std::int32_t me = wrap(to.rank() - to.root(), n);  // the root is 0
    const std::int32_t slices = to.chunks() / (n - 1);
    const auto rank_of = [&](std::int32_t relative) { return wrap(to.root() + relative, n); };
    for (std::int32_t slice = 0; slice < slices; ++slice) {
        to.lane(lane_of(slice));
        const auto part = [&](std::int32_t relative) { return (relative - 1) * slices + slice; };
        if (me == 0) {
            for (std::int32_t other = 1; other < n; ++other) {
                to.send(rank_of(other), input(part(other)));
                to.copy(output(part(other)), input(part(other)));
            }
            continue;
        }
        to.recv(to.root(), output(part(me)));
        for (std::int32_t hop = 1; hop < n - 1; ++hop) {
            to.send(rank_of((me - 1 + hop) % (n - 1) + 1), output(part(me)));
        }
        for (std::int32_t hop = 1; hop < n - 1; ++hop) {
            const std::int32_t other = (me - 1 + n - 1 - hop) % (n - 1) + 1;
            to.recv(rank_of(other), output(part(other)));
        }
    }
}

void all_gather(ProgramBuilder& to) {
    const std::int32_t n = to.size();
    const std::int32_t slices = to.chunks();
    for (std::int32_t slice = 0; slice < slices; ++slice) {
        to.lane(lane_of(slice));
        for (std::int32_t hop = 1; hop < n; ++hop) to.send(wrap(to.rank() + hop, n), input(slice));
        to.copy(output(to.rank() * slices + slice), input(slice));
        for (std::int32_t hop = 1; hop < n; ++hop) {
            const std::int32_t peer = wrap(to.rank() - hop, n);
            to.recv(peer, output(peer * slices + slice));
        }
    }
}

void reduce_scatter(ProgramBuilder& to) {
    const std::int32_t n = to.size();
    const std::int32_t slices = to.chunks();
    for (std::int32_t slice = 0; slice < slices; ++slice) {
        to.lane(lane_of(slice));
        for (std::int32_t hop = 1; hop < n; ++hop) {
            const std::int32_t peer = wrap(to.rank() + hop, n);
            to.send(peer, input(peer * slices + slice));
        }
        to.copy(output(slice), input(to.rank() * slices + slice));
        combine_from_all(to, output(slice));
    }
}

void all_to_all(ProgramBuilder& to) {
    const std::int32_t n = to.size();
    const std::int32_t slices = to.chunks();
    for (std::int32_t slice = 0; slice < slices; ++slice) {
        to.lane(lane_of(slice));
        for (std::int32_t hop = 1; hop < n; ++hop) {
            const std::int32_t target = wrap(to.rank() + hop, n);
            const std::int32_t source = wrap(to.rank() - hop, n);
            to.send(target, input(target * slices + slice));
            to.recv(source, output(source * slices + slice));
        }
        to.copy(output(to.rank() * slices + slice), input(to.rank() * slices + slice));
    }
}

void gather(ProgramBuilder& to) {
    const std::int32_t slices = to.chunks();
    for (std::int32_t slice = 0; slice < slices; ++slice) {
        if (to.rank() != to.root()) {
            to.send(to.root(), input(slice));
            continue;
        }
        to.copy(output(to.root() * slices + slice), input(slice));
        for (std::int32_t hop = 1; hop < to.size(); ++hop) {
            const std::int32_t peer = wrap(to.root() + hop, to.size());
            to.recv(peer, output(peer * slices + slice));
        }
    }
}

void scatter(ProgramBuilder& to) {
    const std::int32_t slices = to.chunks();
    for (std::int32_t slice = 0; slice < slices; ++slice) {
        if (to.rank() != to.root()) {
            to.recv(to.root(), output(slice));
            continue;
        }
        for (std::int32_t hop = 1; hop < to.size(); ++hop) {
            const std::int32_t peer = wrap(to.root() + hop, to.size());
            to.send(peer, input(peer * slices + slice));
        }
        to.copy(output(slice), input(to.root() * slices + slice));
    }
}

void write(ProgramBuilder& to) {
    switch (to.spec().collective) {
        case Collective::kAllReduce:
            return all_reduce(to);
        case Collective::kReduce:
            return reduce(to);
        case Collective::kBroadcast:
            return broadcast(to);
        case Collective::kAllGather:
        case Collective::kAllGatherV:
            return all_gather(to);
        case Collective::kReduceScatter:
        case Collective::kReduceScatterV:
            return reduce_scatter(to);
        case Collective::kAllToAll:
        case Collective::kAllToAllV:
            return all_to_all(to);
        case Collective::kGather:
            return gather(to);
        case Collective::kScatter:
            return scatter(to);
        case Collective::kBarrier:
            return;
    }
}

std::int32_t chunks(Collective collective, std::int32_t size, std::int32_t slices) {
    if (collective == Collective::kAllReduce || collective == Collective::kReduce)
        return size * slices;
    return collective == Collective::kBroadcast ? (size - 1) * slices : slices;
}

}  // namespace

const Algorithm kDirect = {
    .name = "direct",
    .reference = "Thakur, Rabenseifner & Gropp 2005",
    .growth = Growth::kLinear,
    .collectives = collective_set(
        Collective::kAllReduce, Collective::kReduce, Collective::kBroadcast, Collective::kAllGather,
        Collective::kAllGatherV, Collective::kReduceScatter, Collective::kReduceScatterV,
        Collective::kAllToAll, Collective::kAllToAllV, Collective::kGather, Collective::kScatter),
    .chunks = chunks,
    .write = write,
};

}  // namespace weft::collectives
