#include "communicator/point_to_point.h"

#include <algorithm>

#include "communicator/communicator.h"
#include "communicator/signature.h"

namespace weft::communicator {

void PointToPoint::unmatched(std::int32_t from, std::uint32_t tag) {
    const auto it = std::find_if(waiting_.begin(), waiting_.end(), [&](const Message* m) { return m->tag() == tag; });
    if (it == waiting_.end()) {
        arrived_.push_back({from, tag});
        return;
    }
    Message& receive = **it;
    waiting_.erase(it);
    receive.receive_from(from);
}

void PointToPoint::claim(std::int32_t from, std::uint32_t tag) {
    const auto it =
        std::find_if(arrived_.begin(), arrived_.end(), [&](const Arrived& a) { return a.from == from && a.tag == tag; });
    if (it != arrived_.end()) {
        arrived_.erase(it);
    }
}

std::int32_t PointToPoint::claim_or_wait(std::uint32_t tag, Message& receive) {
    const auto it = std::find_if(arrived_.begin(), arrived_.end(), [&](const Arrived& a) { return a.tag == tag; });
    if (it == arrived_.end()) {
        waiting_.push_back(&receive);
        return WEFT_NO_RANK;
    }
    const std::int32_t from = it->from;
    arrived_.erase(it);
    return from;
}

void PointToPoint::stop_waiting(Message& receive) {
    std::erase(waiting_, &receive);
}

// ---------------------------------------------------------------- one message

Message::Message(std::shared_ptr<Communicator> group, engine::Time deadline, Direction direction, std::byte* data, std::size_t length,
                 std::int32_t rank, std::uint32_t tag, std::int32_t priority)
    : GroupOperation(std::move(group), deadline), direction_(direction), rank_(rank), tag_(tag) {
    transfer_.tag = {.group = this->group().epoch(), .message = kPointToPointBit | tag};
    transfer_.signature = kPointToPointSignature;
    transfer_.data = data;
    transfer_.size = length;
    transfer_.priority = priority;
    transfer_.observer = this;
}

std::string Message::describe() const {
    const std::string bytes = "(" + std::to_string(transfer_.size) + " bytes, tag " + std::to_string(tag_) + ")";
    if (direction_ == Direction::kSend) {
        return "send" + bytes + " to rank " + std::to_string(rank_);
    }
    return "recv" + bytes + " from " + (rank_ == WEFT_ANY_SOURCE ? "any rank" : "rank " + std::to_string(rank_));
}

void Message::start(engine::Engine&) {
    enter();
    if (finished()) {
        return;
    }
    if (direction_ == Direction::kReceive) {
        if (rank_ == WEFT_ANY_SOURCE) {
            if (const std::int32_t from = group().point_to_point().claim_or_wait(tag_, *this); from != WEFT_NO_RANK) {
                rank_ = from;
                post();
            }
            return;
        }
        group().point_to_point().claim(rank_, tag_);
    }
    post();
}

void Message::receive_from(std::int32_t from) {
    rank_ = from;
    post();
}

void Message::post() {
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
    } else {
        group().point_to_point().stop_waiting(*this);
    }
    leave(error);
}

std::vector<std::int32_t> Message::waiting_for() const {
    return rank_ == WEFT_ANY_SOURCE ? std::vector<std::int32_t>{} : std::vector{rank_};
}

}  // namespace weft::communicator
