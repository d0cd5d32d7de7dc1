// The loop: what arrives finds its edge, what edges have to say leaves, and how it all ends.
#include "datapath/udp/core.h"

#include <poll.h>

#include <algorithm>
#include <ctime>

namespace weft::datapath::udp {
namespace {

constexpr Time kCallWait = 50'000;  // how long a call may lie unread while there is no edge
constexpr Time kRetryInterval =
    100'000;  // when the kernel has no room and will not say when it has

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
    return make_channel(edges_.call(
        std::make_unique<Edge>(*this, peer, decode_addresses(peer_address), owner, deadline)));
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
    if (Edge* known = edges_.called(hello)) {
        known->on_packet(now, hello, payload, {});
        return;
    }
    const Way way{&socket, datagram.from};
    if (const auto reason = edges_.rejected(config(identity_.id, 0), hello)) {
        const wire::Packet reject = transport::make_reject(hello, *reason);
        std::array<std::uint8_t, wire::kMaxHeaderSize> bytes;
        const std::size_t size = wire::encode(reject, bytes);
        if (options_.checksum) {
            wire::seal({bytes.data(), size}, {});
        }
        send_now(way, {bytes.data(), size});
        return;
    }
    if (edges_.takes_call(hello.handshake.peer_id, acceptor_)) {
        edges_.take(hello, std::make_unique<Edge>(*this, hello, way));
    }
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
                if (edge->calls()) {
                    edge->on_note(now, note, from);
                }
            }
            return;
        case NoteKind::kBind:
        case NoteKind::kBound:
            if (Edge* edge = edges_.find(note.id)) {
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
    edges_.run_timers(now, more_waits_);
    moved = pump(moved ? clock_now() : now) || moved;
    edges_.sweep();
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
    Edge* edge = edges_.find(route->connection);
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

bool Core::pump(Time now) {
    if (carrier_->waits() && !flush(now)) {
        return false;
    }
    const bool moved = edges_.pump(now);
    flush(now);
    return moved;
}

bool Core::flush(Time now) {
    const bool empty = carrier_->flush();
    retry_at_ = empty ? kNever : now + kRetryInterval;
    return empty;
}

Time Core::next_wakeup() const noexcept {
    if (closed_) {
        return kNever;
    }
    if (carrier_->waits()) {
        return std::min(retry_at_, edges_.earliest());
    }
    return edges_.dirty() ? 0 : edges_.earliest();
}

bool Core::arm() {
    return closed_ || !edges_.dirty() || carrier_->waits();
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
    edges_.depart([this](Time now) { return progress(now); }, [this] { return next_wakeup(); },
                  [this](Time wait) {
                      pollfd ready{wait_fd(), POLLIN, 0};
                      ::poll(&ready, 1, static_cast<int>((wait + 999'999) / 1'000'000));
                  });
    abandon();
}

void Core::abandon() noexcept {
    closed_ = true;
    acceptor_ = nullptr;
    carrier_->close();  // first: nothing may leave any more
    edges_.drop();
}

}  // namespace weft::datapath::udp
