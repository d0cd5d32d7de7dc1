#include "simulator/workload.h"

#include <string>

#include "transport/types.h"

namespace weft::simulator {

Successors::Successors(const Workload& workload) : begin(workload.messages.size() + 1, 0) {
    for (const std::uint32_t before : workload.dependencies) ++begin[before + 1];
    for (std::size_t m = 0; m + 1 < begin.size(); ++m) begin[m + 1] += begin[m];
    messages.resize(workload.dependencies.size());
    std::vector<std::uint32_t> at(begin.begin(), begin.end() - 1);
    for (std::uint32_t m = 0; m + 1 < workload.dependency_begin.size(); ++m) {
        for (std::uint32_t d = workload.dependency_begin[m]; d < workload.dependency_begin[m + 1];
             ++d) {
            messages[at[workload.dependencies[d]]++] = m;
        }
    }
}

std::vector<std::uint32_t> in_order(const Workload& workload, const Successors& successors) {
    const std::size_t count = workload.messages.size();
    std::vector<std::uint32_t> waits(count);
    std::vector<std::uint32_t> ordered;
    for (std::uint32_t m = 0; m < count; ++m) {
        waits[m] = workload.dependency_begin[m + 1] - workload.dependency_begin[m];
        if (waits[m] == 0) ordered.push_back(m);
    }
    for (std::size_t i = 0; i < ordered.size(); ++i) {
        const std::uint32_t m = ordered[i];
        for (std::uint32_t s = successors.begin[m]; s < successors.begin[m + 1]; ++s) {
            if (--waits[successors.messages[s]] == 0) ordered.push_back(successors.messages[s]);
        }
    }
    return ordered;
}

namespace {

void check_message(const Message& message, std::size_t index, std::uint32_t hosts) {
    const std::string name = "workload: message " + std::to_string(index);
    for (const fabric::HostId host : {message.source, message.destination}) {
        if (host >= hosts) {
            throw WorkloadError(name + " names host " + std::to_string(host) +
                                ", but there are only " + std::to_string(hosts));
        }
    }
    if (message.size > wire::kMaxMessageSize)
        throw WorkloadError(name + " is larger than 2^40 bytes");
    if (message.start < 0 || message.delay < 0)
        throw WorkloadError(name + " has a negative start or delay");
    if (message.priority > wire::kMaxPriority)
        throw WorkloadError(name + " has a priority above 15");
}

// Whatever cannot be put in order is on a circle or behind one.
void check_order(const Workload& workload) {
    std::vector<bool> placed(workload.messages.size(), false);
    for (const std::uint32_t m : in_order(workload, Successors(workload))) placed[m] = true;
    for (std::size_t m = 0; m < placed.size(); ++m) {
        if (!placed[m])
            throw WorkloadError("workload: message " + std::to_string(m) +
                                " waits for itself, round a circle");
    }
}

}  // namespace

void Workload::check(std::uint32_t hosts) const {
    if (messages.empty()) throw WorkloadError("workload: it has no messages");
    if (messages.size() >= 1U << 29) throw WorkloadError("workload: more than 2^29 messages");
    for (std::size_t m = 0; m < messages.size(); ++m) check_message(messages[m], m, hosts);
    if (dependency_begin.empty()) return;
    const bool shape = dependency_begin.size() == messages.size() + 1 &&
                       dependency_begin.front() == 0 &&
                       dependency_begin.back() == dependencies.size();
    if (!shape)
        throw WorkloadError(
            "workload: dependency_begin must hold one entry per message and the end");
    for (std::size_t m = 0; m < messages.size(); ++m) {
        if (dependency_begin[m] > dependency_begin[m + 1])
            throw WorkloadError("workload: dependency_begin must not fall");
    }
    for (const std::uint32_t before : dependencies) {
        if (before >= messages.size()) {
            throw WorkloadError("workload: there is no message " + std::to_string(before) +
                                " to wait for");
        }
    }
    check_order(*this);
}

}  // namespace weft::simulator
