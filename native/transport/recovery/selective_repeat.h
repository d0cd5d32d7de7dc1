// Selective repeat: only what is lost is sent again. A chunk is lost once a few later transmissions
// on its own path have arrived (paths keep order among themselves far better than between each
// other, so spraying does not look like loss); when that turns out wrong, the threshold grows to
// what was seen, at least to the double, as RFC 8985 widens its window.
#pragma once

#include <algorithm>

#include "transport/recovery/recovery.h"

namespace weft::transport {

// Parameters (defaults): `reorder_threshold` (3) to start with; `reorder_limit` (256),
// transmissions; `tail_probe` (1).
class SelectiveRepeat final : public LossRecovery {
  public:
    SelectiveRepeat(ParameterReader& parameters, const PolicyContext&)
        : threshold_(
              static_cast<std::uint32_t>(parameters.number("reorder_threshold", 3, 1, 1 << 20))),
          limit_(static_cast<std::uint32_t>(parameters.number("reorder_limit", 256, 1, 1 << 20))),
          probes_tail_(parameters.flag("tail_probe", true)) {}
    std::uint32_t reorder_threshold() const override { return threshold_; }
    void on_spurious(std::uint32_t overtaken_by) override {
        const std::uint32_t wider = std::max(2 * threshold_, overtaken_by + 1);
        threshold_ = std::max(threshold_, std::min(wider, limit_));
    }
    bool probes_tail() const override { return probes_tail_; }

  private:
    std::uint32_t threshold_;
    std::uint32_t limit_;
    bool probes_tail_;
};

}  // namespace weft::transport
