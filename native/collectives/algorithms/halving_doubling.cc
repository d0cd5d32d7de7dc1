// Recursive halving and doubling: ranks exchange halves of what they still hold with partners at
// distance n/2, n/4, ..., then the way back. Bandwidth of the ring with logarithmic delay.
//
// Rabenseifner: "Optimization of Collective Reduction Operations", ICCS 2004; Thakur, Rabenseifner,
// Gropp 2005. Where n is no power of two, the first 2 (n - p) ranks (p: the power of two below n)
// pair up: of each pair the even one takes part in the exchange for both ("folding"), with
// Rabenseifner's split of the work between the two.
#include <algorithm>
#include <bit>

#include "collectives/algorithms/algorithm.h"

namespace weft::collectives {

namespace {

// Who takes part in the exchange. Participants are numbered 0..p-1 in rank order.
struct Fold {
    explicit Fold(const ProgramBuilder& to)
        : n(to.size()),
          p(static_cast<std::int32_t>(std::bit_floor(static_cast<std::uint32_t>(n)))),
          folded(n - p),
          paired(to.rank() < 2 * folded),
          out(paired && to.rank() % 2 == 1),
          partner(paired ? to.rank() ^ 1 : kNoPeer),
          me(paired ? to.rank() / 2 : to.rank() - folded) {}

    // First rank (and block) that a participant stands for; participant p is the end.
    std::int32_t rank_of(std::int32_t participant) const noexcept {
        return participant < folded ? 2 * participant : participant + folded;
    }

