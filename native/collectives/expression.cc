#include "collectives/expression.h"

#include <algorithm>

namespace weft::collectives {

namespace {

constexpr std::int32_t kListed = 8;  // ranks named in a message before it says "..."

}  // namespace

Expressions::Expressions(const Spec& spec)
    : size_(spec.size),
      // The root's, where only the root has input or output.
      positions_(blocks(spec, spec.root, Buffer::kInput) * spec.chunks),
      leaves_(static_cast<Expression>(size_ * positions_)),
      words_((static_cast<std::size_t>(size_) + 63) / 64) {}

std::int32_t Expressions::chunk_of(Expression value) const noexcept {
    return is_leaf(value) ? static_cast<std::int32_t>(value) % positions_
                          : chunks_[value - leaves_];
}

bool Expressions::holds(Expression value, std::int32_t rank) const noexcept {
    if (is_leaf(value)) return static_cast<std::int32_t>(value) / positions_ == rank;
    const std::uint64_t word =
        holders_[(value - leaves_) * words_ + static_cast<std::size_t>(rank) / 64];
    return (word >> (rank % 64) & 1) != 0;
}

std::int32_t Expressions::common_rank(Expression a, Expression b) const noexcept {
    for (std::int32_t rank = 0; rank < size_; ++rank) {
        if (holds(a, rank) && holds(b, rank)) return rank;
    }
    return -1;
}

bool Expressions::is_complete(Expression value) const noexcept {
    for (std::int32_t rank = 0; rank < size_; ++rank) {
        if (!holds(value, rank)) return false;
    }
    return true;
}

Expression Expressions::combine(Expression a, Expression b) {
    const std::uint64_t key = (std::uint64_t{std::min(a, b)} << 32) | std::max(a, b);
    const auto [entry, is_new] =
        known_.try_emplace(key, leaves_ + static_cast<Expression>(chunks_.size()));
    if (!is_new) return entry->second;
    chunks_.push_back(chunk_of(a));
    holders_.resize(holders_.size() + words_, 0);
    std::uint64_t* const bits = holders_.data() + holders_.size() - words_;
    for (std::int32_t rank = 0; rank < size_; ++rank) {
        if (holds(a, rank) || holds(b, rank)) bits[rank / 64] |= std::uint64_t{1} << (rank % 64);
    }
    return entry->second;
}

std::string Expressions::list_ranks(Expression value, bool held) const {
    std::string text;
    std::int32_t listed = 0;
    for (std::int32_t rank = 0; rank < size_; ++rank) {
        if (holds(value, rank) != held) continue;
        if (++listed > kListed) return "ranks " + text + ", ...";
        text += (listed > 1 ? ", " : "") + std::to_string(rank);
    }
    return (listed == 1 ? "rank " : "ranks ") + text;
}

std::string Expressions::describe(Expression value) const {
    if (value == kUndefined) return "nothing";
    return "input chunk " + std::to_string(chunk_of(value)) + " of " + list_ranks(value, true);
}

std::string Expressions::missing(Expression value) const {
    return list_ranks(value, false);
}

}  // namespace weft::collectives
