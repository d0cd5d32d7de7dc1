// Send, receive and receive-from-anybody inside a group. Messages with equal tag between two ranks
// match in the order in which they were sent: datapaths may deliver them in another, so both ends
// count them, and the number is part of the message's tag.
//
// Receive-from-anybody: channels know only receives from one peer, so the group keeps what came
// unmatched, oldest first, and the receives that take from anybody; whichever comes second is
// matched by posting an ordinary receive to that peer's channel.
#pragma once

#include <deque>
#include <map>
#include <memory>

#include "communicator/group_operation.h"
#include "datapath/channel.h"

namespace weft::communicator {

// Tag::message of a point-to-point message: this bit (collectives leave it clear), 31 bits of
// number, 32 of the user's tag.
constexpr std::uint64_t kPointToPointBit = std::uint64_t{1} << 63;

class Message;

class PointToPoint {
  public:
    // All locked. Numbers wrap after 2^31 messages, of which only the few under way can meet.
    std::uint64_t number_send(std::int32_t to, std::uint32_t tag);
    std::uint64_t number_receive(std::int32_t from, std::uint32_t tag);
    // The receive was called off; if it was the latest, its number is free again.
    void take_back_receive(std::int32_t from, std::uint64_t message);

    void unmatched(std::int32_t from, std::uint64_t message);
    // Waits for anybody; calls receive.receive_from() as soon as a message with its tag is there.
    void receive_from_anybody(Message& receive);
    void stop_waiting(Message& receive);

  private:
    struct Stream {
        std::uint32_t sent = 0;
        std::uint32_t received = 0;
    };
    struct Arrived {
        std::int32_t from;
        std::uint64_t message;
    };
    Stream& stream(std::int32_t rank, std::uint32_t tag) { return streams_[{rank, tag}]; }
    void serve(std::uint32_t tag);

    std::map<std::pair<std::int32_t, std::uint32_t>, Stream> streams_;
    std::deque<Arrived> arrived_;
    std::deque<Message*> waiting_;
};

// One send or receive.
class Message final : public GroupOperation, datapath::TransferObserver {
  public:
    enum class Direction : std::uint8_t { kSend, kReceive };
    Message(std::shared_ptr<Communicator> group, engine::Time deadline, Direction direction,
            std::byte* data, std::size_t length, std::int32_t rank, std::uint32_t tag,
            std::int32_t priority);

    std::string describe() const override;
    void fail(const ErrorPtr& error) override;
    bool cancellable() const noexcept override { return true; }
    std::uint32_t tag() const noexcept { return tag_; }
    // The message for this receive-from-anybody has come.
    void receive_from(std::int32_t from, std::uint64_t message);

  private:
    void start(engine::Engine& engine) override;
    std::vector<std::int32_t> waiting_for() const override;
    void transfer_done(datapath::Transfer& transfer) noexcept override;
    void post(std::uint64_t message);

    const Direction direction_;
    std::int32_t rank_;  // the other end; WEFT_ANY_SOURCE until it is known
    const std::uint32_t tag_;
    datapath::Transfer transfer_;
    bool posted_ = false;
};

}  // namespace weft::communicator
