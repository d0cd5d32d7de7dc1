// Bruck: ceil(log2 n) rounds for any n, at the price of local rotations: for short blocks in larger
// groups.
//
// Bruck, Ho, Kipnis, Upfal, Weathersby: "Efficient algorithms for all-to-all communications in
// multiport message-passing systems", IEEE TPDS 8(11), 1997.
#include <algorithm>

#include "collectives/algorithms/algorithm.h"

namespace weft::collectives {

namespace {

// Scratch block j becomes the block of rank r + j; each round doubles how many are there.
void all_gather(ProgramBuilder& to) {
    const std::int32_t n = to.size();
    const std::int32_t rank = to.rank();
    for (std::int32_t j = 0; j < n; ++j) to.add_scratch_block_like(wrap(rank + j, n));
    to.copy(scratch(0), input(0));
    for (std::int32_t held = 1; held < n; held *= 2) {
        const std::int32_t count = std::min(held, n - held);
        to.send(wrap(rank - held, n), scratch(0, count));
        to.recv(wrap(rank + held, n), scratch(held, count));
    }
    to.copy(output(rank, n - rank), scratch(0, n - rank));
    to.copy(output(0, rank), scratch(n - rank, rank));
}

// Scratch block j is on its way to the rank j further on, and moves by 2^k in the round of each bit
// k of j. A round's blocks are gathered into one message.
void all_to_all(ProgramBuilder& to) {
    const std::int32_t n = to.size();
    const std::int32_t rank = to.rank();
    const std::int32_t moving = to.add_scratch_blocks(n);
    const std::int32_t outgoing = to.add_scratch_blocks((n + 1) / 2);
    const std::int32_t incoming = to.add_scratch_blocks((n + 1) / 2);
    to.copy(scratch(moving, n - rank), input(rank, n - rank));
    to.copy(scratch(moving + n - rank, rank), input(0, rank));
    for (std::int32_t distance = 1; distance < n; distance *= 2) {
        // Runs of `distance` blocks whose bit is set: first and length of each.
        const auto for_runs = [&](auto visit) {
            std::int32_t packed = 0;
            for (std::int32_t first = distance; first < n; first += 2 * distance) {
                const std::int32_t count = std::min(distance, n - first);
                visit(first, packed, count);
                packed += count;
            }
            return packed;
        };
        const std::int32_t total =
            for_runs([&](std::int32_t first, std::int32_t packed, std::int32_t count) {
                to.copy(scratch(outgoing + packed, count), scratch(moving + first, count));
            });
        to.send(wrap(rank + distance, n), scratch(outgoing, total));
        to.recv(wrap(rank - distance, n), scratch(incoming, total));
        for_runs([&](std::int32_t first, std::int32_t packed, std::int32_t count) {
            to.copy(scratch(moving + first, count), scratch(incoming + packed, count));
        });
    }
    for (std::int32_t j = 0; j < n; ++j) to.copy(output(wrap(rank - j, n)), scratch(moving + j));
}

void write(ProgramBuilder& to) {
    if (to.spec().collective == Collective::kAllToAll) return all_to_all(to);
    return all_gather(to);
}

std::int32_t chunks(Collective /*collective*/, std::int32_t /*size*/, std::int32_t /*slices*/) {
    return 1;
}

}  // namespace

const Algorithm kBruck = {
    .name = "bruck",
    .reference = "Bruck, Ho, Kipnis, Upfal & Weathersby 1997",
    .growth = Growth::kLogarithmic,
    .collectives =
        collective_set(Collective::kAllGather, Collective::kAllGatherV, Collective::kAllToAll),
    .chunks = chunks,
    .write = write,
};

}  // namespace weft::collectives
