#include "datapath/udp/path_finder.h"

#include <algorithm>
#include <utility>

namespace weft::datapath::udp {
namespace {

constexpr std::uint32_t kSafeMtu = 1280;  // RFC 8200, section 5
constexpr std::uint32_t kDefaultMtu =
    9000;  // a larger interface MTU (loopback) gains nothing: batches are cut by GSO

}  // namespace

PathFinder::PathFinder(std::vector<LocalAddress> local, std::vector<LocalAddress> remote,
                       std::uint32_t mtu)
    : local_(std::move(local)), remote_(std::move(remote)) {
    for (std::size_t l = 0; l < local_.size(); ++l) {
        for (std::size_t r = 0; r < remote_.size(); ++r) {
            if (!compatible(local_[l].address, remote_[r].address)) {
                continue;
            }
            const std::uint32_t link = std::min(local_[l].mtu, remote_[r].mtu);
            const std::uint32_t full = std::min(link, mtu != 0 ? mtu : kDefaultMtu);
            candidates_.push_back({.local = static_cast<std::uint16_t>(l),
                                   .remote = static_cast<std::uint16_t>(r),
                                   .small = std::min(full, kSafeMtu),
                                   .full = full});
        }
    }
}

void PathFinder::answered(Time now, std::uint16_t index, std::uint32_t bytes) {
    if (index >= candidates_.size()) {
        return;
    }
    Candidate& candidate = candidates_[index];
    candidate.small_answered = candidate.small_answered || bytes >= candidate.small;
    candidate.full_answered = candidate.full_answered || bytes >= candidate.full;
    if (best_answered()) {
        decide_at_ = now;
    } else if (decide_at_ == kNever) {
        decide_at_ = now + std::clamp(kGracePerAnswer * (now - std::min(began_, now)), kGrace,
                                      kLongestGrace);
        interval_ = kFirstInterval;  // whoever answers at all answers soon: ask the others quickly
        next_round_ = std::min(next_round_, now + interval_);
    }
}

// Whether nothing can come that would change the choice for the better.
bool PathFinder::best_answered() const noexcept {
    int best = INT32_MAX;
    for (const Candidate& candidate : candidates_) {
        best = std::min(best, candidate.wanted ? rank(candidate) : INT32_MAX);
    }
    return std::ranges::all_of(candidates_, [&](const Candidate& candidate) {
        return !candidate.wanted || candidate.full_answered || rank(candidate) > best;
    });
}

void PathFinder::go_on(Time now) {
    const std::uint32_t size = packet_size();
    const Route first = routes().front();
    const auto chosen = std::ranges::find_if(candidates_, [&](const Candidate& candidate) {
        return candidate.local == first.local && candidate.remote == first.remote;
    });
    const int best = rank(*chosen);
    for (Candidate& candidate : candidates_) {
        candidate.wanted =
            !candidate.small_answered && candidate.full >= size && rank(candidate) == best;
        if (candidate.wanted) {
            candidate.small = candidate.full = size;
        }
    }
    decide_at_ = best_answered() ? now : now + kLateSearch;
    interval_ = kFirstLateInterval;
    longest_interval_ = kLateSearch;
    next_round_ = now + interval_;
}

// Smaller is better.
int PathFinder::rank(const Candidate& candidate) const noexcept {
    const LocalAddress& local = local_[candidate.local];
    const LocalAddress& remote = remote_[candidate.remote];
    if (local.address.is_loopback()) {
        return 2;
    }
    return local.address.same_subnet(remote.address, std::min(local.prefix, remote.prefix)) ? 0 : 1;
}

std::vector<Route> PathFinder::routes() const {
    int best = INT32_MAX;
    for (const Candidate& candidate : candidates_) {
        if (candidate.small_answered) {
            best = std::min(best, rank(candidate));
        }
    }
    std::vector<Route> chosen;
    std::vector<std::pair<std::uint8_t, std::uint8_t>> devices;
    for (const int family : {AF_INET, AF_INET6}) {
        for (const Candidate& candidate : candidates_) {
            const std::pair pair{local_[candidate.local].device, remote_[candidate.remote].device};
            if (candidate.small_answered && rank(candidate) == best &&
                local_[candidate.local].address.family() == family &&
                !std::ranges::count(devices, pair)) {
                devices.push_back(pair);
                chosen.push_back({candidate.local, candidate.remote});
            }
        }
    }
    return chosen;
}

std::uint32_t PathFinder::packet_size() const {
    std::uint32_t size = UINT32_MAX;
    for (const Route& route : routes()) {
        for (const Candidate& candidate : candidates_) {
            if (candidate.local == route.local && candidate.remote == route.remote) {
                size = std::min(size, candidate.full_answered ? candidate.full : candidate.small);
            }
        }
    }
    return size;
}

}  // namespace weft::datapath::udp
