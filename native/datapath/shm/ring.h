// One direction of an edge: a ring of message headers, one cache line each, beside a ring of
// payload bytes.
//
// A short message travels inside its header's line, so that it costs one cache-line transfer. The
// header's sequence word is both its content's validity and the signal: the consumer polls the word
// of the next line and needs no shared write index. Headers have their own ring so that a sequence
// word is never overwritten by payload that could look like one.
//
// Memory ordering. Producer -> consumer: plain stores of the line and payload, then
// sequence.store(release); the consumer's sequence.load(acquire) makes them visible. Consumer ->
// producer: reads, then consumed.store; the producer's load(acquire) before it overwrites. The
// consumer publishes what it consumed only once a quarter of either ring has come together: fewer
// transfers of that line, and no producer waits for more room than the other three quarters hold.
//
// Invariant: nothing that the other side writes is trusted. Positions are private; what is read
// from shared memory is copied out once and then checked.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "datapath/channel.h"
#include "datapath/shm/segment.h"

namespace weft::datapath::shm {

constexpr std::size_t kSlots = 512;  // header lines; a power of two
constexpr std::size_t kRingBytes =
    256u << 10;  // payload; a power of two, so that it stays in the second-level cache
constexpr std::size_t kInlineBytes = 24;

enum class Kind : std::uint8_t {
    kEager = 1,  // a whole message; payload inline up to kInlineBytes, else in the byte ring
    kOffer,      // a message that waits in the sender's memory: id, address
    kPull,       // "stream me your offer `id` from `offset` on, as my receive `peer_id`"
    kPiece,      // consecutive payload of receive `peer_id`, at `offset`
    kDone,    // offer `id` ended at the receiver, with `status`; signature and size as the receiver
              // had them
    kCancel,  // offer `id` (with its tag) is withdrawn
    kClose,   // the last message
};

// One cache line. Both processes run on one host, so this is the wire format as well.
struct alignas(kCacheLine) Message {
    std::uint32_t sequence = 0;
    Kind kind{};
    std::uint8_t reserved[1] = {};
    std::int16_t status = 0;
    std::uint64_t size = 0;  // of the message; kPiece: of the piece
    Tag tag;
    std::uint64_t signature = 0;
    struct Link {
        std::uint64_t id;       // of the sender's offer
        std::uint64_t peer_id;  // of the receiver's receive
        std::uint64_t where;    // kOffer: address; kPull, kPiece: offset
    };
    union {
        std::byte inlined[kInlineBytes] = {};
        Link link;
    };

    Message() = default;
    explicit Message(Kind which) : kind(which) {}
    Message(Kind which, const Link& to) : kind(which), link(to) {}
};
static_assert(sizeof(Message) == kCacheLine && std::is_trivially_copyable_v<Message>);
static_assert(sizeof(Message::Link) == kInlineBytes);

// In shared memory, zeroed at birth.
struct Direction {
    // Written by the consumer; read by the producer when it runs out of room, or is about to sleep.
    struct alignas(kCacheLine) Consumed {
        std::atomic<std::uint64_t> slots;
        std::atomic<std::uint64_t> bytes;
        std::atomic<std::uint32_t>
            watching;  // somebody waits for the producer: keep the heartbeat going
    } consumed;
    // Written by the consumer, rarely; read by the producer at every send, so it must stay in the
    // producer's cache.
    struct alignas(kCacheLine) Wishes {
        std::atomic<std::uint32_t>
            no_eager;  // the consumer's heap is full: send by rendezvous only
    } wishes;
    // Written by the producer, rarely.
    struct alignas(kCacheLine) Notices {
        std::atomic<std::uint64_t>
            cancels;  // offers withdrawn so far: bytes pulled before it changed are good
        std::atomic<std::uint32_t> waits_for_room;  // ring my doorbell when you have consumed
    } notices;
    struct Line {
        alignas(kCacheLine) std::byte bytes[kCacheLine];
    };
    Line slots[kSlots];
    alignas(kCacheLine) std::byte bytes[kRingBytes];

    std::atomic_ref<std::uint32_t> sequence(std::uint64_t position) noexcept {
        return std::atomic_ref<std::uint32_t>(
            *reinterpret_cast<std::uint32_t*>(slots[position % kSlots].bytes));
    }
    // Differs from what the slot held a lap earlier, and from zero at first.
    static std::uint32_t expected(std::uint64_t position) noexcept {
        return static_cast<std::uint32_t>(position / kSlots + 1);
    }
};

constexpr std::uint64_t payload_room(std::size_t size) {
    return (size + kCacheLine - 1) / kCacheLine * kCacheLine;
}

class Producer {
  public:
    explicit Producer(Direction& direction) noexcept : ring_(direction) {}

    // Is there room for one header and `payload` bytes? (at most 3/4 of kRingBytes may be asked
    // for)
    bool room(std::size_t payload) noexcept {
        if (fits(payload)) {
            return true;
        }
        refresh();
        return fits(payload);
    }

