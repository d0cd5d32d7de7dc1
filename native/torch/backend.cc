#include "torch/backend.h"

#include <algorithm>

#include "torch/rendezvous.h"
#include "torch/staging.h"

namespace weft::torch_backend {

Backend::Backend(c10::intrusive_ptr<c10d::Store> store, int rank, int size,
                 c10::intrusive_ptr<GroupOptions> options)
    : c10d::Backend(rank, size),
      store_(std::move(store)),
      options_(std::move(options)),
      group_(rendezvous(*store_, rank, size, *options_)),
      last_failure_(std::make_shared<std::atomic<int>>(WEFT_OK)),
      on_failure_(
          std::make_shared<const FailureListener>([failure = last_failure_](weft_status status) {
              failure->store(status, std::memory_order_relaxed);
          })) {
    init();
}

Backend::~Backend() {
    if (staging_ != nullptr && staging_->inherited()) {
        static_cast<void>(staging_.release());  // its thread stayed in the parent
    }
}

const std::shared_ptr<Group>& Backend::group() const {
    TORCH_CHECK_WITH(DistBackendError, group_ != nullptr, "weft: group \"", options_->group_name,
                     "\" has been shut down (WEFT_ERR_STATE)");
    return group_;
}

Backend::WorkPtr Backend::submit(Call call) {
    return issue(std::move(call), true);
}

Backend::WorkPtr Backend::issue(Call call, bool collective) {
    WorkContext context{group(),
                        call.timeout == c10d::kUnsetTimeout ? options_->timeout : call.timeout,
                        collective ? ++sequence_ : sequence_, on_failure_};
    call.async = call.async || coalescing_.has_value();  // inside startCoalescing nobody waits yet
    WorkPtr work;
    if (call.device.is_cpu()) {
        work = HostWork::start(std::move(call), std::move(context));
    } else {
        if (staging_ == nullptr || staging_->device() != call.device) {
            staging_ = std::make_unique<StagingLane>(group(), call.device);
        }
        work = staging_->submit(std::move(call), std::move(context), collective);
    }
    if (coalescing_.has_value()) {
        coalescing_->push_back(work);
    }
    return work;
}

// Operations between start and end are issued as they are called, without waiting for one another;
// the end returns one work for all of them.
void Backend::startCoalescing() {
    TORCH_CHECK(!coalescing_.has_value(), "weft: coalescing of group \"", options_->group_name,
                "\" was started twice");
    coalescing_.emplace();
}

Backend::WorkPtr Backend::endCoalescing() {
    TORCH_CHECK(coalescing_.has_value(), "weft: coalescing of group \"", options_->group_name,
                "\" was never started");
    auto works = std::move(*coalescing_);
    coalescing_.reset();
    return c10::make_intrusive<CoalescedWork>(rank_, std::move(works));
}

void Backend::setTimeout(std::chrono::milliseconds timeout) {
    options_->timeout = timeout;
}

c10d::ErrorType Backend::getError() {
    switch (last_failure_->load(std::memory_order_relaxed)) {
        case WEFT_OK:
            return c10d::ErrorType::SUCCESS;
        case WEFT_ERR_TIMEOUT:
            return c10d::ErrorType::TIMEOUT;
        case WEFT_ERR_PEER_DEAD:
        case WEFT_ERR_UNREACHABLE:
        case WEFT_ERR_AUTH:
            return c10d::ErrorType::REMOTE_ERROR;
        default:
            return c10d::ErrorType::COMM_ERROR;
    }
}

void Backend::abort() {
    if (group_ != nullptr) {
        group_->abort("abort() was called on rank " + std::to_string(rank_));
    }
}

// The communicator itself goes when the last work on it does.
void Backend::shutdown() {
    staging_.reset();
    group_.reset();
}

// Torch hands on what the user gave, an Options of its own making, or nothing.
c10::intrusive_ptr<GroupOptions> Backend::options_for(
    const c10::intrusive_ptr<c10d::Backend::Options>& given) const {
    const auto* own = dynamic_cast<const GroupOptions*>(given.get());
    auto options = c10::make_intrusive<GroupOptions>(own != nullptr ? *own : *options_);
    if (given != nullptr) {
        options->timeout = given->timeout;
        options->group_name = given->group_name.empty() ? options_->group_name : given->group_name;
        options->group_desc = given->group_desc;
        options->global_ranks_in_group = given->global_ranks_in_group;
    }
    return options;
}

c10::intrusive_ptr<c10d::Backend> Backend::split(
    const c10::intrusive_ptr<c10d::Store>& store, const std::vector<int>& ranks,
    const c10::intrusive_ptr<c10d::Backend::Options>& options) {
    const auto own = std::find(ranks.begin(), ranks.end(), rank_);
    if (own == ranks.end()) {
        return nullptr;
    }
    return c10::make_intrusive<Backend>(store, static_cast<int>(own - ranks.begin()),
                                        static_cast<int>(ranks.size()), options_for(options));
}

c10::intrusive_ptr<c10d::Backend> Backend::merge(
    const c10::intrusive_ptr<c10d::Store>& store,
    const c10::intrusive_ptr<c10d::Backend::Options>& options, const int& rank, const int& size) {
    return c10::make_intrusive<Backend>(store, rank, size, options_for(options));
}

// Collective over the ranks that stay. Flag 1 is torch's SHRINK_ABORT: what still runs on this
// group is ended first.
c10::intrusive_ptr<c10d::Backend> Backend::shrink(
    const std::vector<int64_t>& ranks_to_exclude, int shrink_flags,
    const c10::intrusive_ptr<c10d::Backend::Options>& options) {
    if ((shrink_flags & 1) != 0) {
        abort();
    }
    const auto leaves = [&](int64_t rank) {
        return std::find(ranks_to_exclude.begin(), ranks_to_exclude.end(), rank) !=
               ranks_to_exclude.end();
    };
    TORCH_CHECK_VALUE(!leaves(rank_), "weft: rank ", rank_,
                      " is to leave the group and must not call shrink");
    std::vector<int> stay;
    for (int rank = 0; rank < size_; ++rank) {
        if (!leaves(rank)) {
            stay.push_back(rank);
        }
    }
    auto store =
        c10::make_intrusive<c10d::PrefixStore>("weft/shrink/" + std::to_string(++shrinks_), store_);
    return split(store, stay, options);
}

}  // namespace weft::torch_backend
