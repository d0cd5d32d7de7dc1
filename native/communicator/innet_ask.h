// Rank 0 asks the controller for slots: the talk of innet_grant.h over a socket that never blocks.
// Ends well whatever comes of it; what goes wrong is a refusal.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "communicator/group_operation.h"
#include "communicator/innet_grant.h"
#include "engine/engine.h"

namespace weft::communicator {

class InnetAsk final : public GroupOperation, engine::Poller {
  public:
    InnetAsk(std::shared_ptr<Communicator> group, engine::Time deadline,
             const InnetController& controller, const std::vector<InnetPlace>& members);
    ~InnetAsk() override;

    std::string describe() const override;
    void fail(const ErrorPtr& error) override;

    // Once finished.
    const InnetGrant& grant() const noexcept { return grant_; }
    // Holds the slots.
    InnetSocket take_lease() noexcept { return std::move(lease_); }

  private:
    void start(engine::Engine& engine) override;
    void expire() override;
    std::vector<std::int32_t> waiting_for() const override { return {}; }
    bool poll() override;
    engine::Time next_wakeup() const noexcept override;

    bool connected();
    bool exchange();
    void end(ErrorPtr error);

    const InnetController controller_;
    InnetTalk talk_;
    InnetSocket lease_;
    bool connected_ = false;
    std::string unsent_, heard_;
    InnetGrant grant_;
};

}  // namespace weft::communicator
