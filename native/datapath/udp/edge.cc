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
    : MessageEdge(std::string(core.name()), peer, &owner, Phase::kChecking),
      core_(core),
      deadline_(deadline) {
    finder_.emplace(core.local(), std::move(remote), core.options().mtu);
    nonce_ = core.random();
    wake_at_ = 0;
}

Edge::Edge(Core& core, const wire::Packet& hello, const Way& way)
    : MessageEdge(std::string(core.name()), hello.handshake.peer_id, nullptr, Phase::kConnecting),
      core_(core),
      ways_(core.options().paths, way),
      remote_connection_(hello.handshake.source_connection) {
    const Time now = clock_now();
    const transport::Config config = core.config(core.identity().id, 0);
    eager_limit_ = config.eager_limit;
    connection_ =
        transport::Connection::server(config, [&core] { return core.random(); }, now, hello);
    core.edges().name(connection_->id(), *this);
    wake_at_ = connection_->next_timeout();
}

Edge::~Edge() = default;

void Edge::touch() {
    core_.edges().mark_dirty(*this);
}

void Edge::update_wake(Time now) {
    Time at = connection_ ? connection_->next_timeout() : kNever;
    if (phase_ == Phase::kChecking) {
        at = std::min({at, deadline_, finder_->next_wakeup()});
    } else if (finder_ && !finder_->finished(now)) {
        at = std::min(at, finder_->next_wakeup());
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
                who() +
                    (finder_->candidates().empty()
                         ? " has no address in common with this process: it is at "
                         : " did not answer in time; tried ") +
                    describe(finder_->remote()) + " from " + describe(finder_->local()) +
                    "; check that it runs, and the `interfaces` option and firewalls on both sides",
                peer()));
        } else {
            send_checks(now);
        }
    } else if (finder_) {
        send_checks(now);
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

void Edge::send_checks(Time now) {
    finder_->poll(now, [&](std::uint16_t index, std::uint32_t packet_bytes) {
        const Candidate& candidate = finder_->candidates()[index];
        const LocalAddress& remote = finder_->remote()[candidate.remote];
        Way way{&core_.carrier().socket(candidate.local, 0), remote.address};
        way.to.set_port(remote.ports.front());
        core_.send_note(way, {NoteKind::kCheck, index, 0, peer(), nonce_},
                        packet_bytes - header_overhead(way.to.family()));
    });
}

// Paths are dealt out to the routes in turn; on one route, they pair local sockets with remote
// ports so that no two agree in both until all pairs are used. Bindings tell the peer.
void Edge::deal_paths() {
    ways_.clear();
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
    bind_rounds_ = 0;
}

void Edge::begin_connection(Time now) {
    deal_paths();
    transport::Config config = core_.config(peer(), finder_->packet_size());
    eager_limit_ = config.eager_limit;
    finder_->go_on(now);
    config.handshake_timeout =
        std::clamp<Time>(deadline_ - now, transport::kMillisecond, 3600 * transport::kSecond);
    config.handshake_interval = std::min(config.handshake_interval, config.handshake_timeout);
    connection_ = transport::Connection::client(config, [this] { return core_.random(); }, now);
    core_.edges().name(connection_->id(), *this);
    phase_ = Phase::kConnecting;
    connection_->expect(now, watchers_ > 0);
    start_early_sends();
}

void Edge::on_connected(Time now) {
    connection_->expect(now, watchers_ > 0);
    if (calls()) {
        phase_ = Phase::kOpen;
        bind_at_ = now;
        bind_paths(now);
        announce();
        return;
    }
    owner_ = core_.acceptor() != nullptr ? core_.acceptor()->owner_for(peer()) : nullptr;
    if (owner_ == nullptr) {
        refuse();
        return;
    }
    phase_ = Phase::kOpen;
    core_.acceptor()->accepted(core_.make_channel(*this));
    if (phase_ == Phase::kOpen) {
        announce();
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
        if (!finder_ || note.word != nonce_ || note.id != peer()) {
            return;
        }
        const std::size_t found = finder_->routes().size();
        finder_->answered(now, note.index, note.count);
        if (phase_ == Phase::kChecking) {
            on_time(now);
        } else if (finder_->routes().size() > found) {
            deal_paths();
            bind_at_ = phase_ == Phase::kOpen ? now : kNever;
            touch();
        }
        return;
    }
    if (note.word != prove(note, core_.key()) || note.index >= note.count) {
        ++refused_bindings_;
    } else if (note.kind == NoteKind::kBind && !calls()) {
        for (std::size_t i = note.index; i < ways_.size(); i += note.count) {
            ways_[i] = from;
            ways_[i].bound = true;
        }
        Note answer{NoteKind::kBound, note.index, note.count, remote_connection_, 0};
        answer.word = prove(answer, core_.key());
        core_.send_note(from, answer);
    } else if (note.kind == NoteKind::kBound && calls() && note.index < ways_.size()) {
        ways_[note.index].bound = true;
    }
}

// ---------------------------------------------------------------- packets

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

// ---------------------------------------------------------------- for the common part

Time Edge::peer_timeout() const {
    return core_.identity().peer_timeout;
}

void Edge::sweep_soon() {
    core_.edges().sweep_soon();
}

// No packet may wait in the batch that points at the message's bytes.
void Edge::let_go(Outgoing& message) {
    if (!core_.carrier().empty() && !core_.carrier().flush()) {
        core_.carrier().forget(message.data, message.size);
    }
}

std::string Edge::where() const {
    return finder_ ? describe(finder_->remote()) : ways_.front().to.to_string();
}

}  // namespace weft::datapath::udp
