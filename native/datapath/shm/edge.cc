#include "datapath/shm/edge.h"

#include <algorithm>
#include <utility>

#include "datapath/json.h"
#include "datapath/shm/doorbell.h"

namespace weft::datapath::shm {
namespace {

constexpr std::size_t kPiece = 32768;  // of a stream: small enough that sender and receiver overlap
constexpr std::size_t kStreamPerCall = 4 * kPiece;  // then incoming gets its turn
constexpr std::size_t kMostForgotten = 4096;        // late messages come soon or never

}  // namespace

Edge::Edge(std::shared_ptr<EdgeContext> context, PeerId peer, ChannelOwner& owner)
    : context_(std::move(context)), peer_(peer), owner_(owner), liveness_(context_->peer_timeout) {}

Edge::~Edge() = default;

void Edge::open(Session session) {
    session_ = std::move(session);
    segment_ = std::shared_ptr<const PeerSegment>(std::move(session_.segment));
    auto& memory = *reinterpret_cast<EdgeMemory*>(session_.memory->data());
    out_ = std::make_unique<Producer>(memory.flow[session_.outgoing]);
    in_ = std::make_unique<Consumer>(memory.flow[1 - session_.outgoing]);
    state_ = Channel::State::kOpen;
    if (watchers_ > 0) {
        in_->watch(true);
        nudge();
    }
}

// ---------------------------------------------------------------- ends

void Edge::end(Transfer& t, ErrorPtr error) {
    t.cookie[0] = kNowhere;
    t.state = error ? Transfer::State::kFailed : Transfer::State::kDone;
    t.error = std::move(error);
    if (t.observer != nullptr) {
        t.observer->transfer_done(t);
    }
}

void Edge::end_all(const ErrorPtr& error) {
    table_.drain_posted(ending_);
    while (Transfer* t = sends_.front()) {
        sends_.remove(*t);
        ending_.push_back(*t);
    }
    outgoing_.each([&](std::uint64_t, Outgoing& o) { ending_.push_back(*o.transfer); });
    incoming_.each([&](std::uint64_t, Incoming& i) {
        if (i.transfer != nullptr) {
            ending_.push_back(*i.transfer);
        }
    });
    outgoing_.clear();
    incoming_.clear();
    streams_.clear();
    pulls_.clear();
    controls_.clear();
    for (Transfer* t = ending_.front(); t != nullptr; t = t->next) {
        t->cookie[0] = kEnding;
    }
    while (Transfer* t = ending_.front()) {
        ending_.remove(*t);
        end(*t, error);
    }
}

// Lets go of everything shared. The segment stays for as long as somebody reads boards in it.
void Edge::release() {
    out_.reset();
    in_.reset();
    session_ = Session{};
}

void Edge::fail(ErrorPtr error) {
    if (state_ == Channel::State::kFailed || over()) {
        return;
    }
    const bool was_closed = state_ == Channel::State::kClosed;
    state_ = Channel::State::kFailed;
    error_ = std::move(error);
    release();
    static_cast<void>(table_.take_all([](const Message&) { return true; }));
    end_all(error_);
    if (!was_closed && channel != nullptr) {
        owner_.channel_failed(*channel, error_);
    }
}

void Edge::broken(const char* what) {
    fail(make_error(WEFT_ERR_SYSTEM,
                    who() + " broke the shared-memory protocol (" + what +
                        "): its memory is corrupted, or it is not a Weft process of this version",
                    peer_));
}

// The peer ended. What it had published before still counts.
void Edge::hung_up() {
    while (alive() && in_->ready()) {
        drain();
    }
    if (!alive()) {
        return;
    }
    if (peer_closed_ || (state_ == Channel::State::kClosed && !busy() && outgoing_.size() == 0)) {
        release();
        return;
    }
    fail(make_error(WEFT_ERR_PEER_DEAD,
                    who() + " died: its end of the shared-memory edge was closed without a "
                            "farewell; see that process's own output",
                    peer_));
}

void Edge::close() {
    if (state_ == Channel::State::kConnecting) {
        state_ = Channel::State::kClosed;
        error_ = make_error(WEFT_ERR_STATE,
                            "the channel to " + who() + " was closed before it was open", peer_);
        end_all(error_);
        return;
    }
    if (state_ != Channel::State::kOpen) {
        return;
    }
    state_ = Channel::State::kClosed;
    error_ = make_error(WEFT_ERR_STATE, "the channel to " + who() + " was closed here", peer_);
    for (const Unmatched& unmatched : table_.take_all([](const Message&) { return true; })) {
        if (unmatched.message.kind == Kind::kOffer) {
            refuse(unmatched.message, WEFT_ERR_ABORTED);
        }
    }
    TransferList receives;
    table_.drain_posted(receives);
    incoming_.each([&](std::uint64_t, Incoming& i) {
        if (i.transfer != nullptr) {
            receives.push_back(*std::exchange(i.transfer, nullptr));
        }
    });
    while (Transfer* t = receives.front()) {
        receives.remove(*t);
        t->cookie[0] = kEnding;
        ending_.push_back(*t);
    }
    while (Transfer* t = ending_.front()) {
        ending_.remove(*t);
        end(*t, error_);
    }
    if (alive()) {
        flush();
        finish_closing();
        ring();
    }
}

// The farewell goes out once all that was to be sent has left.
void Edge::finish_closing() {
    if (state_ == Channel::State::kClosed && alive() && !close_sent_ && !busy() &&
        outgoing_.size() == 0 && out_->room(0)) {
        out_->push(Message(Kind::kClose));
        close_sent_ = published_ = true;
    }
}

void Edge::detach() {
    channel = nullptr;
    if (context_->abandoned) {
        return;
    }
    const ErrorPtr error =
        make_error(WEFT_ERR_ABORTED, "the channel to " + who() + " was destroyed", peer_);
    if (alive()) {
        if (!close_sent_ && out_->room(0)) {
            if (outgoing_.size() > 0) {
                out_->count_cancel();  // whatever the peer is reading is no longer good; the
                                       // farewell tells it so
            }
            out_->push(Message(Kind::kClose));
            published_ = true;
        }
        ring();
        release();
    }
    if (state_ != Channel::State::kFailed) {
        state_ = Channel::State::kClosed;
        error_ = error;
    }
    end_all(error);
}

// ---------------------------------------------------------------- the sending side

void Edge::send(Transfer& t) {
    t.state = Transfer::State::kPending;
    if (state_ == Channel::State::kFailed || state_ == Channel::State::kClosed) {
        end(t, error_);
        return;
    }
    if (alive() && sends_.empty() && controls_.empty() && try_send(t)) {
        ring();
        if (t.cookie[0] == kNowhere) {
            end(t);
        }
        return;
    }
    // Higher priority first, but never ahead of an equal tag.
    Transfer* before = sends_.back();
    while (before != nullptr && before->priority < t.priority && !(before->tag == t.tag)) {
        before = before->previous;
    }
    t.cookie[0] = kSends;
    sends_.insert_after(before, t);
}

// Puts it into the ring, as a whole (place kNowhere: done) or as an offer. False: no room. The
// sender of a message looks at the peer's wish after it looked for room: so a consumer that stopped
// wishing for eager messages gets no more than one ring of them.
bool Edge::try_send(Transfer& t) {
    Message message(Kind::kEager);
    message.size = t.size;
    message.tag = t.tag;
    message.signature = t.signature;
    if (t.size <= context_->options.eager_limit) {
        const std::size_t payload = t.size > kInlineBytes ? t.size : 0;
        if (!out_->room(payload)) {
            return false;
        }
        if (!out_->eager_refused()) {
            if (payload == 0 && t.size > 0) {
                std::memcpy(message.inlined, t.data, t.size);
            }
            out_->push(message, t.data, payload);
            published_ = true;
            ++count_.eager_sent;
            t.cookie[0] = kNowhere;
            return true;
        }
    }
    if (!out_->room(0)) {
        return false;
    }
    message.kind = Kind::kOffer;
    t.cookie[0] = kOffered;
    t.cookie[1] = outgoing_.add({&t, false, 0, 0});
    message.link = {t.cookie[1], 0, reinterpret_cast<std::uintptr_t>(t.data)};
    out_->push(message);
    published_ = true;
    ++count_.offered;
    return true;
}

void Edge::control(const Message& message) {
    if (!alive() || close_sent_) {
        return;
    }
    if (controls_.empty() && out_->room(0)) {
        out_->push(message);
        published_ = true;
    } else {
        controls_.push_back(message);
    }
}

// Sends what had found no room.
bool Edge::flush() {
    bool moved = false;
    while (!controls_.empty() && out_->room(0)) {
        out_->push(controls_.front());
        controls_.pop_front();
        published_ = moved = true;
    }
    while (alive() && controls_.empty() && !sends_.empty()) {
        Transfer& t = *sends_.front();
        sends_.remove(t);  // before try_send: it changes the transfer's place
        if (!try_send(t)) {
            sends_.insert_after(nullptr, t);
            break;
        }
        moved = true;
        if (t.cookie[0] == kNowhere) {
            end(t);
        }
    }
    return moved;
}

// Fills the ring with pieces of what the peer wants streamed; leaves room for an eager message.
bool Edge::stream() {
    std::size_t budget = kStreamPerCall;
    bool moved = false;
    while (alive() && !streams_.empty() && budget > 0 && out_->room(kPiece + kMaxEagerLimit)) {
        const std::uint64_t id = streams_.front();
        Outgoing& o = *outgoing_.find(id);
        const std::size_t size = std::min<std::size_t>(kPiece, o.transfer->size - o.sent);
        Message piece(Kind::kPiece, {id, o.peer_id, o.sent});
        piece.size = size;
        out_->push(piece, o.transfer->data + o.sent, size);
        published_ = moved = true;
        o.sent += size;
        count_.streamed_bytes += size;
        budget -= std::min(budget, size);
        if (o.sent == o.transfer->size) {
            Transfer& t = *o.transfer;
            ++count_.streamed;
            streams_.erase(streams_.begin());
            outgoing_.remove(id);
            end(t);
        }
        ring();
    }
    return moved;
}

bool Edge::work() {
    bool moved = in_->ready() && drain();
    if (alive()) {
        moved |= flush();
    }
    if (alive() && !streams_.empty()) {
        moved |= stream();
    }
    if (alive() && !pulls_.empty()) {
        moved |= pull();
    }
    if (alive()) {
        finish_closing();
        if (out_->broken()) {
            broken("a read position that makes no sense");
        }
    }
    ring();
    return moved;
}

// ---------------------------------------------------------------- cancelling and forgetting

void Edge::cancel(Transfer& t) {
    if (t.state != Transfer::State::kPending) {
        return;
    }
    ++count_.cancelled;
    switch (t.cookie[0]) {
        case kSends:
            sends_.remove(t);
            break;
        case kEnding:
            ending_.remove(t);
            break;
        case kPosted:
            table_.withdraw(t);
            break;
        case kOffered: {
            // The count comes first: from here on the receiver trusts nothing it pulled until it
            // has seen the message.
            Message message(Kind::kCancel, {t.cookie[1], 0, 0});
            message.tag = t.tag;
            out_->count_cancel();
            std::erase(streams_, t.cookie[1]);
            outgoing_.remove(t.cookie[1]);
            control(message);
            ring();
            break;
        }
        case kReceiving:
            incoming_.find(t.cookie[1])->transfer = nullptr;
            break;
        default:
            break;
    }
    t.cookie[0] = kNowhere;
    t.state = Transfer::State::kIdle;
}

void Edge::forget_group(std::uint64_t group) {
    if (!forgotten_.insert(group).second) {
        return;
    }
    forgotten_order_.push_back(group);
    if (forgotten_order_.size() > kMostForgotten) {
        forgotten_.erase(forgotten_order_.front());
        forgotten_order_.pop_front();
    }
    std::int64_t freed = 0;
    for (const Unmatched& unmatched :
         table_.take_all([&](const Message& m) { return m.tag.group == group; })) {
        if (unmatched.message.kind == Kind::kOffer) {
            refuse(unmatched.message, WEFT_ERR_ABORTED);
        } else {
            freed += static_cast<std::int64_t>(unmatched.message.size + kKeptOverhead);
        }
    }
    account_unmatched(-freed);
    ring();
}

// ---------------------------------------------------------------- waking, watching, sleeping

void Edge::ring() noexcept {
    if (published_ && alive()) {
        published_ = false;
        nudge();
    }
}

void Edge::nudge() noexcept {
    full_fence();
    if (peer_sleeps()) {
        ++count_.doorbells;
        ring_doorbell(session_.doorbell.get());
    }
}

void Edge::watch(bool on) {
    watchers_ += on ? 1 : -1;
    if (watchers_ == (on ? 1 : 0) && alive()) {
        in_->watch(on);
        liveness_.start();
        if (on) {
            nudge();  // it may sleep without a timer
        }
    }
}

void Edge::look(Time now) {
    if (now >= next_look() &&
        !liveness_.look(segment_->header().heartbeat.load(std::memory_order_relaxed), now)) {
        const std::string seconds =
            std::to_string(static_cast<double>(liveness_.silence()) * 1e-9).substr(0, 4);
        fail(make_error(WEFT_ERR_PEER_DEAD,
                        who() + " gave no sign of life for " + seconds +
                            " s although its process exists (stopped or overloaded?); raise "
                            "WEFT_PEER_TIMEOUT_MS if such pauses are normal",
                        peer_));
    }
}

// Room that the next thing to be sent needs.
std::size_t Edge::backlog_payload() const noexcept {
    if (!controls_.empty()) {
        return 0;
    }
    if (!sends_.empty()) {
        const std::size_t size = sends_.front()->size;
        return size <= context_->options.eager_limit && size > kInlineBytes ? size : 0;
    }
    return kPiece + kMaxEagerLimit;
}

bool Edge::arm() {
    if (!alive()) {
        return true;
    }
    if (in_->ready_before_sleep() || !pulls_.empty()) {
        return false;
    }
    const bool backlog = !controls_.empty() || !sends_.empty() || !streams_.empty();
    return !backlog || !out_->wait_for_room(backlog_payload());
}

void Edge::disarm() noexcept {
    if (alive()) {
        out_->stop_waiting();
    }
}

std::string Edge::stats_json() const {
    static const char* const kStates[] = {"connecting", "open", "closed", "failed"};
    std::string json = std::string("{\"state\":\"") + kStates[static_cast<int>(state_)] + "\"";
    json += std::string(",\"cross_memory_attach\":") + (session_.pid != 0 ? "true" : "false");
    add_number(json, "eager_sent", count_.eager_sent);
    add_number(json, "eager_received", count_.eager_received);
    add_number(json, "offers_sent", count_.offered);
    add_number(json, "offers_received", count_.offers_received);
    add_number(json, "offers_streamed", count_.streamed);
    add_number(json, "streamed_bytes", count_.streamed_bytes);
    add_number(json, "pulled_bytes", count_.pulled_bytes);
    add_number(json, "kept_unmatched", count_.kept);
    add_number(json, "unmatched_now", table_.unmatched_count());
    add_number(json, "unmatched_bytes_now", unmatched_bytes_);
    add_number(json, "doorbells_rung", count_.doorbells);
    add_number(json, "cancelled", count_.cancelled);
    return json + "}";
}

}  // namespace weft::datapath::shm
