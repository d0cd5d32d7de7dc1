// How late frames left, as a histogram whose bins are 1 us wide below 32 us and at most 1/16 of
// their value above (log-linear, as HdrHistogram's).
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace weft::emulator {

class Lateness {
  public:
    void add(std::int64_t nanoseconds) {
        const auto micros =
            static_cast<std::uint64_t>(std::max<std::int64_t>(nanoseconds, 0) / 1000);
        ++bins_[std::min(bin(micros), kBins - 1)];
        ++count_;
        max_ = std::max(max_, nanoseconds);
    }

    std::uint64_t count() const { return count_; }
    std::int64_t max() const { return max_; }  // ns

    // Upper edge of the bin in which the given share (0 .. 1) of all values ends, ns.
    std::int64_t quantile(double share) const {
        const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(count_));
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < kBins; ++i) {
            seen += bins_[i];
            if (seen > wanted) return std::min(upper_edge(i) * 1000, max_);
        }
        return max_;
    }

  private:
    static constexpr std::size_t kLinear = 32;
    static constexpr std::size_t kPerOctave = 16;
    static constexpr std::size_t kBins = kLinear + 30 * kPerOctave;

    static std::size_t bin(std::uint64_t micros) {
        if (micros < kLinear) return micros;
        const auto octave = static_cast<std::size_t>(std::bit_width(micros)) - 6;  // 0 from 32 on
        return kLinear + octave * kPerOctave + (micros >> (octave + 1)) - kPerOctave;
    }
    static std::int64_t upper_edge(std::size_t bin) {
        if (bin < kLinear) return static_cast<std::int64_t>(bin) + 1;
        const std::size_t octave = (bin - kLinear) / kPerOctave;
        const std::size_t step = (bin - kLinear) % kPerOctave + kPerOctave + 1;
        return static_cast<std::int64_t>(step << (octave + 1));
    }

    std::array<std::uint64_t, kBins> bins_{};
    std::uint64_t count_ = 0;
    std::int64_t max_ = 0;
};

}  // namespace weft::emulator
