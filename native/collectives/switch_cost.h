// What a sum through an aggregation switch costs (native/innet), beside what cost.h says of
// schedules. Each rank sends its part once and receives the sum once, however many ranks there are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace weft::collectives {

struct Estimate;

// Times in seconds.
struct SwitchCost {
    std::uint32_t slots = 128;
    std::uint32_t values = 256;  // per packet
    double round_trip = 36e-6;   // to the switch and back, with the hosts' hands at both ends
    double per_packet = 2e-6;    // alone in a stream of them: the link's time, or the host's for
                                 // sending one and taking its result, whichever is more

    // From the times of a call of one packet and of one of `packets`.
    void measured(double brief, double lengthy, std::size_t packets) noexcept;
};

// A call is opening, data and commit: two round trips and the packets, which the link and the hosts
// bound by their rate, and the slots by one packet each per round trip.
Estimate estimate(const SwitchCost& cost, std::size_t elements) noexcept;
// Which of these bounds it, for people.
std::string what_bounds(const SwitchCost& cost, std::size_t elements);

}  // namespace weft::collectives
