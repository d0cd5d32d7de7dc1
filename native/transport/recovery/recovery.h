// Loss recovery: when a chunk counts as lost. The bookkeeping (what is in flight where, in which
// order) and the timers belong to the sender; a policy answers its questions.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "transport/policy.h"

namespace weft::transport {

class LossRecovery {
  public:
    virtual ~LossRecovery() = default;

    // A chunk is lost once this many later transmissions on the same path are known to have
    // arrived.
    virtual std::uint32_t reorder_threshold() const = 0;

    // A chunk that was declared lost had arrived after all; `overtaken_by` is how many later
    // transmissions on its path had arrived before it, as far as known (0: unknown).
    virtual void on_spurious(std::uint32_t /*overtaken_by*/) {}

    // Whether a path that fell silent sends its oldest chunk again before its timeout (RFC 8985's
    // tail-loss probe, per path).
    virtual bool probes_tail() const = 0;

    // Whether nothing is taken out of order: our receiving half discards it, and our sending half
    // loses with a chunk all that it sent after it.
    virtual bool in_order() const { return false; }
};

// Throw ConfigError for a name or a parameter that does not exist, naming those that do.
std::unique_ptr<LossRecovery> make_loss_recovery(const PolicyChoice& choice,
                                                 const PolicyContext& context);
std::vector<std::string> loss_recoveries();

}  // namespace weft::transport
