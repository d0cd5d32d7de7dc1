// All edges of one datapath of the process: by what they are found, which calls are taken, when
// each is pumped or called by time, and when it goes. How bytes come and leave is the datapath's,
// which owns the table and drives it: bounded work per round.
//
// E derives from MessageEdge and has on_time(now), pump(now) (true when it did anything) and a
// WakeUp<E> wake_up for the table's wheel.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "datapath/channel.h"
#include "datapath/clock.h"
#include "datapath/json.h"
#include "datapath/timing_wheel.h"
#include "transport/handshake.h"

namespace weft::datapath {

template <typename E>
class EdgeTable {
  public:
    explicit EdgeTable(PeerId self) : self_(self) {}

    auto begin() const noexcept { return edges_.begin(); }
    auto end() const noexcept { return edges_.end(); }
    bool empty() const noexcept { return edges_.empty(); }

    // --- Opening

    // We call. Of two calls that cross, that of the process with the lower id stands.
    E& call(std::unique_ptr<E> edge) {
        if (E* theirs = opening(edge->peer(), false); theirs && self_ < edge->peer()) {
            theirs->overrule();
        }
        ++counters_.calls_made;
        earliest_ = 0;
        return add(std::move(edge));
    }

    // The edge that this hello has made before: it is said again until it is answered.
    E* called(const wire::Packet& hello) const noexcept {
        return found(by_hello_, hello.handshake.source_connection);
    }
    // Why the transport does not talk to whoever says this hello.
    std::optional<transport::RejectReason> rejected(const transport::Config& config,
                                                    const wire::Packet& hello) {
        const auto reason = transport::check_hello(config, hello);
        if (reason) {
            using transport::RejectReason;
            ++(*reason == RejectReason::kVersion ? counters_.rejected_version
               : *reason == RejectReason::kEpoch ? counters_.rejected_epoch
               : *reason == RejectReason::kProof ? counters_.rejected_proof
                                                 : counters_.rejected_options);
        }
        return reason;
    }
    // Whether this peer's call is taken: nobody (null) or its owner may not want it.
    bool takes_call(PeerId peer, Acceptor* acceptor) {
        const bool ours_stands = self_ < peer && opening(peer, true) != nullptr;
        const bool takes = !ours_stands && acceptor != nullptr && half_open() < kMostHalfOpen &&
                           acceptor->owner_for(peer) != nullptr;
        counters_.refused_calls += takes ? 0 : 1;
        return takes;
    }
    void take(const wire::Packet& hello, std::unique_ptr<E> edge) {
        ++counters_.calls_taken;
        by_hello_[hello.handshake.source_connection] = &add(std::move(edge));
    }

    // By our connection's id, which packets carry.
    void name(std::uint64_t connection, E& edge) { by_connection_[connection] = &edge; }
    E* find(std::uint64_t connection) const noexcept { return found(by_connection_, connection); }

    // --- The loop

    void mark_dirty(E& edge) {
        if (!edge.dirty) {
            edge.dirty = true;
            dirty_.push_back(&edge);
        }
    }
    bool dirty() const noexcept { return !dirty_.empty(); }

    bool pump(Time now) {
        bool moved = false;
        pumping_.swap(dirty_);
        for (E* edge : pumping_) {
            edge->dirty = false;
            moved = edge->pump(now) || moved;
            wheel_.set(edge->wake_up, edge->wake_at());
            earliest_ = std::min(earliest_, edge->wake_at());
        }
        pumping_.clear();
        return moved;
    }

    // No edge wants to be called before this; it may be that none does then.
    Time earliest() const noexcept { return earliest_; }

    // Calls those that are due, unless something that has arrived waits to be read: an
    // acknowledgement must not look late because we were. Even then timers are not put off for
    // good.
    void run_timers(Time now, bool more_waits) {
        if (now < earliest_ || (more_waits && now - earliest_ <= kLatestTimer)) {
            return;
        }
        // Each becomes dirty, and its next time is known when it was pumped.
        wheel_.run(now, [&](Timer& timer) { static_cast<WakeUp<E>&>(timer).owner.on_time(now); });
        earliest_ = wheel_.next();
    }

    void sweep_soon() noexcept { sweep_due_ = true; }

