// The verifier's values: hash-consed expressions over the input chunks of all ranks.
//
// A leaf is (rank, input chunk). A combination holds each rank's contribution at most once, all for
// the same input chunk; equal identities mean equal expressions up to the order of the operands of
// each op.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "collectives/schedule.h"

namespace weft::collectives {

using Expression = std::uint32_t;
constexpr Expression kUndefined = UINT32_MAX;

class Expressions {
  public:
    explicit Expressions(const Spec& spec);

    Expression leaf(std::int32_t rank, std::int32_t chunk) const noexcept {
        return static_cast<Expression>(rank * positions_ + chunk);
    }
    std::int32_t chunk_of(Expression value) const noexcept;  // which input chunk it is made of
    bool holds(Expression value, std::int32_t rank) const noexcept;
    // A rank that both hold (-1: none).
    std::int32_t common_rank(Expression a, Expression b) const noexcept;
    bool is_complete(Expression value) const noexcept;  // contributions of all ranks
    Expression combine(Expression a, Expression b);
    // e.g. "input chunk 3 of ranks 0, 2"
    std::string describe(Expression value) const;
    // e.g. "ranks 1, 3"
    std::string missing(Expression value) const;

  private:
    bool is_leaf(Expression value) const noexcept { return value < leaves_; }
    std::string list_ranks(Expression value, bool held) const;

    std::int32_t size_;
    std::int32_t positions_;  // input chunks per rank
    Expression leaves_;
    std::size_t words_;                   // of one bit set over the ranks
    std::vector<std::uint64_t> holders_;  // bit sets of the combinations
    std::vector<std::int32_t> chunks_;    // [combination]
    std::unordered_map<std::uint64_t, Expression>
        known_;  // (smaller operand, larger operand) -> combination
};

}  // namespace weft::collectives
