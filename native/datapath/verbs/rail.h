// A rail: one port of one device, opened, with all that its edges share there: the completion
// queue, receive queues and their buffers, the control queue pairs, room for headers and copies.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "datapath/verbs/frame.h"
#include "datapath/verbs/provider.h"
#include "datapath/verbs/verbs.h"

namespace weft::datapath::verbs {

// Equal pieces of one registered block.
class Arena {
  public:
    static constexpr std::uint32_t kNone = 0xFFFFFFFF;

    Arena(Device& device, std::size_t piece, std::uint32_t count);

    std::uint32_t take() noexcept;  // kNone when all are out
    void give_back(std::uint32_t index) noexcept { free_.push_back(index); }
    std::byte* at(std::uint32_t index) noexcept { return bytes_.get() + index * piece_; }
    std::size_t piece() const noexcept { return piece_; }
    std::uint32_t count() const noexcept { return count_; }
    std::uint32_t key() const noexcept { return memory_->local_key(); }
    bool empty() const noexcept { return free_.empty(); }

  private:
    std::size_t piece_;
    std::uint32_t count_;
    std::unique_ptr<std::byte[]> bytes_;
    std::unique_ptr<Memory> memory_;
    std::vector<std::uint32_t> free_;
};

// Work ids: send or receive, and of receives which queue and buffer.
inline constexpr std::uint64_t kReceiveBit = std::uint64_t{1} << 63;
inline constexpr std::uint64_t kControlBit = std::uint64_t{1} << 62;

class Rail {
  public:
    Rail(std::unique_ptr<Device> device, const PortInfo& port, const GidEntry& gid,
         const VerbsOptions& options, QpKind kind);
    ~Rail();
    Rail(const Rail&) = delete;
    Rail& operator=(const Rail&) = delete;

    Device& device() noexcept { return *device_; }
    const PortInfo& port() const noexcept { return port_; }
    const GidEntry& gid() const noexcept { return gid_; }
    CompletionQueue& completions() noexcept { return *completions_; }
    std::string text() const;  // "rxe0:1 10.0.0.1"
    RailCard card() const;

    // A queue pair for data. Throws Error.
    std::unique_ptr<QueuePair> make_lane();
    Destination destination(const RailCard& remote, std::uint32_t flow_label = 0) const;
    // For datagrams of a control queue pair. Handles are kept for good: there are as many as remote
    // ports and control queue pairs. Null: there is no way to there.
    const AddressHandle* address_of(const RailCard& remote, std::size_t control);

    // What else sends control datagrams, by a way of its own. Throws Error.
    std::unique_ptr<QueuePair> make_control();
    std::unique_ptr<AddressHandle> make_address(const RailCard& remote, std::uint32_t flow_label);

    std::size_t controls() const noexcept { return controls_.size(); }
    QueuePair& control(std::size_t index) noexcept { return *controls_[index % controls_.size()]; }

    Arena& headers() noexcept { return headers_; }
    Arena& copies() noexcept { return copies_; }

    // The bytes of a completed receive.
    std::span<const std::uint8_t> received(const Completion& done) noexcept;
    // Its buffer may be used again; handed to the device in batches.
    void recycle(const Completion& done);
    void post_recycled();

    // Send work requests that the completion queue has room for.
    std::uint32_t sends_left = 0;
    bool up = true;

  private:
    struct Pool {
        std::unique_ptr<SharedReceiveQueue> queue;
        Arena buffers;
        std::vector<ReceiveWork> recycled;
    };
    Pool make_pool(std::size_t piece, std::uint32_t count);
    Pool& pool_of(std::uint64_t id) noexcept {
        return (id & kControlBit) != 0 || !data_ ? *control_ : *data_;
    }

    std::unique_ptr<Device> device_;
    const PortInfo port_;
    const GidEntry gid_;
    const QpKind kind_;
    const std::uint8_t traffic_class_, service_level_, hop_limit_;
    std::uint32_t mtu_;
    Arena headers_;
    Arena copies_;
    std::unique_ptr<CompletionQueue> completions_;
    std::unique_ptr<Pool> control_;
    std::unique_ptr<Pool> data_;  // not for ud
    std::vector<std::unique_ptr<QueuePair>> controls_;
    std::map<std::tuple<Gid, std::uint16_t, std::size_t>, std::unique_ptr<AddressHandle>>
        addresses_;
};

inline constexpr std::uint32_t kLaneSends = 128;  // outstanding on one lane
inline constexpr std::uint32_t kControlSends = 256;
inline constexpr std::uint32_t kControlKey = 0x57454654;
inline constexpr std::size_t kHeaderPiece = 1024;

// Bytes of payload in one chunk.
std::uint32_t chunk_size_for(const VerbsOptions& options, QpKind kind, std::uint32_t mtu);

}  // namespace weft::datapath::verbs
