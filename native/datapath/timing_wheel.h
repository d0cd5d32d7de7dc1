// When each of many edges wants to be called: pacing, acknowledgements, loss timers. Setting,
// moving and firing a timer cost the same however many there are, where a walk over all edges would
// make every paced burst pay for all of them (Varghese and Lauck, SOSP 1987, scheme 7; as a pacer:
// Carousel, Saeed et al., SIGCOMM 2017).
//
// Three wheels of 256 slots, of 16 us, 4 ms and 1 s each. A timer lies on the finest wheel that
// reaches it within one turn, and moves to a finer one when the wheels have turned to its slot; one
// beyond the coarsest waits in that one's last slot. Slots only sort: a timer fires at its own
// time, never before.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "datapath/channel.h"

namespace weft::datapath {

// One per thing that wants to be called. Must neither move nor end while it is set.
struct Timer {
    Time due = kNever;  // kNever: not set
    Timer* next = nullptr;
    Timer* previous = nullptr;
    std::uint16_t slot = 0;
};

// The timer of an edge, or whatever else is called.
template <typename T>
struct WakeUp : Timer {
    explicit WakeUp(T& whose) : owner(whose) {}
    T& owner;
};

class TimingWheel {
  public:
    explicit TimingWheel(Time now) : tick_(tick_of(now)) {}
    TimingWheel(const TimingWheel&) = delete;
    TimingWheel& operator=(const TimingWheel&) = delete;

    // Sets, moves or (kNever) takes off a timer. A time in the past is due at once.
    void set(Timer& timer, Time due) noexcept {
        if (timer.due != kNever) unlink(timer);
        timer.due = due;
        if (due != kNever) link(timer, slot_for(due));
    }

    // When the next run() is due, at the latest: when the first timer is, or, if that is beyond the
    // coarsest wheel, when it must be sorted anew. kNever: none is set.
    Time next() const noexcept {
        Time first = kNever;
        for (std::size_t level = 0; level < kLevels; ++level) {
            const std::size_t ahead = ahead_on(level);
            if (ahead == kSlots) continue;
            const std::uint64_t slot = unit(level) + ahead;
            first = std::min(first, end_of(level, slot));
            const Timer* timer = heads_[slot_at(level, slot)];
            for (; timer != nullptr; timer = timer->next) {
                first = std::min(first, timer->due);
            }
        }
        return first;
    }

    // Takes off each timer that is due and calls fire(timer). That may set any timer, also this one
    // (what it sets to the present or before fires in the next run).
    template <typename Fire>
    void run(Time now, Fire&& fire) {
        advance(now);
        while (Timer* timer = heads_[kDue]) {
            unlink(*timer);
            timer->due = kNever;
            fire(*timer);
        }
    }

  private:
    static constexpr int kTickBits = 14;  // 16,384 ns
    static constexpr int kSlotBits = 8;
    static constexpr std::size_t kSlots = 1 << kSlotBits;
    static constexpr std::size_t kLevels = 3;
    static constexpr std::size_t kDue = kLevels * kSlots;  // the list of those that fire now

    static std::uint64_t tick_of(Time time) noexcept {
        return static_cast<std::uint64_t>(std::max<Time>(time, 0)) >> kTickBits;
    }
    std::uint64_t unit(std::size_t level) const noexcept { return tick_ >> (kSlotBits * level); }
    static Time end_of(std::size_t level, std::uint64_t unit) noexcept {
        return static_cast<Time>((unit + 1) << (kTickBits + kSlotBits * level));
    }
    static std::size_t slot_at(std::size_t level, std::uint64_t unit) noexcept {
        return level * kSlots + unit % kSlots;
    }

    std::size_t slot_for(Time due) const noexcept {
        const std::uint64_t tick = std::max(tick_of(due), tick_);
        for (std::size_t level = 0; level < kLevels; ++level) {
            const std::uint64_t at = tick >> (kSlotBits * level);
            if (at - unit(level) < kSlots) return slot_at(level, at);
        }
        return slot_at(kLevels - 1, unit(kLevels - 1) + kSlots - 1);
    }

    void link(Timer& timer, std::size_t slot) noexcept {
        Timer*& head = heads_[slot];
        timer.slot = static_cast<std::uint16_t>(slot);
        timer.previous = nullptr;
        timer.next = head;
        if (head != nullptr) head->previous = &timer;
        head = &timer;
        used_[slot / 64] |= std::uint64_t{1} << slot % 64;
    }

    void unlink(Timer& timer) noexcept {
        Timer*& head = heads_[timer.slot];
        (timer.previous != nullptr ? timer.previous->next : head) = timer.next;
        if (timer.next != nullptr) timer.next->previous = timer.previous;
        timer.next = timer.previous = nullptr;
        if (head == nullptr) {
            used_[timer.slot / 64u] &= ~(std::uint64_t{1} << timer.slot % 64);
        }
    }

    // How many slots ahead of the present the first used one lies; kSlots: there is none.
    std::size_t ahead_on(std::size_t level) const noexcept {
        const std::size_t from = unit(level) % kSlots;
        for (std::size_t ahead = 0; ahead < kSlots;) {
            const std::size_t slot = (from + ahead) % kSlots;
            const std::uint64_t word = used_[(level * kSlots + slot) / 64] >> slot % 64;
            if (word != 0) {
                ahead += static_cast<std::size_t>(std::countr_zero(word));
                return std::min(ahead, kSlots);
            }
            ahead += 64 - slot % 64;
        }
        return kSlots;
    }

    // Sorts the timers of a slot anew: to the list of the due, or where they belong by now.
    void sort(std::size_t slot, Time now) noexcept {
        for (Timer* timer = heads_[slot]; timer != nullptr;) {
            Timer& moved = *timer;
            timer = timer->next;
            const std::size_t target = moved.due <= now ? kDue : slot_for(moved.due);
            if (target != slot) {
                unlink(moved);
                link(moved, target);
            }
        }
    }

    // Turns the wheels to `now`, slot by used slot.
    void advance(Time now) noexcept {
        const std::uint64_t target = tick_of(now);
        while (tick_ < target) {
            sort(slot_at(0, tick_), now);
            const std::size_t ahead = ahead_on(0);
            const std::uint64_t turn = (tick_ / kSlots + 1) * kSlots;
            const std::uint64_t used = ahead < kSlots ? tick_ + ahead : turn;
            if (ahead == kSlots && ahead_on(1) == kSlots && ahead_on(2) == kSlots) {
                tick_ = target;
                return;
            }
            tick_ = std::min({std::max(used, tick_ + 1), turn, target});
            if (tick_ == turn) {
                for (std::size_t level = kLevels - 1; level > 0; --level) {
                    sort(slot_at(level, unit(level)), now);
                }
            }
        }
        sort(slot_at(0, tick_), now);
    }

    std::uint64_t tick_;
    std::array<Timer*, kLevels * kSlots + 1> heads_{};
    std::array<std::uint64_t, (kLevels * kSlots + 64) / 64> used_{};
};

}  // namespace weft::datapath
