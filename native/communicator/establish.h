// Bringing a group to life: open the edges that do not exist yet, then let every member tell every
// other who it is and where its board lies. Done when all have answered, so a group that exists is
// complete.
#pragma once

#include <memory>
#include <vector>

#include "communicator/group_operation.h"
#include "datapath/channel.h"

namespace weft::communicator {

// What members tell each other (little-endian, fixed size).
struct Greeting {
    std::uint32_t version = 1;
    std::int32_t rank = 0;
    std::int32_t size = 0;
    std::int32_t processors = 1;  // that the sender may use
    std::uint64_t members = 0;    // fingerprint of the ordered list of peer ids
    std::uint64_t board = 0;      // offset of the sender's board in its segment
    std::uint64_t board_bytes = 0;
    std::uint64_t tuning = 0;  // fingerprint of everything that decides which algorithm runs: must
                               // be equal on all ranks
};

class Establish final : public GroupOperation, datapath::TransferObserver {
  public:
    Establish(std::shared_ptr<Communicator> group, engine::Time deadline, Greeting own);
    ~Establish() override;

    std::string describe() const override;
    void fail(const ErrorPtr& error) override;
    const Greeting& greeting(std::int32_t rank) const noexcept {
        return heard_[static_cast<std::size_t>(rank)];
    }

  private:
    void start(engine::Engine& engine) override;
    std::vector<std::int32_t> waiting_for() const override;
    ErrorPtr timeout_error() const override;
    void transfer_done(datapath::Transfer& transfer) noexcept override;
    void look();
    void end(ErrorPtr error);

    Greeting own_;
    std::vector<Greeting> heard_;            // [rank]
    std::vector<datapath::Transfer> sends_;  // [rank]
    std::vector<datapath::Transfer> receives_;
    std::size_t pending_ = 0;
};

}  // namespace weft::communicator
