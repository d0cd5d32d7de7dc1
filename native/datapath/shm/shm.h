// Shared-memory datapath: edges between processes of one host.
//
//  - Nothing has a name in a file system: memory is sealed memfds, handed over an abstract Unix
//  socket together with the proof
//    that both ends know the group's key. Whatever way a process ends, nothing of it stays behind.
//  - Small messages are copied through a ring, large ones are read straight out of the sender's
//  memory (cross-memory attach)
//    where the kernel permits it, or streamed through a second ring where not (edge.h, ring.h,
//    pull.h).
//  - The socket stays open: its end is how the death of a peer is noticed at once. A peer that is
//  merely stopped is found by its
//    heartbeat, while somebody waits for it (liveness.h).
//  - Whatever a peer writes is read once and checked; nonsense fails the edge with a typed error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "datapath/channel.h"

namespace weft::datapath {

struct ShmOptions {
    // How messages beyond the eager limit travel. kStream: through the ring, both sides copying.
    // kPull: read out of the sender's memory by process_vm_readv (where the kernel permits it:
    // tried out at each handshake). kAdaptive: pulled while the sender sleeps, else streamed.
    enum class Large : std::uint8_t { kAdaptive, kPull, kStream };
    Large large = Large::kAdaptive;
    // Messages up to this many bytes go through the ring (0..kMaxEagerLimit), longer ones by
    // rendezvous.
    std::size_t eager_limit = 16384;
    // Per edge: bytes of unmatched messages kept on the heap before the peer is told to send by
    // rendezvous only.
    std::size_t unmatched_bytes = 4u << 20;
    // Address space for boards; memory is only taken for boards that are allocated.
    std::size_t board_bytes = 256u << 20;
};

namespace shm {

constexpr std::size_t kMaxEagerLimit = 32768;

class ProcessSegment;
class Core;

// A piece of this process's segment that same-host peers can read (and only read) while it is held:
// zeroed, 64-byte aligned. May outlive the datapath. Board memory is ordinary shared memory:
// whoever uses it publishes with atomics.
class Board {
  public:
    Board() = default;
    Board(std::shared_ptr<ProcessSegment> segment, std::size_t offset, std::size_t size) noexcept;
    Board(Board&& other) noexcept;
    Board& operator=(Board&& other) noexcept;
    ~Board();  // gives the piece back; peers must no longer read it

    explicit operator bool() const noexcept { return segment_ != nullptr; }
    std::byte* data() const noexcept;
    std::size_t size() const noexcept { return size_; }
    // What peers pass to peer_memory().
    std::uint64_t offset() const noexcept { return offset_; }

  private:
    std::shared_ptr<ProcessSegment> segment_;
    std::size_t offset_ = 0;
    std::size_t size_ = 0;
};

}  // namespace shm

// Calls (of channels too) may be made from inside callbacks, including the destruction of a
// channel; only the datapath itself must not be destroyed there. Channels may outlive the datapath:
// they are then closed.
//
// A channel whose peer closed in order ends in State::kClosed instead of kFailed; its owner hears
// channel_failed with WEFT_ERR_PEER_DEAD all the same, since nothing can be sent any more. An
// accepted channel is open when it is handed to Acceptor::accepted; its owner hears no
// channel_open.
//
// A send that its peer refuses (forget_group there) or whose receive was cancelled in mid-transfer
// fails with WEFT_ERR_ABORTED, if it was a rendezvous; a message through the ring has been done
// long before. The same error ends a receive whose message the sender cancelled when its bytes were
// already flowing: the destination is then undefined.
class ShmDatapath final : public Datapath {
  public:
    // Throws Error: INVALID (an option out of range), RESOURCES (no shared memory, no descriptors),
    // SYSTEM.
    ShmDatapath(const Identity& identity, Acceptor& acceptor, const ShmOptions& options = {});
    ~ShmDatapath() override;
    ShmDatapath(const ShmDatapath&) = delete;
    ShmDatapath& operator=(const ShmDatapath&) = delete;

    std::string_view name() const noexcept override { return "shm"; }
    std::string address() const override;
    bool reaches(std::string_view peer_address) const override;
    // The part of an address that is equal for processes that can share memory.
    static std::string host_of(std::string_view address);
    std::unique_ptr<Channel> connect(PeerId peer, std::string_view peer_address,
                                     ChannelOwner& owner, Time deadline) override;
    bool progress(Time now) override;
    Time next_wakeup() const noexcept override;
    bool arm() override;
    void disarm() override;
    std::vector<int> wait_fds() const override;
    void abandon() noexcept override;

    // Counters of the whole datapath as one JSON object (handshakes refused by reason, boards,
    // doorbells rung, ...).
    std::string stats_json() const override;

    // Throws Error RESOURCES when the board space or the machine's shared memory is used up.
    shm::Board allocate_board(std::size_t bytes);

    // `bytes` bytes at `offset` of the segment of a peer to which an edge is open, readable for as
    // long as the pointer is held (also after the peer died). Null: no open edge to this peer, or
    // the range is not inside its segment.
    std::shared_ptr<const std::byte> peer_memory(PeerId peer, std::uint64_t offset,
                                                 std::size_t bytes) const;

    // Rings the peer's doorbell if it sleeps: to be called after publishing something on a board
    // that it may sleep on. A driver that waits for boards looks at them once more after arm().
    // About 20 ns when the peer is awake; no-op for unknown peers.
    void nudge(PeerId peer) noexcept;

  private:
    std::shared_ptr<shm::Core> core_;
};

}  // namespace weft::datapath
