#include "communicator/signature.h"

#include <algorithm>

#include "collectives/reduce/reduce.h"

namespace weft::communicator {
namespace {

constexpr std::uint64_t kCountBits = 26;
constexpr std::uint64_t kHistoryMask = std::uint64_t{0xff} << kCountBits;
constexpr std::uint64_t kMaxCount = (std::uint64_t{1} << kCountBits) - 1;

bool has_counts(Collective collective) {
    return collective == Collective::kAllGatherV || collective == Collective::kReduceScatterV;
}

std::uint64_t hash(const std::vector<std::size_t>& counts) noexcept {
    std::uint64_t value = 14695981039346656037u;  // FNV-1a
    for (std::size_t count : counts) {
        value = (value ^ count) * 1099511628211u;
    }
    return value & kMaxCount;
}

}  // namespace

std::uint64_t make_signature(const Arguments& a) noexcept {
    std::uint64_t count = std::min<std::uint64_t>(a.count, kMaxCount);
    if (has_counts(a.collective)) {
        count = hash(a.send_counts);
    } else if (a.collective == Collective::kAllToAllV) {
        count = 0;  // every pair has its own; the sizes of the messages are compared
    }
    const auto op = collectives::is_reducing(a.collective) ? static_cast<std::uint64_t>(a.op) : 15u;
    return static_cast<std::uint64_t>(a.collective) << 59 |
           static_cast<std::uint64_t>(a.dtype) << 54 | op << 50 |
           static_cast<std::uint64_t>(a.root & 0xffff) << 34 | count;
}

std::uint64_t with_history(std::uint64_t signature, std::uint64_t history) noexcept {
    history ^= history >> 32;
    history ^= history >> 16;
    return (signature & ~kHistoryMask) | ((history << kCountBits) & kHistoryMask);
}

bool same_call(std::uint64_t a, std::uint64_t b) noexcept {
    return ((a ^ b) & ~kHistoryMask) == 0;
}

std::string describe_signature(std::uint64_t signature) {
    if (signature >> 59 == kPointToPointSignature >> 59) {
        return "a point-to-point message";
    }
    const auto index = signature >> 59;
    if (index >= static_cast<std::uint64_t>(collectives::kCollectives)) {
        return "something unknown";
    }
    const auto collective = static_cast<Collective>(index);
    std::string text(collectives::collective_name(collective));
    if (collective == Collective::kBarrier) {
        return text + "()";
    }
    text += "(";
    if (has_counts(collective)) {
        text += "given counts of ";
    } else if (collective != Collective::kAllToAllV) {
        text += std::to_string(signature & kMaxCount) + " x ";
    }
    text += collectives::dtype_name(static_cast<weft_dtype>(signature >> 54 & 31));
    if (const auto op = signature >> 50 & 15; op != 15) {
        text += ", ";
        text += collectives::reduction_name(static_cast<weft_reduction>(op));
    }
    if (collectives::is_rooted(collective)) {
        text += ", root " + std::to_string(signature >> 34 & 0xffff);
    }
    return text + ")";
}

}  // namespace weft::communicator
