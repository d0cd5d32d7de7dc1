// One run: a topology, a workload and a transport configuration in, times and counters out.
//
// Both ends of every connection are transport::Connection itself. One connection joins a pair of
// hosts and carries their messages in both directions. Hosts have no cost of their own: they answer
// at the instant of an arrival, and their interface asks for the next packet when it is idle.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "fabric/fabric.h"
#include "fabric/p4_program.h"
#include "planner/plan.h"
#include "simulator/workload.h"
#include "transport/config.h"
#include "transport/stats.h"
#include "transport/trace.h"

namespace weft::simulator {

// An option of the simulator is out of range.
class OptionError : public std::invalid_argument {
  public:
    using std::invalid_argument::invalid_argument;
};

// What path p of a connection is to the fabric.
enum class Pinning : std::uint8_t {
    kNone,         // one more five-tuple, which goes wherever the switches hash it
    kSourceRoute,  // path number p (fabric/paths.h), by its digits in the packet
    kHash,         // the same, by a five-tuple that the switches' known hash sends that way
};

// A switch that runs a P4 program, which lives elsewhere and must outlive the run.
struct P4Switch {
    fabric::NodeId node = 0;
    wf_switch* program = nullptr;
    fabric::P4Program::Run run = nullptr;
    fabric::P4Program::Outputs outputs = nullptr;
};

struct SimulationOptions {
    fabric::FabricOptions fabric;
    transport::Config transport;  // peer_id is set per host
    std::vector<fabric::Cue> cues;
    std::vector<P4Switch> programs;
    std::uint32_t overhead = 66;  // bytes around a transport packet on the wire: Ethernet with
                                  // preamble and gap 38, IPv4 20, UDP 8
    bool warm = true;  // connections exist when the run begins; else they shake hands in it
    // Bytes that a host's interface queues before it drops, as Linux's does: the transport's
    // packets leave it at once and wait there. 0: they wait in the transport until the interface is
    // idle.
    std::uint32_t host_queue = 0;
    // Without pinning, path p bears the five-tuple that Weft's sockets would give it (docs/udp.md,
    // `port` and `paths`) between hosts with the lab's addresses. 0: a random one.
    std::uint16_t port = 0;
    bool control_first = true;  // packets without payload travel in the fabric's class 0
    Pinning pinning = Pinning::kNone;
    std::optional<planner::Strategy> plan;      // of all messages (planned.h); needs pinned paths
    std::uint64_t plan_minimum = 1;             // bytes, of a piece
    fabric::Time limit = 10 * fabric::kSecond;  // virtual time at which the run gives up
    fabric::Time sample_interval = 0;           // of port samples; 0: none
    std::uint32_t traced_connections = 0;       // so many, in order of their first message
};

inline constexpr fabric::Time kNotYet = -1;

struct MessageTimes {
    fabric::Time started = kNotYet;
    fabric::Time received = kNotYet;      // last byte at the destination
    fabric::Time acknowledged = kNotYet;  // and known to be there at the source
};

// Sums over all connections, both ends.
struct TransportTotals {
    std::uint64_t connections = 0;
    std::uint64_t bytes_received = 0;  // payload, first arrivals
    std::uint64_t chunks_sent = 0;
    std::uint64_t retransmitted = 0;
    std::uint64_t fast_retransmits = 0;
    std::uint64_t timeouts = 0;
    std::uint64_t trims = 0;
    std::uint64_t tail_probes = 0;
    std::uint64_t spurious = 0;
    std::uint64_t acks_sent = 0;
    std::uint64_t marks = 0;
    std::uint64_t probes_sent = 0;
    std::array<std::uint64_t, static_cast<std::size_t>(transport::Drop::kCount)> drops{};
};

struct ConnectionFailure {
    fabric::HostId host = 0;
    fabric::HostId peer = 0;
    fabric::Time at = 0;
    std::string reason;
};

struct TracedEvent {
    fabric::Time at = 0;
    fabric::HostId host = 0;
    fabric::HostId peer = 0;
    transport::TraceEvent event;
};

// All ports at one instant.
struct PortSamples {
    std::vector<fabric::Time> times;
    std::vector<std::uint32_t> backlog;  // [time * ports + port] bytes waiting
    std::vector<std::uint64_t> bytes;    // [time * ports + port] sent so far
};

struct Results {
    std::vector<MessageTimes> messages;
    std::vector<fabric::PortStats> ports;
    std::array<std::uint64_t, 4> dropped{};  // packets, by fabric::DropReason
    TransportTotals transport;
    std::vector<ConnectionFailure> failures;
    std::vector<TracedEvent> trace;
    PortSamples samples;
    fabric::Time end = 0;          // virtual time of the last message's acknowledgement
    std::uint64_t unfinished = 0;  // messages that did not get through
    std::uint64_t events = 0;
    std::uint64_t packets = 0;       // that left an interface
    std::uint64_t peak_packets = 0;  // under way at once
    double wall_seconds = 0;
};

// Called now and then with the number of finished messages; false ends the run early.
using Progress = std::function<bool(std::uint64_t finished, fabric::Time now)>;

// Throws TopologyError, WorkloadError, OptionError or transport::ConfigError, all before the run
// begins.
Results simulate(const fabric::Topology& topology, const Workload& workload,
                 const SimulationOptions& options, const Progress& progress = {});

}  // namespace weft::simulator
