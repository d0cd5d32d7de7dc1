// Which sequence numbers have arrived: everything below `cumulative()`, and a bitmap of `window`
// numbers from there on. Words of the bitmap are aligned to multiples of 64 in sequence space, as
// they are on the wire.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "transport/sequence.h"

namespace weft::transport {

class ReceiveWindow {
  public:
    enum class Verdict : std::uint8_t { kNew, kDuplicate, kOutside };

    ReceiveWindow(Sequence first, std::uint32_t window)
        : words_(std::bit_ceil(window / 64 + std::size_t{2})),
          window_(window),
          cumulative_(first),
          end_(first) {}

    Sequence cumulative() const { return cumulative_; }  // first number not yet received
    Sequence end() const { return end_; }                // one past the last received

    Verdict check(Sequence sequence) const {
        if (sequence < cumulative_) {
            return Verdict::kDuplicate;
        }
        if (sequence >= cumulative_ + window_) {
            return Verdict::kOutside;
        }
        return (word(sequence / 64) >> (sequence % 64) & 1) != 0 ? Verdict::kDuplicate
                                                                 : Verdict::kNew;
    }

    // check(sequence) must have said kNew.
    void mark(Sequence sequence) {
        slot(sequence / 64) |= std::uint64_t{1} << (sequence % 64);
        if (sequence >= end_) {
            end_ = sequence + 1;
        }
        if (sequence == cumulative_) {
            advance();
        }
    }

    // The bitmap word of numbers [64 * index, 64 * index + 64).
    std::uint64_t word(Sequence index) const { return words_[index & (words_.size() - 1)]; }

  private:
    std::uint64_t& slot(Sequence index) { return words_[index & (words_.size() - 1)]; }

    void advance() {
        for (;;) {
            std::uint64_t& bits = slot(cumulative_ / 64);
            const auto run = static_cast<unsigned>(std::countr_one(bits >> (cumulative_ % 64)));
            cumulative_ += run;
            if (cumulative_ % 64 != 0 || run == 0) {
                return;
            }
            bits = 0;  // passed for good: free for numbers one lap later
        }
    }

    std::vector<std::uint64_t> words_;  // size is a power of two
    std::uint32_t window_;
    Sequence cumulative_;
    Sequence end_;
};

}  // namespace weft::transport
