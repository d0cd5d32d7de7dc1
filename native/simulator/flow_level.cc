#include "simulator/flow_level.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <queue>
#include <string>
#include <tuple>
#include <utility>

#include "fabric/random.h"
#include "fabric/routing.h"

namespace weft::simulator {
namespace {

using fabric::HostId;
using fabric::NodeId;
using fabric::PortId;
using fabric::Time;

// Messages that would end within this part of their duration end together: that bounds the number
// of steps by the logarithm of the spread of durations instead of by the number of messages.
constexpr double kTogether = 5e-3;

// The part of a flow that crosses a port.
struct Share {
    PortId port;
    double part;
};

struct Flow {
    std::uint32_t message;
    double remaining;  // bytes on the wire
    double started;    // picoseconds
    double rate = 0;   // bytes per picosecond
    Time latency;      // of its first packet beyond the serialisation at the source
    std::vector<Share> shares;
};

class FlowRun {
  public:
    FlowRun(const fabric::Topology& topology, const Workload& workload, const FlowOptions& options)
        : topology_(topology),
          workload_(workload),
          options_(options),
          routing_(topology),
          successors_(workload) {
        const std::size_t count = workload.messages.size();
        results_.messages.resize(count);
        results_.port_bytes.resize(2 * topology.links.size(), 0);
        waits_.resize(count, 0);
        capacity_.reserve(2 * topology.links.size());
        for (const fabric::Link& link : topology.links)
            capacity_.insert(capacity_.end(), 2, link.rate / 8e12);
        carried_.resize(capacity_.size(), 0);
        users_.resize(capacity_.size());
    }

    FlowResults run() {
        for (std::uint32_t m = 0; m < waits_.size(); ++m) {
            if (!workload_.dependency_begin.empty())
                waits_[m] = workload_.dependency_begin[m + 1] - workload_.dependency_begin[m];
            if (waits_[m] == 0) begin(m);
        }
        while (!events_.empty() || !flows_.empty()) {
            if (flows_.empty()) now_ = static_cast<double>(events_.top().at);
            happen();
            if (flows_.empty()) continue;
            share_out();
            if (!advance()) break;
        }
        for (PortId port = 0; port < carried_.size(); ++port) {
            results_.port_bytes[port] = static_cast<std::uint64_t>(std::llround(carried_[port]));
        }
        return std::move(results_);
    }

  private:
    enum class Kind : std::uint8_t { kStart, kReceived, kAcknowledged };
    struct Event {
        Time at;
        std::uint32_t message;
        Kind kind;
        bool operator>(const Event& other) const {
            return std::tie(at, message, kind) > std::tie(other.at, other.message, other.kind);
        }
    };

    Time time() const { return static_cast<Time>(std::llrint(now_)); }

    void begin(std::uint32_t m) {
        const Message& message = workload_.messages[m];
        events_.push({std::max(message.start, time() + message.delay), m, Kind::kStart});
    }

    // Everything that is due.
    void happen() {
        while (!events_.empty() && static_cast<double>(events_.top().at) <= now_ + 0.5) {
            const Event event = events_.top();
            events_.pop();
            const Message& message = workload_.messages[event.message];
            MessageTimes& times = results_.messages[event.message];
            const bool is_local = message.source == message.destination;
            if (event.kind == Kind::kStart) {
                times.started = event.at;
                if (is_local) {
                    times.received = times.acknowledged = event.at;
                    release(event.message, false);
                } else {
                    add_flow(event.message);
                }
            } else if (event.kind == Kind::kReceived) {
                times.received = event.at;
                release(event.message, false);
            } else {
                times.acknowledged = event.at;
                release(event.message, true);
            }
        }
    }

    void release(std::uint32_t m, bool at_sender) {
        const Message& message = workload_.messages[m];
        const bool is_local = message.source == message.destination;
        for (std::uint32_t s = successors_.begin[m]; s < successors_.begin[m + 1]; ++s) {
            const std::uint32_t next = successors_.messages[s];
            const bool hears_from_sender =
                !is_local && workload_.messages[next].source == message.source;
            if (hears_from_sender == at_sender && --waits_[next] == 0) begin(next);
        }
    }

    void add_flow(std::uint32_t m) {
        const Message& message = workload_.messages[m];
        const std::uint64_t packet =
            std::min<std::uint64_t>(message.size, options_.framing.chunk_size) +
            options_.framing.overhead;
        const Time latency =
            packet_latency(topology_, routing_, message.source, message.destination, packet);
        if (latency == fabric::kNever) return;
        Flow flow{.message = m,
                  .remaining = static_cast<double>(options_.framing.wire_bytes(message.size)),
                  .started = now_,
                  .latency = 0,
                  .shares = shares_of(message)};
        double slowest = std::numeric_limits<double>::max();
        for (const Share& share : flow.shares)
            slowest = std::min(slowest, capacity_[share.port] / share.part);
        flow.latency =
            std::max<Time>(0, latency - static_cast<Time>(static_cast<double>(packet) / slowest));
        flows_.push_back(std::move(flow));
    }

    std::vector<Share> shares_of(const Message& message) const {
        std::map<PortId, double> parts;
        if (options_.spray) {
            spread(message, parts);
        } else {
            for (std::uint32_t path = 0; path < options_.paths; ++path) walk(message, path, parts);
        }
        std::vector<Share> shares;
        for (const auto& [port, part] : parts) shares.push_back({port, part});
        return shares;
    }

    NodeId end_of(PortId port) const {
        const fabric::Link& link = topology_.links[port / 2];
        return port % 2 == 0 ? link.b : link.a;
    }

