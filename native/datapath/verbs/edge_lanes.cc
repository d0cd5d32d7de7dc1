// Lanes: queue pairs made, agreed upon, made anew when they fail; and the fences that prove that
// nothing more can land.
#include <algorithm>

#include "datapath/error.h"
#include "datapath/verbs/core.h"
#include "datapath/verbs/edge.h"

namespace weft::datapath::verbs {
namespace {

constexpr Time kFirstSay = 10'000'000;
constexpr int kMostSays = 6;  // doublings
constexpr Time kFirstRenewal = 1'000'000;
constexpr int kMostRenewals = 8;  // doublings
constexpr Time kHealthLook = 25'000'000;
constexpr Time kFirstRevival = 100'000'000;
constexpr int kMostRevivals = 5;  // doublings
constexpr int kSilentTimeouts = 2;
constexpr Time kRevivalsOfTimeout = 8;  // in a peer time-out, at least
constexpr Time kAskInterval = 20'000'000;
constexpr int kMostAsked = 8;

}  // namespace

void Edge::make_lanes(std::size_t count) {
    if (lanes_.empty()) {
        lanes_ = std::vector<Lane>(count);
    }
}

void Edge::fresh_pair(Time now, Lane& lane) {
    lane.rail = &core_.rail(lane.local_rail);
    lane.renew_at = kNever;
    lane.suspect_since = lane.suspect_since == kNever ? kNever : now;
    lane.peer_pair = 0;
    lane.ready = false;
    lane.psn = static_cast<std::uint32_t>(core_.random()) & 0xFFFFFF;
    while (lane.flow_label == 0) {
        lane.flow_label = static_cast<std::uint32_t>(core_.random()) & 0xFFFFF;
    }
    if (core_.kind() == QpKind::kUd) {
        ++lane.life;
        return;
    }
    try {
        lane.pair = lane.rail->make_lane();
    } catch (const Error&) {
        lane.renew_at = now + (kFirstRenewal << std::min(++lane.failures, kMostRenewals));
        return;
    }
    ++lane.life;
    lane.sends.pair = lane.pair.get();
    core_.register_pair(lane.local_rail, lane.pair->number(), *this, index_of(lane));
}

// After this nothing that was on its way to us on this lane can land.
void Edge::drop_pair(Lane& lane) noexcept {
    lane.ready = false;
    lane.doubt = false;
    lane.fence = 0;
    lane.ask_at = kNever;
    lane.peer_pair = 0;
    if (lane.pair == nullptr) {
        return;
    }
    core_.forget_pair(lane.local_rail, lane.pair->number());
    lane.pair.reset();
    lane.sends.pair = nullptr;
    core_.flush(lane.local_rail, lane.sends,
                [this](std::uint64_t message) { reader_done(message); });
}

void Edge::disown() noexcept {
    for (Lane& lane : lanes_) {
        static_cast<void>(lane.pair.release());
    }
    for (Way& way : ways_) {
        static_cast<void>(way.own.release());
        static_cast<void>(way.own_address.release());
    }
}

// Another queue pair, and another way for what it sends.
void Edge::renew(Time now, Lane& lane) {
    lane.flow_label = 0;
    replace(now, lane);
}

// Another queue pair. What it sends keeps to its way, which may be a good one, where the device
// makes the source port of the flow label, as NICs do. To reset the same queue pair instead would
// serve soft-RoCE as well, which goes by the number alone; but an unreliable connection takes the
// first packet of any message, whatever its sequence number, and so would let land after all what
// the peer's former queue pair had written.
void Edge::replace(Time now, Lane& lane) {
    if (lane.life == 0 || core_.kind() == QpKind::kUd) {
        return;
    }
    drop_pair(lane);
    ++lane.renewals;
    if (phase_ >= Phase::kEnded) {
        return;
    }
    fresh_pair(now, lane);
    lane.said = 0;
    if (lane.pair != nullptr) {
        say(now, lane);
    }
    conclude_settled();  // what waited for a word on the old pair
    touch();
}

void Edge::on_broken(Time now, std::size_t index) {
    Lane& lane = lanes_[index];
    if (lane.pair == nullptr || lane.renew_at != kNever) {
        return;
    }
    lane.ready = false;
    lane.renew_at = now + (kFirstRenewal << std::min(lane.failures++, kMostRenewals));
    touch();
}

void Edge::say(Time now, Lane& lane) {
    lane.say_at = lane.ready ? kNever : now + (kFirstSay << std::min(lane.said, kMostSays));
    ++lane.said;
    const std::size_t index = index_of(lane);
    Note note{.kind = NoteKind::kLane,
              .wants = !lane.ready,
              .index = static_cast<std::uint16_t>(index),
              .count = static_cast<std::uint16_t>(lanes_.size()),
              .id = remote_connection_,
              .pair = number_of(lane),
              .psn = lane.psn,
              .known = lane.peer_pair,
              .life = lane.life};
    send_lane_note(note, lane);
}

// By which the peer knows our end of the lane; 0: there is none at present.
std::uint32_t Edge::number_of(const Lane& lane) const {
    return core_.kind() == QpKind::kUd ? 1 : lane.pair != nullptr ? lane.pair->number() : 0;
}

void Edge::connect(Time now, Lane& lane, const Note& note) {
    if (core_.kind() == QpKind::kUd) {
        lane.peer_pair = note.pair;
        return;
    }
    const RailCard& there = remote_.rails[lane.remote_rail];
    try {
        lane.pair->connect({.destination = lane.rail->destination(there, lane.flow_label),
                            .remote_qp = note.pair,
                            .receive_psn = note.psn & 0xFFFFFF,
                            .send_psn = lane.psn,
                            .mtu = std::min(core_.card().rails[lane.local_rail].mtu, there.mtu),
                            .timeout = static_cast<std::uint8_t>(core_.options().rc_timeout),
                            .retries = static_cast<std::uint8_t>(core_.options().rc_retries)});
        lane.peer_pair = note.pair;
    } catch (const Error&) {
        on_broken(now, index_of(lane));
    }
}

// The caller says which rails a lane joins; from then on both ends follow one rule: a pair that is
// connected to another than the peer names is replaced, and a fresh one is connected to what the
// peer names, unless that one is connected to a former pair of ours: it is about to be replaced in
// its turn, and whoever took it would have to be, too, and so on for ever.
void Edge::on_lane_note(Time now, Lane& lane, const Note& note) {
    const std::uint32_t ours = number_of(lane);
    if (note.life < lane.peer_life) {
        if (note.wants && ours != 0) {
            say(now, lane);
        }
        return;  // of a pair that is gone
    }
    lane.peer_life = note.life;
    if (ours == 0) {
        return;  // waits for its next attempt
    }
    if (note.pair != lane.peer_pair) {
        if (lane.peer_pair != 0) {
            replace(now, lane);
            if (lane.pair == nullptr) {
                return;
            }
        }
        if (note.known == 0 || note.known == number_of(lane)) {
            connect(now, lane, note);
        }
        if (lane.renew_at != kNever) {
            return;
        }
    }
    if (note.known != number_of(lane)) {
        lane.ready = false;
    } else if (!lane.ready) {
        lane_ready(now, lane);
    }
    if (note.wants || !lane.ready) {
        say(now, lane);
    }
    open_if_ready(now);
    touch();
}

void Edge::lane_ready(Time now, Lane& lane) {
    lane.ready = true;
    lane.suspect_since = lane.suspect_since == kNever ? kNever : now;
    lane.said = 0;
    lane.say_at = kNever;
    connection_->hold_chunks(false);
    connection_->renew_path(now, static_cast<transport::PathId>(index_of(lane)));
}

// Goes out behind everything written on this lane so far, and arrives behind it.
void Edge::put_marker(Lane& lane, const Note& question) {
    if (!lane.ready || lane.pair == nullptr || lane.rail->headers().empty() ||
        !core_.has_room(lane.local_rail, lane.sends, kLaneSends)) {
        return;  // it is asked again
    }
    Note marker{.kind = NoteKind::kMarker,
                .from_rail = lane.local_rail,
                .to_rail = lane.remote_rail,
                .index = question.index,
                .count = question.count,
                .id = remote_connection_,
                .word = question.word};
    marker.proof = prove(marker, core_.key());
    const std::uint32_t header = lane.rail->headers().take();
    auto* bytes = reinterpret_cast<std::uint8_t*>(lane.rail->headers().at(header));
    encode(Prefix{.rail = lane.local_rail},
           std::span<std::uint8_t, kPrefixSize>(bytes, kPrefixSize));
    std::ranges::copy(encode(marker), bytes + kPrefixSize);
    SendWork work;
    work.pieces = 1;
    work.piece[0] = {reinterpret_cast<std::uintptr_t>(bytes),
                     static_cast<std::uint32_t>(kPrefixSize + kNoteSize),
                     lane.rail->headers().key()};
    core_.queue(lane.local_rail, lane.sends, work, {.header = header});
}

void Edge::on_note(Time now, const Note& note) {
    if (note.kind == NoteKind::kChecked) {
        if (phase_ == Phase::kChecking && note.word == nonce_ && note.id == peer()) {
            for (Check& check : checks_) {
                if (check.rails.local == note.to_rail && check.rails.remote == note.from_rail) {
                    check.answered = true;
                    first_answer_ = std::min(first_answer_, now);
                }
            }
            on_time(now);
        }
        return;
    }
    if (note.proof != prove(note, core_.key()) || note.from_rail >= remote_.rails.size() ||
        note.to_rail >= core_.rails() || note.count == 0 || note.count > 256 ||
        note.index >= note.count || phase_ >= Phase::kEnded || !connection_) {
        ++refused_notes_;
        return;
    }
    if (note.kind == NoteKind::kKnock) {
        on_knock(now, note);
        return;
    }
    if (note.kind == NoteKind::kHeard) {
        on_heard(now, note);
        return;
    }
    if (note.kind == NoteKind::kLane && !calls() && lanes_.empty() && lanes_since_ != kNever) {
        make_lanes(note.count);
    }
    if (note.index >= lanes_.size() || note.count != lanes_.size()) {
        return;  // before its time: said again
    }
    Lane& lane = lanes_[note.index];
    switch (note.kind) {
        case NoteKind::kLane:
            if (lane.life == 0 && !calls()) {
                lane.local_rail = note.to_rail;
                lane.remote_rail = note.from_rail;
                add_ways({lane.local_rail, lane.remote_rail});
                fresh_pair(now, lane);
            }
            on_lane_note(now, lane, note);
            break;
        case NoteKind::kFence:
            put_marker(lane, note);
            break;
        case NoteKind::kMarker:
        case NoteKind::kCheck:
        case NoteKind::kChecked:
        case NoteKind::kKnock:
        case NoteKind::kHeard:
            break;  // markers come on their lane
    }
}

void Edge::on_lane_time(Time now, Lane& lane) {
    if (now >= lane.renew_at) {
        renew(now, lane);
    }
    if (now >= lane.say_at) {
        lane.say_at = kNever;
        if (lane.life != 0 && (lane.pair != nullptr || core_.kind() == QpKind::kUd)) {
            say(now, lane);
        }
    }
    if (now >= lane.ask_at) {
        if (lane.asked >= kMostAsked) {
            renew(now, lane);  // nothing passes there any more, which settles it as well
        } else {
            ask(now, lane);
        }
    }
}

void Edge::look_at_health(Time now) {
    health_at_ = kNever;
    if (phase_ >= Phase::kEnded || !connection_ || (now >= used_until_ && !connection_->waits())) {
        return;  // until it is used again: idle edges sleep
    }
    health_at_ = now + kHealthLook;
    knock(now);
    if (phase_ == Phase::kOpen && core_.kind() != QpKind::kUd) {
        revive_lanes(now);
    }
}

void Edge::use(Time now) {
    used_until_ = now + peer_timeout();
    health_at_ = std::min(health_at_, now + kHealthLook);
}

// A path on which nothing comes through gets a queue pair of another number, which takes another
// way through the network (RoCE's source port follows from it), and which knows nothing of what
// went wrong: soft-RoCE's unreliable connections do not get over a packet that is lost in the
// middle of a message. With more and more patience while other paths work, else with as much as it
// takes both ends to agree on a queue pair and to hear through it: either may be the one that
// renews it. The last path is not called suspect, but has its time-outs.
void Edge::revive_lanes(Time now) {
    const transport::Stats stats = connection_->stats();
    const std::size_t count = std::min(stats.paths.size(), lanes_.size());
    const auto silent = [&](std::size_t i) {
        return stats.paths[i].health == transport::PathHealth::kSuspect ||
               stats.paths[i].timeouts >= kSilentTimeouts;
    };
    const Time patience = std::clamp(8 * stats.rtt.smoothed(), kFirstRevival,
                                     std::max(kFirstRevival, peer_timeout() / kRevivalsOfTimeout));
    bool any = false;
    for (std::size_t i = 0; i < count; ++i) {
        any = any || (lanes_[i].ready && !silent(i) &&
                      stats.paths[i].health == transport::PathHealth::kGood);
    }
    for (std::size_t i = 0; i < count; ++i) {
        Lane& lane = lanes_[i];
        if (!silent(i)) {
            lane.suspect_since = kNever;
            lane.revivals = 0;
        } else if (lane.suspect_since == kNever) {
            lane.suspect_since = now;
        } else if (now - lane.suspect_since >=
                       patience << (any ? std::min(lane.revivals, kMostRevivals) : 0) &&
                   lane.renew_at == kNever && core_.rail(lane.local_rail).up) {
            ++lane.revivals;
            renew(now, lane);
        }
    }
}

void Edge::on_rail(Time now, std::size_t rail, bool up) {
    for (std::size_t i = 0; i < paths() && !lanes_.empty() && connection_; ++i) {
        if (lanes_[i % lanes_.size()].local_rail == rail) {
            connection_->deny_path(now, static_cast<transport::PathId>(i), !up);
        }
    }
    touch();
}

// ---------------------------------------------------------------- what may yet land

void Edge::fence(Time now, Lane& lane) {
    lane.doubt = false;
    lane.fence_last = ++questions_;
    lane.fence = lane.fence != 0 ? lane.fence : lane.fence_last;
    lane.asked = 0;
    ask(now, lane);
}

void Edge::ask(Time now, Lane& lane) {
    ++lane.asked;
    lane.ask_at = now + kAskInterval;
    send_lane_note({.kind = NoteKind::kFence,
                    .index = static_cast<std::uint16_t>(index_of(lane)),
                    .count = static_cast<std::uint16_t>(lanes_.size()),
                    .id = remote_connection_,
                    .word = lane.fence_last},
                   lane);
    touch();
}

void Edge::answered(Lane& lane, std::uint64_t word) {
    if (lane.fence == 0 || word < lane.fence || word > lane.fence_last) {
        return;
    }
    lane.fence = word == lane.fence_last ? 0 : word + 1;
    lane.ask_at = lane.fence == 0 ? kNever : lane.ask_at;
    conclude_settled();
}

bool Edge::settled(Incoming& message) {
    auto* placed = dynamic_cast<Placed*>(message.attachment.get());
    if (placed == nullptr) {
        return true;
    }
    const Time now = clock_now();
    if (!placed->fenced) {
        placed->fenced = true;
        const bool gone = message.verdict != nullptr;  // anything of it may be on its way
        for (Lane& lane : lanes_) {
            if (lane.pair != nullptr && (lane.doubt || (gone && lane.peer_pair != 0))) {
                fence(now, lane);
            }
        }
        placed->hold = questions_;
    }
    const bool open = std::ranges::any_of(
        lanes_, [&](const Lane& lane) { return lane.fence != 0 && lane.fence <= placed->hold; });
    if (open && std::ranges::find(held_, message.handle) == held_.end()) {
        held_.push_back(message.handle);
    }
    return !open;
}

void Edge::conclude_settled() {
    for (const std::uint64_t handle : std::exchange(held_, {})) {
        Incoming* message = incoming_.find(handle);
        if (message != nullptr && message->concluded && settled(*message)) {
            conclude(*message);
        }
    }
}

// The hard way: queue pairs that are gone write nothing.
void Edge::revoke(Incoming* message) {
    bool exposed = false;
    if (message != nullptr) {
        exposed = message->attachment != nullptr;
    } else {
        incoming_.for_each([&](Incoming& m) { exposed = exposed || m.attachment != nullptr; });
    }
    if (exposed) {
        const Time now = clock_now();
        for (Lane& lane : lanes_) {
            renew(now, lane);
        }
        conclude_settled();
    }
    // The peer may connect to the new ones before it hears that its grant is void: the key goes.
    if (message == nullptr) {
        return;
    }
    if (const auto* placed = dynamic_cast<Placed*>(message->attachment.get())) {
        core_.registry().withdraw(*placed->registration);
    }
    message->attachment.reset();
}

}  // namespace weft::datapath::verbs
