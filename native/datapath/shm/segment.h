// What a process shows to all its same-host peers: a header (heartbeat, sleeping flag) and boards.
// Peers can only read it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "datapath/channel.h"
#include "datapath/shm/fd.h"
#include "datapath/shm/memory.h"

namespace weft::datapath::shm {

constexpr std::size_t kCacheLine = 64;

struct SegmentHeader {
    std::uint64_t magic;
    PeerId peer;
    // One line each: the flag is read by every poster, the heartbeat changes all the time.
    alignas(kCacheLine) std::atomic<std::uint32_t> sleeping;
    alignas(kCacheLine) std::atomic<std::uint64_t> heartbeat;
};

constexpr std::size_t kBoardsBegin = 4096;
static_assert(sizeof(SegmentHeader) <= kBoardsBegin);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

// Our own.
class ProcessSegment {
  public:
    // Throws Error: RESOURCES, SYSTEM.
    ProcessSegment(PeerId self, std::size_t board_bytes);

    int fd() const noexcept { return fd_.get(); }
    void close_fd() noexcept { fd_.reset(); }
    SegmentHeader& header() const noexcept {
        return *reinterpret_cast<SegmentHeader*>(mapping_.data());
    }

    // First fit. Memory once taken stays with the segment for later boards. Throws Error:
    // RESOURCES.
    std::size_t allocate_board(std::size_t bytes);
    void release_board(std::size_t offset, std::size_t bytes) noexcept;
    std::byte* at(std::size_t offset) const noexcept { return mapping_.data() + offset; }
    std::size_t boards_in_use() const noexcept { return in_use_; }

  private:
    UniqueFd fd_;
    Mapping mapping_;
    std::map<std::size_t, std::size_t> free_;  // offset -> bytes, never adjacent
    std::size_t in_use_ = 0;
};

// A peer's, mapped read-only.
class PeerSegment {
  public:
    // Throws Error AUTH (not a segment of this peer) or SYSTEM.
    PeerSegment(int fd, PeerId peer);

    const SegmentHeader& header() const noexcept {
        return *reinterpret_cast<const SegmentHeader*>(mapping_.data());
    }
    // Null unless the whole range is inside.
    const std::byte* at(std::uint64_t offset, std::size_t bytes) const noexcept;

  private:
    Mapping mapping_;
};

}  // namespace weft::datapath::shm
