// Tiny collectives between processes of one host, through boards: every rank publishes its
// contribution on its own board, which all the others can read; then everybody takes what it needs
// from all boards, in rank order. One cache line travels per pair, there is no message, no
// descriptor and no schedule to interpret: that is what makes 8 bytes cost a few hundred
// nanoseconds.
//
// A board has two slots, used in turn by the group's flat operations, which are numbered and run
// one after the other. The slot of operation s may be overwritten by s + 2 once all readers have
// departed from s; a rank that has seen everybody arrive at s + 1 knows that without looking,
// otherwise it looks at their departure words.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <vector>

#include "collectives/reduce/reduce.h"
#include "communicator/arguments.h"
#include "communicator/group_operation.h"
#include "datapath/shm/shm.h"
#include "engine/engine.h"

namespace weft::communicator {

class FlatRun;

// What one operation has still to do. A plain value: blocking calls keep it on their stack.
struct FlatState {
    const Arguments* arguments = nullptr;
    std::uint64_t sequence = 0;
    std::uint64_t signature = 0;
    std::uint64_t history = 0;
    bool published = false;
    std::int32_t next = 0;  // ranks below have been seen
};

class FlatBoard final : public engine::Poller {
  public:
    static constexpr std::size_t kCapacity = 32768;  // bytes of one contribution

    FlatBoard(Communicator& group, datapath::ShmDatapath& shm);
    ~FlatBoard();

    std::uint64_t offset() const noexcept { return board_.offset(); }
    std::size_t bytes() const noexcept { return board_.size(); }
    // False: not readable, the group must do without boards.
    bool attach(std::int32_t rank, datapath::PeerId peer, std::uint64_t offset,
                std::uint64_t bytes);

    // Whether this call can go over boards.
    static bool fits(const Arguments& arguments, std::int32_t size) noexcept;

    // All locked. Nothing under way: a blocking call may begin at once, without queueing.
    bool idle() const noexcept { return queue_.empty() && !foreground_; }
    FlatState begin_foreground(const Arguments& arguments) noexcept;
    void end_foreground() noexcept { foreground_ = false; }
    // Does what can be done; true when the operation is over, well or (error set) badly.
    bool advance(FlatState& state, ErrorPtr& error);
    void enqueue(FlatRun& run);
    void withdraw(FlatRun& run);
    // The first rank that has not arrived, or WEFT_NO_RANK.
    std::int32_t waits_for(const FlatState& state) const noexcept;

    bool poll() override;

  private:
    struct alignas(64) Slot {
        std::atomic<std::uint64_t> sequence;
        std::uint64_t signature;
        std::uint64_t
            history;  // hash of this and all earlier signatures: who only wrote finds out, too
        std::uint64_t size;
        std::byte data[kCapacity + 32];  // small data shares the header's cache line
    };
    struct alignas(64) Memory {
        std::atomic<std::uint64_t> departed;
        Slot slots[2];
    };

    const Slot& slot(std::int32_t rank, std::uint64_t sequence) const noexcept {
        return boards_[static_cast<std::size_t>(rank)]->slots[sequence & 1];
    }
    FlatState next_state(const Arguments& arguments) noexcept;
    bool may_publish(std::uint64_t sequence) noexcept;
    void publish(const FlatState& state) noexcept;
    bool arrived(FlatState& state, std::int32_t rank, ErrorPtr& error) const;
    void consume(const FlatState& state) noexcept;
    void fold(const Arguments& arguments, std::size_t offset, std::size_t count,
              std::uint64_t sequence) noexcept;

    Communicator& group_;
    datapath::ShmDatapath& shm_;
    datapath::shm::Board board_;
    std::vector<const Memory*> boards_;                     // [rank]
    std::vector<std::shared_ptr<const std::byte>> mapped_;  // keeps them readable
    std::vector<datapath::PeerId> peers_;
    std::uint64_t history_ = 0;
    std::uint64_t sequence_ = 0;        // of the last operation begun
    std::uint64_t departed_floor_ = 0;  // everybody has departed from this and all earlier ones
    std::deque<FlatRun*> queue_;        // the first is under way, unless a blocking call is
    bool foreground_ = false;
};

// A flat operation that somebody may wait for later.
class FlatRun final : public GroupOperation {
  public:
    // `state`: already begun by a blocking call that ran out of patience, or new (sequence 0).
    FlatRun(std::shared_ptr<Communicator> group, FlatBoard& board, engine::Time deadline,
            Arguments arguments, FlatState state);
    std::string describe() const override;
    void fail(const ErrorPtr& error) override;

  private:
    friend class FlatBoard;
    void start(engine::Engine& engine) override;
    void expire() override;
    std::vector<std::int32_t> waiting_for() const override;
    void watch(bool on) noexcept;

    FlatBoard& board_;
    const Arguments arguments_;
    FlatState state_;
};

}  // namespace weft::communicator
