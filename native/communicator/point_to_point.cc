#include "communicator/point_to_point.h"

#include <algorithm>

#include "communicator/communicator.h"
#include "communicator/signature.h"

namespace weft::communicator {

namespace {

std::uint64_t message_of(std::uint32_t number, std::uint32_t tag) {
    return kPointToPointBit | std::uint64_t{number & 0x7fffffff} << 32 | tag;
}

std::uint32_t tag_of(std::uint64_t message) {
    return static_cast<std::uint32_t>(message);
}

}  // namespace

std::uint64_t PointToPoint::number_send(std::int32_t to, std::uint32_t tag) {
    return message_of(stream(to, tag).sent++, tag);
}

std::uint64_t PointToPoint::number_receive(std::int32_t from, std::uint32_t tag) {
    const std::uint64_t message = message_of(stream(from, tag).received++, tag);
    std::erase_if(arrived_,
                  [&](const Arrived& a) { return a.from == from && a.message == message; });
    return message;
}

void PointToPoint::take_back_receive(std::int32_t from, std::uint64_t message) {
    Stream& stream = this->stream(from, tag_of(message));
    if (message == message_of(stream.received - 1, tag_of(message))) {
        --stream.received;
    }
}

void PointToPoint::unmatched(std::int32_t from, std::uint64_t message) {
    arrived_.push_back({from, message});
    serve(tag_of(message));
}

void PointToPoint::receive_from_anybody(Message& receive) {
    waiting_.push_back(&receive);
    serve(receive.tag());
}

void PointToPoint::serve(std::uint32_t tag) {
    const auto receive = std::find_if(waiting_.begin(), waiting_.end(),
                                      [&](const Message* m) { return m->tag() == tag; });
    const auto next = std::find_if(arrived_.begin(), arrived_.end(), [&](const Arrived& a) {
        return tag_of(a.message) == tag &&
               a.message == message_of(stream(a.from, tag).received, tag);
    });
    if (receive == waiting_.end() || next == arrived_.end()) {
        return;
    }
    Message& chosen = **receive;
    const std::int32_t from = next->from;
    waiting_.erase(receive);
    chosen.receive_from(from, number_receive(from, tag));
    serve(tag);
}

void PointToPoint::stop_waiting(Message& receive) {
    std::erase(waiting_, &receive);
}

// ---------------------------------------------------------------- one message

Message::Message(std::shared_ptr<Communicator> group, engine::Time deadline, Direction direction,
                 std::byte* data, std::size_t length, std::int32_t rank, std::uint32_t tag,
                 std::int32_t priority)
    : GroupOperation(std::move(group), deadline), direction_(direction), rank_(rank), tag_(tag) {
    transfer_.signature = kPointToPointSignature;
    transfer_.data = data;
    transfer_.size = length;
    transfer_.priority = priority;
    transfer_.observer = this;
}

std::string Message::describe() const {
    const std::string bytes =
        "(" + std::to_string(transfer_.size) + " bytes, tag " + std::to_string(tag_) + ")";
    if (direction_ == Direction::kSend) {
        return "send" + bytes + " to rank " + std::to_string(rank_);
    }
    return "recv" + bytes + " from " +
           (rank_ == WEFT_ANY_SOURCE ? "any rank" : "rank " + std::to_string(rank_));
}

void Message::start(engine::Engine&) {
    enter();
    if (finished()) {
        return;
    }
    PointToPoint& p2p = group().point_to_point();
    if (direction_ == Direction::kSend) {
        post(p2p.number_send(rank_, tag_));
    } else if (rank_ == WEFT_ANY_SOURCE) {
        p2p.receive_from_anybody(*this);
    } else {
        post(p2p.number_receive(rank_, tag_));
    }
}

void Message::receive_from(std::int32_t from, std::uint64_t message) {
    rank_ = from;
    post(message);
}

void Message::post(std::uint64_t message) {
    transfer_.tag = {.group = group().epoch(), .message = message};
    datapath::Channel& channel = group().peer(rank_).channel();
    posted_ = true;
    channel.watch(true);
    if (direction_ == Direction::kSend) {
        channel.send(transfer_);
    } else {
        channel.recv(transfer_);
    }
}

void Message::transfer_done(datapath::Transfer& transfer) noexcept {
    group().peer(rank_).channel().watch(false);
    source_ = rank_;
    if (transfer.state == datapath::Transfer::State::kFailed) {
        leave(explain(transfer, rank_));
    } else {
        leave(nullptr);
    }
}

void Message::fail(const ErrorPtr& error) {
    if (posted_) {
        datapath::Channel& channel = group().peer(rank_).channel();
        channel.cancel(transfer_);
        channel.watch(false);
        if (direction_ == Direction::kReceive) {
            group().point_to_point().take_back_receive(rank_, transfer_.tag.message);
        }
    } else {
        group().point_to_point().stop_waiting(*this);
    }
    leave(error);
}

std::vector<std::int32_t> Message::waiting_for() const {
    return rank_ == WEFT_ANY_SOURCE ? std::vector<std::int32_t>{} : std::vector{rank_};
}

}  // namespace weft::communicator
