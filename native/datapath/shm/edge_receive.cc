// The receiving side of an edge: what comes out of the ring, and what is read from the peer's
// memory.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "datapath/shm/edge.h"
#include "datapath/shm/pull.h"

namespace weft::datapath::shm {
namespace {

constexpr std::size_t kDrainPerCall = 128u
                                      << 10;  // payload bytes; then the outgoing side gets its turn
constexpr int kMessagesPerCall = 64;
constexpr std::size_t kPullPerCall = 1u << 20;

std::size_t ring_payload(const Message& message) {
    switch (message.kind) {
        case Kind::kEager:
            return message.size > kInlineBytes ? message.size : 0;
        case Kind::kPiece:
            return message.size;
        default:
            return 0;
    }
}

void land(const Transfer& t, std::uint64_t offset, std::span<const std::byte> bytes) {
    if (bytes.empty()) {
        return;
    }
    if (t.reducer != nullptr) {
        t.reducer->combine(t.data + offset, bytes.data(), bytes.size());
    } else {
        std::memcpy(t.data + offset, bytes.data(), bytes.size());
    }
}

}  // namespace

bool Edge::drain() {
    std::size_t bytes = 0;
    int messages = 0;
    while (alive() && messages < kMessagesPerCall && bytes < kDrainPerCall && in_->ready()) {
        const Message message = in_->pop();
        ++messages;
        bytes += ring_payload(message);
        handle(message);
        if (alive() && in_->publish()) {
            published_ = true;
        }
    }
    return messages > 0;
}

void Edge::handle(const Message& message) {
    switch (message.kind) {
        case Kind::kEager:
            return on_eager(message);
        case Kind::kOffer:
            return on_offer(message);
        case Kind::kPull:
            return on_pull(message);
        case Kind::kPiece:
            return on_piece(message);
        case Kind::kDone:
            return on_done(message);
        case Kind::kCancel:
            return on_cancel(message);
        case Kind::kClose:
            return on_close();
    }
    broken("an unknown kind of message");
}

// ---------------------------------------------------------------- receives

void Edge::recv(Transfer& t) {
    t.state = Transfer::State::kPending;
    t.cookie[0] = kNowhere;
    Unmatched found;
    if (table_.take(t.tag, found)) {
        if (found.message.kind == Kind::kOffer) {
            receive_offer(t, found.message);
            ring();
            return;
        }
        const std::size_t size = found.message.size;
        account_unmatched(-static_cast<std::int64_t>(size + kKeptOverhead));
        const std::byte* bytes = found.payload ? found.payload.get() : found.message.inlined;
        deliver(t, found.message, {{bytes, size}, {}});
        return;
    }
    if (state_ == Channel::State::kFailed || state_ == Channel::State::kClosed) {
        end(t, error_);
        return;
    }
    t.cookie[0] = kPosted;
    table_.post(t);
}

bool Edge::mismatch(Transfer& t, const Message& message) {
    if (message.signature == t.signature && message.size == t.size) {
        return false;
    }
    t.peer_signature = message.signature;
    t.peer_size = message.size;
    end(t, make_error(WEFT_ERR_MISMATCH,
                      who() + " sent " + std::to_string(message.size) + " bytes (signature " +
                          hex(message.signature) + ") where " + std::to_string(t.size) +
                          " bytes (signature " + hex(t.signature) +
                          ") were expected: the two called different operations, counts or types",
                      peer_));
    return true;
}

void Edge::deliver(Transfer& t, const Message& message, const Consumer::Payload& payload) {
    ++count_.eager_received;
    if (!mismatch(t, message)) {
        land(t, 0, payload.first);
        land(t, payload.first.size(), payload.second);
        end(t);
    }
}

// Says that a message came which nobody waits for. True: it may still be of interest.
bool Edge::announce(const Message& message) {
    if (state_ == Channel::State::kOpen && !forgotten_.contains(message.tag.group) &&
        channel != nullptr) {
        owner_.message_unmatched(*channel, message.tag, message.signature, message.size);
    }
    return state_ == Channel::State::kOpen && !forgotten_.contains(message.tag.group);
}

void Edge::on_eager(const Message& message) {
    if (message.size > kMaxEagerLimit) {
        return broken("an eager message beyond the limit");
    }
    const std::size_t size = message.size;
    const Consumer::Payload payload =
        size > kInlineBytes ? in_->take(size) : Consumer::Payload{{message.inlined, size}, {}};
    Transfer* t = table_.match(message.tag);
    if (t == nullptr && announce(message)) {
        t = table_.match(message.tag);  // posted by the owner just now
        if (t == nullptr) {
            keep(message, payload);
        }
    }
    if (t != nullptr) {
        deliver(*t, message, payload);
    }
}

void Edge::keep(const Message& message, const Consumer::Payload& payload) {
    Unmatched unmatched{message, nullptr};
    if (message.size > kInlineBytes) {
        unmatched.payload = std::make_unique_for_overwrite<std::byte[]>(message.size);
        std::memcpy(unmatched.payload.get(), payload.first.data(), payload.first.size());
        std::memcpy(unmatched.payload.get() + payload.first.size(), payload.second.data(),
                    payload.second.size());
    }
    table_.keep(std::move(unmatched));
    ++count_.kept;
    account_unmatched(static_cast<std::int64_t>(message.size + kKeptOverhead));
}

void Edge::account_unmatched(std::int64_t bytes) {
    unmatched_bytes_ =
        static_cast<std::size_t>(static_cast<std::int64_t>(unmatched_bytes_) + bytes);
    const std::size_t bound = context_->options.unmatched_bytes;
    if (!alive()) {
        return;
    }
    if (!eager_refused_ && unmatched_bytes_ > bound) {
        in_->refuse_eager(eager_refused_ = true);
    } else if (eager_refused_ && unmatched_bytes_ <= bound / 2) {
        in_->refuse_eager(eager_refused_ = false);
    } else if (unmatched_bytes_ >
               bound + kRingBytes + kMaxEagerLimit + (kSlots + 1) * kKeptOverhead) {
        // More than what was in the ring when the wish was stated (Edge::try_send).
        broken("it floods us with messages that nobody receives, and ignores the stop sign");
    }
}

// ---------------------------------------------------------------- offers

void Edge::on_offer(const Message& message) {
    ++count_.offers_received;
    Transfer* t = table_.match(message.tag);
    if (t == nullptr) {
        if (!announce(message)) {
            refuse(message, WEFT_ERR_ABORTED);
            return;
        }
        t = table_.match(message.tag);
        if (t == nullptr) {
            table_.keep({message, nullptr});
            return;
        }
    }
    receive_offer(*t, message);
}

void Edge::refuse(const Message& offer, weft_status status, const Transfer* t) {
    Message done(Kind::kDone, {offer.link.id, 0, 0});
    done.status = static_cast<std::int16_t>(status);
    if (t != nullptr) {
        done.size = t->size;
        done.signature = t->signature;
    }
    control(done);
}

void Edge::receive_offer(Transfer& t, const Message& message) {
    if (message.signature != t.signature || message.size != t.size) {
        refuse(message, WEFT_ERR_MISMATCH, &t);
        mismatch(t, message);
        return;
    }
    if (t.size == 0) {
        refuse(message, WEFT_OK);
        end(t);
        return;
    }
    // The peer's help makes it faster; but if it sleeps, waking it takes longer than most messages.
    const bool pulling =
        session_.pid != 0 && (peer_sleeps() || context_->options.large == ShmOptions::Large::kPull);
    t.cookie[0] = kReceiving;
    t.cookie[1] =
        incoming_.add({&t, message.link.id, message.link.where, message.size, 0, pulling});
    if (pulling) {
        auto at = pulls_.begin();
        while (at != pulls_.end()) {
            const Transfer* other = incoming_.find(*at)->transfer;
            if (other != nullptr && other->priority < t.priority) {
                break;
            }
            ++at;
        }
        pulls_.insert(at, t.cookie[1]);
    } else {
        control(Message(Kind::kPull, {message.link.id, t.cookie[1], 0}));
    }
}

void Edge::on_pull(const Message& message) {
    Outgoing* const o = outgoing_.find(message.link.id);
    if (o == nullptr) {
        return;  // cancelled; kCancel is on its way
    }
    if (o->streaming || message.link.where >= o->transfer->size ||
        message.link.where % kCacheLine != 0) {
        return broken("a request for a stream that makes no sense");
    }
    o->streaming = true;
    o->sent = message.link.where;
    o->peer_id = message.link.peer_id;
    const auto at = std::find_if(streams_.begin(), streams_.end(), [&](std::uint64_t id) {
        return outgoing_.find(id)->transfer->priority < o->transfer->priority;
    });
    streams_.insert(at, message.link.id);
}

void Edge::on_piece(const Message& message) {
    if (message.size == 0 || message.size > kRingBytes) {
        return broken("a piece of a size that makes no sense");
    }
    const std::size_t size = message.size;
    const Consumer::Payload payload = in_->take(size);
    Incoming* const i = incoming_.find(message.link.peer_id);
    if (i == nullptr) {
        return;  // dropped at close
    }
    const bool last = i->size - i->received == size;
    if (i->pulling || message.link.where != i->received || size > i->size - i->received ||
        (!last && size % kCacheLine != 0)) {
        return broken("a piece out of place");
    }
    Transfer* const t = i->transfer;
    if (t != nullptr) {
        land(*t, i->received, payload.first);
        land(*t, i->received + payload.first.size(), payload.second);
    }
    i->received += size;
    count_.streamed_bytes += size;
    if (last) {
        incoming_.remove(message.link.peer_id);
        if (t != nullptr) {
            end(*t);
        }
    }
}

void Edge::on_done(const Message& message) {
    Outgoing* const o = outgoing_.find(message.link.id);
    if (o == nullptr) {
        return;  // cancelled meanwhile
    }
    if (o->streaming) {
        return broken("an end of what is still flowing");
    }
    Transfer& t = *o->transfer;
    outgoing_.remove(message.link.id);
    switch (message.status) {
        case WEFT_OK:
            return end(t);
        case WEFT_ERR_MISMATCH:
            t.peer_signature = message.signature;
            t.peer_size = message.size;
            return end(
                t,
                make_error(WEFT_ERR_MISMATCH,
                           who() + " expected " + std::to_string(message.size) +
                               " bytes (signature " + hex(message.signature) + ") where " +
                               std::to_string(t.size) + " bytes (signature " + hex(t.signature) +
                               ") were sent: the two called different operations, counts or types",
                           peer_));
        default:
            return end(t, make_error(WEFT_ERR_ABORTED,
                                     who() + " does not want this message (any more): it has left "
                                             "the group, or cancelled the receive",
                                     peer_));
    }
}

void Edge::on_cancel(const Message& message) {
    ++cancels_seen_;
    Unmatched found;
    if (table_.take_offer(message.tag, message.link.id, found)) {
        return;
    }
    std::uint64_t id = 0;
    Transfer* t = nullptr;
    incoming_.each([&](std::uint64_t candidate, Incoming& i) {
        if (i.offer == message.link.id) {
            id = candidate;
            t = i.transfer;
        }
    });
    if (id != 0) {
        std::erase(pulls_, id);
        incoming_.remove(id);
        if (t != nullptr) {
            end(*t, make_error(WEFT_ERR_ABORTED,
                               who() + " cancelled a message while its bytes were flowing", peer_));
        }
    }
}

void Edge::on_close() {
    peer_closed_ = true;
    const bool was_open = state_ == Channel::State::kOpen;
    if (was_open) {
        state_ = Channel::State::kClosed;
        error_ = make_error(WEFT_ERR_PEER_DEAD, who() + " closed the edge: it has left, in order",
                            peer_);
    }
    // Offers die with their sender; what we hold on the heap may still be received.
    static_cast<void>(table_.take_all([](const Message& m) { return m.kind == Kind::kOffer; }));
    release();
    const ErrorPtr error = error_;
    end_all(error);
    if (was_open && channel != nullptr) {
        owner_.channel_failed(*channel, error);
    }
}

// ---------------------------------------------------------------- cross-memory attach

bool Edge::pull() {
    const std::uint64_t id = pulls_.front();
    Incoming& i = *incoming_.find(id);
    if (i.transfer == nullptr) {  // cancelled here
        Message offer{};
        offer.link.id = i.offer;
        pulls_.erase(pulls_.begin());
        incoming_.remove(id);
        refuse(offer, WEFT_ERR_ABORTED);
        return true;
    }
    std::size_t budget = kPullPerCall;
    while (budget > 0 && i.received < i.size) {
        const std::size_t before = i.received;
        if (!pull_piece(i, budget)) {
            return true;
        }
        budget -= std::min<std::size_t>(budget, i.received - before);
    }
    if (i.received == i.size) {
        return finish_pull(id);
    }
    if (context_->options.large != ShmOptions::Large::kPull && !peer_sleeps()) {
        stream_rest(i);  // it woke up meanwhile and can help
    }
    return true;
}

// False: the kernel refused, and the incoming has changed over to streaming.
bool Edge::pull_piece(Incoming& i, std::size_t budget) {
    Transfer& t = *i.transfer;
    const bool reduce = t.reducer != nullptr;
    const std::size_t size = std::min<std::size_t>(
        i.size - i.received, reduce ? std::min(budget, kScratchBytes) : budget);
    std::byte* const to = reduce ? context_->scratch : t.data + i.received;
    if (read_peer(session_.pid, i.address + i.received, to, size) != 0) {
        // ESRCH: it is about to be noticed that the peer died. Otherwise this memory cannot be read
        // this way: let the peer send it.
        stream_rest(i);
        return false;
    }
    if (reduce) {
        land(t, i.received, {to, size});
    }
    i.received += size;
    count_.pulled_bytes += size;
    return true;
}

void Edge::stream_rest(Incoming& i) {
    const std::uint64_t id = i.transfer->cookie[1];
    i.pulling = false;
    std::erase(pulls_, id);
    control(Message(Kind::kPull, {i.offer, id, i.received}));
}

// All bytes were read; but were they still the sender's message? If offers were withdrawn that we
// have not heard of yet, wait.
bool Edge::finish_pull(std::uint64_t id) {
    if (in_->cancels() != cancels_seen_) {
        return false;
    }
    const Incoming i = *incoming_.find(id);
    pulls_.erase(pulls_.begin());
    incoming_.remove(id);
    control(Message(Kind::kDone, {i.offer, 0, 0}));
    ring();
    end(*i.transfer);
    return true;
}

}  // namespace weft::datapath::shm
