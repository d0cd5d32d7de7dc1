// An operation of one group: ends with the group when that fails, and names the peers it waits for
// when its deadline passes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/operation.h"

namespace weft::communicator {

class Communicator;

class GroupOperation : public engine::Operation {
  public:
    GroupOperation(std::shared_ptr<Communicator> group, engine::Time deadline);
    ~GroupOperation() override;

    // e.g. "all_reduce(1024 x f32, sum) #17"
    virtual std::string describe() const = 0;

  protected:
    // Under the driver lock: keeps us in the group's list from start to end.
    void enter();
    void leave(ErrorPtr error);

    // Ranks with transfers still under way, ascending.
    virtual std::vector<std::int32_t> waiting_for() const = 0;
    ErrorPtr timeout_error() const override;

    // What a channel's error means to the user of this group: with the peer's rank, and with both
    // signatures on a mismatch.
    ErrorPtr explain(const datapath::Transfer& transfer, std::int32_t peer_rank) const;

    Communicator& group() const noexcept { return *group_; }

  private:
    const std::shared_ptr<Communicator> group_;
    engine::Time started_ = 0;
};

}  // namespace weft::communicator
