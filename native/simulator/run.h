// The state of one run of the simulator; simulation.h is its public face.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "simulator/cargo.h"
#include "simulator/endpoint.h"
#include "simulator/frames.h"
#include "simulator/planned.h"
#include "simulator/simulation.h"
#include "transport/credit_pacer.h"

namespace weft::simulator {

class Run final : public fabric::Edge {
  public:
    Run(const fabric::Topology& topology, const Workload& workload,
        const SimulationOptions& options, const Progress& progress);
    Results execute();

    void deliver(fabric::HostId host, const fabric::Packet& packet, fabric::Time now) override;
    void expect(const fabric::Packet& packet) const override { cargo_.prefetch(packet.cargo); }
    void dropped(const fabric::Packet& packet, fabric::DropReason reason,
                 fabric::Time now) override;
    void egress_ready(fabric::HostId host, fabric::Time now) override;
    void wake(std::uint32_t token, fabric::Time now) override;

  private:
    // Tokens of wake-ups: endpoints and messages by number, and the sampler.
    static constexpr std::uint32_t kMessageToken = 1U << 29;
    static constexpr std::uint32_t kSampleToken = kMessageToken - 1;
    static constexpr std::uint32_t kTickToken = kMessageToken - 2;
    static constexpr fabric::Time kTick = 20 * fabric::kMicrosecond;
    static constexpr fabric::Time kBusyRetry = 5 * fabric::kMicrosecond;
    static constexpr std::uint32_t kNoEndpoint = 0xFFFFFFFF;

    // The endpoints of a host that may have something to send take turns packet by packet. Those
    // that owe an answer stand in a line of their own, which goes first: an interface does not let
    // acknowledgements wait behind other connections' data.
    enum Line : std::uint8_t { kUrgent = 0, kNormal = 1 };
    struct Queue {
        std::uint32_t head = kNoEndpoint;
        std::uint32_t tail = kNoEndpoint;
    };
    struct Host {
        Queue lines[2];
        double link_rate = 0;  // bytes of payload per second
        std::shared_ptr<transport::CreditPacer> credit_pacer;
    };

    // The transport counts nanoseconds, and connections may be older than the run.
    static constexpr transport::Time kEpoch = transport::kSecond;
    static transport::Time transport_time(fabric::Time now) {
        return kEpoch + now / fabric::kNanosecond;
    }
    static fabric::Time fabric_time(transport::Time time) {
        return time == transport::kNever ? fabric::kNever : (time - kEpoch) * fabric::kNanosecond;
    }

    void begin_message(std::uint32_t message);
    void start_message(std::uint32_t message);
    void send(std::uint32_t at, std::uint32_t message);
    void end_message(std::uint32_t message, bool at_sender);
    void count_down(std::uint32_t message);
    void lose(std::uint32_t message);
    std::uint32_t endpoint_for(fabric::HostId source, fabric::HostId destination);
    transport::Config host_config(fabric::HostId host) const;
    void connect(std::uint32_t client, std::uint32_t server);
    void deny_failed_paths(Endpoint& endpoint);
    void handle_events(std::uint32_t endpoint);
    void fail(std::uint32_t endpoint);
    void line_up(std::uint32_t endpoint, Line line);
    std::uint32_t next_in_line(Host& host);
    void pump(fabric::HostId host);
    void send(std::uint32_t endpoint, const transport::Transmit& transmit);
    std::uint32_t socket_entropy(const Endpoint& from, transport::PathId path) const;
    std::uint32_t entropy_of(std::uint32_t endpoint, transport::PathId path);
    void arm(std::uint32_t endpoint, fabric::Time earliest);
    void sample();
    void tick();
    Results collect();

    const Workload& workload_;
    const SimulationOptions& options_;
    const Progress& progress_;
    Successors successors_;
    fabric::Fabric fabric_;
    fabric::Random random_;
    std::vector<Host> hosts_;
    std::vector<Endpoint> endpoints_;
    std::unordered_map<std::uint64_t, std::uint32_t>
        pairs_;                         // (smaller host, larger host) -> the former's endpoint
    std::vector<std::uint32_t> waits_;  // [message] dependencies still to come
    PlannedMessages planned_;           // only with a plan
    std::vector<bool> failed_links_;    // [link] that are down from the start; only with a plan
    std::unordered_map<std::uint64_t, std::uint32_t>
        entropies_;  // (endpoint, path) -> five-tuple, only with Pinning::kHash
    CargoPool cargo_;
    SimulatedFrames frames_;
    std::vector<std::unique_ptr<fabric::P4Program>> programs_;
    wire::Packet packet_;           // the one that was just delivered
    transport::Transmit transmit_;  // the one that is just being sent
    std::vector<bool> lost_;        // [message] will never finish
    std::uint64_t settled_ = 0;     // messages finished or lost
    std::chrono::steady_clock::time_point reported_;
    Results results_;
    class Tracer;
    std::vector<std::unique_ptr<Tracer>> tracers_;

  public:
    ~Run();
    Run(const Run&) = delete;
    Run& operator=(const Run&) = delete;
};

}  // namespace weft::simulator
