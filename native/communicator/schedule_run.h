// Executes one plan on the channels of a group: a dataflow machine.
//
// Every step whose dependencies have ended is started at once; sends and receives end when their
// channel says so, copies and reductions end where they stand. Nothing is decided here: what to do
// is in the plan, how bytes move is in the channel.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <vector>

#include "collectives/reduce/reduce.h"
#include "communicator/arguments.h"
#include "communicator/group_operation.h"
#include "communicator/scratch.h"
#include "datapath/channel.h"

namespace weft::communicator {

// Combines incoming bytes with the kernel of one (reduction, data type).
class KernelReducer final : public datapath::Reducer {
  public:
    KernelReducer(Collective collective, weft_reduction op, weft_dtype dtype);
    void combine(std::byte* acc, const std::byte* incoming,
                 std::size_t bytes) const noexcept override;

    // out = a op b
    void combine_into(std::byte* out, const std::byte* a, const std::byte* b,
                      std::size_t bytes) const noexcept;

  private:
    collectives::CombineFunction combine_;
    std::size_t element_;
};

// The same for a destination that an earlier copy would have filled first: combines the copy's
// source with what comes in, so that the copy need not happen.
class FusedReducer final : public datapath::Reducer {
  public:
    FusedReducer(const KernelReducer& kernel, std::ptrdiff_t distance)
        : kernel_(&kernel), distance_(distance) {}
    void combine(std::byte* acc, const std::byte* incoming,
                 std::size_t bytes) const noexcept override {
        kernel_->combine_into(acc, acc + distance_, incoming, bytes);
    }

  private:
    const KernelReducer* kernel_;
    std::ptrdiff_t distance_;  // from the destination to the copy's source, bytes
};

// Tag::message of a collective's messages: its sequence, the lane, the position among the messages
// of that pair and lane. The sequence wraps after 2^23 operations, of which only the few under way
// can meet.
constexpr std::uint64_t message_number(std::uint32_t sequence, std::uint8_t lane,
                                       std::uint32_t message) noexcept {
    return std::uint64_t{sequence & 0x7fffff} << 40 | std::uint64_t{lane} << 32 | message;
}

class ScheduleRun : public GroupOperation, datapath::TransferObserver {
  public:
    // `sequence` numbers the group's collectives, equally on all ranks; `signature` says what they
    // are (signature.h).
    ScheduleRun(std::shared_ptr<Communicator> group, engine::Time deadline,
                std::shared_ptr<const collectives::Plan> plan, Arguments arguments,
                std::uint32_t sequence, std::uint64_t signature, std::int32_t priority);
    ~ScheduleRun() override;

    std::string describe() const override;
    void fail(const ErrorPtr& error) override;

  protected:
    void start(engine::Engine& engine) override;
    std::vector<std::int32_t> waiting_for() const override;
    // What start() does once the group knows of us.
    void run();
    // The last touch on the output (AVG divides), as on every rank.
    void finish_sums() noexcept;

    Arguments& arguments() noexcept { return arguments_; }
    std::uint32_t sequence() const noexcept { return sequence_; }
    std::uint64_t signature() const noexcept { return signature_; }

  private:
    void expire() override;
    ErrorPtr timeout_error() const override;
    void transfer_done(datapath::Transfer& transfer) noexcept override;

    void prepare_input();
    collectives::Layout make_layout() const;
    std::byte* address(collectives::Slice slice, std::size_t& bytes) const noexcept;
    void pump();
    void issue(std::uint32_t step);
    void plan_paths(std::uint32_t step);
    void complete(std::uint32_t step);
    bool fuse(std::uint32_t copy);
    void finish_output() noexcept;
    void watch(bool on) noexcept;

    const std::shared_ptr<const collectives::Plan> plan_;
    Arguments arguments_;
    const std::uint32_t sequence_;
    const std::uint64_t signature_;
    const std::size_t element_;  // bytes
    const collectives::Layout layout_;
    const KernelReducer reducer_;

    std::byte* buffers_[collectives::kBuffers] = {};
    ScratchPool::Buffer scratch_;
    ScratchPool::Buffer input_copy_;             // PREMUL_SUM, and all_to_all in place
    std::vector<std::uint32_t> waiting_;         // [step] dependencies still open
    std::vector<datapath::Transfer> transfers_;  // [step]
    std::vector<std::uint32_t> ready_;
    std::map<std::uint32_t, std::vector<transport::PathShare>> shares_;  // by step; only planned
    std::map<std::uint32_t, FusedReducer> fused_;                        // by step that receives
    std::size_t remaining_ = 0;
    bool pumping_ = false;
    ErrorPtr broken_;    // a transfer failed
    ErrorPtr deserted_;  // a peer let go of the operation; the group will soon be told why
};

}  // namespace weft::communicator
