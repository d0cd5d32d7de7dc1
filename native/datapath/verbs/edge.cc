// Opening an edge: which rails reach which, the handshake, lanes; and its timers.
#include "datapath/verbs/edge.h"

#include <algorithm>
#include <utility>

#include "datapath/json.h"
#include "datapath/verbs/core.h"

namespace weft::datapath::verbs {
namespace {

constexpr Time kCheckInterval = 10'000'000;
constexpr std::size_t kChecksOfWay = 33;      // in vain, until one way is made anew
constexpr Time kCheckGrace = 50'000'000;      // after the first answer
constexpr Time kLaneGrace = 200'000'000;      // after the first lane
constexpr std::size_t kFirsts = 2048;         // sequence numbers remembered, more than any window
constexpr std::uint32_t kOldDoubt = 1 << 14;  // sequence numbers

}  // namespace

Edge::Placed::Placed(Edge& owner, std::uint8_t number, std::shared_ptr<Registration> memory)
    : edge(owner), slot(number), registration(std::move(memory)) {}

Edge::Placed::~Placed() {
    edge.slots_[slot] = 0;
    edge.free_slots_.push_back(slot);
}

Edge::Edge(Core& core, PeerId peer, Card remote, ChannelOwner& owner, Time deadline)
    : MessageEdge("verbs", peer, &owner, Phase::kChecking),
      core_(core),
      remote_(std::move(remote)),
      deadline_(deadline),
      nonce_(core.random()),
      firsts_(kFirsts) {
    for (std::size_t i = 0; i < core.rails(); ++i) {
        for (std::size_t j = 0; j < remote_.rails.size(); ++j) {
            if (core.card().rails[i].ethernet == remote_.rails[j].ethernet) {
                checks_.push_back({{static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(j)}});
            }
        }
    }
    for (std::uint8_t slot = kSlots; slot > 0; --slot) {
        free_slots_.push_back(static_cast<std::uint8_t>(slot - 1));
    }
    wake_at_ = 0;
}

Edge::Edge(Core& core, const wire::Packet& hello, Card remote, std::size_t local, std::size_t from)
    : MessageEdge("verbs", hello.handshake.peer_id, nullptr, Phase::kConnecting),
      core_(core),
      remote_(std::move(remote)),
      rails_{{static_cast<std::uint8_t>(local), static_cast<std::uint8_t>(from)}},
      remote_connection_(hello.handshake.source_connection),
      firsts_(kFirsts) {
    const Time now = clock_now();
    const transport::Config config = core.config(core.identity().id, 0);
    eager_limit_ = config.eager_limit;
    epoch_ = config.epoch;
    connection_ =
        transport::Connection::server(config, [&core] { return core.random(); }, now, hello);
    core.edges().name(connection_->id(), *this);
    add_ways(rails_.front());
    for (std::uint8_t slot = kSlots; slot > 0; --slot) {
        free_slots_.push_back(static_cast<std::uint8_t>(slot - 1));
    }
    wake_at_ = connection_->next_timeout();
}

Edge::~Edge() {
    ended();
    for (Way& way : ways_) {
        drop_own(way);
    }
    incoming_.for_each([](Incoming& message) { message.attachment.reset(); });
}

std::uint16_t Edge::paths() const noexcept {
    return core_.options().paths;
}

void Edge::touch() {
    core_.edges().mark_dirty(*this);
}

void Edge::sweep_soon() {
    core_.edges().sweep_soon();
}

Time Edge::peer_timeout() const {
    return core_.identity().peer_timeout;
}

// Nothing comes in any more, nothing goes out but what the control pairs carry.
void Edge::ended() noexcept {
    for (Lane& lane : lanes_) {
        drop_pair(lane);
        lane.say_at = lane.renew_at = lane.ask_at = kNever;
    }
    stalled_.reset();
    health_at_ = kNever;
}

void Edge::update_wake(Time now) {
    Time at = connection_ ? connection_->next_timeout() : kNever;
    if (phase_ == Phase::kChecking) {
        at = std::min({at, deadline_, check_at_});
        if (first_answer_ != kNever) {
            at = std::min(at, first_answer_ + kCheckGrace);
        }
    }
    if (phase_ == Phase::kConnecting && lanes_since_ != kNever) {
        at = std::min({at, deadline_, std::max(lanes_since_ + kLaneGrace, now + 1'000'000)});
    }
    for (const Lane& lane : lanes_) {
        at = std::min({at, lane.say_at, lane.renew_at, lane.ask_at});
    }
    at = std::min({at, farewell_at_, health_at_});
    wake_at_ = phase_ >= Phase::kEnded ? kNever : std::max(at, now);
}

void Edge::on_time(Time now) {
    if (phase_ == Phase::kChecking) {
        check_rails(now);
    }
    if (phase_ < Phase::kEnded) {
        for (Lane& lane : lanes_) {
            on_lane_time(now, lane);
            if (lane.doubt && lane.fence == 0 && received_ - lane.doubt_sequence > kOldDoubt) {
                fence(now, lane);  // before its sequence number could be mistaken for another
            }
        }
        if (phase_ == Phase::kConnecting && lanes_since_ != kNever) {
            open_if_ready(now);
        }
        if (phase_ == Phase::kConnecting && lanes_since_ != kNever && now >= deadline_) {
            connection_->abort(now, kProtocol);
            fail(make_error(WEFT_ERR_UNREACHABLE,
                            who() + " at " + where() +
                                " proved itself, but no queue pair could be connected to it in "
                                "time; do both sides have the same verbs.mode, and does data "
                                "pass between their GIDs?",
                            peer()));
        }
    }
    if (now >= health_at_) {
        look_at_health(now);
    }
    if (next_event_due(now)) {
        leave(now);
    }
    if (connection_ && now >= connection_->next_timeout()) {
        connection_->handle_timeout(now);
    }
    touch();
}

// ---------------------------------------------------------------- which rails reach which

void Edge::check_rails(Time now) {
    const bool all = std::ranges::all_of(checks_, &Check::answered);
    if (first_answer_ != kNever && (all || now >= first_answer_ + kCheckGrace)) {
        begin_connection(now);
    } else if (checks_.empty() || now >= deadline_) {
        fail(make_error(
            WEFT_ERR_UNREACHABLE,
            who() +
                (checks_.empty() ? " has no link layer in common with this process: it is at "
                                 : " did not answer in time; tried ") +
                where() +
                "; check that it runs, that the two can ping each other, and the "
                "verbs.gid and verbs.devices options on both sides",
            peer()));
    } else if (now >= check_at_) {
        check_at_ = now + kCheckInterval;
        ++turn_;
        for (const Check& check : checks_) {
            if (!check.answered) {
                add_ways(check.rails);
                Way& way = way_between(check.rails, turn_);
                if (turn_ % kChecksOfWay == 0) {
                    renew(now, way);
                }
                send_note({.kind = NoteKind::kCheck, .id = peer(), .word = nonce_}, way);
            }
        }
    }
}

// Rails of one number first: networks built in planes or rails connect those. All others serve
// only where these do not.
void Edge::begin_connection(Time now) {
    const auto works = [&](std::size_t local, std::size_t remote) {
        return std::ranges::any_of(checks_, [&](const Check& check) {
            return check.answered && check.rails.local == local && check.rails.remote == remote;
        });
    };
    const std::size_t count = std::max(core_.rails(), remote_.rails.size());
    for (std::size_t k = 0; k < count; ++k) {
        const std::size_t local = k % core_.rails();
        const std::size_t remote = k % remote_.rails.size();
        if (works(local, remote)) {
            rails_.push_back({static_cast<std::uint8_t>(local), static_cast<std::uint8_t>(remote)});
        }
    }
    if (rails_.empty()) {
        for (const Check& check : checks_) {
            if (check.answered) {
                rails_.push_back(check.rails);
            }
        }
    }
    for (Way& way : ways_) {
        drop_own(way);
    }
    ways_.clear();
    std::uint32_t mtu = 4096;
    for (const RailPair& rails : rails_) {
        add_ways(rails);
        mtu = std::min({mtu, core_.card().rails[rails.local].mtu, remote_.rails[rails.remote].mtu});
    }
    transport::Config config = core_.config(peer(), mtu);
    eager_limit_ = config.eager_limit;
    epoch_ = config.epoch;
    config.handshake_timeout =
        std::clamp<Time>(deadline_ - now, transport::kMillisecond, 3600 * transport::kSecond);
    config.handshake_interval = std::min(config.handshake_interval, config.handshake_timeout);
    connection_ = transport::Connection::client(config, [this] { return core_.random(); }, now);
    core_.edges().name(connection_->id(), *this);
    phase_ = Phase::kConnecting;
}

void Edge::on_connected(Time now) {
    chunk_ = connection_->chunk_size();
    connection_->expect(now, true);  // lanes are being made: silence is suspicious
    lanes_since_ = now;
    health_at_ = now;
    if (calls()) {
        make_lanes(core_.options().paths);
        for (std::size_t i = 0; i < lanes_.size(); ++i) {
            Lane& lane = lanes_[i];
            lane.local_rail = rails_[i % rails_.size()].local;
            lane.remote_rail = rails_[i % rails_.size()].remote;
            fresh_pair(now, lane);
            say(now, lane);
        }
    }
    touch();
}

// With all lanes, or with some once the others have had their time.
void Edge::open_if_ready(Time now, bool patient) {
    if (phase_ != Phase::kConnecting || lanes_.empty()) {
        return;
    }
    const auto ready = std::ranges::count_if(lanes_, &Lane::ready);
    const bool all = static_cast<std::size_t>(ready) == lanes_.size();
    if (ready == 0 || (patient && !all && now < lanes_since_ + kLaneGrace)) {
        return;
    }
    connection_->expect(now, watchers_ > 0);
    phase_ = Phase::kOpen;
    lanes_since_ = kNever;
    if (!calls()) {
        owner_ = core_.acceptor() != nullptr ? core_.acceptor()->owner_for(peer()) : nullptr;
        if (owner_ == nullptr) {
            refuse();
            return;
        }
        core_.acceptor()->accepted(core_.make_channel(*this));
    }
    start_early_sends();
    if (phase_ == Phase::kOpen) {
        announce();
    }
    touch();
}

// ---------------------------------------------------------------- words

std::string Edge::where() const {
    std::string text;
    for (const RailCard& rail : remote_.rails) {
        GidEntry gid;
        gid.gid = rail.gid;
        text += (text.empty() ? "" : ", ") + gid.text();
    }
    return text;
}

std::string Edge::describe_paths(const transport::Failure& failure) const {
    constexpr std::size_t kMostShown = 4;
    std::string text;
    const std::size_t count = std::min(lanes_.size(), failure.paths.size());
    for (std::size_t i = 0; i < std::min(count, kMostShown); ++i) {
        const transport::Path& path = failure.paths[i];
        text += (i > 0 ? "; " : "") + core_.rail(lanes_[i].local_rail).text() + " " +
                transport::to_string(path.health) + (lanes_[i].ready ? "" : " (down)") + ", " +
                std::to_string(path.timeouts) + " timeouts in a row, " +
                std::to_string(path.chunks_lost) + " of " + std::to_string(path.chunks_sent) +
                " chunks lost";
    }
    if (text.empty()) {
        return "none was made";
    }
    const auto answer = std::ranges::count_if(ways_, &Way::trusted);
    return text +
           (count > kMostShown ? "; and " + std::to_string(count - kMostShown) + " more" : "") +
           "; control datagrams are answered on " + std::to_string(answer) + " of " +
           std::to_string(ways_.size()) + " ways";
}

std::string Edge::stats_json() const {
    std::uint64_t written = 0;
    std::uint64_t announced = 0;
    std::uint64_t renewals = 0;
    for (const Lane& lane : lanes_) {
        written += lane.written;
        announced += lane.announced;
        renewals += lane.renewals;
    }
    std::string json = "{\"state\":" + phase_json();
    add_connection(json);
    add_number(json, "written_chunks", written);
    add_number(json, "sent_chunks", announced);
    add_number(json, "copied_chunks", copied_);
    add_number(json, "renewed_pairs", renewals);
    add_number(json, "renewed_ways", renewed_ways_);
    add_number(json, "questions", questions_);
    add_number(json, "misplaced", misplaced_);
    add_number(json, "refused_notes", refused_notes_);
    if (!connection_) {
        return json + "}";
    }
    const transport::Stats stats = connection_->stats();
    json += ",\"paths\":[";
    for (std::size_t i = 0; i < std::min(stats.paths.size(), lanes_.size()); ++i) {
        const Lane& lane = lanes_[i];
        json += std::string(i > 0 ? "," : "") + "{\"local\":\"" +
                core_.rail(lane.local_rail).text() +
                "\",\"pair\":" + std::to_string(lane.pair ? lane.pair->number() : 0) +
                ",\"ready\":" + (lane.ready ? "true" : "false") +
                ",\"written\":" + std::to_string(lane.written) +
                ",\"packets\":" + std::to_string(lane.announced) + path_json(stats.paths[i]) + "}";
    }
    return json + "]}";
}

}  // namespace weft::datapath::verbs