    // Call only where there is room. The payload goes to the byte ring.
    void push(const Message& message, const std::byte* payload = nullptr,
              std::size_t size = 0) noexcept {
        if (size > 0) {
            const std::size_t at = bytes_ % kRingBytes;
            const std::size_t first = std::min(size, kRingBytes - at);
            std::memcpy(ring_.bytes + at, payload, first);
            std::memcpy(ring_.bytes, payload + first, size - first);
            bytes_ += payload_room(size);
        }
        std::byte* const line = ring_.slots[slots_ % kSlots].bytes;
        std::memcpy(line + sizeof message.sequence,
                    reinterpret_cast<const std::byte*>(&message) + sizeof message.sequence,
                    sizeof message - sizeof message.sequence);
        ring_.sequence(slots_).store(Direction::expected(slots_), std::memory_order_release);
        ++slots_;
    }

    bool eager_refused() const noexcept {
        return ring_.wishes.no_eager.load(std::memory_order_relaxed) != 0;
    }
    bool watched() const noexcept {
        return ring_.consumed.watching.load(std::memory_order_relaxed) != 0;
    }

    // Before sleeping with something left to send; true when there is room after all. Pairs with
    // Consumer::publish.
    bool wait_for_room(std::size_t payload) noexcept {
        ring_.notices.waits_for_room.store(1, std::memory_order_seq_cst);
        refresh();
        return fits(payload);
    }
    void stop_waiting() noexcept {
        ring_.notices.waits_for_room.store(0, std::memory_order_relaxed);
    }

    // Must precede any reuse of the memory that was offered: a release for the receiver's
    // Consumer::cancels.
    void count_cancel() noexcept { ring_.notices.cancels.fetch_add(1, std::memory_order_seq_cst); }

    // The peer claims to have consumed what was never sent.
    bool broken() const noexcept { return broken_; }

  private:
    bool fits(std::size_t payload) const noexcept {
        return slots_ - consumed_slots_ < kSlots &&
               bytes_ + payload_room(payload) - consumed_bytes_ <= kRingBytes;
    }
    void refresh() noexcept {
        const std::uint64_t slots = ring_.consumed.slots.load(std::memory_order_seq_cst);
        const std::uint64_t bytes = ring_.consumed.bytes.load(std::memory_order_seq_cst);
        if (slots_ - slots > slots_ - consumed_slots_ ||
            bytes_ - bytes > bytes_ - consumed_bytes_) {
            broken_ = true;  // ran backwards, or past the end
            return;
        }
        consumed_slots_ = slots;
        consumed_bytes_ = bytes;
    }

    Direction& ring_;
    std::uint64_t slots_ = 0;  // positions count up for ever; at 2^64 the sun is out
    std::uint64_t bytes_ = 0;
    std::uint64_t consumed_slots_ = 0;
    std::uint64_t consumed_bytes_ = 0;
    bool broken_ = false;
};

class Consumer {
  public:
    // Up to two stretches, since payload may wrap; all but the last are multiples of 64 bytes long.
    struct Payload {
        std::span<const std::byte> first;
        std::span<const std::byte> second;
    };

    explicit Consumer(Direction& direction) noexcept : ring_(direction) {}

    bool ready() const noexcept {
        return ring_.sequence(slots_).load(std::memory_order_acquire) ==
               Direction::expected(slots_);
    }
    // The same, as the sleeper's half of the pattern in doorbell.h.
    bool ready_before_sleep() const noexcept {
        return ring_.sequence(slots_).load(std::memory_order_seq_cst) ==
               Direction::expected(slots_);
    }

    // Call only when ready.
    Message pop() noexcept {
        Message message;
        std::memcpy(&message, ring_.slots[slots_ % kSlots].bytes, sizeof message);
        ++slots_;
        return message;
    }

    // The payload of the message just popped, which the caller has checked to be at most
    // kRingBytes. It stays in place until the next publish().
    Payload take(std::size_t size) noexcept {
        const std::size_t at = bytes_ % kRingBytes;
        const std::size_t first = std::min(size, kRingBytes - at);
        bytes_ += payload_room(size);
        return {{ring_.bytes + at, first}, {ring_.bytes, size - first}};
    }

    // Gives room back once enough has come together. True: the producer waits for it, ring its
    // doorbell.
    bool publish() noexcept {
        if (slots_ - published_slots_ < kSlots / 4 && bytes_ - published_bytes_ < kRingBytes / 4) {
            return false;
        }
        published_slots_ = slots_;
        published_bytes_ = bytes_;
        ring_.consumed.bytes.store(bytes_, std::memory_order_release);
        ring_.consumed.slots.exchange(slots_, std::memory_order_seq_cst);
        return ring_.notices.waits_for_room.load(std::memory_order_seq_cst) != 0;
    }

    void refuse_eager(bool refuse) noexcept {
        ring_.wishes.no_eager.store(refuse ? 1 : 0, std::memory_order_release);
    }
    void watch(bool on) noexcept {
        ring_.consumed.watching.store(on ? 1 : 0, std::memory_order_release);
    }

    // Read after the bytes of an offer were pulled. The read-modify-write keeps those reads before
    // it (a plain load would not).
    std::uint64_t cancels() noexcept {
        return ring_.notices.cancels.fetch_add(0, std::memory_order_acq_rel);
    }

  private:
    Direction& ring_;
    std::uint64_t slots_ = 0;
    std::uint64_t bytes_ = 0;
    std::uint64_t published_slots_ = 0;
    std::uint64_t published_bytes_ = 0;
};

// The shared memory of one edge: [0] flows from the process that connected, [1] to it.
struct EdgeMemory {
    Direction flow[2];
};

}  // namespace weft::datapath::shm
