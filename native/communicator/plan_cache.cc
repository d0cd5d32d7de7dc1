#include "communicator/plan_cache.h"

#include "collectives/algorithms/algorithm.h"
#include "datapath/error.h"

namespace weft::communicator {

using collectives::Collective;
using collectives::Plan;

std::shared_ptr<const Plan> PlanCache::get(const std::string& algorithm, Collective collective,
                                           std::int32_t root, std::int32_t slices) {
    std::lock_guard guard(lock_);
    if (const auto it = registered_.find(algorithm); it != registered_.end()) {
        const collectives::Spec& spec = it->second->spec;
        if (spec.collective != collective ||
            (collectives::is_rooted(collective) && spec.root != root)) {
            throw Error(WEFT_ERR_INVALID, "schedule \"" + algorithm + "\" does " +
                                              std::string(collective_name(spec.collective)) +
                                              (collectives::is_rooted(spec.collective)
                                                   ? " with root " + std::to_string(spec.root)
                                                   : "") +
                                              ", not " + std::string(collective_name(collective)) +
                                              (collectives::is_rooted(collective)
                                                   ? " with root " + std::to_string(root)
                                                   : ""));
        }
        return it->second;
    }
    auto& plan = plans_[Key{algorithm, collective, root, slices}];
    if (!plan) {
        const collectives::Algorithm& found = collectives::find_algorithm(algorithm, collective);
        const collectives::Spec spec =
            collectives::make_spec(found, collective, size_, root, slices);
        plan = std::make_shared<const Plan>(
            collectives::make_plan(spec, collectives::build_program(found, spec, rank_)));
    }
    return plan;
}

void PlanCache::add(const collectives::Schedule& schedule) {
    if (schedule.spec.size != size_) {
        throw Error(WEFT_ERR_INVALID, "schedule \"" + schedule.name + "\" is made for " +
                                          std::to_string(schedule.spec.size) +
                                          " ranks, the group has " + std::to_string(size_));
    }
    for (const collectives::Algorithm* algorithm : collectives::algorithms()) {
        if (algorithm->name == schedule.name) {
            throw Error(WEFT_ERR_INVALID,
                        "schedule \"" + schedule.name +
                            "\" bears the name of a built-in algorithm: give it another");
        }
    }
    auto plan = std::make_shared<const Plan>(
        collectives::make_plan(schedule.spec, schedule.programs[static_cast<std::size_t>(rank_)]));
    std::lock_guard guard(lock_);
    if (!registered_.emplace(schedule.name, std::move(plan)).second) {
        throw Error(WEFT_ERR_INVALID,
                    "a schedule named \"" + schedule.name + "\" is registered already");
    }
}

}  // namespace weft::communicator
