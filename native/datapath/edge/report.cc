// Words for people: the errors in which connections end, and the statistics.
#include "datapath/edge/message_edge.h"

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

std::string MessageEdge::connection_json() const {
    std::string json;
    const auto number = [&json](const char* key, auto value) {
        json += ",\"" + std::string(key) + "\":" + std::to_string(value);
    };
    number("unmatched_messages", unmatched_.size());
    number("posted_receives", posted_.size());
    number("mismatches", mismatches_);
    if (!connection_) {
        return json;
    }
    const transport::Config& config = connection_->config();
    json += ",\"scheduler\":\"" + config.scheduler.name + "\",\"congestion\":\"" +
            config.congestion.name + "\",\"recovery\":\"" + config.recovery.name + "\"";
    const transport::Stats stats = connection_->stats();
    number("chunk_size", stats.chunk_size);
    number("rtt_ns", stats.rtt.smoothed());
    number("congestion_window", stats.congestion_window);
    number("in_flight", stats.in_flight);
    number("messages_sent", stats.messages_sent);
    number("messages_received", stats.messages_received);
    number("bytes_sent", stats.bytes_sent);
    number("bytes_received", stats.bytes_received);
    number("chunks_sent", stats.chunks_sent);
    number("chunks_received", stats.chunks_received);
    number("retransmitted", stats.retransmitted);
    number("fast_retransmits", stats.fast_retransmits);
    number("timeouts", stats.timeouts);
    number("tail_probes", stats.tail_probes);
    number("trims", stats.trims);
    number("spurious", stats.spurious);
    number("acks_sent", stats.acks_sent);
    number("acks_received", stats.acks_received);
    number("marks", stats.marks);
    number("probes_sent", stats.probes_sent);
    json += ",\"drops\":{";
    for (std::size_t i = 0; i < stats.drops.size(); ++i) {
        json += (i > 0 ? ",\"" : "\"") +
                std::string(transport::to_string(static_cast<transport::Drop>(i))) +
                "\":" + std::to_string(stats.drops[i]);
    }
    return json + "}";
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
