// What a closed descriptor held, the kernel takes apart a moment later: whoever opens the same
// queue or hook in the wake of another (a restart, a killed process) finds it busy until then.
#pragma once

#include <chrono>
#include <thread>

namespace weft::datapath::xdp {

// Calls attempt() until it says true, for a second at most; the last answer.
template <typename Attempt>
bool patiently(Attempt attempt) {
    constexpr int kRounds = 100;
    for (int round = 0; round < kRounds; ++round) {
        if (attempt()) {
            return true;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return attempt();
}

}  // namespace weft::datapath::xdp
