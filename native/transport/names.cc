// Names of states, reasons and kinds for people: errors, traces, statistics.
#include <algorithm>

#include "transport/feedback.h"
#include "transport/path.h"
#include "transport/stats.h"
#include "transport/trace.h"
#include "transport/types.h"

namespace weft::transport {

const char* to_string(EventKind kind) {
    switch (kind) {
        case EventKind::kConnected:
            return "connected";
        case EventKind::kMessageOpened:
            return "message_opened";
        case EventKind::kMessageReceived:
            return "message_received";
        case EventKind::kMessageGranted:
            return "message_granted";
        case EventKind::kMessageSent:
            return "message_sent";
        case EventKind::kMessageCancelled:
            return "message_cancelled";
        case EventKind::kMessageRefused:
            return "message_refused";
        case EventKind::kPeerClosed:
            return "peer_closed";
        case EventKind::kClosed:
            return "closed";
        case EventKind::kFailed:
            return "failed";
    }
    return "unknown";
}

const char* to_string(PathHealth health) {
    switch (health) {
        case PathHealth::kGood:
            return "good";
        case PathHealth::kSuspect:
            return "suspect";
        case PathHealth::kDenied:
            return "denied";
    }
    return "unknown";
}

const char* to_string(LossCause cause) {
    switch (cause) {
        case LossCause::kReordered:
            return "reordered";
        case LossCause::kTimeout:
            return "timeout";
        case LossCause::kTrimmed:
            return "trimmed";
        case LossCause::kTailProbe:
            return "tail_probe";
    }
    return "unknown";
}

const char* to_string(State state) {
    switch (state) {
        case State::kConnecting:
            return "connecting";
        case State::kAccepting:
            return "accepting";
        case State::kEstablished:
            return "established";
        case State::kClosing:
            return "closing";
        case State::kClosed:
            return "closed";
        case State::kFailed:
            return "failed";
    }
    return "unknown";
}

const char* to_string(Drop drop) {
    switch (drop) {
        case Drop::kMalformed:
            return "malformed";
        case Drop::kCorrupt:
            return "corrupt";
        case Drop::kWrongEpoch:
            return "wrong_epoch";
        case Drop::kForeign:
            return "foreign";
        case Drop::kDuplicate:
            return "duplicate";
        case Drop::kOutsideWindow:
            return "outside_window";
        case Drop::kUnexpected:
            return "unexpected";
        case Drop::kTrimmed:
            return "trimmed";
        case Drop::kOutOfOrder:
            return "out_of_order";
        case Drop::kCount:
            break;
    }
    return "unknown";
}

const char* to_string(FailureReason reason) {
    switch (reason) {
        case FailureReason::kNone:
            return "none";
        case FailureReason::kHandshakeTimeout:
            return "handshake timed out";
        case FailureReason::kRejected:
            return "rejected by the peer";
        case FailureReason::kRetryBudget:
            return "retry budget exhausted";
        case FailureReason::kPeerSilent:
            return "peer is silent";
        case FailureReason::kPeerAborted:
            return "aborted by the peer";
        case FailureReason::kAborted:
            return "aborted";
    }
    return "unknown";
}

const char* to_string(RejectReason reason) {
    switch (reason) {
        case RejectReason::kVersion:
            return "protocol versions differ";
        case RejectReason::kEpoch:
            return "epochs differ";
        case RejectReason::kProof:
            return "secrets differ";
        case RejectReason::kOptions:
            return "options out of range";
    }
    return "unknown";
}

const char* to_string(TraceKind kind) {
    switch (kind) {
        case TraceKind::kPacketSent:
            return "packet_sent";
        case TraceKind::kPacketReceived:
            return "packet_received";
        case TraceKind::kPacketDropped:
            return "packet_dropped";
        case TraceKind::kChunkAcked:
            return "chunk_acked";
        case TraceKind::kChunkLost:
            return "chunk_lost";
        case TraceKind::kWindow:
            return "window";
        case TraceKind::kPathHealth:
            return "path_health";
        case TraceKind::kState:
            return "state";
    }
    return "unknown";
}

std::string Failure::to_string() const {
    std::string text = transport::to_string(reason);
    if (reason == FailureReason::kRejected) {
        text += std::string(": ") + transport::to_string(static_cast<RejectReason>(code));
    } else if (code != 0) {
        text += " with code " + std::to_string(code);
    }
    text += remote_peer != 0 ? "; peer " + std::to_string(remote_peer) : "; peer unknown";
    if (attempts != 0) {
        text += "; " + std::to_string(attempts) + " attempts";
    }
    text += "; last heard " + std::to_string(silence / kMillisecond) + " ms ago";
    const auto suspect = std::count_if(paths.begin(), paths.end(), [](const Path& path) {
        return path.health == PathHealth::kSuspect;
    });
    return text + "; " + std::to_string(suspect) + " of " + std::to_string(paths.size()) +
           " paths suspect";
}

}  // namespace weft::transport
