// The clock side of the sender: timeouts, their back-off, and tail-loss probes, path by path.
#include <algorithm>

#include "transport/sender.h"

namespace weft::transport {
namespace {

constexpr int kMaxBackoff = 10;  // doublings of a timeout; rto_max ends it sooner

}  // namespace

void Sender::on_timer(Time now) {
    if (now < loss_timer_) {
        return;
    }
    loss_timer_ = kNever;
    for (std::size_t path = 0; path < shared_.paths.size(); ++path) {
        if (!shared_.paths[path].flying.empty()) {
            expire(now, static_cast<PathId>(path));
        }
    }
}

// Looks for timeouts on one path, and for its tail, and arms the timer for what is left.
void Sender::expire(Time now, PathId path_id) {
    Path& path = shared_.paths[path_id];
    const std::uint32_t oldest = path.flying.first;
    if (has_overdue(now, path)) {
        time_out(now, path_id);
    } else if (probes_tail(path, oldest) && ring_->at(oldest).sent_at + tail_timeout(path) <= now) {
        path.tail_probed = true;
        ++shared_.stats.tail_probes;
        declare_lost(now, oldest, LossCause::kTailProbe);
    }
    const Time base = base_timeout(path);
    for (std::uint32_t ticket = path.flying.first; ticket != SentChunk::kNil;) {
        const SentChunk& chunk = ring_->at(ticket);
        arm(path, ticket);
        if (chunk.sent_at + base > now) {
            return;  // those behind it are younger still
        }
        ticket = chunk.next;
    }
}

// The list of a path is in order of sending: behind the first chunk that is younger than a timeout
// without back-off, none can be overdue.
bool Sender::has_overdue(Time now, const Path& path) const {
    const Time base = base_timeout(path);
    for (std::uint32_t ticket = path.flying.first; ticket != SentChunk::kNil;) {
        const SentChunk& chunk = ring_->at(ticket);
        if (chunk.sent_at + base > now) {
            return false;
        }
        if (chunk.sent_at + timeout(path, chunk) <= now) {
            return true;
        }
        ticket = chunk.next;
    }
    return false;
}

// The path timed out. With what is overdue goes whatever was sent for the first time so long ago
// that it should have been answered by now; of a path that becomes suspect, all.
void Sender::time_out(Time now, PathId path_id) {
    Path& path = shared_.paths[path_id];
    path.timeouts = static_cast<std::uint8_t>(std::min(path.timeouts + 1, 255));
    const bool suspect = health_.on_timeout(now, path_id);
    const Time horizon = now - tail_timeout(path);
    const double share = share_of(path);
    std::uint64_t bytes = 0;
    if (recovery_->in_order()) {
        bytes = lose_behind(now, path.flying.first, LossCause::kTimeout);
    }
    for (std::uint32_t ticket = path.flying.first; ticket != SentChunk::kNil;) {
        const SentChunk& chunk = ring_->at(ticket);
        const std::uint32_t next = chunk.next;
        if (chunk.sent_at > horizon && !suspect) {
            break;
        }
        if (suspect || chunk.attempts == 1 || chunk.sent_at + timeout(path, chunk) <= now) {
            bytes += chunk.length;
            ++shared_.stats.timeouts;
            take_out_of_flight(now, ticket, LossCause::kTimeout);
        }
        ticket = next;
    }
    const LossSample sample{.now = now,
                            .path = path_id,
                            .cause = LossCause::kTimeout,
                            .bytes = bytes,
                            .share = share,
                            .path_timeouts = path.timeouts};
    congestion_->on_loss(sample, shared_.paths);
    scheduler_->on_loss(sample, shared_.paths);
}

// RFC 6298's timeout with our bounds, before back-off. Paths not measured yet borrow the
// connection's.
Time Sender::base_timeout(const Path& path) const {
    const RttEstimator& rtt = path.rtt.known() ? path.rtt : shared_.stats.rtt;
    if (!rtt.known()) {
        return shared_.config.rto_initial;
    }
    return std::clamp(rtt.timeout() + shared_.config.ack_delay, shared_.config.rto_min,
                      shared_.config.rto_max);
}

// Doubles with every transmission of the chunk (RFC 6298 rule 5.5), on whichever paths they were:
// when no path answers, the budget of attempts must not be spent in a few round trips.
Time Sender::timeout(const Path& path, const SentChunk& chunk) const {
    const Time backed_off = base_timeout(path) << std::min(chunk.attempts - 1, kMaxBackoff);
    return std::min(backed_off, shared_.config.rto_max);
}

// When silence on a path is suspicious (RFC 8985 section 7.2: two round trips), no later than its
// timeout.
Time Sender::tail_timeout(const Path& path) const {
    const RttEstimator& rtt = path.rtt.known() ? path.rtt : shared_.stats.rtt;
    const Time base = base_timeout(path);
    if (!rtt.known()) {
        return base;
    }
    const Time two_trips = std::max(2 * rtt.smoothed(), rtt.timeout());
    return std::min(two_trips + shared_.config.ack_delay, base);
}

// Only the oldest chunk of a path is sent again on suspicion, and only for the first time.
bool Sender::probes_tail(const Path& path, std::uint32_t ticket) const {
    return ticket == path.flying.first && ring_->at(ticket).attempts == 1 && !path.tail_probed &&
           path.timeouts == 0 && recovery_->probes_tail();
}

// Makes sure that the timer rings no later than when this chunk in flight needs it.
void Sender::arm(const Path& path, std::uint32_t ticket) {
    const SentChunk& chunk = ring_->at(ticket);
    const Time wait = probes_tail(path, ticket) ? tail_timeout(path) : timeout(path, chunk);
    loss_timer_ = std::min(loss_timer_, chunk.sent_at + wait);
}

}  // namespace weft::transport
