// Go back N, what RoCE's hardware does and the baseline of comparisons: the receiver takes nothing
// out of order, and the sender sends everything again from the first loss on (Mittal et al.,
// "Revisiting network support for RDMA", SIGCOMM 2018, section 2.1). Made for one path; over
// several it mostly repeats. Both peers should choose it: a receiver that does not keeps what came
// early, a sender that does not repeats too little at a time.
#pragma once

#include "transport/recovery/recovery.h"

namespace weft::transport {

// Parameter: `tail_probe` (0).
class GoBackN final : public LossRecovery {
  public:
    GoBackN(ParameterReader& parameters, const PolicyContext&)
        : probes_tail_(parameters.flag("tail_probe", false)) {}
    std::uint32_t reorder_threshold() const override { return 1; }
    bool probes_tail() const override { return probes_tail_; }
    bool in_order() const override { return true; }

  private:
    bool probes_tail_;
};

}  // namespace weft::transport
