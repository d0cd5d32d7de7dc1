// Words for people: the errors in which connections end, and the statistics.
#include "datapath/edge/message_edge.h"
#include "datapath/json.h"

namespace weft::datapath {

ErrorPtr MessageEdge::explain(const transport::Failure& failure) const {
    using transport::FailureReason;
    using transport::RejectReason;
    const std::string who = this->who();
    const std::string where = this->where();
    switch (failure.reason) {
        case FailureReason::kHandshakeTimeout:
            return make_error(
                WEFT_ERR_UNREACHABLE,
                who + " can be reached at " + where +
                    ", but did not complete the handshake in time: it does not want this "
                    "process, is busy, or has another `checksum` option",
                peer_);
        case FailureReason::kRejected:
            switch (static_cast<RejectReason>(failure.code)) {
                case RejectReason::kProof:
                    return make_error(WEFT_ERR_AUTH,
                                      who + " at " + where +
                                          " refused this process: the two have different secrets; "
                                          "start both with the same `secret` (WEFT_SECRET)",
                                      peer_);
                case RejectReason::kEpoch:
                    return make_error(
                        WEFT_ERR_UNREACHABLE,
                        who + " is no longer at " + where + ": another process answers there",
                        peer_);
                case RejectReason::kVersion:
                    return make_error(WEFT_ERR_UNSUPPORTED,
                                      who + " at " + where +
                                          " speaks another version of the protocol; install the "
                                          "same Weft on both",
                                      peer_);
                case RejectReason::kOptions:
                    return make_error(
                        WEFT_ERR_INVALID,
                        who + " at " + where + " refused the transport options of this process",
                        peer_);
            }
            break;
        case FailureReason::kRetryBudget:
        case FailureReason::kPeerSilent:
        case FailureReason::kPeerAborted:
        case FailureReason::kAborted:
        case FailureReason::kNone:
            break;
    }
    return make_error(
        failure.reason == FailureReason::kAborted ? WEFT_ERR_ABORTED : WEFT_ERR_PEER_DEAD,
        who + ": " + failure.to_string() + "; last state of its paths: " + describe_paths(failure),
        peer_);
}

std::string MessageEdge::phase_json() const {
    static constexpr const char* kPhases[] = {"checking", "connecting", "open",  "left",
                                              "closing",  "ended",      "failed"};
    return "\"" + std::string(kPhases[static_cast<std::size_t>(phase_)]) + "\"";
}

void MessageEdge::add_connection(std::string& json) const {
    add_number(json, "unmatched_messages", unmatched_.size());
    add_number(json, "posted_receives", posted_.size());
    add_number(json, "mismatches", mismatches_);
    if (!connection_) {
        return;
    }
    const transport::Config& config = connection_->config();
    json += ",\"scheduler\":\"" + config.scheduler.name + "\",\"congestion\":\"" +
            config.congestion.name + "\",\"recovery\":\"" + config.recovery.name + "\"";
    const transport::Stats stats = connection_->stats();
    add_number(json, "chunk_size", stats.chunk_size);
    add_number(json, "rtt_ns", stats.rtt.smoothed());
    add_number(json, "congestion_window", stats.congestion_window);
    add_number(json, "in_flight", stats.in_flight);
    add_number(json, "messages_sent", stats.messages_sent);
    add_number(json, "messages_received", stats.messages_received);
    add_number(json, "bytes_sent", stats.bytes_sent);
    add_number(json, "bytes_received", stats.bytes_received);
    add_number(json, "chunks_sent", stats.chunks_sent);
    add_number(json, "chunks_received", stats.chunks_received);
    add_number(json, "retransmitted", stats.retransmitted);
    add_number(json, "fast_retransmits", stats.fast_retransmits);
    add_number(json, "timeouts", stats.timeouts);
    add_number(json, "tail_probes", stats.tail_probes);
    add_number(json, "trims", stats.trims);
    add_number(json, "spurious", stats.spurious);
    add_number(json, "acks_sent", stats.acks_sent);
    add_number(json, "acks_received", stats.acks_received);
    add_number(json, "marks", stats.marks);
    add_number(json, "probes_sent", stats.probes_sent);
    json += ",\"drops\":{";
    for (std::size_t i = 0; i < stats.drops.size(); ++i) {
        json += (i > 0 ? ",\"" : "\"") +
                std::string(transport::to_string(static_cast<transport::Drop>(i))) +
                "\":" + std::to_string(stats.drops[i]);
    }
    json += "}";
}

std::string MessageEdge::path_json(const transport::Path& path) {
    return ",\"health\":\"" + std::string(transport::to_string(path.health)) +
           "\",\"rtt_ns\":" + std::to_string(path.rtt.smoothed()) +
           ",\"in_flight\":" + std::to_string(path.in_flight) +
           ",\"sent\":" + std::to_string(path.chunks_sent) +
           ",\"lost\":" + std::to_string(path.chunks_lost) +
           ",\"marks\":" + std::to_string(path.marks);
}

}  // namespace weft::datapath