    // Deletes edges that nobody needs, if asked to; those that still have something to say wait for
    // another round. True when it looked.
    bool sweep() {
        if (!sweep_due_) {
            return false;
        }
        sweep_due_ =
            std::ranges::any_of(edges_, [](const auto& e) { return e->over() && e->dirty; });
        const auto gone = [](const E& edge) { return edge.over() && !edge.dirty; };
        std::erase_if(by_connection_, [&](const auto& entry) { return gone(*entry.second); });
        std::erase_if(by_hello_, [&](const auto& entry) { return gone(*entry.second); });
        std::erase_if(edges_, [&](const auto& edge) {
            if (!gone(*edge)) return false;
            wheel_.set(edge->wake_up, kNever);
            return true;
        });
        return true;
    }

    // --- The end

    // All leave in order: their last packets go out and are waited for, but not for long.
    // progress(now) is a round of the loop, next() when it has to be called again; sleep(time)
    // waits for so long, or until something comes in.
    template <typename Progress, typename Next, typename Sleep>
    void depart(Progress&& progress, Next&& next, Sleep&& sleep) {
        for (const auto& edge : edges_) {
            edge->depart();
        }
        const auto waits = [](const auto& e) { return e->lingers() || e->dirty; };
        const Time until = clock_now() + kLongestGoodbye;
        for (Time now = clock_now(); now < until; now = clock_now()) {
            if (progress(now)) {
                continue;
            }
            if (std::ranges::none_of(edges_, waits)) {
                return;
            }
            sleep(std::clamp<Time>(std::min(next(), until) - now, 0, kLongestSleep));
        }
    }
    // The network is gone.
    void drop() noexcept {
        for (const auto& edge : edges_) {
            edge->drop();
        }
    }
    void clear() noexcept { edges_.clear(); }

    // Members of a JSON object.
    std::string stats_json() const {
        std::string json;
        add_number(json, "edges", edges_.size());
        add_number(json, "calls_made", counters_.calls_made);
        add_number(json, "calls_taken", counters_.calls_taken);
        add_number(json, "refused_calls", counters_.refused_calls);
        add_number(json, "rejected_version", counters_.rejected_version);
        add_number(json, "rejected_epoch", counters_.rejected_epoch);
        add_number(json, "rejected_proof", counters_.rejected_proof);
        add_number(json, "rejected_options", counters_.rejected_options);
        return json;
    }

  private:
    static constexpr std::size_t kMostHalfOpen = 1024;  // calls taken and not yet proved
    static constexpr Time kLatestTimer = 10'000'000;
    static constexpr Time kLongestGoodbye = 500'000'000;
    static constexpr Time kLongestSleep = 5'000'000;

    using Index = std::unordered_map<std::uint64_t, E*>;

    struct Counters {
        std::uint64_t calls_made = 0, calls_taken = 0;
        std::uint64_t refused_calls = 0;  // the owner did not want them, or too many at once
        std::uint64_t rejected_version = 0, rejected_epoch = 0, rejected_proof = 0,
                      rejected_options = 0;
    };

    static E* found(const Index& index, std::uint64_t key) noexcept {
        const auto it = index.find(key);
        return it == index.end() ? nullptr : it->second;
    }
    E& add(std::unique_ptr<E> edge) {
        edges_.push_back(std::move(edge));
        mark_dirty(*edges_.back());
        return *edges_.back();
    }
    E* opening(PeerId peer, bool calls) const noexcept {
        const auto it = std::ranges::find_if(edges_, [&](const auto& e) {
            return e->peer() == peer && e->calls() == calls && e->opening();
        });
        return it == edges_.end() ? nullptr : it->get();
    }
    std::size_t half_open() const noexcept {
        return static_cast<std::size_t>(std::ranges::count_if(
            edges_, [](const auto& e) { return !e->calls() && e->opening(); }));
    }

    const PeerId self_;
    std::vector<std::unique_ptr<E>> edges_;
    Index by_connection_;
    Index by_hello_;  // called edges, by the caller's connection
    std::vector<E*> dirty_;
    std::vector<E*> pumping_;
    TimingWheel wheel_{clock_now()};
    Time earliest_ = kNever;
    bool sweep_due_ = false;
    Counters counters_;
};

}  // namespace weft::datapath
