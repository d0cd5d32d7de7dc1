// Finds out which pairs of a local and a remote address carry datagrams, and how large ones, before
// an edge is opened. A pure state machine: it is told what time it is and which checks were
// answered, and says which to send.
//
// Every candidate pair is checked at a size that any link must carry (RFC 8200: 1280 bytes) and at
// the size its interfaces promise. The search ends when all pairs of the best kind have answered in
// full, or a moment after the first answer. Then, of the pairs that answered:
//  - pairs on one subnet before pairs that need a router, and those before loopback: a rail talks
//  to its own rail;
//  - one pair per two devices, IPv4 first: two address families on the same cables are no two ways;
//  - the datagram size is the largest that fits through all pairs chosen.
// Once the edge has opened, those as good as these that have not answered are asked for some
// seconds more: a lost ARP request alone keeps a link silent for one (RFC 1122, section 2.3.2.1).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datapath/channel.h"
#include "datapath/udp/address.h"

namespace weft::datapath::udp {

struct Candidate {
    std::uint16_t local = 0;   // index of the local address
    std::uint16_t remote = 0;  // index of the remote address
    std::uint32_t small = 0;   // bytes of IP packet in the two checks
    std::uint32_t full = 0;
    bool small_answered = false;
    bool full_answered = false;
    bool wanted = true;  // whether its answer would be of use
};

struct Route {
    std::uint16_t local = 0;
    std::uint16_t remote = 0;
};

class PathFinder {
  public:
    // `mtu`: no packet larger than this (0: no limit but the interfaces').
    PathFinder(std::vector<LocalAddress> local, std::vector<LocalAddress> remote,
               std::uint32_t mtu);

    const std::vector<LocalAddress>& local() const noexcept { return local_; }
    const std::vector<LocalAddress>& remote() const noexcept { return remote_; }
    const std::vector<Candidate>& candidates() const noexcept { return candidates_; }

    // Checks to send at `now`: calls send(candidate index, bytes of IP packet) for each when the
    // time for them has come.
    template <typename Send>
    void poll(Time now, Send&& send) {
        if (now < next_round_ || finished(now)) {
            return;
        }
        began_ = std::min(began_, now);
        next_round_ = now + interval_;
        interval_ = std::min(interval_ * 3 / 2, longest_interval_);
        for (std::size_t i = 0; i < candidates_.size(); ++i) {
            const Candidate& candidate = candidates_[i];
            if (!candidate.wanted) {
                continue;
            }
            if (!candidate.small_answered) {
                send(static_cast<std::uint16_t>(i), candidate.small);
            }
            if (!candidate.full_answered && candidate.full != candidate.small) {
                send(static_cast<std::uint16_t>(i), candidate.full);
            }
        }
    }

    // A check of candidate `index` was answered: the peer got a packet of `bytes`.
    void answered(Time now, std::uint16_t index, std::uint32_t bytes);

    // The edge opens with what was found: from now on it is only of use what carries datagrams of
    // the size that was chosen as well as those do. routes() grows by it until finished() again.
    void go_on(Time now);

    bool finished(Time now) const noexcept { return now >= decide_at_; }
    Time next_wakeup() const noexcept { return std::min(next_round_, decide_at_); }

    // What was found; empty routes only before finished().
    std::vector<Route> routes() const;
    // Bytes of IP packet that all routes carry.
    std::uint32_t packet_size() const;

  private:
    static constexpr Time kFirstInterval = 4'000'000;
    static constexpr Time kLongestInterval = 200'000'000;
    // How long after the first answer the others may come: enough for four rounds of checks, so
    // that a lossy link is not taken for one that drops large packets; and longer where the first
    // was slow to come, since then hosts or links are busy.
    static constexpr Time kGrace = 25'000'000;
    static constexpr Time kLongestGrace = 500'000'000;
    static constexpr Time kGracePerAnswer = 10;
    // Of what goes on after that: some ten rounds of checks.
    static constexpr Time kFirstLateInterval = 50'000'000;
    static constexpr Time kLateSearch = 10'000'000'000;

    int rank(const Candidate& candidate) const noexcept;
    bool best_answered() const noexcept;

    std::vector<LocalAddress> local_;
    std::vector<LocalAddress> remote_;
    std::vector<Candidate> candidates_;
    Time next_round_ = 0;
    Time interval_ = kFirstInterval;
    Time longest_interval_ = kLongestInterval;
    Time began_ = kNever;
    Time decide_at_ = kNever;
};

}  // namespace weft::datapath::udp
