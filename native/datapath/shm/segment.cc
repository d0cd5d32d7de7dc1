#include "datapath/shm/segment.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "datapath/shm/shm.h"

namespace weft::datapath::shm {
namespace {

constexpr std::uint64_t kMagic = 0x31676573'74666577;  // "weftseg1"

constexpr std::size_t round_up(std::size_t bytes) {
    return (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
}

std::size_t checked_size(int fd) {
    const std::size_t size = sealed_size(fd);
    if (size < kBoardsBegin) {
        throw Error(WEFT_ERR_AUTH,
                    "the peer's shared segment is no sealed memfd of at least 4096 bytes");
    }
    return size;
}

}  // namespace

ProcessSegment::ProcessSegment(PeerId self, std::size_t board_bytes)
    : fd_(create_memory("weft-segment", kBoardsBegin + round_up(board_bytes))),
      mapping_(fd_.get(), kBoardsBegin + round_up(board_bytes), Access::kReadWrite) {
    reserve_memory(fd_.get(), 0, kBoardsBegin, "the process's segment header");
    seal_memory(fd_.get(), true);
    header().magic = kMagic;
    header().peer = self;
    if (board_bytes > 0) {
        free_[kBoardsBegin] = round_up(board_bytes);
    }
}

std::size_t ProcessSegment::allocate_board(std::size_t bytes) {
    const std::size_t size = round_up(std::max<std::size_t>(bytes, 1));
    const auto hole = std::find_if(free_.begin(), free_.end(),
                                   [&](const auto& range) { return range.second >= size; });
    if (hole == free_.end()) {
        throw Error(
            WEFT_ERR_RESOURCES,
            "no room for a board of " + std::to_string(bytes) +
                " bytes: " + std::to_string(in_use_) +
                " bytes are in use by others; release communicators that are no longer needed");
    }
    const auto [offset, room] = *hole;
    reserve_memory(fd_.get(), offset, size, "a board of the flat collectives");
    free_.erase(hole);
    if (room > size) {
        free_[offset + size] = room - size;
    }
    in_use_ += size;
    std::memset(at(offset), 0, size);
    return offset;
}

void ProcessSegment::release_board(std::size_t offset, std::size_t bytes) noexcept {
    std::size_t size = round_up(std::max<std::size_t>(bytes, 1));
    in_use_ -= size;
    const auto after = free_.lower_bound(offset);
    if (after != free_.end() && offset + size == after->first) {
        size += after->second;
        free_.erase(after);
    }
    const auto next = free_.lower_bound(offset);
    if (next != free_.begin()) {
        const auto before = std::prev(next);
        if (before->first + before->second == offset) {
            before->second += size;
            return;
        }
    }
    free_[offset] = size;
}

PeerSegment::PeerSegment(int fd, PeerId peer) : mapping_(fd, checked_size(fd), Access::kReadOnly) {
    if (header().magic != kMagic || header().peer != peer) {
        throw Error(WEFT_ERR_AUTH,
                    "the shared segment that came with the handshake is not the peer's", peer);
    }
}

const std::byte* PeerSegment::at(std::uint64_t offset, std::size_t bytes) const noexcept {
    const bool inside =
        offset >= kBoardsBegin && offset <= mapping_.size() && bytes <= mapping_.size() - offset;
    return inside ? mapping_.data() + offset : nullptr;
}

Board::Board(std::shared_ptr<ProcessSegment> segment, std::size_t offset, std::size_t size) noexcept
    : segment_(std::move(segment)), offset_(offset), size_(size) {}

Board::Board(Board&& other) noexcept
    : segment_(std::move(other.segment_)), offset_(other.offset_), size_(other.size_) {}

Board& Board::operator=(Board&& other) noexcept {
    std::swap(segment_, other.segment_);
    std::swap(offset_, other.offset_);
    std::swap(size_, other.size_);
    return *this;
}

Board::~Board() {
    if (segment_) {
        segment_->release_board(offset_, size_);
    }
}

std::byte* Board::data() const noexcept {
    return segment_ ? segment_->at(offset_) : nullptr;
}

}  // namespace weft::datapath::shm
