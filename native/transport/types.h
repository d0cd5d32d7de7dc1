// The words that all of the transport shares: time, identifiers, commands, outputs and events.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "wire/packet.h"

namespace weft::transport {

// Nanoseconds on the caller's clock. Only differences matter; it must never run backwards.
using Time = std::int64_t;
inline constexpr Time kNanosecond = 1;
inline constexpr Time kMicrosecond = 1000;
inline constexpr Time kMillisecond = 1000 * kMicrosecond;
inline constexpr Time kSecond = 1000 * kMillisecond;
inline constexpr Time kNever = std::numeric_limits<Time>::max();

// A path is one entropy value of a connection: an index below Config::paths which the datapath maps
// to a source port, a queue pair, an address pair.
using PathId = std::uint16_t;
inline constexpr PathId kNoPath = std::numeric_limits<PathId>::max();

// Message numbers are chosen by the sender, rise by one per message and are unique per direction.
using MessageId = std::uint64_t;
inline constexpr MessageId kNoMessage = std::numeric_limits<MessageId>::max();

// 128 bits by which the application matches sends to receives; opaque to the transport.
struct Tag {
    std::uint64_t group = 0;
    std::uint64_t message = 0;
    friend bool operator==(const Tag&, const Tag&) = default;
};

// So many bytes of a message travel on this path: a planned message, as opposed to one whose path a
// scheduler chooses.
struct PathShare {
    PathId path = 0;
    std::uint64_t bytes = 0;
};

// Command: a message to send. The bytes stay with the caller, who finds them again by `cookie`.
struct SendRequest {
    Tag tag;
    std::uint64_t signature = 0;  // opaque; carried so that the receiver can compare shape and type
    std::uint64_t size = 0;       // bytes, 0 .. wire::kMaxMessageSize
    std::uint8_t priority = 0;    // 0 .. wire::kMaxPriority, larger goes first
    std::uint64_t cookie = 0;     // comes back in Transmit and Event
    bool wait_for_grant = false;  // send nothing but an announcement before the grant is there
    // Empty, or a plan for this message: bytes add up to `size`, paths exist. Which bytes take
    // which path is not said: bursts alternate between the shares so that all end together. Ignored
    // while a path is suspect, and for what is sent again. Must stay valid until the message has
    // ended.
    std::span<const PathShare> shares = {};
};

// Output: one packet to put on the wire. For kData the payload is bytes
// [packet.data.offset, + packet.data.length) of the message whose SendRequest had this `cookie`.
struct Transmit {
    wire::Packet packet;  // packet.path says which path to take
    std::uint64_t cookie = 0;
    // How many Transmits of consecutive chunks of the same message on the same path follow at once
    // (if poll_transmit is called again now): a datapath may gather them into one GSO batch.
    std::uint32_t burst_remaining = 0;
};

// What the datapath knows of an arrived packet besides its bytes.
struct Arrival {
    bool marked = false;   // ECN congestion-experienced
    bool trimmed = false;  // a switch cut the payload off
};

// Answer to an input: what the datapath must do with the payload of the packet it just gave.
enum class Landing : std::uint8_t {
    kNothing,  // no payload, or none that is wanted
    kLand,     // first arrival: copy the payload to its offset in the message before the next
               // poll_event
};

struct Landed {
    Landing landing = Landing::kNothing;
    bool opened =
        false;  // first chunk of a message: its tag is in the packet, accept() may be called now
    bool accepted = false;     // accept() was called for the message before
    std::uint64_t cookie = 0;  // of that accept(); else 0
};

enum class EventKind : std::uint8_t {
    kConnected,         // the handshake is done
    kMessageOpened,     // a message of the peer begins: accept() or refuse() it, now or later
    kMessageReceived,   // all bytes of a message that we accepted have landed
    kMessageGranted,    // the peer posted a destination for our message; `remote` is valid
    kMessageSent,       // our message was received whole and acknowledged
    kMessageCancelled,  // the peer gave up on its message; `code` says why
    kMessageRefused,    // the peer does not want our message; `code` says why
    kPeerClosed,        // the peer closed in order; `unfinished` of our messages will never be sent
    kClosed,            // our close() is complete; last event
    kFailed,            // the connection is dead: see Connection::failure(); last event
};
const char* to_string(EventKind kind);

struct Event {
    EventKind kind = EventKind::kConnected;
    std::uint8_t priority = 0;
    std::uint32_t code = 0;
    MessageId message = kNoMessage;
    Tag tag;
    std::uint64_t signature = 0;
    std::uint64_t size = 0;
    std::uint64_t cookie = 0;  // of the send or the accept; 0 while neither was given
    wire::RemoteDescriptor remote{};
};

}  // namespace weft::transport
