// One reliable, multipath connection to a peer, as a pure state machine (sans-IO): it is told what
// arrived and what time it is, and says what to send and when to wake it. It never reads a clock,
// opens a socket or touches payload bytes; the datapath that drives it moves bytes between the wire
// and the user's buffers.
//
// How to drive it, from one thread at a time:
//   arrival   landed = handle_packet(now, packet, arrival). On kLand copy the payload to its offset
//             (packet.data.offset) before the next poll_event: into the destination if
//             landed.accepted; if not, you may accept() now (the packet carries the tag) and copy
//             into place, or keep the payload in a buffer of your own until you accept, and copy it
//             then.
//   waking    handle_timeout(now) when next_timeout() <= now
//   then      while (poll_transmit(now, transmit)) ...; while (poll_event(event)) ...
// Call the polls after every input and every command (or after a batch of them: acknowledgements
// then merge); next_timeout() is valid after poll_transmit said false.
//
// Invariants: every chunk is landed at most once; kMessageReceived comes after all bytes were
// landed; a connection ends in exactly one of kClosed, kFailed, and every state ends in bounded
// time once the peer is silent. A connection knows nothing of groups: tags and epochs are opaque to
// it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "transport/config.h"
#include "transport/stats.h"
#include "transport/trace.h"
#include "transport/types.h"
#include "wire/packet.h"

namespace weft::transport {

// For a listener: whether a kHello deserves a connection (right version, epoch, proof of the key,
// sane options). Cheap and without state, so that foreign packets cost nothing.
std::optional<RejectReason> check_hello(const Config& config, const wire::Packet& hello);

// The answer to a hello that check_hello refused. It is no larger than the hello was.
wire::Packet make_reject(const wire::Packet& hello, RejectReason reason);

class Connection {
  public:
    // Both throw ConfigError when the configuration is bad. The client says hello at the first
    // poll_transmit. The server is made from a hello that check_hello let pass, and takes it as its
    // first packet; hand later hellos with the same handshake.source_connection to the same object
    // (they are repeats).
    static std::unique_ptr<Connection> client(Config config, const RandomSource& random, Time now);
    static std::unique_ptr<Connection> server(Config config, const RandomSource& random, Time now,
                                              const wire::Packet& hello);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // --- Commands

    // Queues a message; legal from the start (it goes out once the handshake is done). The bytes
    // must stay readable until kMessageSent, kMessageRefused or cancel(). Returns kNoMessage, and
    // does nothing, once the connection is closing, closed or failed. Throws nothing; a size or
    // priority out of range also returns kNoMessage.
    MessageId send(Time now, const SendRequest& request);

    // Gives up on one of our own messages. After the call its bytes are never asked for again, and
    // no further event names it. False when it is already complete or unknown.
    bool cancel(Time now, MessageId message, std::uint32_t code);

    // Says that the peer's message has a destination from now on. The sender learns it when it
    // needs to, and always with `remote`. `cookie` comes back in Landed and Event. False when the
    // message is gone.
    bool accept(Time now, MessageId message, std::uint64_t cookie,
                const wire::RemoteDescriptor* remote = nullptr);

    // Says that the peer's message is not wanted. Nothing of it lands after the call.
    bool refuse(Time now, MessageId message, std::uint32_t code);

    // Tells whether somebody here waits for the peer though nothing is in flight (a posted receive,
    // say). While it holds, an idle connection probes the peer, and its silence becomes a failure.
    // The connection itself knows about unfinished messages in both directions.
    void expect(Time now, bool waiting);

    // Whether anything is awaited from the peer.
    bool waits() const;

    // Replaces policies of the living connection; successors start anew. Throws ConfigError, and
    // changes nothing, when a name or a parameter does not exist.
    void set_policies(const PolicyChange& change);

    // Takes a path out of use by decree, or back into it (PathHealth::kDenied). False when there is
    // no such path, or no good one would be left.
    bool deny_path(Time now, PathId path, bool denied);

    // The path's way through the network is another one from now on (a datapath's doing): if it was
    // suspect, it is probed at once.
    void renew_path(Time now, PathId path);

    // The datapath has no way for chunks just now, and says so rather than lose them: nothing but
    // signals is given out while this holds.
    void hold_chunks(bool held);

    // The datapath knows, by words of its own, that the peer lives.
    void hear(Time now);

    // Orderly end: what was sent before is still delivered, new sends are refused.
    void close(Time now);

    // Immediate end: kFailed with kAborted here, kPeerAborted with `code` there (best effort).
    // Codes are the application's, 1 .. 2^31 - 1 (others are taken as 1); what the transport itself
    // gives up with is 2^31 + FailureReason.
    void abort(Time now, std::uint32_t code);

    // --- Inputs

    // `packet` was decoded from one datagram that wire::peek_route led here.
    Landed handle_packet(Time now, const wire::Packet& packet, const Arrival& arrival);

    // Counts a datagram that was meant for this connection but did not decode.
    void handle_undecodable(wire::DecodeStatus status);

    void handle_timeout(Time now);

    // --- Outputs

    // Fills `transmit` with the next packet to send; false when there is none now.
    bool poll_transmit(Time now, Transmit& transmit);

    bool poll_event(Event& event);

    // When handle_timeout wants to be called; kNever when only an input or a command changes
    // things.
    Time next_timeout() const;

    // --- Questions

    State state() const;
    std::uint64_t id() const;              // in `connection` of every packet that is meant for us
    std::uint64_t remote_peer() const;     // peer id of the other side; 0 before it said so
    std::uint32_t chunk_size() const;      // negotiated; our own before the handshake is done
    bool has_unfinished_messages() const;  // in either direction
    const Failure& failure() const;        // reason kNone unless state() is kFailed
    const Config& config() const;          // with the policies of now
    Stats stats() const;

    // The observer must outlive the connection or be taken back with nullptr.
    void set_trace(TraceSink* sink);

  private:
    struct Parts;
    explicit Connection(std::unique_ptr<Parts> parts);
    std::unique_ptr<Parts> parts_;
};

}  // namespace weft::transport
