// Send, receive and receive-from-anybody inside a group. Messages with equal tag between two ranks match in order.
//
// Receive-from-anybody: channels know only receives from one peer, so the group keeps what came unmatched per tag, oldest
// first, and the receives that take from anybody; whichever comes second is matched by posting an ordinary receive to that peer's channel.
#pragma once

#include <deque>
#include <memory>

#include "communicator/group_operation.h"
#include "datapath/channel.h"

namespace weft::communicator {

// Tag::message of a point-to-point message; collectives leave the bit clear.
constexpr std::uint64_t kPointToPointBit = std::uint64_t{1} << 63;

class Message;

class PointToPoint {
  public:
    // All locked.
    void unmatched(std::int32_t from, std::uint32_t tag);
    // A receive from `from` is about to be posted: it takes the oldest such message.
    void claim(std::int32_t from, std::uint32_t tag);
    // The sender of the oldest unmatched message with this tag, claimed; or WEFT_NO_RANK, and `receive` waits in line.
    std::int32_t claim_or_wait(std::uint32_t tag, Message& receive);
    void stop_waiting(Message& receive);

  private:
    struct Arrived {
        std::int32_t from;
        std::uint32_t tag;
    };
    std::deque<Arrived> arrived_;
    std::deque<Message*> waiting_;
};

// One send or receive.
class Message final : public GroupOperation, datapath::TransferObserver {
  public:
    enum class Direction : std::uint8_t { kSend, kReceive };
    Message(std::shared_ptr<Communicator> group, engine::Time deadline, Direction direction, std::byte* data, std::size_t length,
            std::int32_t rank, std::uint32_t tag, std::int32_t priority);

    std::string describe() const override;
    void fail(const ErrorPtr& error) override;
    bool cancellable() const noexcept override { return true; }
    std::uint32_t tag() const noexcept { return tag_; }
    // The message for this receive-from-anybody has come.
    void receive_from(std::int32_t from);

  private:
    void start(engine::Engine& engine) override;
    std::vector<std::int32_t> waiting_for() const override;
    void transfer_done(datapath::Transfer& transfer) noexcept override;
    void post();

    const Direction direction_;
    std::int32_t rank_;  // the other end; WEFT_ANY_SOURCE until it is known
    const std::uint32_t tag_;
    datapath::Transfer transfer_;
    bool posted_ = false;
};

}  // namespace weft::communicator
