// One group: an epoch (the unguessable `group` number on all its messages) and an ordered list of
// peers.
//
// Failure is a property of the group: the first error (a dead peer, a deadline, a mismatch, an
// abort) ends all its operations, is told to all members, and is what every later call gets.
// Connections outlive groups.
//
// Public calls may come from any thread; what is marked "locked" runs under the engine's driver
// lock.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "collectives/tuner.h"
#include "communicator/arguments.h"
#include "communicator/group_operation.h"
#include "communicator/innet_grant.h"
#include "communicator/plan_cache.h"
#include "communicator/point_to_point.h"
#include "communicator/scratch.h"
#include "engine/context.h"
#include "planner/plan.h"

namespace weft::communicator {

class Aggregation;
class FlatBoard;

struct CommunicatorOptions {
    std::string name = "world";
    engine::Time timeout = 0;                      // 0: the context's
    engine::Time connect_timeout = 0;              // 0: the context's
    std::map<Collective, std::string> algorithms;  // overrides of the tuner
    // Which path carries which bytes of sends that are ready together; none: the transport decides
    // burst by burst.
    std::optional<planner::Strategy> plan;
    // host:port of an aggregation switch's controller: sums that the switch can do go there, where
    // `algorithms` does not say otherwise.
    std::string innet;
    bool innet_asked = false;                          // all_reduce=innet
    engine::Time innet_silence = 1 * engine::kSecond;  // until the switch is given up
    engine::Time innet_pause = 1 * engine::kSecond;    // until its controller is asked again

