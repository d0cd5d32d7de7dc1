// The loop: what arrives finds its edge, what edges have to say leaves, and how it all ends.
#include "datapath/udp/core.h"

#include <poll.h>

#include <algorithm>
#include <ctime>

namespace weft::datapath::udp {
namespace {

constexpr std::size_t kMostHalfOpen = 1024;  // calls taken and not yet proved
constexpr Time kLatestTimer = 10'000'000;  // how late timers may be when datagrams wait to be read
constexpr Time kCallWait = 50'000;         // how long a call may lie unread while there is no edge
constexpr Time kRetryInterval =
    100'000;  // when the kernel has no room and will not say when it has
constexpr Time kLongestGoodbye = 500'000'000;

}  // namespace

// ---------------------------------------------------------------- opening edges

bool Core::reaches(std::string_view peer_address) const {
    const std::vector<LocalAddress> remote = decode_addresses(peer_address);
    return std::ranges::any_of(remote, [&](const LocalAddress& r) {
        return std::ranges::any_of(
            local(), [&](const LocalAddress& l) { return compatible(l.address, r.address); });
    });
}

std::unique_ptr<Channel> Core::connect(PeerId peer, std::string_view peer_address,
                                       ChannelOwner& owner, Time deadline) {
    if (Edge* theirs = find_opening(peer, false); theirs != nullptr && identity_.id < peer) {
        theirs->overrule();  // both call: ours stands, for our id is the lower one
    }
    Edge& edge =
        add(std::make_unique<Edge>(*this, peer, decode_addresses(peer_address), owner, deadline));
    ++counters_.calls_made;
    mark_dirty(edge);
    earliest_wake_ = 0;
    return make_channel(edge);
}

Edge& Core::add(std::unique_ptr<Edge> edge) {
    edges_.push_back(std::move(edge));
    return *edges_.back();
}

Edge* Core::find(std::uint64_t connection) noexcept {
    const auto it = by_connection_.find(connection);
    return it == by_connection_.end() ? nullptr : it->second;
}

Edge* Core::find_opening(PeerId peer, bool calls) noexcept {
    for (const auto& edge : edges_) {
        if (edge->peer() == peer && edge->calls() == calls && edge->opening()) {
            return edge.get();
        }
    }
    return nullptr;
}

std::size_t Core::half_open() const noexcept {
    return static_cast<std::size_t>(
        std::ranges::count_if(edges_, [](const auto& e) { return !e->calls() && e->opening(); }));
}

void Core::on_hello(Time now, Socket& socket, const Arrived& datagram) {
    wire::Packet hello;
    std::span<const std::uint8_t> payload;
    const auto rule =
        options_.checksum ? wire::ChecksumRule::kRequired : wire::ChecksumRule::kIfPresent;
    if (wire::decode(datagram.bytes, hello, payload, rule) != wire::DecodeStatus::kOk) {
        ++counters_.malformed;
        return;
    }
    if (const auto known = by_hello_.find(hello.handshake.source_connection);
        known != by_hello_.end()) {
        known->second->on_packet(now, hello, payload, {});
        return;
    }
    const Way way{&socket, datagram.from};
    const transport::Config config = this->config(identity_.id, 0);
    if (const auto reason = transport::check_hello(config, hello)) {
        using transport::RejectReason;
        ++(*reason == RejectReason::kVersion ? counters_.rejected_version
           : *reason == RejectReason::kEpoch ? counters_.rejected_epoch
           : *reason == RejectReason::kProof ? counters_.rejected_proof
                                             : counters_.rejected_options);
        const wire::Packet reject = transport::make_reject(hello, *reason);
        std::array<std::uint8_t, wire::kMaxHeaderSize> bytes;
        const std::size_t size = wire::encode(reject, bytes);
        if (options_.checksum) {
            wire::seal({bytes.data(), size}, {});
        }
        send_now(way, {bytes.data(), size});
        return;
    }
    const PeerId peer = hello.handshake.peer_id;
    const bool ours_stands = identity_.id < peer && find_opening(peer, true) != nullptr;
    if (ours_stands || acceptor_ == nullptr || half_open() >= kMostHalfOpen ||
        acceptor_->owner_for(peer) == nullptr) {
        ++counters_.refused_calls;
        return;
    }
    Edge& edge = add(std::make_unique<Edge>(*this, hello, way));
    by_hello_[hello.handshake.source_connection] = &edge;
    ++counters_.calls_taken;
    mark_dirty(edge);
}

void Core::on_note(Time now, Socket& socket, const Arrived& datagram, const Note& note) {
    const Way from{&socket, datagram.from};
    switch (note.kind) {
        case NoteKind::kCheck:
            if (note.id != identity_.id) {
                ++counters_.misdirected_checks;
                return;
            }
            send_note(from, {NoteKind::kChecked, note.index,
                             static_cast<std::uint32_t>(datagram.bytes.size()) +
                                 header_overhead(datagram.from.family()),
                             identity_.id, note.word});
            return;
        case NoteKind::kChecked:
            for (const auto& edge : edges_) {
                if (edge->calls() && edge->opening()) {
                    edge->on_note(now, note, from);
                }
            }
            return;
        case NoteKind::kBind:
        case NoteKind::kBound:
            if (Edge* edge = find(note.id)) {
                edge->on_note(now, note, from);
            } else {
                ++counters_.unknown_connection;
            }
            return;
    }
}

// ---------------------------------------------------------------- the loop

bool Core::progress(Time now) {
    if (closed_) {
        return false;
    }
    bool moved = pump(now);
    moved = receive(now) || moved;
    // Acknowledgements that wait in the sockets must not look late because we were.
    if (now >= earliest_wake_ && (!more_waits_ || now - earliest_wake_ > kLatestTimer)) {
        run_timers(now);
    }
    moved = pump(moved ? clock_now() : now) || moved;
    if (sweep_due_) {
        sweep();
    }
    return moved;
}

bool Core::receive(Time now) {
    // Without an edge only a call can come, which may wait: other datapaths need not pay a system
    // call in each of their rounds.
    if (edges_.empty() && now < next_look_) {
        return false;
    }
    next_look_ = now + kCallWait;
    const Carrier::Harvest harvest = carrier_->receive(now, *this);
    more_waits_ = harvest.more;
    return harvest.moved;
}

// A datagram is dated by its arrival at this host: see Arrived::at.
void Core::arrived(Socket& socket, const Arrived& datagram) {
    const Time now = datagram.at;
    if (const auto note = decode_note(datagram.bytes)) [[unlikely]] {
        on_note(now, socket, datagram, *note);
        return;
    }
    const auto route = wire::peek_route(datagram.bytes);
    if (!route) {
        ++counters_.malformed;
        return;
    }
    if (route->kind == wire::PacketKind::kHello) [[unlikely]] {
        on_hello(now, socket, datagram);
        return;
    }
    Edge* edge = find(route->connection);
    if (edge == nullptr) {
        ++counters_.unknown_connection;
        return;
    }
    wire::Packet packet;
    std::span<const std::uint8_t> payload;
    const auto rule =
        options_.checksum ? wire::ChecksumRule::kRequired : wire::ChecksumRule::kIfPresent;
    if (const auto status = wire::decode(datagram.bytes, packet, payload, rule);
        status != wire::DecodeStatus::kOk) [[unlikely]] {
        if (status == wire::DecodeStatus::kTruncated && recognise_trimmed(datagram.bytes, packet)) {
            edge->on_packet(now, packet, {}, {.marked = datagram.marked, .trimmed = true});
        } else {
            edge->on_undecodable(status);
        }
        return;
    }
    edge->on_packet(now, packet, payload, {.marked = datagram.marked});
}

// Whether this is a data packet whose payload a switch cut off, lengths mended: its header tells
// the sender what to send again, and that the path lives (NDP, SIGCOMM 2017). Where packets are
// sealed the seal covers what is gone, so that such a header proves nothing: timers find the loss.
bool Core::recognise_trimmed(std::span<const std::uint8_t> bytes, wire::Packet& packet) const {
    std::span<const std::uint8_t> rest;
    return !options_.checksum &&
           wire::decode(bytes, packet, rest, wire::ChecksumRule::kIfPresent, true) ==
               wire::DecodeStatus::kOk &&
           (packet.flags & wire::kFlagChecksum) == 0;
}

void Core::mark_dirty(Edge& edge) {
    if (!edge.dirty) {
        edge.dirty = true;
        dirty_.push_back(&edge);
    }
}

bool Core::pump(Time now) {
    if (carrier_->waits() && !flush(now)) {
        return false;
    }
    bool moved = false;
    pumping_.swap(dirty_);
    for (Edge* edge : pumping_) {
        edge->dirty = false;
        moved = edge->pump(now) || moved;
        wake_later(*edge);
    }
    pumping_.clear();
    flush(now);
    return moved;
}

bool Core::flush(Time now) {
    const bool empty = carrier_->flush();
    retry_at_ = empty ? kNever : now + kRetryInterval;
    return empty;
}

void Core::wake_later(Edge& edge) noexcept {
    wheel_.set(edge.wake_up, edge.wake_at());
    earliest_wake_ = std::min(earliest_wake_, edge.wake_at());
}

void Core::run_timers(Time now) {
    // Each becomes dirty, and its next time is known when it was pumped.
    wheel_.run(now, [&](Timer& timer) { static_cast<WakeUp<Edge>&>(timer).owner.on_time(now); });
    earliest_wake_ = wheel_.next();
}

Time Core::next_wakeup() const noexcept {
    if (closed_) {
        return kNever;
    }
    if (carrier_->waits()) {
        return std::min(retry_at_, earliest_wake_);
    }
    return dirty_.empty() ? earliest_wake_ : 0;
}

bool Core::arm() {
    return closed_ || dirty_.empty() || carrier_->waits();
}

// Deletes edges that nobody needs. Those that still have something to say wait for another round.
void Core::sweep() {
    sweep_due_ = std::ranges::any_of(edges_, [](const auto& e) { return e->over() && e->dirty; });
    const auto gone = [](const Edge* edge) { return edge->over() && !edge->dirty; };
    std::erase_if(by_connection_, [&](const auto& entry) { return gone(entry.second); });
    std::erase_if(by_hello_, [&](const auto& entry) { return gone(entry.second); });
    std::erase_if(edges_, [&](const auto& edge) {
        if (!gone(edge.get())) return false;
        wheel_.set(edge->wake_up, kNever);
        return true;
    });
}

void Core::send_note(const Way& way, const Note& note, std::size_t size) {
    const auto bytes = encode_note(note);
    if (size == bytes.size()) {
        send_now(way, bytes);
        return;
    }
    std::vector<std::uint8_t> padded(size);
    std::ranges::copy(bytes, padded.begin());
    send_now(way, padded);
}

// ---------------------------------------------------------------- ending

void Core::shut_down() {
    if (closed_) {
        return;
    }
    acceptor_ = nullptr;
    for (const auto& edge : edges_) {
        edge->depart();
    }
    const Time until = clock_now() + kLongestGoodbye;
    for (Time now = clock_now(); now < until; now = clock_now()) {
        if (!progress(now)) {
            if (std::ranges::none_of(edges_,
                                     [](const auto& e) { return e->lingers() || e->dirty; })) {
                break;
            }
            const Time wait = std::clamp<Time>(std::min(next_wakeup(), until) - now, 0, 10'000'000);
            pollfd ready{wait_fd(), POLLIN, 0};
            ::poll(&ready, 1, static_cast<int>((wait + 999'999) / 1'000'000));
        }
    }
    abandon();
}

void Core::abandon() noexcept {
    closed_ = true;
    acceptor_ = nullptr;
    carrier_->close();  // first: nothing may leave any more
    for (const auto& edge : edges_) {
        edge->drop();
    }
}

}  // namespace weft::datapath::udp
