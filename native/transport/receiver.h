// The receiving half of a connection: which sequence numbers have arrived, what they are part of,
// and what to acknowledge when. It decides where bytes land; the datapath lands them.
#pragma once

#include <optional>

#include "transport/message_table.h"
#include "transport/receive_window.h"
#include "transport/ring_queue.h"
#include "transport/sender.h"
#include "transport/shared.h"

namespace weft::transport {

struct IncomingMessage {
    MessageId id = kNoMessage;
    Tag tag;
    std::uint64_t signature = 0;
    std::uint64_t size = 0;
    std::uint64_t received = 0;  // bytes
    std::uint64_t held = 0;      // eager bytes that count against the credit until accept()
    std::uint64_t cookie = 0;
    std::uint8_t priority = 0;
    bool accepted = false;
    bool wants_grant = false;
    bool granted = false;
    bool complete = false;
    bool discarded = false;  // refused here or cancelled there: what still comes of it is swallowed
    bool buried = false;     // has a tombstone
};

class Receiver {
  public:
    // `sender` carries our grants and refusals, which are sequenced packets of its own.
    Receiver(Shared& shared, Sender& sender) : shared_(shared), sender_(sender) {}

    // The handshake is done: shared.remote is valid.
    void open();

    bool accept(MessageId id, std::uint64_t cookie, const wire::RemoteDescriptor* remote);
    bool refuse(MessageId id, std::uint32_t code);

    // A sequenced packet arrived.
    Landed on_packet(Time now, const wire::Packet& packet, const Arrival& arrival);

    void on_timer(Time now) { ack_due_ = ack_due_ || now >= ack_timer_; }
    bool poll_ack(Time now, Transmit& transmit);
    bool ack_due() const { return ack_due_; }
    Time next_timeout() const { return ack_timer_; }

    // Accepted messages of which bytes are missing.
    bool awaits_bytes() const { return awaited_ != 0; }

  private:
    struct Echo {  // what an acknowledgement says of the chunk that triggered it
        std::uint32_t sequence = 0;
        std::uint32_t timestamp = 0;
        PathId path = 0;
        std::uint8_t flags = 0;  // wire::kEcho...
        Time at = 0;             // when it arrived
    };
    struct Tombstone {  // a discarded message can be forgotten once all numbers below `until` are
                        // in
        Sequence until = 0;
        std::uint32_t slot = 0;
    };

    bool within_credit(const wire::Packet& packet);
    std::uint32_t find_or_open(const wire::Packet& packet);
    Landed on_data(const wire::Packet& packet, std::uint32_t slot, bool opened);
    void on_cancel(const wire::Packet& packet, Sequence sequence);
    void discard(IncomingMessage& message);
    void bury_dead();
    void note_arrival(Time now, const wire::Packet& packet, const Arrival& arrival, bool urgent,
                      std::uint8_t echo_flags);
    void report_complete(const IncomingMessage& message);
    Event event_of(EventKind kind, const IncomingMessage& message) const;

    Shared& shared_;
    Sender& sender_;
    std::optional<ReceiveWindow> window_;  // from open() on
    MessageTable<IncomingMessage> messages_;
    RingQueue<Tombstone> tombstones_;
    std::size_t awaited_ = 0;

    std::uint64_t eager_received_ = 0;  // eager bytes that ever came
    std::uint64_t eager_consumed_ = 0;  // eager bytes that found their destination, or were dropped
    std::uint64_t eager_advertised_ = 0;  // of them, reported in the last acknowledgement

    // The acknowledgement in the making.
    bool ack_due_ = false;
    Time ack_timer_ = kNever;
    Echo echo_;
    RingQueue<Echo> trimmed_;    // echoes of trimmed chunks that others came after: each is a loss
                                 // that only an acknowledgement of its own reports
    std::uint32_t unacked_ = 0;  // arrivals since the last acknowledgement
    std::uint32_t marked_ = 0;   // ECN marks ever seen
};

}  // namespace weft::transport
