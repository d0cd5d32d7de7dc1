// One member of a job in an aggregation switch: the slot protocol, without clock or sockets.
//
// A call (one all-reduce) is cut into chunks of a packet's values. Chunk i goes through slot
// i mod slots. A slot has one packet open at a time: its result is the acknowledgement, and the
// permission to send the next, so the window is the number of slots (Sapio et al., NSDI 2021). What
// stays unanswered is sent again; the switch adds nobody twice, and answers who asks again with the
// result, or with "wait".
//
// Rounds of one call
//  - Opening: every slot in use asks for the largest exponent of its first chunk, without values.
//  Slot 0 also adds up what the ranks believe the call to be: two that differ are told, and nothing
//  is added up.
//  - Data: the sums of a chunk, and the exponent of the slot's next one.
//  - Commit, slot 0 only, without values: sent when all chunks are here. Its result says that every
//  member has all of them. A member is kDone only then, so a member that is kDone owes nobody
//  anything, and one that is not still has the input of every chunk whose sum it lacks, even in
//  place: that is what lets a group finish the call without the switch (communicator/innet.h).
//
// Time-outs follow the round trips measured. Results come about in the order of the packets sent:
// while those of earlier packets still come, a packet is not late, however slow the links are.
//
// A member that hears nothing from the switch for `silence`, having asked again several times,
// gives up (kSilent). Late colleagues never cause that: the switch says "wait".
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "innet/blocks.h"
#include "innet/packet.h"

namespace weft::innet {

using Time = std::int64_t;  // nanoseconds of any clock that does not go back

constexpr Time kNever = INT64_MAX;

// What the control plane grants to a member of a job.
struct Membership {
    std::uint16_t job = 0;
    std::uint32_t epoch = 0;
    std::uint8_t worker = 0;
    std::uint16_t workers = 1;  // of the whole job
    std::uint16_t slots = 1;
    std::uint16_t values = 32;  // per packet: 16 .. kMaxValues
};

struct Timing {
    Time first = 20'000'000;  // until a packet is sent again, before any round trip was measured
    Time least = 1'000'000;
    Time most = 50'000'000;
    Time silence = 1'000'000'000;
    Time straggler = 0;  // > 0: after so long a slot's sum is asked for without those who are late
};

// `output` may be `input`. Both must stay valid, and the input unchanged, until the call has ended.
struct Call {
    const std::byte* input = nullptr;
    std::byte* output = nullptr;
    std::size_t count = 0;  // elements, at least 1
    Type type = Type::kFloat32;
    std::uint64_t signature = 0;  // equal calls have equal ones
};

class Worker {
  public:
    enum class State : std::uint8_t {
        kIdle,
        kWorking,
        kComplete,  // all sums are here, but some member may still lack some
        kDone,
        kMismatch,  // members called different things
        kSilent,    // the switch does not answer
        kFrozen,    // told to stop
    };

    struct Counts {
        std::uint64_t sent = 0, resent = 0, received = 0, refused = 0, waits = 0;
    };

    Worker(const Membership& membership, const Timing& timing);

    // Not while kWorking or kComplete; after kMismatch, kSilent and kFrozen never again.
    void start(const Call& call, Time now);
    // Writes the next datagram to send, if one is due: its size, or 0.
    std::size_t poll(Time now, std::span<std::uint8_t> datagram);
    // What is broken, foreign or stale is counted and changes nothing.
    void handle(Time now, std::span<const std::uint8_t> datagram);
    // When poll() will have something to say if nothing arrives before.
    Time next_timeout() const noexcept;
    // From now on nothing is sent or taken.
    void freeze() noexcept { state_ = State::kFrozen; }

    State state() const noexcept { return state_; }
    const Membership& membership() const noexcept { return membership_; }
    // [chunk] how many workers its sum is of; 0: it is not here.
    const std::vector<std::uint16_t>& contributors() const noexcept { return contributors_; }
    std::size_t chunks() const noexcept { return contributors_.size(); }
    // Workers of our switch that the last "wait" missed, a bit each.
    std::uint32_t late() const noexcept { return late_; }
    const Counts& counts() const noexcept { return counts_; }
    std::uint32_t round(std::uint16_t slot) const { return slots_[slot].round; }

  private:
    static constexpr std::int64_t kOpening = -1;
    static constexpr std::int64_t kCommit = -2;

    struct Slot {
        std::uint32_t round = 1;
        bool open = false;
        std::int64_t chunk = kOpening;
        std::int8_t agreed = 0;   // exponent of `chunk`
        std::uint32_t times = 0;  // sent
        Time since = 0;           // first sent
        Time last = 0;            // sent
        Time patience = 0;        // until it is sent again
    };

    void open(std::uint16_t slot, std::int64_t chunk);
    std::int64_t next_chunk(std::uint16_t slot) const noexcept;
    std::size_t elements(std::int64_t chunk) const noexcept;
    std::size_t offset(std::int64_t chunk) const noexcept;
    std::uint16_t values(std::uint16_t slot) const noexcept;
    Time due(const Slot& s) const noexcept;
    void look_for_timeouts(Time now);
    std::size_t write(std::uint16_t slot, Time now, std::span<std::uint8_t> datagram);
    void take(std::uint16_t slot, const Header& header, std::span<const std::uint8_t> payload);
    bool agreed_on_call(const Header& header, std::span<const std::uint8_t> payload) const noexcept;
    void measure(Time sample) noexcept;

    Membership membership_;
    Timing timing_;
    Call call_;
    State state_ = State::kIdle;
    std::vector<Slot> slots_;
    std::deque<std::uint16_t> due_;  // slots to send now, in this order
    std::vector<std::uint16_t> contributors_;
    std::size_t missing_ = 0;  // chunks
    std::uint32_t late_ = 0;
    Time next_due_ = kNever;  // no open slot is due before
    Time answered_ = 0;       // when the youngest packet was sent that has a result
    Time progressed_ = 0;     // when the last result came
    Time smoothed_ = 0;       // round trip and its deviation (RFC 6298)
    Time deviation_ = 0;
    Time timeout_;
    Time polled_ = 0;
    Time heard_ = 0;  // when the switch last said anything
    int asked_ = 0;   // how often we have asked again since
    Counts counts_;
};

}  // namespace weft::innet