    std::int32_t n;
    std::int32_t p;
    std::int32_t folded;   // number of pairs
    bool paired;           // this rank is one of a pair ...
    bool out;              // ... and the other one exchanges for it
    std::int32_t partner;  // of the pair
    std::int32_t me;       // our number among the participants
};

// A pair first combines halves with each other, so that the even rank holds the sum of both in
// output.
void fold_all_reduce(ProgramBuilder& to, const Fold& fold, std::int32_t base) {
    const std::int32_t half = fold.p / 2;
    const std::int32_t kept = base + (fold.out ? half : 0);
    const std::int32_t given = base + (fold.out ? 0 : half);
    to.send(fold.partner, input(given, half));
    to.copy(output(kept, half), input(kept, half));
    to.recv_reduce(fold.partner, output(kept, half));
    if (fold.out) {
        to.send(fold.partner, output(kept, half));
    } else {
        to.recv(fold.partner, output(given, half));
    }
}

// One slice: the chunks base .. base + p - 1.
void all_reduce_slice(ProgramBuilder& to, const Fold& fold, std::int32_t base) {
    if (fold.paired) fold_all_reduce(to, fold, base);
    if (fold.out) {
        to.recv(fold.partner, output(base, fold.p));
        return;
    }
    std::int32_t low =
        base;  // what we still sum up: chunks low .. low + distance of the last round
    for (std::int32_t distance = fold.p / 2; distance > 0; distance /= 2) {
        const std::int32_t peer = fold.rank_of(fold.me ^ distance);
        const bool upper = (fold.me & distance) != 0;
        const std::int32_t kept = low + (upper ? distance : 0);
        const std::int32_t given = low + (upper ? 0 : distance);
        const bool untouched =
            distance == fold.p / 2 && !fold.paired;  // our input has not been copied yet
        to.send(peer, untouched ? input(given, distance) : output(given, distance));
        if (untouched) to.copy(output(kept, distance), input(kept, distance));
        to.recv_reduce(peer, output(kept, distance));
        low = kept;
    }
    for (std::int32_t distance = 1; distance < fold.p; distance *= 2) {
        const std::int32_t peer = fold.rank_of(fold.me ^ distance);
        const bool upper = (fold.me & distance) != 0;
        const std::int32_t theirs = low + (upper ? -distance : distance);
        to.send(peer, output(low, distance));
        to.recv(peer, output(theirs, distance));
        low = std::min(low, theirs);
    }
    if (fold.paired) to.send(fold.partner, output(base, fold.p));
}

void all_reduce(ProgramBuilder& to) {
    const Fold fold(to);
    for (std::int32_t slice = 0; slice < to.chunks() / fold.p; ++slice) {
        to.lane(lane_of(slice));
        all_reduce_slice(to, fold, slice * fold.p);
    }
}

// Partial sums of all blocks in scratch, block j in the place j.
void reduce_scatter(ProgramBuilder& to) {
    const Fold fold(to);
    if (fold.out) {
        to.send(fold.partner, input(0, fold.n));
        to.recv(fold.partner, output(0));
        return;
    }
    for (std::int32_t block = 0; block < fold.n; ++block) to.add_scratch_block_like(block);
    if (fold.paired) {
        to.copy(scratch(0, fold.n), input(0, fold.n));
        to.recv_reduce(fold.partner, scratch(0, fold.n));
    }
    std::int32_t low =
        0;  // participants low .. low + distance of the last round: whose blocks we still sum up
    for (std::int32_t distance = fold.p / 2; distance > 0; distance /= 2) {
        const std::int32_t peer = fold.rank_of(fold.me ^ distance);
        const bool upper = (fold.me & distance) != 0;
        const std::int32_t kept = low + (upper ? distance : 0);
        const std::int32_t given = low + (upper ? 0 : distance);
        const auto blocks_of = [&](Buffer buffer, std::int32_t first) {
            return Slice{buffer, fold.rank_of(first),
                         fold.rank_of(first + distance) - fold.rank_of(first)};
        };
        const bool untouched = distance == fold.p / 2 && !fold.paired;
        to.send(peer, blocks_of(untouched ? Buffer::kInput : Buffer::kScratch, given));
        if (untouched) to.copy(blocks_of(Buffer::kScratch, kept), blocks_of(Buffer::kInput, kept));
        to.recv_reduce(peer, blocks_of(Buffer::kScratch, kept));
        low = kept;
    }
    to.copy(output(0), scratch(to.rank()));
    if (fold.paired) to.send(fold.partner, scratch(fold.partner));
}

void all_gather(ProgramBuilder& to) {
    const Fold fold(to);
    const std::int32_t rank = to.rank();
    to.copy(output(rank), input(0));
    if (fold.out) {
        to.send(fold.partner, input(0));
        to.recv(fold.partner, output(0, rank));
        to.recv(fold.partner, output(rank + 1, fold.n - rank - 1));
        return;
    }
    if (fold.paired) to.recv(fold.partner, output(fold.partner));
    std::int32_t low = fold.me;
    for (std::int32_t distance = 1; distance < fold.p; distance *= 2) {
        const std::int32_t peer = fold.rank_of(fold.me ^ distance);
        const std::int32_t theirs = low ^ distance;
        const auto blocks_of = [&](std::int32_t first) {
            return output(fold.rank_of(first),
                          fold.rank_of(first + distance) - fold.rank_of(first));
        };
        to.send(peer, blocks_of(low));
        to.recv(peer, blocks_of(theirs));
        low = std::min(low, theirs);
    }
    if (fold.paired) {
        to.send(fold.partner, output(0, fold.partner));
        to.send(fold.partner, output(fold.partner + 1, fold.n - fold.partner - 1));
    }
}

void write(ProgramBuilder& to) {
    switch (to.spec().collective) {
        case Collective::kAllReduce:
            return all_reduce(to);
        case Collective::kReduceScatter:
        case Collective::kReduceScatterV:
            return reduce_scatter(to);
        case Collective::kAllGather:
        case Collective::kAllGatherV:
            return all_gather(to);
        default:
            return;
    }
}

std::int32_t chunks(Collective collective, std::int32_t size, std::int32_t slices) {
    if (collective != Collective::kAllReduce) return 1;  // ranges of whole blocks
    return static_cast<std::int32_t>(std::bit_floor(static_cast<std::uint32_t>(size))) * slices;
}

}  // namespace

const Algorithm kHalvingDoubling = {
    .name = "halving_doubling",
    .reference = "Rabenseifner 2004; Thakur, Rabenseifner & Gropp 2005",
    .growth = Growth::kLogarithmic,
    .collectives = collective_set(Collective::kAllReduce, Collective::kReduceScatter,
                                  Collective::kReduceScatterV, Collective::kAllGather,
                                  Collective::kAllGatherV),
    .chunks = chunks,
    .write = write,
};

}  // namespace weft::collectives
