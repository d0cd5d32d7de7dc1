#include "collectives/tuner.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <initializer_list>

#include "datapath/error.h"

namespace weft::collectives {

namespace {

// Below this size a block is never cut into slices: the overhead of a message costs more than any
// overlap gains.
constexpr std::size_t kSmallestSliced = 64 << 10;
constexpr std::size_t kSmallestFinelySliced = 4 << 20;

// Has no schedule: communicator/innet.h runs it.
const Algorithm kInnet{.name = "innet",
                       .reference = "Sapio et al., NSDI 2021",
                       .growth = Growth::kLogarithmic,
                       .collectives = collective_set(Collective::kAllReduce)};

// The middle of the range of sizes that share a row: 3/4 of the next power of two (0, 1, 3, 6, 12).
std::size_t middle_of_row(std::size_t bytes) {
    const int width = static_cast<int>(std::bit_width(bytes));
    return width < 2 ? bytes : std::size_t{3} << (width - 2);
}

std::vector<std::int32_t> slice_counts(std::size_t bytes) {
    if (bytes < kSmallestSliced) return {1};
    if (bytes < kSmallestFinelySliced) return {1, 4};
    return {1, 4, 16};
}

// Every n/m-th rank of the group: keeps its mixture of hosts.
Hosts thin_out(const Hosts& hosts, std::int32_t size) {
    Hosts result;
    for (std::int32_t i = 0; i < size; ++i) {
        result.push_back(
            hosts[static_cast<std::size_t>(i) * hosts.size() / static_cast<std::size_t>(size)]);
    }
    return result;
}

std::string format(const char* pattern, double value) {
    char text[64];
    std::snprintf(text, sizeof text, pattern, value);
    return text;
}

std::string format_time(double seconds) {
    if (seconds < 1e-3) return format("%.1f us", seconds * 1e6);
    if (seconds < 1) return format("%.2f ms", seconds * 1e3);
    return format("%.2f s", seconds);
}

std::string format_bytes(std::size_t bytes) {
    const auto value = static_cast<double>(bytes);
    if (bytes < 1 << 10) return format("%.0f B", value);
    if (bytes < 1 << 20) return format("%.1f KiB", value / (1 << 10));
    return format("%.1f MiB", value / (1 << 20));
}

// Why the first is faster than the second, in terms of what the model counts.
std::string compare(const Candidate& first, const Candidate& second) {
    if (first.algorithm == &kInnet) return "each rank sends its part once and receives the sum";
    if (second.algorithm == &kInnet) return "no small packets one by one";
    const Estimate& a = first.estimate;
    const Estimate& b = second.estimate;
    if (a.messages < b.messages && a.sent_bytes <= b.sent_bytes) {
        return "fewer messages per rank (" + std::to_string(a.messages) + " against " +
               std::to_string(b.messages) + ")";
    }
    if (a.sent_bytes < b.sent_bytes) {
        return "fewer bytes sent per rank (" + format_bytes(a.sent_bytes) + " against " +
               format_bytes(b.sent_bytes) + ")";
    }
    if (a.messages < b.messages) {
        return "fewer messages per rank (" + std::to_string(a.messages) + " against " +
               std::to_string(b.messages) + "), although more bytes";
    }
    return "a shorter critical path with the same traffic";
}

// One sentence on the choice.
std::string why(const Explanation& all, const Candidate& chosen, bool asked) {
    const auto named = [](const Candidate& each) {
        return std::string(each.algorithm->name) + " at " + format_time(each.estimate.seconds);
    };
    const Candidate& best = all.candidates.front();
    if (asked) {
        const bool best_too = best.algorithm == chosen.algorithm;
        return named(chosen) + ": an option asks for it" +
               (best_too ? ""
                         : "; " + std::string(best.algorithm->name) + " is predicted at " +
                               format_time(best.estimate.seconds));
    }
    if (all.candidates.size() == 1) {
        return named(chosen) + ": the only algorithm for " +
               std::string(collective_name(all.collective));
    }
    return named(chosen) + " is predicted before " + named(all.candidates[1]) + ": " +
           compare(chosen, all.candidates[1]);
}

}  // namespace

Tuner::Tuner(CostModel model, Hosts hosts, std::map<Collective, std::string> overrides,
             bool innet_asked)
    : model_(model),
      hosts_(std::move(hosts)),
      overrides_(std::move(overrides)),
      innet_asked_(innet_asked) {
    if (hosts_.empty()) throw Error(WEFT_ERR_INVALID, "tuner: a group needs at least 1 rank");
    for (const auto& [collective, name] : overrides_) find_algorithm(name, collective);
}

Estimate Tuner::predict(const Algorithm& algorithm, Collective collective, std::int32_t slices,
                        std::size_t bytes) const {
    const auto size = static_cast<std::int32_t>(hosts_.size());
    const auto simulate = [&](std::int32_t ranks) {
        const Schedule schedule =
            build_schedule(algorithm, make_spec(algorithm, collective, ranks, 0, slices));
        return estimate(schedule, bytes, model_, thin_out(hosts_, ranks));
    };
    if (size <= kSimulated) return simulate(size);
    const Estimate half = simulate(kSimulated / 2);
    const Estimate full = simulate(kSimulated);
    const double doublings = std::log2(static_cast<double>(size) / kSimulated);
    const double growth = algorithm.growth == Growth::kLogarithmic
                              ? doublings
                              : 2.0 * (static_cast<double>(size) / kSimulated -
                                       1.0);  // a step of kSimulated / 2 is 1
    const auto extend = [growth](double at_half, double at_full) {
        return std::max(0.0, at_full + growth * (at_full - at_half));
    };
    return {.seconds = std::max(full.seconds, extend(half.seconds, full.seconds)),
            .messages = static_cast<std::size_t>(
                extend(static_cast<double>(half.messages), static_cast<double>(full.messages))),
            .sent_bytes = static_cast<std::size_t>(extend(static_cast<double>(half.sent_bytes),
                                                          static_cast<double>(full.sent_bytes)))};
}

Tuner::Row Tuner::evaluate(Collective collective, std::size_t bytes) const {
    Row row;
    for (const Algorithm* algorithm : algorithms_for(collective)) {
        std::vector<Candidate> forms;
        for (const std::int32_t slices : slice_counts(bytes)) {
            const auto chunks = [&](std::int32_t count) {
                return algorithm->chunks(collective, 2, count);
            };
            if (slices > 1 && chunks(slices) == chunks(1)) break;  // this one cannot be sliced
            forms.push_back({algorithm, slices, predict(*algorithm, collective, slices, bytes)});
        }
        row.push_back(*std::min_element(forms.begin(), forms.end(),
                                        [](const Candidate& a, const Candidate& b) {
                                            return a.estimate.seconds < b.estimate.seconds;
                                        }));
    }
    std::stable_sort(row.begin(), row.end(), [](const Candidate& a, const Candidate& b) {
        return a.estimate.seconds < b.estimate.seconds;
    });
    return row;
}

const Tuner::Row& Tuner::row(Collective collective, std::size_t bytes) const {
    const int width = static_cast<int>(std::bit_width(bytes));
    const std::lock_guard guard(lock_);
    const auto [entry, is_new] = rows_.try_emplace({collective, width});
    if (is_new) entry->second = evaluate(collective, middle_of_row(bytes));
    return entry->second;
}

const Candidate& Tuner::pick(const Row& row, Collective collective) const {
    const auto wanted = overrides_.find(collective);
    if (wanted == overrides_.end()) return row.front();
    return *std::find_if(row.begin(), row.end(), [&](const Candidate& each) {
        return each.algorithm->name == wanted->second;
    });
}

Tuner::Choice Tuner::choose(Collective collective, std::size_t bytes) const {
    const Candidate& chosen = pick(row(collective, bytes), collective);
    return {std::string(chosen.algorithm->name), chosen.slices};
}

bool Tuner::by_switch(std::size_t bytes, std::size_t element) const {
    if (innet_asked_) return true;
    if (!model_.innet || overrides_.contains(Collective::kAllReduce)) return false;
    return estimate(*model_.innet, middle_of_row(bytes) / element).seconds <
           row(Collective::kAllReduce, bytes).front().estimate.seconds;
}

Explanation Tuner::explain(Collective collective, std::size_t bytes, bool switch_on) const {
    Row candidates = row(collective, bytes);
    Candidate chosen = pick(candidates, collective);
    const bool innet = switch_on && model_.innet && collective == Collective::kAllReduce;
    const std::size_t elements = middle_of_row(bytes) / 4;
    if (innet) {
        const Candidate summed{&kInnet, 1, estimate(*model_.innet, elements)};
        const auto later =
            std::ranges::upper_bound(candidates, summed.estimate.seconds, {},
                                     [](const Candidate& each) { return each.estimate.seconds; });
        candidates.insert(later, summed);
        if (by_switch(bytes, 4)) chosen = summed;
    }
    Explanation result{.collective = collective,
                       .size = static_cast<std::int32_t>(hosts_.size()),
                       .bytes = bytes,
                       .candidates = std::move(candidates),
                       .chosen = std::string(chosen.algorithm->name),
                       .slices = chosen.slices,
                       .reason = {}};
    const bool asked =
        overrides_.contains(collective) || (innet_asked_ && chosen.algorithm == &kInnet);
    result.reason = why(result, chosen, asked);
    if (innet) {
        result.reason += (chosen.algorithm == &kInnet ? "; bound by " : "; innet is bound by ") +
                         what_bounds(*model_.innet, elements);
    }
    return result;
}

std::string to_json(const Explanation& explanation) {
    // Names and sentences are made here and hold neither quotes nor backslashes.
    const auto quoted = [](std::string_view text) { return "\"" + std::string(text) + "\""; };
    std::string json = "{\"collective\": " + quoted(collective_name(explanation.collective)) +
                       ", \"size\": " + std::to_string(explanation.size) +
                       ", \"bytes\": " + std::to_string(explanation.bytes) +
                       ", \"chosen\": " + quoted(explanation.chosen) +
                       ", \"slices\": " + std::to_string(explanation.slices) +
                       ", \"reason\": " + quoted(explanation.reason) + ", \"candidates\": [";
    for (const Candidate& each : explanation.candidates) {
        if (json.back() != '[') json += ", ";
        json += "{\"algorithm\": " + quoted(each.algorithm->name) +
                ", \"slices\": " + std::to_string(each.slices) +
                ", \"microseconds\": " + format("%.2f", each.estimate.seconds * 1e6) +
                ", \"messages\": " + std::to_string(each.estimate.messages) +
                ", \"sent_bytes\": " + std::to_string(each.estimate.sent_bytes) +
                ", \"reference\": " + quoted(each.algorithm->reference) + "}";
    }
    return json + "]}";
}

}  // namespace weft::collectives
