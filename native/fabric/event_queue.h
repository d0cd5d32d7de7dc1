// The future: events in order of time; events of the same time in order of their insertion.
//
// A hierarchical timing wheel (Varghese and Lauck, SOSP'87) whose slots are sorted only when their
// time comes (the lazy sorting of ladder queues: Tang, Goh, Thng, TOMACS'05). Two wheels, then a
// heap for what lies beyond; push and pop are O(1) for all that happens within one turn.
//
// Invariants: time never runs backwards (push(t) with t earlier than the last popped event is
// treated as now); the near wheel holds exactly the events of its current turn, so that equal times
// leave in the order in which they came.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <queue>
#include <vector>

#include "fabric/time.h"

namespace weft::fabric {

struct Event {
    Time time = 0;
    std::uint32_t payload = 0;
    std::uint32_t order = 0;  // among events of one slot
};

class EventQueue {
  public:
    EventQueue();

    // Adds an event. `payload` is the caller's.
    void push(Time time, std::uint32_t payload) {
        ++size_;
        if (time < slot_end_) {
            insert_current(time, payload);
        } else if (time < turn_end_) {
            add(near_, slot_of(time), time, payload);
        } else {
            push_far(time, payload);
        }
    }

    // The earliest event, if it is not later than `limit`.
    bool pop(Time limit, Event& event) {
        if (cursor_ == current_.size() && !advance(limit)) return false;
        if (current_[cursor_].time > limit) return false;
        event = current_[cursor_++];
        --size_;
        return true;
    }

    // The event that will be popped `ahead` places after the next one, or nullptr when that is not
    // known cheaply. For prefetching.
    const Event* peek(std::size_t ahead) const {
        const std::size_t index = cursor_ + ahead;
        return index < current_.size() ? &current_[index] : nullptr;
    }

    // Time of the earliest event; kNever when there is none.
    Time next_time();

    std::size_t size() const { return size_; }

  private:
    // A slot of the near wheel is about one nanosecond wide, its turn 16.8 us: a few link delays.
    // A slot of the far wheel is one near turn, its turn 68.7 ms: a few retransmission timeouts.
    static constexpr int kSlotBits = 10;
    static constexpr int kNearBits = 14;
    static constexpr int kFarBits = 12;
    static constexpr int kTurnBits = kSlotBits + kNearBits;
    static constexpr int kFarTurnBits = kTurnBits + kFarBits;
    static constexpr std::uint32_t kNil = 0xFFFFFFFF;

    struct Node {
        Time time;
        std::uint32_t payload;
        std::uint32_t next;
    };

    // Slots as stacks of nodes, and a bit per occupied slot.
    template <int kBits>
    struct Wheel {
        static constexpr std::size_t kWords = (std::size_t{1} << kBits) / 64;
        std::vector<std::uint32_t> heads =
            std::vector<std::uint32_t>(std::size_t{1} << kBits, kNil);
        std::array<std::uint64_t, kWords> occupied{};

        // The first occupied slot at or after `from`, or the number of slots.
        std::size_t next(std::size_t from) const {
            std::size_t word = from / 64;
            if (word >= kWords) return kWords * 64;
            std::uint64_t bits = occupied[word] & (~std::uint64_t{0} << (from % 64));
            while (bits == 0) {
                if (++word == kWords) return kWords * 64;
                bits = occupied[word];
            }
            return word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
        }
    };

    struct Later {
        bool operator()(const Event& a, const Event& b) const {
            return a.time != b.time ? a.time > b.time : a.order > b.order;
        }
    };

    static std::size_t slot_of(Time time) {
        return static_cast<std::size_t>(time >> kSlotBits) & ((std::size_t{1} << kNearBits) - 1);
    }

    template <int kBits>
    void add(Wheel<kBits>& wheel, std::size_t slot, Time time, std::uint32_t payload) {
        std::uint32_t node = free_;
        if (node == kNil) {
            node = static_cast<std::uint32_t>(nodes_.size());
            nodes_.emplace_back();
        } else {
            free_ = nodes_[node].next;
        }
        nodes_[node] = {time, payload, wheel.heads[slot]};
        wheel.heads[slot] = node;
        wheel.occupied[slot / 64] |= std::uint64_t{1} << (slot % 64);
    }

    // Into the slot that is being emptied: keep it sorted. Most such events belong near its end.
    void insert_current(Time time, std::uint32_t payload) {
        std::size_t at = current_.size();
        while (at > cursor_ && current_[at - 1].time > time) --at;
        current_.insert(current_.begin() + static_cast<std::ptrdiff_t>(at),
                        Event{time, payload, 0});
    }

    void push_far(Time time, std::uint32_t payload);
    bool advance(Time limit);  // makes the next occupied slot current, if it begins by `limit`
    bool next_turn(Time limit);
    void activate(std::size_t slot);
    template <int kBits>
    std::uint32_t take(Wheel<kBits>& wheel, std::size_t slot);

    std::vector<Event> current_;  // the slot being emptied, sorted, from cursor_ on
    std::size_t cursor_ = 0;
    Time slot_end_ = 0;  // end of the current slot
    Time turn_end_ = Time{1} << kTurnBits;
    Time far_end_ = Time{1} << kFarTurnBits;
    std::size_t size_ = 0;
    std::vector<Node> nodes_;
    std::uint32_t free_ = kNil;
    Wheel<kNearBits> near_;
    Wheel<kFarBits> far_;
    std::priority_queue<Event, std::vector<Event>, Later> beyond_;
    std::uint32_t beyond_order_ = 0;
};

}  // namespace weft::fabric
