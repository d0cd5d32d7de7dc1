#include "datapath/verbs/registry.h"

#include <algorithm>

#include "datapath/error.h"

namespace weft::datapath::verbs {
namespace {

constexpr std::uintptr_t kPage = 4096;

}  // namespace

std::shared_ptr<Registration> Registry::get(const std::byte* data, std::size_t size,
                                            bool remote_write) {
    const auto begin = reinterpret_cast<std::uintptr_t>(data);
    const std::uintptr_t end = begin + size;
    // A range that covers ours begins at or before it, by no more than the longest is long.
    auto it = ranges_.upper_bound(begin);
    while (it != ranges_.begin()) {
        --it;
        const std::shared_ptr<Registration>& range = it->second;
        if (begin - range->begin_ > longest_) {
            break;
        }
        if (range->end_ < end || (remote_write && !range->remote_write_)) {
            continue;
        }
        if (idle(range) && idle_limit_ == 0) {
            it = ranges_.erase(it);  // its memory may have been mapped anew since
            continue;
        }
        ++counters_.hits;
        std::erase_if(recent_, [&](const auto& known) { return known.lock() == it->second; });
        recent_.push_back(it->second);
        return it->second;
    }
    ++counters_.misses;
    auto made = make(begin / kPage * kPage, (end + kPage - 1) / kPage * kPage, remote_write);
    if (made == nullptr) {
        return nullptr;
    }
    ranges_.emplace(made->begin_, made);
    longest_ = std::max(longest_, made->end_ - made->begin_);
    recent_.push_back(made);
    trim();
    return made;
}

std::shared_ptr<Registration> Registry::make(std::uintptr_t begin, std::uintptr_t end,
                                             bool remote_write) {
    auto range = std::make_shared<Registration>();
    range->begin_ = begin;
    range->end_ = end;
    range->remote_write_ = remote_write;
    try {
        for (Device* device : devices_) {
            // NOLINTNEXTLINE(performance-no-int-to-ptr): page boundaries around the caller's bytes.
            range->memory_.push_back(device->register_memory(
                reinterpret_cast<const std::byte*>(begin), end - begin, remote_write));
        }
    } catch (const Error&) {
        ++counters_.refused;
        return nullptr;
    }
    return range;
}

void Registry::add_dmabuf(int fd, std::uint64_t offset, std::byte* address, std::size_t size) {
    auto range = std::make_shared<Registration>();
    range->begin_ = reinterpret_cast<std::uintptr_t>(address);
    range->end_ = range->begin_ + size;
    range->remote_write_ = range->pinned_ = true;
    for (Device* device : devices_) {
        range->memory_.push_back(device->register_dmabuf(fd, offset, size, range->begin_, true));
    }
    ranges_.emplace(range->begin_, range);
    longest_ = std::max<std::uintptr_t>(longest_, size);
}

void Registry::forget(const std::byte* data, std::size_t size) {
    const auto begin = reinterpret_cast<std::uintptr_t>(data);
    for (auto it = ranges_.begin(); it != ranges_.end();) {
        const Registration& range = *it->second;
        const bool touched = range.begin_ < begin + size && begin < range.end_;
        it = touched ? ranges_.erase(it) : std::next(it);
    }
}

void Registry::withdraw(const Registration& range) {
    if (!range.pinned_) {
        std::erase_if(ranges_, [&](const auto& entry) { return entry.second.get() == &range; });
    }
}

void Registry::trim() {
    std::size_t idle_bytes = 0;
    for (const auto& [begin, range] : ranges_) {
        idle_bytes += idle(range) ? range->end_ - range->begin_ : 0;
    }
    for (auto it = recent_.begin(); it != recent_.end() && idle_bytes > idle_limit_;) {
        const std::weak_ptr<Registration> oldest = *it;
        const auto place = std::ranges::find_if(ranges_, [&](const auto& entry) {
            return !oldest.expired() && entry.second.get() == oldest.lock().get();
        });
        if (place == ranges_.end()) {
            it = recent_.erase(it);
        } else if (idle(place->second)) {
            idle_bytes -= place->second->end_ - place->second->begin_;
            ++counters_.evictions;
            ranges_.erase(place);
            it = recent_.erase(it);
        } else {
            ++it;
        }
    }
}

Registry::Counters Registry::counters() const {
    Counters counters = counters_;
    counters.ranges = ranges_.size();
    for (const auto& [begin, range] : ranges_) {
        counters.bytes += range->end_ - range->begin_;
        counters.idle_bytes += idle(range) ? range->end_ - range->begin_ : 0;
    }
    return counters;
}

}  // namespace weft::datapath::verbs