    // "all_reduce=ring,all_to_all=direct,plan=wrap_around,innet=10.0.0.9:22354"; throws
    // Error(INVALID) naming what it does not know.
    void choose_algorithms(std::string_view text);
};

struct OperationOptions {
    engine::Time timeout = 0;  // 0: the group's
    std::string algorithm;     // empty: the tuner's choice
    std::int32_t priority = 0;
    bool background = false;  // nobody is about to wait
};

class Communicator final : public engine::GroupHandler,
                           public std::enable_shared_from_this<Communicator> {
  public:
    // Returns once every member has answered. Throws Error(INVALID, UNREACHABLE, AUTH, MISMATCH).
    static std::shared_ptr<Communicator> create(std::shared_ptr<engine::Context> context,
                                                std::uint64_t group, std::int32_t rank,
                                                std::vector<engine::Address> members,
                                                CommunicatorOptions options);
    ~Communicator();

    std::int32_t rank() const noexcept { return rank_; }
    std::int32_t size() const noexcept { return static_cast<std::int32_t>(members_.size()); }
    const std::string& name() const noexcept { return options_.name; }
    std::optional<planner::Strategy> plan() const noexcept { return options_.plan; }
    engine::Context& context() const noexcept { return *context_; }
    const std::shared_ptr<engine::Context>& shared_context() const noexcept { return context_; }
    std::uint64_t epoch() const noexcept { return group_; }

    // Checks the arguments (throws Error(INVALID, UNSUPPORTED)), then starts. Fails at once with
    // the group's error if it has one.
    std::shared_ptr<engine::Operation> start(Arguments arguments, const OperationOptions& options);
    // start and wait in one, without allocation for tiny data. Throws the operation's error.
    void run(const Arguments& arguments, const OperationOptions& options);

    std::shared_ptr<engine::Operation> send(const void* data, std::size_t length, std::int32_t to,
                                            std::uint32_t tag, const OperationOptions& options);
    // `from` may be WEFT_ANY_SOURCE.
    std::shared_ptr<engine::Operation> recv(void* data, std::size_t length, std::int32_t from,
                                            std::uint32_t tag, const OperationOptions& options);

    // Collective. nullptr for color < 0.
    std::shared_ptr<Communicator> split(std::int32_t color, std::int32_t key,
                                        CommunicatorOptions options);
    // Verifies and makes it known under its name. Throws Error(SCHEDULE).
    void register_schedule(const collectives::Schedule& schedule);
    void abort(const std::string& reason);
    // Ends the group here (operations under way fail with ABORTED). To be called by whoever made
    // it, before letting go of it.
    void close();
    // The error that ended the group, or null.
    ErrorPtr error() const;
    // Which algorithm would run, and why; what became of the switch (JSON).
    std::string explain(Collective collective, std::size_t bytes) const;

    engine::Time default_timeout() const noexcept { return options_.timeout; }
    engine::Time innet_silence() const noexcept { return options_.innet_silence; }
    engine::Time innet_pause() const noexcept { return options_.innet_pause; }

    // ---- locked ----
    engine::Peer& peer(std::int32_t rank) const noexcept {
        return *peers_[static_cast<std::size_t>(rank)];
    }
    bool is_open(std::int32_t rank) const noexcept;
    std::int32_t rank_of(datapath::PeerId id) const noexcept;  // WEFT_NO_RANK: not a member
    // Ends the group: all operations fail with `error`; `tell`: and so do those of the other
    // members.
    void fail(const ErrorPtr& error, bool tell);
    const ErrorPtr& failure() const noexcept { return failure_; }
    ScratchPool& scratch() noexcept { return scratch_; }
    PointToPoint& point_to_point() noexcept { return p2p_; }
    void enter(GroupOperation& operation) { running_.push_back(&operation); }
    void leave(GroupOperation& operation) { std::erase(running_, &operation); }

    // engine::GroupHandler
    void message_unmatched(engine::Peer& peer, const datapath::Tag& tag, std::uint64_t signature,
                           std::size_t size) override;
    void peer_failed(engine::Peer& peer, const ErrorPtr& error) override;

  private:
    friend class Establish;

    Communicator(std::shared_ptr<engine::Context> context, std::uint64_t group, std::int32_t rank,
                 std::vector<engine::Address> members, CommunicatorOptions options);
    engine::Time deadline(engine::Time timeout) const;
    std::shared_ptr<engine::Operation> message(Message::Direction direction, std::byte* data,
                                               std::size_t length, std::int32_t rank,
                                               std::uint32_t tag, const OperationOptions& options);
    // Whether an aggregation switch sums it; the same on all ranks. Throws Error(INVALID).
    bool by_switch(const Arguments& arguments, const OperationOptions& options) const;
    bool fits_flat(const Arguments& arguments, const OperationOptions& options) const noexcept;
    collectives::Tuner::Choice choose(const Arguments& arguments,
                                      const OperationOptions& options) const;
    void join_switch(engine::Time deadline);
    void begin_aggregation(const InnetController& controller, std::vector<InnetPlace> places,
                           InnetSocket socket, const OperationOptions& patience);
    void learn_switch_cost(const OperationOptions& patience);
    template <typename Value>
    void tell_all(Value& value, const OperationOptions& patience);
    void ask_for_switch();
    std::string switch_state(bool& on) const;
    void make_tuner(std::int32_t processors, engine::Time deadline);
    void complete(const std::shared_ptr<GroupOperation>& operation);

    struct Notice;  // an incoming message that another member's group failed

    const std::shared_ptr<engine::Context> context_;
    const std::uint64_t group_;
    const std::int32_t rank_;
    const std::vector<engine::Address> members_;
    CommunicatorOptions options_;

    std::vector<engine::Peer*> peers_;  // [rank]; null for ourselves
    std::unique_ptr<const collectives::Tuner> tuner_;
    PlanCache plans_;
    PointToPoint p2p_;
    ScratchPool scratch_;
    std::unique_ptr<FlatBoard> flat_;           // null: not all members are on this host
    std::unique_ptr<Aggregation> aggregation_;  // null: no switch
    std::string innet_refusal_;                 // why there never will be one
    std::vector<GroupOperation*> running_;
    std::vector<std::unique_ptr<Notice>> notices_;
    ErrorPtr failure_;
    std::mutex order_;            // of the two below
    std::uint32_t sequence_ = 0;  // of the next collective
    std::uint64_t history_ = 0;   // hash of the signatures so far
    std::uint32_t splits_ = 0;
    bool closed_ = false;
};

}  // namespace weft::communicator
