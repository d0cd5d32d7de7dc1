// Everything that can be asked about a connection, as plain numbers.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "transport/path.h"
#include "transport/types.h"

namespace weft::transport {

enum class State : std::uint8_t {
    kConnecting,  // client: hello or response is on its way
    kAccepting,   // server: waiting for the hello or the response
    kEstablished,
    kClosing,  // close() was called: finishing what was sent, then saying goodbye
    kClosed,
    kFailed,
};
const char* to_string(State state);

// Why an arrived packet was not taken.
enum class Drop : std::uint8_t {
    kMalformed,  // wire::decode refused it, or its fields contradict what is known
    kCorrupt,    // checksum mismatch, or none where one is required
    kWrongEpoch,
    kForeign,        // another connection's id, or a proof made with another key
    kDuplicate,      // a chunk that was here before
    kOutsideWindow,  // a sequence number that cannot be: stale or ahead of the window
    kUnexpected,     // right in itself, but not in this state
    kTrimmed,        // payload cut off by a switch; reported back as lost
    kOutOfOrder,     // came before its turn, and the recovery keeps order
    kCount,
};
const char* to_string(Drop drop);

enum class FailureReason : std::uint8_t {
    kNone,
    kHandshakeTimeout,  // the peer never came, or never proved itself
    kRejected,          // the peer refused the handshake: `code` is a RejectReason
    kRetryBudget,       // one chunk was sent max_attempts times in vain
    kPeerSilent,        // nothing heard for peer_timeout while something waited for the peer
    kPeerAborted,       // the peer gave the connection up: `code` is its reason
    kAborted,           // abort() was called here
};
const char* to_string(FailureReason reason);

enum class RejectReason : std::uint32_t { kVersion = 1, kEpoch = 2, kProof = 3, kOptions = 4 };
const char* to_string(RejectReason reason);

struct Failure {
    FailureReason reason = FailureReason::kNone;
    std::uint32_t code = 0;
    std::uint32_t attempts = 0;     // transmissions of the most repeated packet
    Time silence = 0;               // since the peer was last heard
    std::uint64_t remote_peer = 0;  // 0 when it never said who it is
    std::vector<Path> paths;        // their last states

    // One line for people: reason, peer, attempts, silence, paths good/suspect.
    std::string to_string() const;
};

struct Stats {
    State state = State::kConnecting;
    std::uint64_t remote_peer = 0;
    std::uint32_t chunk_size = 0;         // negotiated
    RttEstimator rtt;                     // over all paths
    std::uint64_t congestion_window = 0;  // bytes
    std::uint64_t in_flight = 0;          // bytes
    std::uint64_t messages_sent = 0;      // acknowledged whole
    std::uint64_t messages_received = 0;
    std::uint64_t bytes_sent = 0;       // payload, first transmissions only
    std::uint64_t bytes_received = 0;   // payload, first arrivals only
    std::uint64_t chunks_sent = 0;      // all transmissions
    std::uint64_t chunks_received = 0;  // first arrivals
    std::uint64_t retransmitted = 0;
    std::uint64_t fast_retransmits = 0;  // of them: found by later acknowledgements
    std::uint64_t timeouts = 0;          // of them: found by the timer
    std::uint64_t trims = 0;             // of them: reported by the receiver
    std::uint64_t tail_probes = 0;       // of them: sent again early, on suspicion
    std::uint64_t spurious = 0;          // retransmissions that turned out needless
    std::uint64_t acks_sent = 0;
    std::uint64_t acks_received = 0;
    std::uint64_t marks = 0;  // congestion marks the peer saw on our chunks
    std::uint64_t probes_sent = 0;
    std::uint64_t eager_credit_left = 0;  // bytes
    std::array<std::uint64_t, static_cast<std::size_t>(Drop::kCount)> drops{};
    std::vector<Path> paths;
};

}  // namespace weft::transport
