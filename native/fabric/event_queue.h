// The future: events in order of time; events of the same time in order of their insertion.
//
// A hierarchical timing wheel (Varghese and Lauck, SOSP'87) whose slots are sorted only when their
// time comes (the lazy sorting of ladder queues: Tang, Goh, Thng, TOMACS'05). Two wheels, then a
// heap for what lies beyond; push and pop are O(1) for all that happens within one turn. A slot is
// a chain of blocks of events, since a chain of single events would miss the cache at each.
//
// Invariants: time never runs backwards (an event earlier than the last popped one happens at its
// time); the near wheel holds exactly the events of its current turn, so that equal times leave in
// the order in which they came.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <queue>
#include <vector>

#include "fabric/time.h"

namespace weft::fabric {

struct Event {
    Time time = 0;
    std::uint32_t payload = 0;
};

class EventQueue {
  public:
    EventQueue();

    // Adds an event. `payload` is the caller's.
    void push(Time time, std::uint32_t payload) {
        ++size_;
        if (time < slot_start_ + kSlotWidth) {
            insert_current(time, payload);
        } else if (time < turn_end_) {
            add(near_, near_slot(time), time, payload);
        } else {
            push_far(time, payload);
        }
    }

    // The earliest event, if it is not later than `limit`.
    bool pop(Time limit, Event& event) {
        if (cursor_ == current_.size() && !advance(limit)) return false;
        const std::uint64_t entry = current_[cursor_];
        const Time time = slot_start_ + static_cast<Time>(entry >> kTimeShift);
        if (time > limit) return false;
        event = {time, static_cast<std::uint32_t>(entry)};
        ++cursor_;
        --size_;
        return true;
    }

    // The payload of the event `ahead` places after the next one, or kUnknown when finding it would
    // take effort. For prefetching.
    static constexpr std::uint32_t kUnknown = 0xFFFFFFFF;
    std::uint32_t peek(std::size_t ahead) const {
        const std::size_t index = cursor_ + ahead;
        return index < current_.size() ? static_cast<std::uint32_t>(current_[index]) : kUnknown;
    }

    // Time of the earliest event; kNever when there is none. Looks through one slot.
    Time next_time() const;

    std::size_t size() const { return size_; }

  private:
    // A slot of the near wheel is about one nanosecond wide, its turn 16.8 us: a few link delays.
    // A slot of the far wheel is one near turn, its turn 68.7 ms: a few retransmission timeouts.
    static constexpr int kSlotBits = 10;
    static constexpr int kNearBits = 14;
    static constexpr int kFarBits = 12;
    static constexpr int kTurnBits = kSlotBits + kNearBits;
    static constexpr int kFarTurnBits = kTurnBits + kFarBits;
    static constexpr Time kSlotWidth = Time{1} << kSlotBits;
    static constexpr Time kTurn = Time{1} << kTurnBits;
    static constexpr Time kFarTurn = Time{1} << kFarTurnBits;
    static constexpr std::uint32_t kNil = 0xFFFFFFFF;

    // The slot that is being emptied is an array of integers that sort as the events do: time
    // within the slot, order of insertion, payload.
    static constexpr int kOrderBits = 32 - kSlotBits;
    static constexpr int kTimeShift = 64 - kSlotBits;

    // Four cache lines.
    struct Block {
        static constexpr std::uint32_t kCapacity = 15;
        std::uint32_t next;  // older block of the same slot
        std::uint32_t count;
        std::array<Event, kCapacity> events;
    };

    // Slots as stacks of blocks, and a bit per occupied slot.
    template <int kBits>
    struct Wheel {
        static constexpr std::size_t kSlots = std::size_t{1} << kBits;
        static constexpr std::size_t kWords = kSlots / 64;
        std::vector<std::uint32_t> heads = std::vector<std::uint32_t>(kSlots, kNil);
        std::array<std::uint64_t, kWords> occupied{};

        // The first occupied slot at or after `from`, or kSlots.
        std::size_t next(std::size_t from) const {
            std::size_t word = from / 64;
            if (word >= kWords) return kSlots;
            std::uint64_t bits = occupied[word] & (~std::uint64_t{0} << (from % 64));
            while (bits == 0) {
                if (++word == kWords) return kSlots;
                bits = occupied[word];
            }
            return word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
        }
    };

    struct Distant {
        Event event;
        std::uint32_t order;
        bool operator>(const Distant& other) const {
            return event.time != other.event.time ? event.time > other.event.time
                                                  : order > other.order;
        }
    };

    static std::size_t near_slot(Time time) {
        return static_cast<std::size_t>(time >> kSlotBits) & (Wheel<kNearBits>::kSlots - 1);
    }
    static std::size_t far_slot(Time time) {
        return static_cast<std::size_t>(time >> kTurnBits) & (Wheel<kFarBits>::kSlots - 1);
    }

    template <int kBits>
    void add(Wheel<kBits>& wheel, std::size_t slot, Time time, std::uint32_t payload) {
        std::uint32_t& head = wheel.heads[slot];
        if (head == kNil || blocks_[head].count == Block::kCapacity) {
            head = new_block(head);
            wheel.occupied[slot / 64] |= std::uint64_t{1} << (slot % 64);
        }
        Block& block = blocks_[head];
        block.events[block.count++] = {time, payload};
    }

    std::uint32_t new_block(std::uint32_t next) {
        std::uint32_t index = free_;
        if (index == kNil) {
            index = static_cast<std::uint32_t>(blocks_.size());
            blocks_.emplace_back();
        } else {
            free_ = blocks_[index].next;
        }
        blocks_[index].next = next;
        blocks_[index].count = 0;
        return index;
    }

    // Into the slot that is being emptied: keep it sorted. Most such events belong near its end.
    void insert_current(Time time, std::uint32_t payload) {
        const auto offset = static_cast<std::uint64_t>(std::max<Time>(time - slot_start_, 0));
        std::size_t at = current_.size();
        while (at > cursor_ && current_[at - 1] >> kTimeShift > offset) --at;
        constexpr std::uint64_t kLast = (std::uint64_t{1} << kOrderBits) - 1;
        current_.insert(current_.begin() + static_cast<std::ptrdiff_t>(at),
                        offset << kTimeShift | kLast << 32 | payload);
    }

    void push_far(Time time, std::uint32_t payload);
    bool advance(Time limit);  // makes the next occupied slot current, if it begins by `limit`
    bool next_turn(Time limit);
    void activate(std::size_t slot);
    template <int kBits>
    std::uint32_t take(Wheel<kBits>& wheel, std::size_t slot);
    Time earliest(std::uint32_t block) const;

    std::vector<std::uint64_t> current_;  // the slot being emptied, sorted, from cursor_ on
    std::size_t cursor_ = 0;
    Time slot_start_ = -kSlotWidth;  // of the current slot
    Time turn_end_ = kTurn;
    Time far_end_ = kFarTurn;
    std::size_t size_ = 0;
    std::vector<Block> blocks_;
    std::uint32_t free_ = kNil;
    Wheel<kNearBits> near_;
    Wheel<kFarBits> far_;
    std::priority_queue<Distant, std::vector<Distant>, std::greater<>> beyond_;
    std::uint32_t beyond_order_ = 0;
};

}  // namespace weft::fabric
