#include "fabric/event_queue.h"

namespace weft::fabric {

EventQueue::EventQueue() {
    current_.reserve(256);
}

void EventQueue::push_far(Time time, std::uint32_t payload) {
    if (time < far_end_) {
        add(far_, far_slot(time), time, payload);
    } else {
        beyond_.push({{time, payload}, beyond_order_++});
    }
}

template <int kBits>
std::uint32_t EventQueue::take(Wheel<kBits>& wheel, std::size_t slot) {
    const std::uint32_t head = wheel.heads[slot];
    wheel.heads[slot] = kNil;
    wheel.occupied[slot / 64] &= ~(std::uint64_t{1} << (slot % 64));
    return head;
}

// Copies a slot's events out and sorts them. The blocks come youngest first, the events within a
// block oldest first, so the orders count down by blocks and up within them.
void EventQueue::activate(std::size_t slot) {
    current_.clear();
    cursor_ = 0;
    slot_start_ = turn_end_ - kTurn + (static_cast<Time>(slot) << kSlotBits);
    std::uint64_t order = (std::uint64_t{1} << kOrderBits) - 1;
    for (std::uint32_t index = take(near_, slot); index != kNil;) {
        Block& block = blocks_[index];
        order -= block.count;
        for (std::uint32_t i = 0; i < block.count; ++i) {
            const auto offset = static_cast<std::uint64_t>(block.events[i].time - slot_start_);
            current_.push_back(offset << kTimeShift | (order + i) << 32 | block.events[i].payload);
        }
        const std::uint32_t next = block.next;
        block.next = free_;
        free_ = index;
        index = next;
    }
    std::sort(current_.begin(), current_.end());
}

bool EventQueue::advance(Time limit) {
    if (size_ == 0) return false;
    for (;;) {
        const Time turn_start = turn_end_ - kTurn;
        const Time from = std::max(slot_start_ + kSlotWidth, turn_start) - turn_start;
        const std::size_t slot = near_.next(static_cast<std::size_t>(from) >> kSlotBits);
        if (slot < Wheel<kNearBits>::kSlots) {
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
    const Time far_start = far_end_ - kFarTurn;
    const std::size_t slot =
        far_.next(static_cast<std::size_t>(turn_end_ - far_start) >> kTurnBits);
    if (slot < Wheel<kFarBits>::kSlots) {
        const Time start = far_start + (static_cast<Time>(slot) << kTurnBits);
        if (start > limit) return false;
        turn_end_ = start + kTurn;
        slot_start_ = start - kSlotWidth;
        std::uint32_t oldest_first = kNil;
        for (std::uint32_t index = take(far_, slot); index != kNil;) {
            const std::uint32_t next = blocks_[index].next;
            blocks_[index].next = oldest_first;
            oldest_first = index;
            index = next;
        }
        while (oldest_first != kNil) {
            const Block block = blocks_[oldest_first];
            blocks_[oldest_first].next = free_;
            free_ = oldest_first;
            for (std::uint32_t i = 0; i < block.count; ++i) {
                add(near_, near_slot(block.events[i].time), block.events[i].time,
                    block.events[i].payload);
            }
            oldest_first = block.next;
        }
        return true;
    }
    if (beyond_.empty() || beyond_.top().event.time > limit) return false;
    const Time start = beyond_.top().event.time >> kFarTurnBits << kFarTurnBits;
    far_end_ = start + kFarTurn;
    turn_end_ = start + kTurn;
    slot_start_ = start - kSlotWidth;
    while (!beyond_.empty() && beyond_.top().event.time < far_end_) {
        const Event event = beyond_.top().event;
        beyond_.pop();
        if (event.time < turn_end_) {
            add(near_, near_slot(event.time), event.time, event.payload);
        } else {
            push_far(event.time, event.payload);
        }
    }
    return true;
}

Time EventQueue::earliest(std::uint32_t block) const {
    Time time = kNever;
    for (; block != kNil; block = blocks_[block].next) {
        for (std::uint32_t i = 0; i < blocks_[block].count; ++i)
            time = std::min(time, blocks_[block].events[i].time);
    }
    return time;
}

Time EventQueue::next_time() const {
    if (cursor_ < current_.size())
        return slot_start_ + static_cast<Time>(current_[cursor_] >> kTimeShift);
    const Time turn_start = turn_end_ - kTurn;
    const Time from = std::max(slot_start_ + kSlotWidth, turn_start) - turn_start;
    const std::size_t near = near_.next(static_cast<std::size_t>(from) >> kSlotBits);
    if (near < Wheel<kNearBits>::kSlots) return earliest(near_.heads[near]);
    const std::size_t far =
        far_.next(static_cast<std::size_t>(turn_end_ - (far_end_ - kFarTurn)) >> kTurnBits);
    if (far < Wheel<kFarBits>::kSlots) return earliest(far_.heads[far]);
    return beyond_.empty() ? kNever : beyond_.top().event.time;
}

}  // namespace weft::fabric
