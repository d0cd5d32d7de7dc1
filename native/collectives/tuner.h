// Chooses the algorithm for a collective and a size: the one that the cost model says is fastest.
//
// The table has a row for every power of two of bytes, filled when first asked for (a group that
// only ever reduces 4 MB never looks at anything else). All ranks must construct their tuners with
// equal arguments; then they choose alike without asking each other. Groups of more than kSimulated
// ranks are predicted from two smaller ones, by the algorithm's growth.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "collectives/algorithms/algorithm.h"
#include "collectives/cost.h"

namespace weft::collectives {

struct Candidate {
    const Algorithm* algorithm = nullptr;
    std::int32_t slices = 1;
    Estimate estimate;
};

// candidates: best prediction first; each algorithm once, with its best number of slices.
struct Explanation {
    Collective collective = Collective::kAllReduce;
    std::int32_t size = 1;
    std::size_t bytes = 0;
    std::vector<Candidate> candidates;
    std::string chosen;  // not the first candidate only where an option says so
    std::int32_t slices = 1;
    std::string reason;  // one sentence
};

class Tuner {
  public:
    struct Choice {
        std::string algorithm;
        std::int32_t slices = 1;
    };

    static constexpr std::int32_t kSimulated = 16;

    // `overrides`: collective -> algorithm name, which is then always chosen (names are checked:
    // Error(INVALID)). `innet_asked`: all sums that the switch can do go there.
    Tuner(CostModel model, Hosts hosts, std::map<Collective, std::string> overrides = {},
          bool innet_asked = false);

    // `bytes`: of the larger of input and output per rank. Thread-safe.
    Choice choose(Collective collective, std::size_t bytes) const;
    // Whether the switch does a sum of `bytes` sooner than the schedule that choose() names.
    bool by_switch(std::size_t bytes, std::size_t element) const;
    // Of 4-byte elements. `switch_on`: there is one, if the model knows its cost.
    Explanation explain(Collective collective, std::size_t bytes, bool switch_on = true) const;

    const CostModel& model() const noexcept { return model_; }
    const Hosts& hosts() const noexcept { return hosts_; }

  private:
    using Row = std::vector<Candidate>;

    const Row& row(Collective collective, std::size_t bytes) const;
    Row evaluate(Collective collective, std::size_t bytes) const;
    Estimate predict(const Algorithm& algorithm, Collective collective, std::int32_t slices,
                     std::size_t bytes) const;
    const Candidate& pick(const Row& row, Collective collective) const;

    CostModel model_;
    Hosts hosts_;
    std::map<Collective, std::string> overrides_;
    bool innet_asked_;
    mutable std::mutex lock_;
    mutable std::map<std::pair<Collective, int>, Row>
        rows_;  // by bit width of the size; rows never move
};

// One JSON object: collective, size, bytes, chosen, slices, reason, candidates [{algorithm, slices,
// microseconds, messages, sent_bytes, reference}].
std::string to_json(const Explanation& explanation);

}  // namespace weft::collectives
