// The ways of an edge's control datagrams: which is taken, which answer, and those made anew.
#include <algorithm>

#include "datapath/error.h"
#include "datapath/verbs/core.h"
#include "datapath/verbs/edge.h"

namespace weft::datapath::verbs {
namespace {

constexpr Time kKnockInterval = 200'000'000;  // while the edge is in use
// Each new way of an end is a good one with some chance, and it takes a good one of each end at the
// same time: so many draws to a peer time-out.
constexpr Time kLeastPatience = 50'000'000;
constexpr Time kKnocksOfTimeout = 15;
constexpr int kMostPatience = 6;  // doublings

}  // namespace

void Edge::add_ways(RailPair rails) {
    const auto same = [&](const Way& way) { return way.rails == rails; };
    if (std::ranges::none_of(ways_, same)) {
        for (std::size_t i = 0; i < core_.rail(rails.local).controls(); ++i) {
            Way& way = ways_.emplace_back();
            way.rails = rails;
            way.place = ways_.size() - 1;
            way.index = i;
        }
    }
}

// Those between two rails lie side by side.
Way& Edge::way_between(RailPair rails, std::size_t index) {
    const auto first = std::ranges::find(ways_, rails, &Way::rails);
    const auto count = core_.rail(rails.local).controls();
    return *(first + static_cast<std::ptrdiff_t>(index % count));
}

Way& Edge::way_in_turn() {
    for (std::size_t i = 0; i < ways_.size(); ++i) {
        if (Way& way = ways_[turn_++ % ways_.size()]; usable(way)) {
            return way;
        }
    }
    return ways_[turn_++ % ways_.size()];
}

// What belongs to a path keeps to one way, between the rails of its lane, while that answers.
Way& Edge::way_for(std::size_t path) {
    if (lanes_.empty() || lanes_[path % lanes_.size()].life == 0) {
        return way_in_turn();
    }
    const Lane& lane = lanes_[path % lanes_.size()];
    const RailPair rails{lane.local_rail, lane.remote_rail};
    for (std::size_t i = 0; i < core_.rail(rails.local).controls(); ++i) {
        if (Way& way = way_between(rails, path + i); usable(way)) {
            return way;
        }
    }
    return way_in_turn();
}

bool Edge::usable(const Way& way) const {
    return way.trusted() && core_.rail(way.rails.local).up;
}

SendQueue& Edge::queue_of(Way& way) {
    return way.own != nullptr ? way.sends : core_.control_queue(way.rails.local, way.index);
}

Target Edge::target_of(const Way& way) {
    const RailCard& there = remote_.rails[way.rails.remote];
    return {way.own_address != nullptr ? way.own_address.get()
                                       : core_.rail(way.rails.local).address_of(there, way.index),
            there.controls[way.index % there.controls.size()]};
}

// ---------------------------------------------------------------- do they answer?

void Edge::knock(Time now) {
    const Time patience = std::clamp(4 * connection_->stats().rtt.smoothed(), kLeastPatience,
                                     std::max(kLeastPatience, peer_timeout() / kKnocksOfTimeout));
    const bool any = std::ranges::any_of(ways_, [&](const Way& way) { return usable(way); });
    for (Way& way : ways_) {
        const int spared = any ? std::clamp(way.silent - Way::kTrust, 0, kMostPatience) : 0;
        const Time wait = way.knock == 0 ? kKnockInterval : patience << spared;
        if (now < way.knocked_at + wait || !core_.rail(way.rails.local).up) {
            continue;
        }
        way.silent += way.knock != 0 ? 1 : 0;
        if (!way.trusted()) {
            renew(now, way);
        }
        way.knock = ++knocks_;
        way.knock_first = way.knock_first != 0 ? way.knock_first : way.knock;
        way.knocked_at = now;
        send_note({.kind = NoteKind::kKnock,
                   .wants = way.silent > 0,
                   .index = static_cast<std::uint16_t>(way.place),
                   .count = static_cast<std::uint16_t>(ways_.size()),
                   .id = remote_connection_,
                   .word = way.knock},
                  way);
    }
}

// Who knocks for the second time may not have heard the first answer, and needs our ways, too: we
// look for those that work although we may have nothing to say ourselves.
void Edge::on_knock(Time now, const Note& knock) {
    const Note answer{.kind = NoteKind::kHeard,
                      .index = knock.index,
                      .count = knock.count,
                      .id = remote_connection_,
                      .word = knock.word};
    if (!knock.wants) {
        send_note(answer, way_in_turn());
        return;
    }
    use(now);
    for (Way& way : ways_) {
        send_note(answer, way);
    }
    touch();
}

void Edge::on_heard(Time now, const Note& answer) {
    if (answer.index >= ways_.size()) {
        return;
    }
    Way& way = ways_[answer.index];
    if (way.knock != 0 && answer.word >= way.knock_first && answer.word <= way.knock) {
        way.knock = way.knock_first = 0;
        way.silent = 0;
        connection_->hear(now);
        touch();
    }
}

// ---------------------------------------------------------------- made anew

void Edge::renew(Time now, Way& way) {
    drop_own(way);
    Rail& rail = core_.rail(way.rails.local);
    try {
        way.own = rail.make_control();
        way.own_address = rail.make_address(remote_.rails[way.rails.remote],
                                            static_cast<std::uint32_t>(core_.random()));
    } catch (const Error&) {
        drop_own(way);
        return;  // by the rail's again, until the next attempt
    }
    ++renewed_ways_;
    way.sends.pair = way.own.get();
    core_.register_way(way.rails.local, way.own->number(), *this, way.place);
    for (std::size_t i = 0; core_.kind() == QpKind::kUd && i < lanes_.size(); ++i) {
        if (&own_way(lanes_[i]) == &way) {
            connection_->renew_path(now, static_cast<transport::PathId>(i));
        }
    }
}

void Edge::drop_own(Way& way) noexcept {
    way.knock = way.knock_first = 0;
    if (way.own != nullptr) {
        core_.forget_pair(way.rails.local, way.own->number());
        way.own.reset();
        way.sends.pair = nullptr;
        core_.flush(way.rails.local, way.sends, [](std::uint64_t) {});
    }
    way.own_address.reset();
}

void Edge::on_way_sent(Time now, std::size_t index, const Completion& done) {
    Way& way = ways_[index];
    core_.complete(way.rails.local, way.sends, done.id, [](std::uint64_t) {});
    if (done.status != WorkStatus::kSuccess && way.sends.posted.empty()) {
        renew(now, way);
    }
    touch();
}

}  // namespace weft::datapath::verbs
