// The messages that we send, and which of them may send its next bytes: most urgent first, in order
// of arrival within a priority. Holds the sender's half of flow control: before a message is
// granted it may send up to the peer's limit per message, out of a credit for the whole connection;
// a message that may not goes on with an empty chunk that asks for the grant, and then waits aside,
// so that nothing blocks those behind it.
#pragma once

#include <array>
#include <cstdint>

#include "transport/message_table.h"
#include "transport/types.h"

namespace weft::transport {

struct OutgoingMessage {
    static constexpr std::uint32_t kNil = 0xFFFFFFFF;

    MessageId id = kNoMessage;
    SendRequest request;
    std::uint64_t next_offset = 0;  // first byte not yet sent
    std::uint32_t unacked = 0;      // sequence numbers that carry it and are not acknowledged
    bool started = false;           // a chunk of it, maybe an empty one, was sent
    bool asked = false;             // a chunk that asks for the grant was sent
    bool granted = false;
    bool cancelled = false;
    bool ready = false;             // on the list of its priority
    std::uint32_t previous = kNil;  // neighbours there
    std::uint32_t next = kNil;

    bool sent_whole() const { return started && next_offset == request.size; }
};

// What may be sent next: `bytes` of a message, in as many chunks as they need (one empty chunk if
// 0).
struct Portion {
    std::uint32_t slot = OutgoingMessage::kNil;
    std::uint64_t bytes = 0;
    std::uint8_t flags = 0;  // wire::kFlag... of the chunks
};

class SendQueue {
  public:
    // What the peer allows, once it is known; nothing is ready before.
    void open(std::uint32_t chunk_size, std::uint64_t eager_window, std::uint64_t eager_limit);
    bool is_open() const { return chunk_size_ != 0; }

    std::uint32_t add(const SendRequest& request);
    MessageId next_id() const { return next_id_; }
    std::uint32_t find(MessageId id) const { return messages_.find(id); }
    OutgoingMessage& at(std::uint32_t slot) { return messages_.at(slot); }
    const OutgoingMessage& at(std::uint32_t slot) const { return messages_.at(slot); }
    std::size_t size() const { return messages_.size(); }  // all that is not erased
    // Bytes of messages that may send now or wait their turn; not of those that wait for a grant.
    std::uint64_t backlog() const { return backlog_; }
    std::uint64_t eager_credit_left() const { return eager_credit_ - eager_sent_; }

    // The next portion; false when no message may send. Stays the same until take(), grant() or
    // cancel.
    bool next(Portion& portion);

    // Says that `bytes` of the portion are sent as one chunk.
    void take(const Portion& portion, std::uint32_t bytes);

    void grant(std::uint32_t slot);
    void raise_credit(std::uint64_t credit) {
        eager_credit_ = credit > eager_credit_ ? credit : eager_credit_;
    }

    // Takes the message off its list: nothing more of it will be sent.
    void cancel(std::uint32_t slot);
    void erase(std::uint32_t slot);

  private:
    struct List {
        std::uint32_t first = OutgoingMessage::kNil;
        std::uint32_t last = OutgoingMessage::kNil;
    };

    std::uint64_t permitted(const OutgoingMessage& message) const;
    void append(std::uint32_t slot);
    void remove(std::uint32_t slot);

    MessageTable<OutgoingMessage> messages_;
    std::array<List, wire::kMaxPriority + 1> ready_;
    std::uint32_t occupied_ = 0;  // bit p: ready_[p] is not empty
    MessageId next_id_ = 0;
    std::uint32_t chunk_size_ = 0;  // 0: not open
    std::uint64_t eager_limit_ = 0;
    std::uint64_t eager_credit_ = 0;  // bytes permitted since the start
    std::uint64_t eager_sent_ = 0;    // bytes used of them
    std::uint64_t backlog_ = 0;
};

}  // namespace weft::transport
