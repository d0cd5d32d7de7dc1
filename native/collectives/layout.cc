// Where the chunks of one operation lie, in elements.
#include <algorithm>

#include "collectives/schedule.h"

namespace weft::collectives {

namespace {

std::vector<std::size_t> running_sum(std::span<const std::size_t> counts) {
    std::vector<std::size_t> begins(1, 0);
    for (std::size_t count : counts) begins.push_back(begins.back() + count);
    return begins;
}

// First element of chunk `position` of a block of `quotient * chunks + remainder` elements cut into
// balanced chunks.
std::size_t chunk_begin(std::size_t position, std::size_t quotient,
                        std::size_t remainder) noexcept {
    return position * quotient + std::min(position, remainder);
}

}  // namespace

Layout::Layout(const Plan& plan, std::size_t count) noexcept
    : plan_(&plan),
      chunks_(static_cast<std::size_t>(plan.spec.chunks)),
      count_(count),
      quotient_(count / chunks_),
      remainder_(count % chunks_) {}

Layout::Layout(const Plan& plan, std::span<const std::size_t> counts)
    : plan_(&plan), chunks_(static_cast<std::size_t>(plan.spec.chunks)) {
    const auto own = counts.subspan(static_cast<std::size_t>(plan.rank), 1);
    const auto begins_of = [&](Buffer buffer) {
        return running_sum(blocks(plan.spec, plan.rank, buffer) == 1 ? own : counts);
    };
    begins_[0] = begins_of(Buffer::kInput);
    begins_[1] = begins_of(Buffer::kOutput);
    begins_[2].assign(1, 0);
    for (std::int32_t like : plan.scratch_like) {
        begins_[2].push_back(begins_[2].back() + counts[static_cast<std::size_t>(like)]);
    }
}

Layout::Layout(const Plan& plan, std::span<const std::size_t> send_counts,
               std::span<const std::size_t> recv_counts)
    : plan_(&plan), chunks_(static_cast<std::size_t>(plan.spec.chunks)) {
    begins_[0] = running_sum(send_counts);
    begins_[1] = running_sum(recv_counts);
    begins_[2].assign(1, 0);
}

std::size_t Layout::boundary(Buffer buffer, std::int32_t chunk) const noexcept {
    const std::size_t block = static_cast<std::size_t>(chunk) / chunks_;
    const std::size_t position = static_cast<std::size_t>(chunk) % chunks_;
    const std::vector<std::size_t>& begins = begins_[static_cast<std::size_t>(buffer)];
    if (begins.empty()) return block * count_ + chunk_begin(position, quotient_, remainder_);
    if (position == 0) return begins[block];
    const std::size_t length = begins[block + 1] - begins[block];
    return begins[block] + chunk_begin(position, length / chunks_, length % chunks_);
}

Extent Layout::extent(Slice slice) const noexcept {
    const std::size_t offset = boundary(slice.buffer, slice.first);
    return {offset, boundary(slice.buffer, slice.first + slice.count) - offset};
}

std::size_t Layout::elements(Buffer buffer) const noexcept {
    const std::int32_t chunks = buffer == Buffer::kScratch
                                    ? plan_->scratch_chunks
                                    : blocks(plan_->spec, plan_->rank, buffer) * plan_->spec.chunks;
    return boundary(buffer, chunks);
}

}  // namespace weft::collectives
