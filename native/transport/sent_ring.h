// The memory of everything sent and not yet settled: one record per sequence number in a ring, and
// through the records run lists, one per path (in order of transmission) and one of the lost chunks
// that wait to be sent again. Invariant: a record is on exactly one list while its fate is
// kInFlight or kLost, on none otherwise; so the ring may reuse a place as soon as all numbers up to
// it are acknowledged. Records are named by tickets, the low 31 bits of their sequence numbers:
// unlike places in the ring they stay what they are when the ring grows.
#pragma once

#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

#include "transport/feedback.h"
#include "transport/path.h"
#include "transport/sequence.h"
#include "transport/types.h"

namespace weft::transport {

enum class Fate : std::uint8_t { kUnused, kInFlight, kLost, kAcked };

struct SentChunk {
    static constexpr std::uint32_t kNil = ChunkList::kNil;

    Time sent_at = 0;              // of the last transmission
    std::uint64_t offset = 0;      // kData: of the chunk in its message; else: the message's number
    std::uint32_t length = 0;      // kData: bytes
    std::uint32_t code = 0;        // kCancel, kRefuse, kSkip; kGrant: where its descriptor is kept
    std::uint32_t message = kNil;  // kData, kSkip: slot in the table of messages to send
    std::uint32_t order = 0;       // the path's transmission counter after the last transmission
    std::uint32_t previous = kNil;  // neighbours on the list it is on (tickets)
    std::uint32_t next = kNil;
    PathId path = kNoPath;  // of the last transmission
    wire::PacketKind kind = wire::PacketKind::kData;
    std::uint8_t flags = 0;     // wire::kFlag...
    std::uint8_t attempts = 0;  // transmissions so far, but for most of those that were trimmed
    std::uint8_t trims = 0;     // modulo 256
    Fate fate = Fate::kUnused;
    LossCause cause = LossCause::kReordered;  // why it was last declared lost
};

class SentRing {
  public:
    // Never more than `window` numbers are held; memory grows with what is used.
    SentRing(Sequence first, std::uint32_t window)
        : chunks_(kInitialSize),
          acked_(std::bit_ceil(window / 64 + std::size_t{2})),
          window_(window),
          base_(first),
          next_(first) {}

    Sequence base() const { return base_; }  // lowest number not acknowledged
    Sequence next() const { return next_; }  // next number to be used
    bool full() const { return next_ - base_ >= window_; }
    std::uint32_t room() const { return window_ - static_cast<std::uint32_t>(next_ - base_); }

    static std::uint32_t ticket_of(Sequence sequence) {
        return static_cast<std::uint32_t>(sequence) & kTicketMask;
    }
    // Of a ticket in use, or one used less than a ring ago.
    Sequence sequence_of(std::uint32_t ticket) const {
        return base_ + ((ticket - ticket_of(base_)) & kTicketMask);
    }
    SentChunk& at(std::uint32_t ticket) { return chunks_[ticket & (chunks_.size() - 1)]; }
    const SentChunk& at(std::uint32_t ticket) const {
        return chunks_[ticket & (chunks_.size() - 1)];
    }

    // The record of a number that was acknowledged a short while ago, if it is still there.
    const SentChunk* recall(Sequence sequence) const {
        const bool held = sequence < next_ && next_ - sequence <= chunks_.size();
        return held ? &chunks_[sequence & (chunks_.size() - 1)] : nullptr;
    }

    // Takes the next number; the caller fills the record. Not to be called when full().
    std::uint32_t push() {
        if (next_ - base_ == chunks_.size()) {
            grow();
        }
        const std::uint32_t ticket = ticket_of(next_);
        at(ticket) = SentChunk{};
        if (next_ % 64 == 0) {
            acked_word(next_ / 64) = 0;
        }
        ++next_;
        return ticket;
    }

    void append(ChunkList& list, std::uint32_t ticket) {
        SentChunk& chunk = at(ticket);
        chunk.previous = list.last;
        chunk.next = SentChunk::kNil;
        (list.empty() ? list.first : at(list.last).next) = ticket;
        list.last = ticket;
    }

    void prepend(ChunkList& list, std::uint32_t ticket) {
        SentChunk& chunk = at(ticket);
        chunk.previous = SentChunk::kNil;
        chunk.next = list.first;
        (list.empty() ? list.last : at(list.first).previous) = ticket;
        list.first = ticket;
    }

    void remove(ChunkList& list, std::uint32_t ticket) {
        const SentChunk& chunk = at(ticket);
        (chunk.previous == SentChunk::kNil ? list.first : at(chunk.previous).next) = chunk.next;
        (chunk.next == SentChunk::kNil ? list.last : at(chunk.next).previous) = chunk.previous;
    }

    // Of the numbers [64 * index, + 64): those sent, not yet acknowledged, and set in `received`.
    std::uint64_t newly_acked(Sequence index, std::uint64_t received) const {
        std::uint64_t bits = received & ~acked_[index & (acked_.size() - 1)];
        const Sequence start = 64 * index;
        if (base_ > start) {
            bits &= base_ - start >= 64 ? 0 : ~std::uint64_t{0} << (base_ - start);
        }
        if (next_ < start + 64) {
            bits &= next_ <= start ? 0 : ~std::uint64_t{0} >> (start + 64 - next_);
        }
        return bits;
    }

    void mark_acked(Sequence index, std::uint64_t bits) { acked_word(index) |= bits; }

    // Moves base() past everything acknowledged.
    void advance() {
        while (base_ < next_) {
            const std::uint64_t bits = acked_word(base_ / 64) >> (base_ % 64);
            const auto run = static_cast<unsigned>(std::countr_one(bits));
            if (run == 0) {
                return;
            }
            base_ += run;
        }
    }

  private:
    static constexpr std::size_t kInitialSize = 64;
    static constexpr std::uint32_t kTicketMask = 0x7FFFFFFF;

    std::uint64_t& acked_word(Sequence index) { return acked_[index & (acked_.size() - 1)]; }

    void grow() {
        std::vector<SentChunk> bigger(2 * chunks_.size());
        for (Sequence sequence = base_; sequence < next_; ++sequence) {
            bigger[sequence & (bigger.size() - 1)] = at(ticket_of(sequence));
        }
        chunks_ = std::move(bigger);
    }

    std::vector<SentChunk> chunks_;     // size is a power of two
    std::vector<std::uint64_t> acked_;  // bitmap by sequence number; size is a power of two
    std::uint32_t window_;
    Sequence base_;
    Sequence next_;
};

}  // namespace weft::transport
