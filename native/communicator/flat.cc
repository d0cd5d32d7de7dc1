#include "communicator/flat.h"

#include <algorithm>
#include <cstring>

#include "communicator/communicator.h"
#include "communicator/signature.h"

namespace weft::communicator {
namespace {

bool everybody_reads(Collective collective) noexcept {
    switch (collective) {
        case Collective::kAllReduce:
        case Collective::kAllGather:
        case Collective::kReduceScatter:
        case Collective::kAllToAll:
        case Collective::kBarrier:
            return true;
        default:
            return false;
    }
}

// Elements that a rank publishes.
std::size_t contribution(const Arguments& a, std::int32_t size) noexcept {
    switch (a.collective) {
        case Collective::kReduceScatter:
        case Collective::kAllToAll:
        case Collective::kScatter:
            return a.count * static_cast<std::size_t>(size);
        case Collective::kBarrier:
            return 0;
        default:
            return a.count;
    }
}

bool root_sends(Collective collective) noexcept {
    return collective == Collective::kBroadcast || collective == Collective::kScatter;
}

}  // namespace

FlatBoard::FlatBoard(Communicator& group, datapath::ShmDatapath& shm)
    : group_(group), shm_(shm), board_(shm.allocate_board(sizeof(Memory))) {
    const auto size = static_cast<std::size_t>(group.size());
    boards_.resize(size);
    mapped_.resize(size);
    peers_.resize(size);
    boards_[static_cast<std::size_t>(group.rank())] =
        reinterpret_cast<const Memory*>(board_.data());
}

FlatBoard::~FlatBoard() {
    group_.context().engine().remove_poller(*this);
}

bool FlatBoard::attach(std::int32_t rank, datapath::PeerId peer, std::uint64_t offset,
                       std::uint64_t bytes) {
    const auto index = static_cast<std::size_t>(rank);
    if (bytes < sizeof(Memory)) {
        return false;
    }
    mapped_[index] = shm_.peer_memory(peer, offset, sizeof(Memory));
    boards_[index] = reinterpret_cast<const Memory*>(mapped_[index].get());
    peers_[index] = peer;
    return mapped_[index] != nullptr;
}

bool FlatBoard::fits(const Arguments& a, std::int32_t size) noexcept {
    switch (a.collective) {
        case Collective::kAllGatherV:
        case Collective::kReduceScatterV:
        case Collective::kAllToAllV:
            return false;
        default:
            // Compare without overflow: counts come from users.
            return a.count <= kCapacity &&
                   contribution(a, size) * weft_dtype_size(a.dtype) <= kCapacity;
    }
}

FlatState FlatBoard::next_state(const Arguments& arguments) noexcept {
    const std::uint64_t signature = make_signature(arguments);
    history_ = (history_ ^ signature) * 1099511628211u;  // FNV-1a
    return {.arguments = &arguments,
            .sequence = ++sequence_,
            .signature = signature,
            .history = history_};
}

FlatState FlatBoard::begin_foreground(const Arguments& arguments) noexcept {
    foreground_ = true;
    return next_state(arguments);
}

bool FlatBoard::may_publish(std::uint64_t sequence) noexcept {
    if (departed_floor_ + 2 >= sequence) {
        return true;
    }
    std::uint64_t floor = sequence;
    for (const Memory* board : boards_) {
        floor = std::min(floor, board->departed.load(std::memory_order_acquire));
    }
    departed_floor_ = std::max(departed_floor_, floor);
    return departed_floor_ + 2 >= sequence;
}

void FlatBoard::publish(const FlatState& state) noexcept {
    const Arguments& a = *state.arguments;
    auto* memory = reinterpret_cast<Memory*>(board_.data());
    Slot& slot = memory->slots[state.sequence & 1];
    const std::size_t count = contribution(a, group_.size());
    const bool contributes = !root_sends(a.collective) || a.root == group_.rank();
    const std::size_t bytes = contributes ? count * weft_dtype_size(a.dtype) : 0;
    slot.signature = state.signature;
    slot.history = state.history;
    slot.size = bytes;
    if (a.op == WEFT_PREMUL_SUM && collectives::is_reducing(a.collective)) {
        collectives::scale_function(a.dtype)(slot.data, a.input, a.scale, count);
    } else if (bytes > 0) {
        std::memcpy(slot.data, a.input, bytes);
    }
    slot.sequence.store(state.sequence, std::memory_order_release);
    for (datapath::PeerId peer : peers_) {
        if (peer != 0) {
            shm_.nudge(peer);
        }
    }
}

bool FlatBoard::arrived(FlatState& state, std::int32_t rank, ErrorPtr& error) const {
    const Slot& theirs = slot(rank, state.sequence);
    if (theirs.sequence.load(std::memory_order_acquire) != state.sequence) {
        return false;
    }
    if (theirs.signature != state.signature || theirs.history != state.history) {
        ErrorInfo info{WEFT_ERR_MISMATCH, "", peers_[static_cast<std::size_t>(rank)], rank};
        info.message = "the ranks of group \"" + group_.name() + "\" do not agree: rank " +
                       std::to_string(group_.rank()) + " called " +
                       describe_signature(state.signature) + ", rank " + std::to_string(rank) +
                       " called " + describe_signature(theirs.signature);
        if (theirs.signature == state.signature) {
            info.message += "; an earlier call differed between them, perhaps in its root";
        }
        error = std::make_shared<const ErrorInfo>(std::move(info));
    }
    return true;
}

std::int32_t FlatBoard::waits_for(const FlatState& state) const noexcept {
    return state.next < group_.size() ? state.next : WEFT_NO_RANK;
}

bool FlatBoard::advance(FlatState& state, ErrorPtr& error) {
    const Arguments& a = *state.arguments;
    if (!state.published) {
        if (!may_publish(state.sequence)) {
            return false;
        }
        publish(state);
        state.published = true;
    }
    if (everybody_reads(a.collective) || (!root_sends(a.collective) && a.root == group_.rank())) {
        for (; state.next < group_.size(); ++state.next) {
            if (!arrived(state, state.next, error)) {
                return false;
            }
            if (error) {
                return true;
            }
        }
    } else if (root_sends(a.collective) && a.root != group_.rank()) {
        state.next = a.root;
        if (!arrived(state, a.root, error)) {
            return false;
        }
        if (error) {
            return true;
        }
    }
    state.next = group_.size();
    consume(state);
    reinterpret_cast<Memory*>(board_.data())
        ->departed.store(state.sequence, std::memory_order_release);
    if (everybody_reads(a.collective)) {
        departed_floor_ = std::max(departed_floor_, state.sequence - 1);
    }
    return true;
}

// out = c0 op c1 op c2 ..., in rank order on every rank: bit-identical everywhere. The own
// contribution too is read from the board, since the output may lie on the input.
void FlatBoard::fold(const Arguments& a, std::size_t offset, std::size_t count,
                     std::uint64_t sequence) noexcept {
    const collectives::CombineFunction combine = collectives::combine_function(a.op, a.dtype);
    const std::size_t at = offset * weft_dtype_size(a.dtype);
    const std::byte* accumulated = slot(0, sequence).data + at;
    for (std::int32_t rank = 1; rank < group_.size(); ++rank) {
        combine(a.output, accumulated, slot(rank, sequence).data + at, count);
        accumulated = a.output;
    }
    if (a.op == WEFT_AVG) {
        collectives::divide_function(a.dtype)(a.output, a.output,
                                              static_cast<std::size_t>(group_.size()), count);
    }
}

void FlatBoard::consume(const FlatState& state) noexcept {
    const Arguments& a = *state.arguments;
    const std::size_t block = a.count * weft_dtype_size(a.dtype);
    const auto me = static_cast<std::size_t>(group_.rank());
    const auto copy = [&](std::byte* to, std::int32_t rank, std::size_t from_block) {
        if (block > 0) {
            std::memcpy(to, slot(rank, state.sequence).data + from_block * block, block);
        }
    };
    switch (a.collective) {
        case Collective::kAllReduce:
            fold(a, 0, a.count, state.sequence);
            break;
        case Collective::kReduceScatter:
            fold(a, me * a.count, a.count, state.sequence);
            break;
        case Collective::kReduce:
            if (a.root == group_.rank()) {
                fold(a, 0, a.count, state.sequence);
            }
            break;
        case Collective::kBroadcast:
            if (a.root != group_.rank() || a.input != a.output) {
                copy(a.output, a.root, 0);
            }
            break;
        case Collective::kScatter:
            copy(a.output, a.root, me);
            break;
        case Collective::kGather:
            if (a.root != group_.rank()) {
                break;
            }
            [[fallthrough]];
        case Collective::kAllGather:
            for (std::int32_t rank = 0; rank < group_.size(); ++rank) {
                copy(a.output + static_cast<std::size_t>(rank) * block, rank, 0);
            }
            break;
        case Collective::kAllToAll:
            for (std::int32_t rank = 0; rank < group_.size(); ++rank) {
                copy(a.output + static_cast<std::size_t>(rank) * block, rank, me);
            }
            break;
        default:
            break;
    }
}

// ---------------------------------------------------------------- the queue

void FlatBoard::enqueue(FlatRun& run) {
    if (queue_.empty()) {
        group_.context().engine().add_poller(*this);
    }
    if (run.state_.sequence != 0) {  // a blocking call that ran out of patience
        queue_.push_front(&run);
        foreground_ = false;
    } else {
        queue_.push_back(&run);
    }
    poll();
}

void FlatBoard::withdraw(FlatRun& run) {
    std::erase(queue_, &run);
    if (queue_.empty()) {
        group_.context().engine().remove_poller(*this);
    }
}

bool FlatBoard::poll() {
    bool moved = false;
    while (!queue_.empty() && !foreground_) {
        FlatRun& run = *queue_.front();
        if (run.state_.sequence == 0) {
            run.state_ = next_state(run.arguments_);
        }
        ErrorPtr error;
        if (!advance(run.state_, error)) {
            return moved;
        }
        moved = true;
        if (error) {
            group_.fail(error, true);  // ends all runs, this one included
            return true;
        }
        withdraw(run);
        run.watch(false);
        run.leave(nullptr);
    }
    return moved;
}

// ---------------------------------------------------------------- one run

FlatRun::FlatRun(std::shared_ptr<Communicator> group, FlatBoard& board, engine::Time deadline,
                 Arguments arguments, FlatState state)
    : GroupOperation(std::move(group), deadline),
      board_(board),
      arguments_(std::move(arguments)),
      state_(state) {
    state_.arguments = &arguments_;
}

std::string FlatRun::describe() const {
    return describe_signature(make_signature(arguments_));
}

void FlatRun::start(engine::Engine&) {
    enter();
    if (finished()) {
        return;
    }
    watch(true);
    board_.enqueue(*this);
}

void FlatRun::watch(bool on) noexcept {
    for (std::int32_t rank = 0; rank < group().size(); ++rank) {
        if (rank != group().rank()) {
            group().peer(rank).channel().watch(on);
        }
    }
}

void FlatRun::fail(const ErrorPtr& error) {
    board_.withdraw(*this);
    watch(false);
    leave(error);
}

void FlatRun::expire() {
    group().fail(timeout_error(), true);
}

std::vector<std::int32_t> FlatRun::waiting_for() const {
    const std::int32_t rank = board_.waits_for(state_);
    return rank == WEFT_NO_RANK || rank == group().rank() ? std::vector<std::int32_t>{}
                                                          : std::vector{rank};
}

}  // namespace weft::communicator
