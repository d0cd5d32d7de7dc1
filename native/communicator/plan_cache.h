// The plans that a group has run so far, and the schedules that its users registered. Building a
// plan takes microseconds to milliseconds, running it again takes none of that.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>

#include "collectives/schedule.h"

namespace weft::communicator {

class PlanCache {
  public:
    PlanCache(std::int32_t size, std::int32_t rank) : size_(size), rank_(rank) {}

    // Throws Error(INVALID) for an algorithm that does not exist or cannot do this collective (a
    // registered schedule: with this root).
    std::shared_ptr<const collectives::Plan> get(const std::string& algorithm,
                                                 collectives::Collective collective,
                                                 std::int32_t root, std::int32_t slices);

    // A schedule that has been verified. Throws Error(INVALID) when its name is taken or its size
    // is another group's.
    void add(const collectives::Schedule& schedule);

  private:
    using Key = std::tuple<std::string, collectives::Collective, std::int32_t, std::int32_t>;

    const std::int32_t size_;
    const std::int32_t rank_;
    std::mutex lock_;
    std::map<Key, std::shared_ptr<const collectives::Plan>> plans_;
    std::map<std::string, std::shared_ptr<const collectives::Plan>> registered_;
};

}  // namespace weft::communicator
