#include "fabric/event_queue.h"

namespace weft::fabric {

EventQueue::EventQueue() {
    current_.reserve(256);
}

void EventQueue::push_far(Time time, std::uint32_t payload) {
    if (time < far_end_) {
        const std::size_t mask = (std::size_t{1} << kFarBits) - 1;
        add(far_, static_cast<std::size_t>(time >> kTurnBits) & mask, time, payload);
    } else {
        beyond_.push({time, payload, beyond_order_++});
    }
}

template <int kBits>
std::uint32_t EventQueue::take(Wheel<kBits>& wheel, std::size_t slot) {
    const std::uint32_t head = wheel.heads[slot];
    wheel.heads[slot] = kNil;
    wheel.occupied[slot / 64] &= ~(std::uint64_t{1} << (slot % 64));
    return head;
}

// Copies a slot's stack out, in order of insertion, and sorts it by time.
void EventQueue::activate(std::size_t slot) {
    current_.clear();
    cursor_ = 0;
    std::uint32_t order = 0;
    for (std::uint32_t node = take(near_, slot); node != kNil;) {
        const Node& at = nodes_[node];
        current_.push_back({at.time, at.payload, --order});
        const std::uint32_t next = at.next;
        nodes_[node].next = free_;
        free_ = node;
        node = next;
    }
    const auto earlier = [](const Event& a, const Event& b) {
        return a.time != b.time ? a.time < b.time : a.order < b.order;
    };
    if (current_.size() > 1) std::sort(current_.begin(), current_.end(), earlier);
    const Time turn_start = turn_end_ - (Time{1} << kTurnBits);
    slot_end_ = turn_start + (static_cast<Time>(slot + 1) << kSlotBits);
}

bool EventQueue::advance(Time limit) {
    if (size_ == 0) return false;
    for (;;) {
        const Time turn_start = turn_end_ - (Time{1} << kTurnBits);
        const std::size_t from =
            static_cast<std::size_t>(std::max(slot_end_, turn_start) - turn_start) >> kSlotBits;
        const std::size_t slot = near_.next(from);
        if (slot < std::size_t{1} << kNearBits) {
            if (turn_start + (static_cast<Time>(slot) << kSlotBits) > limit) return false;
            activate(slot);
            return true;
        }
        if (!next_turn(limit)) return false;
    }
}

// The near wheel is empty: brings the next occupied slot of the far wheel into it, or, when that is
// empty too, the next turn of the far wheel out of the heap.
bool EventQueue::next_turn(Time limit) {
    const Time far_start = far_end_ - (Time{1} << kFarTurnBits);
    const std::size_t from = static_cast<std::size_t>(turn_end_ - far_start) >> kTurnBits;
    const std::size_t slot = far_.next(from);
    if (slot < std::size_t{1} << kFarBits) {
        const Time start = far_start + (static_cast<Time>(slot) << kTurnBits);
        if (start > limit) return false;
        turn_end_ = start + (Time{1} << kTurnBits);
        slot_end_ = start;
        // The stack gives the last first; the near slots are stacks too, so turn it round once.
        std::uint32_t reversed = kNil;
        for (std::uint32_t node = take(far_, slot); node != kNil;) {
            const std::uint32_t next = nodes_[node].next;
            nodes_[node].next = reversed;
            reversed = node;
            node = next;
        }
        while (reversed != kNil) {
            const Node node = nodes_[reversed];
            nodes_[reversed].next = free_;
            free_ = reversed;
            add(near_, slot_of(node.time), node.time, node.payload);
            reversed = node.next;
        }
        return true;
    }
    if (beyond_.empty() || beyond_.top().time > limit) return false;
    const Time start = beyond_.top().time >> kFarTurnBits << kFarTurnBits;
    far_end_ = start + (Time{1} << kFarTurnBits);
    turn_end_ = start + (Time{1} << kTurnBits);
    slot_end_ = start;
    while (!beyond_.empty() && beyond_.top().time < far_end_) {
        const Event event = beyond_.top();
        beyond_.pop();
        if (event.time < turn_end_) {
            add(near_, slot_of(event.time), event.time, event.payload);
        } else {
            push_far(event.time, event.payload);
        }
    }
    return true;
}

Time EventQueue::next_time() {
    if (cursor_ == current_.size() && !advance(kNever - 1)) return kNever;
    return current_[cursor_].time;
}

}  // namespace weft::fabric
