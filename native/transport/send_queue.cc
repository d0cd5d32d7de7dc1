#include "transport/send_queue.h"

#include <algorithm>
#include <bit>

namespace weft::transport {

void SendQueue::open(std::uint32_t chunk_size, std::uint64_t eager_window,
                     std::uint64_t eager_limit) {
    chunk_size_ = chunk_size;
    eager_credit_ = eager_window;
    eager_limit_ = eager_limit;
}

std::uint32_t SendQueue::add(const SendRequest& request) {
    OutgoingMessage message;
    message.id = next_id_++;
    message.request = request;
    const std::uint32_t slot = messages_.insert(message);
    append(slot);
    return slot;
}

std::uint64_t SendQueue::permitted(const OutgoingMessage& message) const {
    const std::uint64_t left = message.request.size - message.next_offset;
    if (message.granted) {
        return left;
    }
    if (message.request.wait_for_grant || message.next_offset >= eager_limit_) {
        return 0;
    }
    const std::uint64_t bytes =
        std::min({left, eager_limit_ - message.next_offset, eager_credit_ - eager_sent_});
    // Whole chunks only: a dribble of tiny ones would cost more than it brings (the silly window
    // syndrome of RFC 813), and receivers that reduce rely on chunk boundaries between elements.
    return bytes == left ? left : bytes / chunk_size_ * chunk_size_;
}

bool SendQueue::next(Portion& portion) {
    if (chunk_size_ == 0) {
        return false;
    }
    while (occupied_ != 0) {
        const auto level = static_cast<std::size_t>(std::bit_width(occupied_)) - 1;
        const std::uint32_t slot = ready_[level].first;
        const OutgoingMessage& message = messages_.at(slot);
        const std::uint64_t bytes = permitted(message);
        if (bytes > 0 || message.request.size == 0) {
            const bool whole = bytes == message.request.size - message.next_offset;
            portion.slot = slot;
            portion.bytes = bytes;
            portion.flags = message.granted ? std::uint8_t{0} : wire::kFlagEager;
            if (!whole) {
                portion.flags |= wire::kFlagWantsGrant;
            }
            return true;
        }
        if (!message.asked) {
            portion = {slot, 0, wire::kFlagWantsGrant};
            return true;
        }
        remove(slot);  // grant() puts it back
    }
    return false;
}

void SendQueue::take(const Portion& portion, std::uint32_t bytes) {
    OutgoingMessage& message = messages_.at(portion.slot);
    message.started = true;
    message.next_offset += bytes;
    backlog_ -= bytes;
    if ((portion.flags & wire::kFlagEager) != 0) {
        eager_sent_ += bytes;
    }
    if ((portion.flags & wire::kFlagWantsGrant) != 0) {
        message.asked = true;
    }
    if (message.next_offset == message.request.size) {
        remove(portion.slot);
    }
}

void SendQueue::grant(std::uint32_t slot) {
    OutgoingMessage& message = messages_.at(slot);
    message.granted = true;
    if (!message.ready && !message.cancelled && !message.sent_whole()) {
        append(slot);
    }
}

void SendQueue::cancel(std::uint32_t slot) {
    messages_.at(slot).cancelled = true;
    if (messages_.at(slot).ready) {
        remove(slot);
    }
}

void SendQueue::erase(std::uint32_t slot) {
    messages_.erase(slot);
}

void SendQueue::append(std::uint32_t slot) {
    OutgoingMessage& message = messages_.at(slot);
    List& list = ready_[message.request.priority];
    message.ready = true;
    backlog_ += message.request.size - message.next_offset;
    message.previous = list.last;
    message.next = OutgoingMessage::kNil;
    (list.last == OutgoingMessage::kNil ? list.first : messages_.at(list.last).next) = slot;
    list.last = slot;
    occupied_ |= 1u << message.request.priority;
}

void SendQueue::remove(std::uint32_t slot) {
    OutgoingMessage& message = messages_.at(slot);
    List& list = ready_[message.request.priority];
    message.ready = false;
    backlog_ -= message.request.size - message.next_offset;
    const auto kNil = OutgoingMessage::kNil;
    (message.previous == kNil ? list.first : messages_.at(message.previous).next) = message.next;
    (message.next == kNil ? list.last : messages_.at(message.next).previous) = message.previous;
    if (list.first == kNil) {
        occupied_ &= ~(1u << message.request.priority);
    }
}

}  // namespace weft::transport
