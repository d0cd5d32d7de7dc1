// No congestion control: a fixed window, for lossless fabrics and as the baseline of comparisons.
#pragma once

#include "transport/congestion/congestion.h"

namespace weft::transport {

// Parameter: `window_chunks` (default: the sequence window), chunks.
class FixedWindow final : public CongestionControl {
  public:
    FixedWindow(ParameterReader& parameters, const PolicyContext& context)
        : window_(context.chunk_size * static_cast<std::uint64_t>(parameters.number(
                                           "window_chunks", context.window, 1, 1 << 20))) {}
    void on_ack(const AckSample&, std::span<Path>) override {}
    void on_loss(const LossSample&, std::span<Path>) override {}
    std::uint64_t window() const override { return window_; }

  private:
    std::uint64_t window_;
};

}  // namespace weft::transport
