#include "collectives/switch_cost.h"

#include <algorithm>
#include <cstdio>

#include "collectives/cost.h"

namespace weft::collectives {
namespace {

constexpr std::size_t kHeader = 24;  // innet/packet.h

std::size_t packets(const SwitchCost& cost, std::size_t elements) noexcept {
    return std::max<std::size_t>((elements + cost.values - 1) / cost.values, 1);
}

double by_rate(const SwitchCost& cost, std::size_t count) noexcept {
    return static_cast<double>(count) * cost.per_packet;
}

double by_slots(const SwitchCost& cost, std::size_t count) noexcept {
    const std::size_t sets = (count + cost.slots - 1) / cost.slots;
    return static_cast<double>(sets) * cost.round_trip;
}

}  // namespace

void SwitchCost::measured(double brief, double lengthy, std::size_t packets) noexcept {
    round_trip = std::max(brief / 3, 1e-9);
    per_packet = std::max(
        (lengthy - 2 * round_trip) / static_cast<double>(std::max<std::size_t>(packets, 1)), 1e-12);
}

Estimate estimate(const SwitchCost& cost, std::size_t elements) noexcept {
    const std::size_t data = packets(cost, elements);
    // The first slot's opening has values, the others' and the commit are headers.
    const std::size_t full = data + 1;
    const std::size_t sent = full + std::min<std::size_t>(data, cost.slots);
    return {.seconds = 2 * cost.round_trip + std::max(by_rate(cost, data), by_slots(cost, data)),
            .messages = sent,
            .sent_bytes = sent * kHeader + full * std::size_t{4} * cost.values};
}

std::string what_bounds(const SwitchCost& cost, std::size_t elements) {
    const std::size_t data = packets(cost, elements);
    const double rate = by_rate(cost, data);
    const double slots = by_slots(cost, data);
    char text[128];
    if (std::max(rate, slots) < 2 * cost.round_trip) {
        std::snprintf(text, sizeof text, "the round trips of its opening and commit, %.1f us each",
                      cost.round_trip * 1e6);
    } else if (rate < slots) {
        std::snprintf(text, sizeof text, "its slots, %.1f KiB for each round trip of %.1f us",
                      4.0 * cost.slots * cost.values / 1024, cost.round_trip * 1e6);
    } else {
        std::snprintf(text, sizeof text, "its %zu packets of %u values, %.2f us each", data,
                      cost.values, cost.per_packet * 1e6);
    }
    return text;
}

}  // namespace weft::collectives
