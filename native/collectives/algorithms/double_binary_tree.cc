// Double binary tree: two binary trees over the same ranks, in which every rank is inner node of at
// most one. Each carries half of the chunks, so both directions of every link are busy: full
// bandwidth with logarithmic delay.
//
// Sanders, Speck, Träff: "Two-tree algorithms for full bandwidth broadcast, reduction and scan",
// Parallel Computing 35(12), 2009. As there, the root (rank 0 for all_reduce) stands outside and
// feeds both trees, which span the other n - 1 ranks.
#include <bit>

#include "collectives/algorithms/algorithm.h"

namespace weft::collectives {

namespace {

constexpr std::int32_t kNone = -1;

// Neighbours in one tree, as ranks.
struct Node {
    std::int32_t parent = kNone;
    std::int32_t children[2] = {kNone, kNone};
};

// The in-order binary tree over the labels 1..count: a label's height is its number of trailing
// zeros, so odd labels are leaves. Where a label's right or upper neighbour exceeds `count`, the
// tree is cut short there.
struct InOrderTree {
    std::int32_t count;

    static std::int32_t low_bit(std::int32_t label) noexcept { return label & -label; }

    // 0: the tree's root has no parent among the labels.
    std::int32_t parent(std::int32_t label) const noexcept {
        if (label == static_cast<std::int32_t>(std::bit_floor(static_cast<std::uint32_t>(count))))
            return 0;
        do {
            const std::int32_t bit = low_bit(label);
            label = (label ^ bit) | (bit << 1);
        } while (label > count);
        return label;
    }

    // left, right: the label itself if there is no such child.
    std::int32_t left(std::int32_t label) const noexcept { return label - low_bit(label) / 2; }

    std::int32_t right(std::int32_t label) const noexcept {
        for (std::int32_t step = low_bit(label) / 2; step > 0; step /= 2) {
            if (label + step <= count) return label + step;
        }
        return label;
    }
};

// Tree 1 gives a rank another label so that inner and leaf swap: mirrored if the count is even,
// shifted by one if odd.
Node node_in(const ProgramBuilder& to, std::int32_t tree) {
    const std::int32_t n = to.size();
    const std::int32_t count = n - 1;
    const InOrderTree labels{count};
    const std::int32_t relative = wrap(to.rank() - to.root(), n);
    const auto label_of = [&](std::int32_t v) {
        if (tree == 0) return v;
        return count % 2 == 0 ? count + 1 - v : v % count + 1;
    };
    const auto rank_of = [&](std::int32_t label) {
        std::int32_t v = label;
        if (tree == 1) v = count % 2 == 0 ? count + 1 - label : (label + count - 2) % count + 1;
        return wrap(to.root() + v, n);
    };
    Node node;
    if (relative == 0) {
        node.children[0] =
            rank_of(static_cast<std::int32_t>(std::bit_floor(static_cast<std::uint32_t>(count))));
        return node;
    }
    const std::int32_t label = label_of(relative);
    const std::int32_t parent = labels.parent(label);
    node.parent = parent == 0 ? to.root() : rank_of(parent);
    if (labels.left(label) != label) node.children[0] = rank_of(labels.left(label));
    if (labels.right(label) != label) node.children[1] = rank_of(labels.right(label));
    return node;
}

// One chunk from the leaves to the root; inner ranks sum in `place`.
void reduce_up(ProgramBuilder& to, const Node& node, std::int32_t chunk, Slice place) {
    bool leaf = true;
    for (std::int32_t child : node.children) {
        if (child == kNone) continue;
        if (leaf) to.copy(place, input(chunk));
        leaf = false;
        to.recv_reduce(child, place);
    }
    if (node.parent != kNone) to.send(node.parent, leaf ? input(chunk) : place);
}

void broadcast_down(ProgramBuilder& to, const Node& node, std::int32_t chunk, Slice source) {
    if (node.parent != kNone) to.recv(node.parent, output(chunk));
    for (std::int32_t child : node.children) {
        if (child != kNone) to.send(child, source);
    }
}

void write(ProgramBuilder& to) {
    const Node nodes[2] = {node_in(to, 0), node_in(to, 1)};
    const Collective collective = to.spec().collective;
    const bool root = wrap(to.rank() - to.root(), to.size()) == 0;
    const bool up = collective != Collective::kBroadcast;
    const bool down = collective != Collective::kReduce;
    const bool sums_in_output = down || root;
    const std::int32_t sums = sums_in_output ? 0 : to.add_scratch_blocks(1);
    // One lane per tree and direction: an edge may lie in both trees, the other way round.
    for (std::int32_t chunk = 0; up && chunk < to.chunks(); ++chunk) {
        to.lane(chunk % 2);
        reduce_up(to, nodes[chunk % 2], chunk,
                  sums_in_output ? output(chunk) : scratch(sums + chunk));
    }
    for (std::int32_t chunk = 0; down && chunk < to.chunks(); ++chunk) {
        to.lane(2 + chunk % 2);
        broadcast_down(to, nodes[chunk % 2], chunk, root && !up ? input(chunk) : output(chunk));
        if (root && !up) to.copy(output(chunk), input(chunk));
    }
}

std::int32_t chunks(Collective /*collective*/, std::int32_t /*size*/, std::int32_t slices) {
    return 2 * slices;
}

}  // namespace

const Algorithm kDoubleBinaryTree = {
    .name = "double_binary_tree",
    .reference = "Sanders, Speck & Träff 2009",
    .growth = Growth::kLogarithmic,
    .collectives =
        collective_set(Collective::kAllReduce, Collective::kReduce, Collective::kBroadcast),
    .chunks = chunks,
    .write = write,
};

}  // namespace weft::collectives
