// The life of an edge: search for paths, handshake, bindings, packets in and out, and the ways in
// which it ends.
#include "datapath/udp/edge.h"

#include <algorithm>

#include "datapath/udp/core.h"

namespace weft::datapath::udp {
namespace {

constexpr Time kFirstBindInterval = 5'000'000;
constexpr int kMostBindRounds = 8;
constexpr std::size_t kPumpBytes =
    256 << 10;  // per round, so that acknowledgements are read in between

}  // namespace

Edge::Edge(Core& core, PeerId peer, std::vector<LocalAddress> remote, ChannelOwner& owner,
           Time deadline)
    : core_(core),
      peer_(peer),
      caller_(true),
      owner_(&owner),
      phase_(Phase::kChecking),
      deadline_(deadline) {
    finder_.emplace(core.local(), std::move(remote), core.options().mtu);
    nonce_ = core.random();
    wake_at_ = 0;
}

Edge::Edge(Core& core, const wire::Packet& hello, const Way& way)
    : core_(core),
      peer_(hello.handshake.peer_id),
      caller_(false),
      phase_(Phase::kConnecting),
      ways_(core.options().paths, way),
      remote_connection_(hello.handshake.source_connection) {
    const Time now = clock_now();
    const transport::Config config = core.config(core.identity().id, 0);
    eager_limit_ = config.eager_limit;
    connection_ =
        transport::Connection::server(config, [&core] { return core.random(); }, now, hello);
    core.register_edge(connection_->id(), *this);
    wake_at_ = connection_->next_timeout();
}

Edge::~Edge() = default;

Channel::State Edge::state() const noexcept {
    switch (phase_) {
        case Phase::kChecking:
        case Phase::kConnecting:
            return Channel::State::kConnecting;
        case Phase::kOpen:
        case Phase::kLeft:
            return Channel::State::kOpen;
        case Phase::kClosing:
        case Phase::kEnded:
            return Channel::State::kClosed;
        case Phase::kFailed:
            return Channel::State::kFailed;
    }
    return Channel::State::kFailed;
}

void Edge::touch() {
    core_.mark_dirty(*this);
}

void Edge::update_wake(Time now) {
    Time at = connection_ ? connection_->next_timeout() : kNever;
    if (phase_ == Phase::kChecking) {
        at = std::min({at, deadline_, finder_->next_wakeup()});
    }
    at = std::min({at, bind_at_, farewell_at_});
    wake_at_ = phase_ >= Phase::kEnded ? kNever : std::max(at, now);
}

// ---------------------------------------------------------------- opening

void Edge::on_time(Time now) {
    if (phase_ == Phase::kChecking) {
        if (finder_->finished(now)) {
            begin_connection(now);
        } else if (finder_->candidates().empty() || now >= deadline_) {
            fail(make_error(
                WEFT_ERR_UNREACHABLE,
                core_.who(peer_) +
                    (finder_->candidates().empty()
                         ? " has no address in common with this process: it is at "
                         : " did not answer in time; tried ") +
                    describe(finder_->remote()) + " from " + describe(finder_->local()) +
                    "; check that it runs, and the `interfaces` option and firewalls on both sides",
                peer_));
        } else {
            finder_->poll(now, [&](std::uint16_t index, std::uint32_t packet_bytes) {
                const Candidate& candidate = finder_->candidates()[index];
                const LocalAddress& remote = finder_->remote()[candidate.remote];
                Way way{&core_.carrier().socket(candidate.local, 0), remote.address};
                way.to.set_port(remote.ports.front());
                core_.send_note(way, {NoteKind::kCheck, index, 0, peer_, nonce_},
                                packet_bytes - header_overhead(way.to.family()));
            });
        }
    }
    if (now >= bind_at_) {
        bind_paths(now);
    }
    if (now >= farewell_at_) {
        leave(now);
    }
    if (connection_ && now >= connection_->next_timeout()) {
        connection_->handle_timeout(now);
    }
    touch();
}

// Paths are dealt out to the routes in turn; on one route, they pair local sockets with remote
// ports so that no two agree in both until all pairs are used.
void Edge::begin_connection(Time now) {
    const std::vector<Route> routes = finder_->routes();
    const std::size_t sockets = core_.carrier().sockets_per_address();
    for (std::size_t i = 0; i < core_.options().paths; ++i) {
        const Route& route = routes[i % routes.size()];
        const LocalAddress& remote = finder_->remote()[route.remote];
        const std::size_t k = i / routes.size();
        Way way{&core_.carrier().socket(route.local, k % sockets), remote.address};
        way.to.set_port(remote.ports[(k / sockets + k) % remote.ports.size()]);
        ways_.push_back(way);
    }
    transport::Config config = core_.config(peer_, finder_->packet_size());
    eager_limit_ = config.eager_limit;
    config.handshake_timeout =
        std::clamp<Time>(deadline_ - now, transport::kMillisecond, 3600 * transport::kSecond);
    config.handshake_interval = std::min(config.handshake_interval, config.handshake_timeout);
    connection_ = transport::Connection::client(config, [this] { return core_.random(); }, now);
    core_.register_edge(connection_->id(), *this);
    phase_ = Phase::kConnecting;
    connection_->expect(now, watchers_ > 0);
    for (Transfer* transfer : std::exchange(early_sends_, {})) {
        start_send(*transfer);
    }
}

void Edge::on_connected(Time now) {
    connection_->expect(now, watchers_ > 0);
    if (caller_) {
        phase_ = Phase::kOpen;
        bind_at_ = now;
        bind_paths(now);
        if (owner_ != nullptr) {
            owner_->channel_open(*channel_);
        }
        return;
    }
    owner_ = core_.acceptor() != nullptr ? core_.acceptor()->owner_for(peer_) : nullptr;
    if (owner_ == nullptr) {
        refuse();
        return;
    }
    phase_ = Phase::kOpen;
    core_.acceptor()->accepted(core_.make_channel(*this));
    if (channel_ != nullptr && phase_ == Phase::kOpen) {
        owner_->channel_open(*channel_);
    }
}

// Tells the called side which path is which, so that its packets take the same ways back; until
// then it answers to where the hello came from.
void Edge::bind_paths(Time now) {
    bool all_bound = true;
    for (std::size_t i = 0; i < ways_.size(); ++i) {
        if (!ways_[i].bound) {
            all_bound = false;
            Note note{NoteKind::kBind, static_cast<std::uint16_t>(i),
                      static_cast<std::uint32_t>(ways_.size()), remote_connection_, 0};
            note.word = prove(note, core_.key());
            core_.send_note(ways_[i], note);
        }
    }
    bind_at_ = all_bound || bind_rounds_ >= kMostBindRounds
                   ? kNever
                   : now + (kFirstBindInterval << bind_rounds_);
    ++bind_rounds_;
}

void Edge::on_note(Time now, const Note& note, const Way& from) {
    if (note.kind == NoteKind::kChecked) {
        if (phase_ == Phase::kChecking && note.word == nonce_ && note.id == peer_) {
            finder_->answered(now, note.index, note.count);
            on_time(now);
        }
        return;
    }
    if (note.word != prove(note, core_.key()) || note.index >= note.count) {
        ++refused_bindings_;
    } else if (note.kind == NoteKind::kBind && !caller_) {
        for (std::size_t i = note.index; i < ways_.size(); i += note.count) {
            ways_[i] = from;
            ways_[i].bound = true;
        }
        Note answer{NoteKind::kBound, note.index, note.count, remote_connection_, 0};
        answer.word = prove(answer, core_.key());
        core_.send_note(from, answer);
    } else if (note.kind == NoteKind::kBound && caller_ && note.index < ways_.size()) {
        ways_[note.index].bound = true;
    }
}

// ---------------------------------------------------------------- packets

void Edge::on_packet(Time now, const wire::Packet& packet, std::span<const std::uint8_t> payload,
                     const transport::Arrival& arrival) {
    if (!connection_) {
        return;  // overruled just now
    }
    const transport::Landed landed = connection_->handle_packet(now, packet, arrival);
    if (landed.landing == transport::Landing::kLand) {
        Incoming* message = nullptr;
        if (landed.accepted) {
            message = incoming_.find(landed.cookie);
        } else if (landed.opened) {
            // The owner may accept it, before its first bytes land.
            transport::Event event;
            do {
                if (!connection_->poll_event(event)) {
                    break;
                }
                handle_event(event, now);
            } while (event.kind != transport::EventKind::kMessageOpened ||
                     event.message != packet.data.message);
            message = incoming_.find(last_opened_);
        } else {
            message = find_unaccepted(packet.data.message);
        }
        if (message != nullptr && message->id == packet.data.message) {
            land(*message, packet.data.offset, payload, now);
        }
    }
    drain_events(now);
    touch();
}

void Edge::on_undecodable(wire::DecodeStatus status) {
    if (connection_) {
        connection_->handle_undecodable(status);
    }
}

bool Edge::pump(Time now) {
    bool moved = false;
    if (connection_) {
        drain_events(now);
        moved = transmit(now);
        drain_events(now);
    }
    update_wake(now);
    return moved;
}

bool Edge::transmit(Time now) {
    transport::Transmit next;
    std::size_t bytes = 0;
    Carrier& out = core_.carrier();
    while (bytes < kPumpBytes) {
        if (out.header().empty() && !core_.flush(now)) {
            break;
        }
        if (!connection_->poll_transmit(now, next)) {
            return bytes > 0;
        }
        const std::span<std::uint8_t> header = out.header();
        const std::size_t header_size = wire::encode(next.packet, header);
        std::span<const std::byte> payload;
        if (next.packet.kind == wire::PacketKind::kData && next.packet.data.length > 0) {
            const Outgoing* message = outgoing_.find(next.cookie);
            if (message == nullptr) {
                continue;  // withdrawn: the transport was told, and asks no more
            }
            payload = {message->data + next.packet.data.offset, next.packet.data.length};
        }
        if (core_.options().checksum) {
            wire::seal(header.first(header_size),
                       {reinterpret_cast<const std::uint8_t*>(payload.data()), payload.size()});
        }
        remote_connection_ =
            next.packet.connection != 0 ? next.packet.connection : remote_connection_;
        const Way& through = way(next.packet.path);
        out.add(*through.socket, through.to, header_size, payload);
        bytes += header_size + payload.size();
    }
    touch();
    return bytes > 0;
}

// ---------------------------------------------------------------- ending

void Edge::close() {
    const Time now = clock_now();
    const ErrorPtr why =
        make_error(WEFT_ERR_ABORTED, core_.who(peer_) + ": the edge was closed here", peer_);
    if (phase_ == Phase::kConnecting || phase_ == Phase::kOpen) {
        phase_ = Phase::kClosing;
        error_ = why;
        fail_receives(why);
        connection_->close(now);
        touch();
    } else if (phase_ == Phase::kChecking || phase_ == Phase::kLeft) {
        end(why);
    }
}

void Edge::channel_gone() {
    channel_ = nullptr;
    depart();
    core_.sweep_soon();
}

void Edge::depart() {
    owner_ = nullptr;
    forget_transfers();
    if (phase_ == Phase::kConnecting) {
        refuse();
    } else {
        close();
    }
}

// A word to the peer would make its call fail, which is to go on waiting: ours will take its place.
void Edge::overrule() {
    connection_.reset();
    end_unopened();
}

void Edge::refuse() {
    if (connection_) {
        connection_->abort(clock_now(), 0);
        touch();
    }
    end_unopened();
}

void Edge::end_unopened() {
    owner_ = nullptr;
    end(make_error(WEFT_ERR_ABORTED, core_.who(peer_) + ": the edge was given up here", peer_));
    core_.sweep_soon();
}

void Edge::drop() noexcept {
    owner_ = nullptr;
    if (!error_) {
        error_ = make_error(WEFT_ERR_STATE,
                            core_.who(peer_) + ": the datapath of this edge is gone", peer_);
    }
    forget_transfers();
    connection_.reset();
    finder_.reset();
    phase_ = Phase::kEnded;
    wake_at_ = kNever;
}

// The peer said goodbye. Messages that came whole before that are still there to be received; the
// owner hears of the loss after the last of them, or after a while.
void Edge::on_peer_closed(Time now) {
    if (phase_ != Phase::kOpen) {
        end(error_);
        return;
    }
    phase_ = Phase::kLeft;
    error_ = make_error(
        WEFT_ERR_PEER_DEAD,
        core_.who(peer_) +
            " closed its edge to this process in order (it has left, or is shutting down)",
        peer_);
    drop_incomplete();
    fail_transfers(error_);
    farewell_at_ = now + core_.identity().peer_timeout;
    if (phase_ == Phase::kLeft && unmatched_.empty()) {
        leave(now);
    }
}

void Edge::leave(Time) {
    if (phase_ != Phase::kLeft) {
        return;
    }
    phase_ = Phase::kEnded;
    farewell_at_ = kNever;
    forget_transfers();
    if (owner_ != nullptr) {
        owner_->channel_failed(*channel_, error_);
    }
}

void Edge::end(const ErrorPtr& why) {
    phase_ = Phase::kEnded;
    bind_at_ = farewell_at_ = kNever;
    error_ = why;
    fail_transfers(why);
    core_.sweep_soon();
}

void Edge::on_failed() {
    const ErrorPtr why = explain(connection_->failure());
    if (phase_ == Phase::kClosing || (phase_ == Phase::kConnecting && !caller_)) {
        end(why);
    } else if (phase_ < Phase::kEnded) {
        fail(why);
    }
}

void Edge::fail(const ErrorPtr& why) {
    phase_ = Phase::kFailed;
    bind_at_ = farewell_at_ = kNever;
    error_ = why;
    fail_transfers(why);
    core_.sweep_soon();
    if (owner_ != nullptr) {
        owner_->channel_failed(*channel_, error_);
    }
}

}  // namespace weft::datapath::udp
