// A congestion window in chunks, fractions included, between bounds: what the window-based controls
// have in common.
#pragma once

#include <algorithm>

#include "transport/congestion/congestion.h"

namespace weft::transport {

// Parameters (defaults), chunks: `initial_window` (32 or max_window, if that is less), `min_window`
// (1), `max_window` (the sequence window).
class ChunkWindow {
  public:
    ChunkWindow(ParameterReader& parameters, const PolicyContext& context)
        : chunk_size_(context.chunk_size),
          least_(parameters.number("min_window", 1, 1, 64)),
          most_(parameters.number("max_window", context.window, 1, 1 << 20)),
          chunks_(parameters.number("initial_window", std::min(32.0, most_), 1, 1 << 20)) {
        set(chunks_);
    }

    double chunks() const { return chunks_; }
    double least() const { return least_; }
    std::uint64_t bytes() const { return static_cast<std::uint64_t>(chunks_ * chunk_size_); }
    double in_chunks(std::uint64_t bytes) const { return static_cast<double>(bytes) / chunk_size_; }
    void set(double chunks) { chunks_ = std::max(std::min(chunks, most_), least_); }

  private:
    double chunk_size_;
    double least_;
    double most_;
    double chunks_;
};

}  // namespace weft::transport