    // One path of the message, as the packets' hash would choose it.
    void walk(const Message& message, std::uint32_t path, std::map<PortId, double>& parts) const {
        const std::uint64_t flow = fabric::mix(
            options_.seed ^ (std::uint64_t{message.source} << 32 | message.destination));
        const std::uint64_t entropy = fabric::mix(flow + 0x9E3779B97F4A7C15U * path) >> 32;
        for (NodeId node = message.source; node != message.destination;) {
            const auto ways = routing_.ways(node, message.destination);
            const std::uint64_t seed = fabric::mix(options_.seed * 0x9E3779B97F4A7C15U + node);
            const auto hash = static_cast<std::uint32_t>(fabric::mix(seed ^ entropy));
            const PortId port = ways[fabric::reduce(hash, static_cast<std::uint32_t>(ways.size()))];
            parts[port] += 1.0 / options_.paths;
            node = end_of(port);
        }
    }

    // Equal parts over all ways at every node, nearest nodes first.
    void spread(const Message& message, std::map<PortId, double>& parts) const {
        std::map<NodeId, double> level{{message.source, 1.0}};
        while (!level.empty()) {
            std::map<NodeId, double> next;
            for (const auto& [node, part] : level) {
                if (node == message.destination) continue;
                const auto ways = routing_.ways(node, message.destination);
                for (const PortId port : ways) {
                    const double each = part / static_cast<double>(ways.size());
                    parts[port] += each;
                    next[end_of(port)] += each;
                }
            }
            level = std::move(next);
        }
    }

    // Progressive filling: all rates rise together; a full port freezes those that use it.
    void share_out() {
        ++results_.steps;
        std::vector<double> left = capacity_;
        std::vector<double> demand(capacity_.size(), 0);  // of those still rising, per unit of rate
        for (auto& users : users_) users.clear();
        for (std::uint32_t f = 0; f < flows_.size(); ++f) {
            flows_[f].rate = -1;
            for (const Share& share : flows_[f].shares) {
                demand[share.port] += share.part;
                users_[share.port].push_back(f);
            }
        }
        using Entry = std::pair<double, PortId>;  // rate at which the port is full
        std::priority_queue<Entry, std::vector<Entry>, std::greater<>> full;
        for (PortId port = 0; port < left.size(); ++port) {
            if (demand[port] > 0) full.emplace(left[port] / demand[port], port);
        }
        while (!full.empty()) {
            const auto [rate, port] = full.top();
            full.pop();
            if (demand[port] < 1e-12) continue;
            const double level = left[port] / demand[port];
            if (level >
                rate * (1 + 1e-12)) {  // others froze meanwhile: it fills later than thought
                full.emplace(level, port);
                continue;
            }
            for (const std::uint32_t f : users_[port]) {
                Flow& flow = flows_[f];
                if (flow.rate >= 0) continue;
                flow.rate = level;
                for (const Share& share : flow.shares) {
                    left[share.port] = std::max(0.0, left[share.port] - level * share.part);
                    demand[share.port] -= share.part;
                }
            }
            demand[port] = 0;
        }
    }

    // To the next start or end. False when nothing can move any more.
    bool advance() {
        double step = std::numeric_limits<double>::max();
        for (const Flow& flow : flows_) {
            if (flow.rate > 0) step = std::min(step, flow.remaining / flow.rate);
        }
        bool ends = true;
        if (!events_.empty() && static_cast<double>(events_.top().at) - now_ < step) {
            step = std::max(0.0, static_cast<double>(events_.top().at) - now_);
            ends = false;
        }
        if (step == std::numeric_limits<double>::max()) return false;
        now_ += step;
        for (Flow& flow : flows_) {
            const double moved = std::min(flow.remaining, flow.rate * step);
            for (const Share& share : flow.shares) carried_[share.port] += moved * share.part;
            flow.remaining -= moved;
        }
        if (ends) end_flows();
        return true;
    }

    void end_flows() {
        const auto is_done = [&](const Flow& flow) {
            const double since = now_ - flow.started;
            return flow.remaining <= flow.rate * since * kTogether + 1e-6;
        };
        for (Flow& flow : flows_) {
            if (!is_done(flow)) continue;
            for (const Share& share : flow.shares)
                carried_[share.port] += flow.remaining * share.part;
            const Message& message = workload_.messages[flow.message];
            const Time received = time() + flow.latency;
            const Time back = packet_latency(topology_, routing_, message.destination,
                                             message.source, options_.framing.overhead);
            events_.push({received, flow.message, Kind::kReceived});
            events_.push({received + back, flow.message, Kind::kAcknowledged});
        }
        std::erase_if(flows_, is_done);
    }

    const fabric::Topology& topology_;
    const Workload& workload_;
    const FlowOptions& options_;
    fabric::Routing routing_;
    Successors successors_;
    std::vector<std::uint32_t> waits_;
    std::vector<Flow> flows_;
    std::vector<double> capacity_;                   // [port] bytes per picosecond
    std::vector<double> carried_;                    // [port] bytes
    std::vector<std::vector<std::uint32_t>> users_;  // [port] flows
    std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
    double now_ = 0;
    FlowResults results_;
};

}  // namespace

FlowResults flow_level(const fabric::Topology& topology, const Workload& workload,
                       const FlowOptions& options) {
    topology.check();
    workload.check(topology.hosts);
    if (options.paths < 1 || options.paths > 4096) {
        throw OptionError("flow level: paths must lie in 1 .. 4096, not " +
                          std::to_string(options.paths));
    }
    if (options.framing.chunk_size == 0)
        throw OptionError("flow level: chunk_size must be positive");
    const auto start = std::chrono::steady_clock::now();
    FlowResults results = FlowRun(topology, workload, options).run();
    results.wall_seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return results;
}

}  // namespace weft::simulator
