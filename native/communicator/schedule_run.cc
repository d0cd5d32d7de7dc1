#include "communicator/schedule_run.h"

#include <algorithm>
#include <cstring>
#include <functional>

#include "communicator/communicator.h"
#include "communicator/signature.h"

namespace weft::communicator {
namespace {

using collectives::Buffer;
using collectives::Layout;
using collectives::Plan;
using collectives::Slice;
using collectives::Step;
using collectives::StepKind;
using datapath::Transfer;

constexpr engine::Time kGrace = 500 * engine::kMillisecond;

}  // namespace

KernelReducer::KernelReducer(Collective collective, weft_reduction op, weft_dtype dtype)
    : combine_(collectives::is_reducing(collective) ? collectives::combine_function(op, dtype)
                                                    : nullptr),
      element_(weft_dtype_size(dtype)) {}

void KernelReducer::combine(std::byte* acc, const std::byte* incoming,
                            std::size_t bytes) const noexcept {
    combine_into(acc, acc, incoming, bytes);
}

void KernelReducer::combine_into(std::byte* out, const std::byte* a, const std::byte* b,
                                 std::size_t bytes) const noexcept {
    if (bytes > 0) {  // a barrier "reduces" nothing, with no function
        combine_(out, a, b, bytes / element_);
    }
}

ScheduleRun::ScheduleRun(std::shared_ptr<Communicator> group, engine::Time deadline,
                         std::shared_ptr<const Plan> plan, Arguments arguments,
                         std::uint32_t sequence, std::uint64_t signature, std::int32_t priority)
    : GroupOperation(std::move(group), deadline),
      plan_(std::move(plan)),
      arguments_(std::move(arguments)),
      sequence_(sequence),
      signature_(signature),
      element_(weft_dtype_size(arguments_.dtype)),
      layout_(make_layout()),
      reducer_(arguments_.collective, arguments_.op, arguments_.dtype),
      waiting_(plan_->dependencies),
      transfers_(plan_->steps.size()),
      ready_(plan_->ready),
      remaining_(plan_->steps.size()) {
    for (Transfer& transfer : transfers_) {
        transfer.priority = priority;
    }
    std::reverse(ready_.begin(), ready_.end());  // taken from the back, in program order
}

ScheduleRun::~ScheduleRun() = default;

std::string ScheduleRun::describe() const {
    return describe_signature(signature_) + " #" + std::to_string(sequence_);
}

Layout ScheduleRun::make_layout() const {
    switch (arguments_.collective) {
        case Collective::kAllGatherV:
        case Collective::kReduceScatterV:
            return Layout(*plan_, arguments_.send_counts);
        case Collective::kAllToAllV:
            return Layout(*plan_, arguments_.send_counts, arguments_.recv_counts);
        default:
            return Layout(*plan_, arguments_.count);
    }
}

void ScheduleRun::start(engine::Engine&) {
    enter();
    if (!finished()) {
        run();
    }
}

void ScheduleRun::run() {
    try {
        prepare_input();
        scratch_ = group().scratch().take(layout_.elements(Buffer::kScratch) * element_);
    } catch (const std::bad_alloc&) {
        leave(make_error(WEFT_ERR_RESOURCES,
                         describe() + ": no memory for " +
                             std::to_string(layout_.elements(Buffer::kScratch) * element_) +
                             " bytes of scratch"));
        return;
    }
    buffers_[static_cast<int>(Buffer::kOutput)] = arguments_.output;
    buffers_[static_cast<int>(Buffer::kScratch)] = scratch_.memory.get();
    watch(true);
    if (remaining_ == 0) {
        finish_output();
    } else {
        pump();
    }
}

// PREMUL_SUM scales a copy of the input; so does all_to_all in place keep what it overwrites.
void ScheduleRun::prepare_input() {
    auto& input = buffers_[static_cast<int>(Buffer::kInput)];
    input = const_cast<std::byte*>(arguments_.input);  // no step writes it: the plan was checked
    const std::size_t count = layout_.elements(Buffer::kInput);
    const bool scaled =
        arguments_.op == WEFT_PREMUL_SUM && collectives::is_reducing(arguments_.collective);
    const bool overwritten = (arguments_.collective == Collective::kAllToAll ||
                              arguments_.collective == Collective::kAllToAllV) &&
                             arguments_.input == arguments_.output;
    if (count == 0 || !(scaled || overwritten)) {
        return;
    }
    input_copy_ = group().scratch().take(count * element_);
    if (scaled) {
        collectives::scale_function(arguments_.dtype)(input_copy_.memory.get(), input,
                                                      arguments_.scale, count);
    } else {
        std::memcpy(input_copy_.memory.get(), input, count * element_);
    }
    input = input_copy_.memory.get();
}

std::byte* ScheduleRun::address(Slice slice, std::size_t& bytes) const noexcept {
    const collectives::Extent extent = layout_.extent(slice);
    bytes = extent.length * element_;
    std::byte* base = buffers_[static_cast<int>(slice.buffer)];
    return base == nullptr ? nullptr : base + extent.offset * element_;
}

void ScheduleRun::pump() {
    pumping_ = true;
    while (!ready_.empty() && !broken_) {
        const std::uint32_t step = ready_.back();
        ready_.pop_back();
        issue(step);
    }
    pumping_ = false;
    if (broken_) {
        // One broken transfer breaks the collective for everybody: the group ends, and we with it.
        const auto keep = shared_from_this();
        group().fail(broken_, true);
    } else if (remaining_ == 0) {
        finish_output();
    }
}

void ScheduleRun::issue(std::uint32_t index) {
    const Step& step = plan_->steps[index];
    if (step.kind == StepKind::kCopy || step.kind == StepKind::kReduce) {
        std::size_t bytes = 0;
        const std::byte* source = address(step.source, bytes);
        std::byte* target = address(step.target, bytes);
        if (bytes == 0) {
            // Nothing to move; a barrier, all of whose chunks are empty, has no kernel either.
        } else if (step.kind == StepKind::kReduce) {
            reducer_.combine(target, source, bytes);
        } else if (target != source && !fuse(index)) {
            std::memcpy(target, source, bytes);
        }
        complete(index);
        return;
    }
    Transfer& transfer = transfers_[index];
    transfer.tag = {.group = group().epoch(),
                    .message = message_number(sequence_, step.lane, plan_->messages[index])};
    transfer.signature = signature_;
    transfer.observer = this;
    transfer.data =
        address(step.kind == StepKind::kSend ? step.source : step.target, transfer.size);
    transfer.reducer = step.kind == StepKind::kRecvReduce ? &reducer_ : nullptr;
    if (const auto fused = fused_.find(index); fused != fused_.end()) {
        transfer.reducer = &fused->second;
    }
    datapath::Channel& channel = group().peer(step.peer).channel();
    if (step.kind == StepKind::kSend) {
        if (group().plan() && channel.paths() > 1) {
            plan_paths(index);
            transfer.shares = shares_[index];
        }
        channel.send(transfer);
    } else {
        channel.recv(transfer);
    }
}

// Plans the paths of a send together with all others that are ready now, once for each: those are
// the flows of one step, whose sizes are known before any of them leaves (Ethereal's batch, arXiv
// 2407.00550). Paths with the same number are taken for the same way out, as they are when every
// edge's paths are dealt out over the same network devices.
void ScheduleRun::plan_paths(std::uint32_t index) {
    if (shares_.contains(index)) return;
    const std::uint16_t paths = group().peer(plan_->steps[index].peer).channel().paths();
    std::vector<std::uint32_t> steps{index};
    for (auto other = ready_.rbegin(); other != ready_.rend(); ++other) {
        const Step& step = plan_->steps[*other];
        if (step.kind == StepKind::kSend && !shares_.contains(*other) &&
            group().peer(step.peer).channel().paths() == paths) {
            steps.push_back(*other);
        }
    }
    std::vector<std::uint64_t> sizes;
    for (const std::uint32_t step : steps) {
        std::size_t bytes = 0;
        address(plan_->steps[step].source, bytes);
        sizes.push_back(bytes);
    }
    constexpr std::uint64_t kLeastPiece = 64 << 10;  // one burst: less is not worth a decision
    const std::vector<std::uint64_t> weights(paths, 1);
    const bool equal = std::ranges::adjacent_find(sizes, std::not_equal_to<>()) == sizes.end();
    const planner::Strategy strategy = *group().plan() == planner::Strategy::kEthereal && !equal
                                           ? planner::Strategy::kWrapAround
                                           : *group().plan();
    const planner::Plan made = planner::plan(
        strategy, {sizes, weights, kLeastPiece, 1, static_cast<std::uint32_t>(group().rank())});
    for (const planner::Piece& piece : made.pieces) {
        shares_[steps[piece.flow]].push_back(
            {static_cast<transport::PathId>(piece.path), piece.size});
    }
}

// A copy whose one successor receives and reduces into just what it would have written need not
// happen: the receive takes the copy's source as its first operand. (One successor: whoever else
// touches the destination waits for that receive. The source is the input, which no step writes.)
bool ScheduleRun::fuse(std::uint32_t copy) {
    const Step& step = plan_->steps[copy];
    const auto successors = plan_->successors_of(copy);
    if (step.source.buffer != Buffer::kInput || successors.size() != 1) {
        return false;
    }
    const Step& next = plan_->steps[successors[0]];
    if (next.kind != StepKind::kRecvReduce || next.target != step.target) {
        return false;
    }
    std::size_t bytes = 0;
    const std::ptrdiff_t distance = address(step.source, bytes) - address(step.target, bytes);
    fused_.emplace(successors[0], FusedReducer(reducer_, distance));
    return true;
}

void ScheduleRun::transfer_done(Transfer& transfer) noexcept {
    const auto index = static_cast<std::uint32_t>(&transfer - transfers_.data());
    const std::int32_t peer = plan_->steps[index].peer;
    if (transfer.state == Transfer::State::kFailed) {
        // A peer that refuses our message or left in order has ended the operation for a reason,
        // which it tells the group: an error that says more than ours would is about to arrive.
        const bool left = transfer.error->status == WEFT_ERR_PEER_DEAD &&
                          group().peer(peer).channel().state() != datapath::Channel::State::kFailed;
        const bool refused = transfer.error->status == WEFT_ERR_ABORTED ||
                             (transfer.error->status == WEFT_ERR_MISMATCH &&
                              plan_->steps[index].kind == StepKind::kSend);
        if (left || refused) {
            deserted_ = explain(transfer, peer);
            hurry(engine::clock_now() + kGrace);
            return;
        }
        broken_ = explain(transfer, peer);
    } else {
        complete(index);
    }
    if (!pumping_) {
        pump();
    }
}

void ScheduleRun::complete(std::uint32_t step) {
    --remaining_;
    for (std::uint32_t successor : plan_->successors_of(step)) {
        if (--waiting_[successor] == 0) {
            ready_.push_back(successor);
        }
    }
}

void ScheduleRun::finish_sums() noexcept {
    const std::size_t count = layout_.elements(Buffer::kOutput);
    const bool has_output =
        !collectives::is_rooted(arguments_.collective) || arguments_.root == group().rank();
    if (arguments_.op == WEFT_AVG && collectives::is_reducing(arguments_.collective) &&
        has_output && count > 0) {
        collectives::divide_function(arguments_.dtype)(
            arguments_.output, arguments_.output, static_cast<std::size_t>(group().size()), count);
    }
}

void ScheduleRun::finish_output() noexcept {
    finish_sums();
    watch(false);
    group().scratch().give_back(std::move(scratch_));
    group().scratch().give_back(std::move(input_copy_));
    leave(nullptr);
}

void ScheduleRun::fail(const ErrorPtr& error) {
    for (std::size_t i = 0; i < transfers_.size(); ++i) {
        if (transfers_[i].state == Transfer::State::kPending) {
            group().peer(plan_->steps[i].peer).channel().cancel(transfers_[i]);
        }
    }
    watch(false);
    leave(error);
}

// After a collective that some ranks finished and others did not, nothing in the group can be
// trusted.
void ScheduleRun::expire() {
    group().fail(timeout_error(), true);
}

ErrorPtr ScheduleRun::timeout_error() const {
    return deserted_ ? deserted_ : GroupOperation::timeout_error();
}

void ScheduleRun::watch(bool on) noexcept {
    for (std::int32_t peer : plan_->peers) {
        group().peer(peer).channel().watch(on);
    }
}

std::vector<std::int32_t> ScheduleRun::waiting_for() const {
    std::vector<std::int32_t> ranks;
    for (std::size_t i = 0; i < transfers_.size(); ++i) {
        if (transfers_[i].state == Transfer::State::kPending) {
            ranks.push_back(plan_->steps[i].peer);
        }
    }
    std::sort(ranks.begin(), ranks.end());
    ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
    return ranks;
}

}  // namespace weft::communicator
