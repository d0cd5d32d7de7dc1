// Memory that the devices may touch: registrations, shared and kept.
//
// To register is to pin pages and to teach the device their places; it costs tens of microseconds a
// megabyte, so that a registration that is in use serves every other transfer within its range.
// What is in use by nobody is kept only up to `idle_limit` bytes, by default none: the device goes
// on using the pages that were there at registration, so that memory which is unmapped and mapped
// anew at the same address would silently be another's. Whoever knows that buffers stay (arenas,
// pinned pools) sets a limit, and calls forget() for what goes after all.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "datapath/edge/message_edge.h"
#include "datapath/verbs/provider.h"

namespace weft::datapath::verbs {

// One range, registered with every device.
class Registration final : public Attachment {
  public:
    std::uint32_t local_key(std::size_t device) const { return memory_[device]->local_key(); }
    std::uint32_t remote_key(std::size_t device) const { return memory_[device]->remote_key(); }
    std::size_t devices() const noexcept { return memory_.size(); }

  private:
    friend class Registry;
    std::uintptr_t begin_ = 0, end_ = 0;
    bool remote_write_ = false;
    bool pinned_ = false;  // stays until forget()
    std::vector<std::unique_ptr<Memory>> memory_;
};

class Registry {
  public:
    struct Counters {
        std::uint64_t hits = 0, misses = 0, evictions = 0, refused = 0;
        std::uint64_t ranges = 0, bytes = 0, idle_bytes = 0;  // now
    };

    // The devices must outlive it.
    Registry(std::vector<Device*> devices, std::size_t idle_limit)
        : devices_(std::move(devices)), idle_limit_(idle_limit) {}

    // A registration that covers the range; null where a device refuses (the caller then copies).
    std::shared_ptr<Registration> get(const std::byte* data, std::size_t size, bool remote_write);

    // Another device's memory, for good: known as [address, + size). Throws Error(UNSUPPORTED,
    // SYSTEM).
    void add_dmabuf(int fd, std::uint64_t offset, std::byte* address, std::size_t size);

    // Memory in this range is about to go: nothing idle of it is kept. What is in use stays until
    // it is not.
    void forget(const std::byte* data, std::size_t size);

    // Somebody may go on using this one's keys: it serves no later transfer, and they end with the
    // last that uses it now. Another device's memory stays all the same.
    void withdraw(const Registration& range);

    // Lets go of what is idle beyond the limit. Call now and then.
    void trim();

    Counters counters() const;

  private:
    using Ranges = std::multimap<std::uintptr_t, std::shared_ptr<Registration>>;  // by begin

    bool idle(const std::shared_ptr<Registration>& range) const {
        return range.use_count() == 1 && !range->pinned_;
    }
    std::shared_ptr<Registration> make(std::uintptr_t begin, std::uintptr_t end, bool remote_write);

    std::vector<Device*> devices_;
    const std::size_t idle_limit_;
    Ranges ranges_;
    std::uintptr_t longest_ = 0;                     // range ever made, which bounds the search
    std::list<std::weak_ptr<Registration>> recent_;  // least recently used first
    Counters counters_;
};

}  // namespace weft::datapath::verbs
