// What edges cost, found out when a group is made: rank 0 plays ping-pong with the first rank of
// its own host and with the first of another, unless an earlier group did, then tells all ranks the
// figures, so that all choose alike.
//
// Rank 0 leads by orders. An order says how many pings of which size the follower is to echo; the
// last one carries the figures.
#pragma once

#include <memory>
#include <vector>

#include "collectives/cost.h"
#include "collectives/cost_file.h"
#include "communicator/group_operation.h"
#include "datapath/channel.h"

namespace weft::communicator {

class Measure final : public GroupOperation, datapath::TransferObserver {
  public:
    // `costs`: rank 0's; the others' may be empty. `hosts[rank]` is equal for ranks on one host.
    Measure(std::shared_ptr<Communicator> group, engine::Time deadline, collectives::CostFile costs,
            const collectives::Hosts& hosts);
    ~Measure() override;

    std::string describe() const override;
    void fail(const ErrorPtr& error) override;
    // The built-in model with the measured figures in their places; equal on all ranks.
    collectives::CostModel model() const;

  private:
    // On the wire, little-endian.
    struct Order {
        std::uint32_t pings = 0;  // 0: no more, here are the figures
        std::uint32_t bytes = 0;
        double local_latency = 0, local_per_byte = 0;
        double remote_latency = 0, remote_per_byte = 0;
        double copy_per_byte = 0, reduce_per_byte = 0;
    };
    struct Pair {
        std::int32_t partner;
        bool local;
    };

    void start(engine::Engine& engine) override;
    std::vector<std::int32_t> waiting_for() const override;
    void transfer_done(datapath::Transfer& transfer) noexcept override;

    void measure_memory();
    void next_pair();
    void command(std::uint32_t pings, std::uint32_t bytes);
    void ping();
    void ponged();
    void conclude_pair();
    void tell_all();
    void await_order();
    void obey();
    void end(ErrorPtr error);
    void watch(bool on);
    void post(datapath::Transfer& transfer, std::int32_t peer, std::uint64_t message,
              std::byte* data, std::size_t size, bool sends);

    collectives::CostFile costs_;
    std::vector<Pair> pairs_;  // still to be measured; the last is next
    Order order_;
    std::vector<std::byte> buffer_;
    datapath::Transfer order_transfer_, ping_, pong_;
    std::vector<datapath::Transfer> tellings_;
    std::size_t untold_ = 0;
    std::uint32_t left_ = 0;  // pings of this order
    engine::Time sent_at_ = 0, best_ = 0, short_best_ = 0;
    bool warm_ = false;
};

}  // namespace weft::communicator
