// What the hosts have to say to each other: messages, and which must wait for which.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <vector>

#include "fabric/topology.h"

namespace weft::simulator {

// The workload cannot be run: the text names the message and what is wrong with it.
class WorkloadError : public std::invalid_argument {
  public:
    using std::invalid_argument::invalid_argument;
};

struct Message {
    fabric::HostId source = 0;
    fabric::HostId destination = 0;  // the source itself: a computation, which only takes `delay`
    std::uint64_t size = 0;          // bytes
    fabric::Time start = 0;          // not before
    fabric::Time delay = 0;          // between the last dependency's end and the start
    std::uint8_t priority = 0;       // as in transport::SendRequest
};

struct Workload {
    std::vector<Message> messages;
    // dependencies[dependency_begin[m] .. dependency_begin[m + 1]) must end before message m
    // starts. A host learns of the end of a message that it receives when the last byte is there,
    // of one that it sent when that is acknowledged; any other host learns of it when the receiver
    // does. Empty: no dependencies at all.
    std::vector<std::uint32_t> dependency_begin;
    std::vector<std::uint32_t> dependencies;

    // Throws WorkloadError for a host or message that does not exist, a negative time, or
    // dependencies that go round in a circle.
    void check(std::uint32_t hosts) const;
};

// Turns the dependencies round: successors[begin[m] .. begin[m + 1]) wait for message m.
struct Successors {
    std::vector<std::uint32_t> begin;
    std::vector<std::uint32_t> messages;
    explicit Successors(const Workload& workload);
};

// The messages in an order in which each comes after all that it waits for (Kahn's algorithm).
// Those on a circle, or behind one, are missing. Only for workloads with dependencies.
std::vector<std::uint32_t> in_order(const Workload& workload, const Successors& successors);

}  // namespace weft::simulator
