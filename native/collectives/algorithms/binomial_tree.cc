// Binomial tree: ceil(log2 n) rounds for rooted collectives, any n; latency-optimal for short
// messages.
//
// Ranks are counted from the root ("relative"). A relative rank v > 0 has the parent v - lowbit(v)
// and the children v + 2^k < n with 2^k < lowbit(v); its subtree is the range v .. v + lowbit(v)
// - 1. Thakur, Rabenseifner, Gropp 2005.
#include <algorithm>

#include "collectives/algorithms/algorithm.h"

namespace weft::collectives {

namespace {

class Tree {
  public:
    explicit Tree(const ProgramBuilder& to)
        : n_(to.size()), root_(to.root()), me_(wrap(to.rank() - root_, n_)) {}

    std::int32_t me() const noexcept { return me_; }
    bool is_root() const noexcept { return me_ == 0; }
    std::int32_t rank_of(std::int32_t relative) const noexcept {
        return wrap(root_ + relative, n_);
    }
    std::int32_t parent() const noexcept { return rank_of(me_ & (me_ - 1)); }
    // Size of the subtree of a relative rank.
    std::int32_t subtree(std::int32_t relative) const noexcept {
        return relative == 0 ? n_ : std::min(relative & -relative, n_ - relative);
    }
    // Relative ranks of our children, smallest subtree first.
    std::vector<std::int32_t> children() const {
        std::vector<std::int32_t> result;
        const std::int32_t end = is_root() ? n_ : (me_ & -me_);
        for (std::int32_t distance = 1; distance < end && me_ + distance < n_; distance *= 2) {
            result.push_back(me_ + distance);
        }
        return result;
    }

  private:
    std::int32_t n_;
    std::int32_t root_;
    std::int32_t me_;
};

void broadcast(ProgramBuilder& to) {
    const Tree tree(to);
    const std::vector<std::int32_t> children = tree.children();
    for (std::int32_t chunk = 0; chunk < to.chunks(); ++chunk) {
        if (!tree.is_root()) to.recv(tree.parent(), output(chunk));
        for (auto child = children.rbegin(); child != children.rend();
             ++child) {  // the deepest subtree first
            to.send(tree.rank_of(*child), tree.is_root() ? input(chunk) : output(chunk));
        }
        if (tree.is_root()) to.copy(output(chunk), input(chunk));
    }
}

void reduce(ProgramBuilder& to) {
    const Tree tree(to);
    const std::vector<std::int32_t> children = tree.children();
    const bool inner = !tree.is_root() && !children.empty();
    const std::int32_t sums = inner ? to.add_scratch_blocks(1) : 0;
    for (std::int32_t chunk = 0; chunk < to.chunks(); ++chunk) {
        const Slice place = tree.is_root() ? output(chunk) : scratch(sums + chunk);
        if (!children.empty()) to.copy(place, input(chunk));
        for (std::int32_t child : children) to.recv_reduce(tree.rank_of(child), place);
        if (!tree.is_root()) to.send(tree.parent(), inner ? place : input(chunk));
    }
}

// The blocks of a child's subtree in the root's buffer: consecutive relative ranks, so two ranges
// where they pass rank n - 1. visit(first in the root's buffer, first in the subtree, count)
template <typename Visit>
void for_ranges(const ProgramBuilder& to, const Tree& tree, std::int32_t child, Visit visit) {
    const std::int32_t first = tree.rank_of(child);
    const std::int32_t count = tree.subtree(child);
    const std::int32_t before_end = std::min(count, to.size() - first);
    visit(first, 0, before_end);
    if (count > before_end) visit(0, before_end, count - before_end);
}

// Between inner ranks a subtree is one message; to and from the root it is cut where for_ranges
// cuts it.
void gather(ProgramBuilder& to) {
    const Tree tree(to);
    const std::vector<std::int32_t> children = tree.children();
    if (tree.is_root()) {
        to.copy(output(to.root()), input(0));
        for (std::int32_t child : children) {
            for_ranges(to, tree, child, [&](std::int32_t block, std::int32_t, std::int32_t count) {
                to.recv(tree.rank_of(child), output(block, count));
            });
        }
        return;
    }
    const bool inner = !children.empty();
    if (inner) {
        to.add_scratch_blocks(tree.subtree(tree.me()));
        to.copy(scratch(0), input(0));
    }
    for (std::int32_t child : children) {
        to.recv(tree.rank_of(child), scratch(child - tree.me(), tree.subtree(child)));
    }
    const auto held = [&](std::int32_t first, std::int32_t count) {
        return inner ? scratch(first, count) : input(first, count);
    };
    if (tree.parent() == to.root()) {
        for_ranges(to, tree, tree.me(), [&](std::int32_t, std::int32_t first, std::int32_t count) {
            to.send(to.root(), held(first, count));
        });
    } else {
        to.send(tree.parent(), held(0, tree.subtree(tree.me())));
    }
}

void scatter(ProgramBuilder& to) {
    const Tree tree(to);
    std::vector<std::int32_t> children = tree.children();
    std::reverse(children.begin(), children.end());  // the deepest subtree first
    if (tree.is_root()) {
        for (std::int32_t child : children) {
            for_ranges(to, tree, child, [&](std::int32_t block, std::int32_t, std::int32_t count) {
                to.send(tree.rank_of(child), input(block, count));
            });
        }
        to.copy(output(0), input(to.root()));
        return;
    }
    const bool inner = !children.empty();
    if (inner) to.add_scratch_blocks(tree.subtree(tree.me()));
    const auto held = [&](std::int32_t first, std::int32_t count) {
        return inner ? scratch(first, count) : output(first, count);
    };
    if (tree.parent() == to.root()) {
        for_ranges(to, tree, tree.me(), [&](std::int32_t, std::int32_t first, std::int32_t count) {
            to.recv(to.root(), held(first, count));
        });
    } else {
        to.recv(tree.parent(), held(0, tree.subtree(tree.me())));
    }
    for (std::int32_t child : children) {
        to.send(tree.rank_of(child), scratch(child - tree.me(), tree.subtree(child)));
    }
    if (inner) to.copy(output(0), scratch(0));
}

void write(ProgramBuilder& to) {
    switch (to.spec().collective) {
        case Collective::kBroadcast:
            return broadcast(to);
        case Collective::kReduce:
            return reduce(to);
        case Collective::kGather:
            return gather(to);
        case Collective::kScatter:
            return scatter(to);
        default:
            return;
    }
}

std::int32_t chunks(Collective collective, std::int32_t /*size*/, std::int32_t slices) {
    return collective == Collective::kBroadcast || collective == Collective::kReduce ? slices : 1;
}

}  // namespace

const Algorithm kBinomialTree = {
    .name = "binomial_tree",
    .reference = "Thakur, Rabenseifner & Gropp 2005",
    .growth = Growth::kLogarithmic,
    .collectives = collective_set(Collective::kBroadcast, Collective::kReduce, Collective::kGather,
                                  Collective::kScatter),
    .chunks = chunks,
    .write = write,
};

}  // namespace weft::collectives
