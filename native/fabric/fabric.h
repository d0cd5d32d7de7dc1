// The network at work: packets hop from queue to queue until an edge takes them.
//
// Store and forward. A port that is idle sends at once, so that a hop costs one event; a port with
// waiting packets costs a second one, its next service. Nothing is decided before its time, hence
// priorities, pauses, rate changes and failures are exact to the packet.
//
// Invariants: every packet given to inject(), and every copy of Edge::duplicate(), ends in exactly
// one deliver() or dropped(); equal seed, topology and calls give an equal run; the fabric starts
// no thread and reads no clock.
#pragma once

#include <cstdint>
#include <vector>

#include "fabric/cue.h"
#include "fabric/event_queue.h"
#include "fabric/packet.h"
#include "fabric/program.h"
#include "fabric/queue.h"
#include "fabric/routing.h"
#include "fabric/topology.h"

namespace weft::fabric {

enum class Forwarding : std::uint8_t {
    kHash,   // ECMP: by `entropy` and a seed of each switch's own
    kSpray,  // every packet at random
};

enum class DropReason : std::uint8_t {
    kQueueFull,
    kLinkLoss,  // the wire lost it
    kLinkDown,
    kNoRoute,  // the switch sends it nowhere, by its routes or by its program
};
const char* to_string(DropReason reason);

struct FabricOptions {
    std::uint64_t seed = 1;
    Forwarding forwarding = Forwarding::kHash;
    QueueOptions queue;                           // of switches
    std::uint32_t host_queue_capacity = 1 << 30;  // of a host's interface, bytes
    Time reroute_after = kNever;  // from a failure or repair until all switches route around it
};

// Whoever stands at the hosts' ends of the links: a simulator, or the lab with its veth pairs.
// Called from within run_until(); may call inject(), wake() and stop().
class Edge {
  public:
    // The packet has arrived; the fabric forgets it.
    virtual void deliver(HostId host, const Packet& packet, Time now) = 0;
    // A packet will probably be delivered next: a chance to bring what it concerns into cache.
    virtual void expect(const Packet&) const {}
    // The packet is no more.
    virtual void dropped(const Packet& packet, DropReason reason, Time now) = 0;
    // An interface of the host has sent all it had, or has come back: time to inject more.
    virtual void egress_ready(HostId host, Time now) = 0;
    // A wake-up that was asked for.
    virtual void wake(std::uint32_t token, Time now) = 0;
    // The packet begins to cross a link whose port is tapped.
    virtual void transmitted(PortId, const Packet&, Time) {}
    // A link is about to deliver the packet twice: true if `packet` has become a second one, with
    // cargo of its own. Edges whose cargo cannot be copied leave it at one.
    virtual bool duplicate(Packet&) { return false; }

  protected:
    ~Edge() = default;
};

struct PortStats {
    std::uint64_t bytes = 0;
    std::uint64_t packets = 0;
    std::uint32_t marks = 0;
    std::uint32_t trims = 0;
    std::uint32_t drops = 0;         // by the queue
    std::uint32_t lost = 0;          // by the wire, or because the link was down
    std::uint32_t backlog = 0;       // bytes waiting now
    std::uint32_t peak_backlog = 0;  // bytes
};

class Fabric {
  public:
    // Throws TopologyError. `edge` must outlive the fabric.
    Fabric(Topology topology, const FabricOptions& options, Edge& edge);

    // Gives a packet to the interface of `host`, at now().
    void inject(HostId host, const Packet& packet);

    // Asks for Edge::wake(token) at `when` (at once if that is past). `token` below 2^30.
    void wake(Time when, std::uint32_t token) { events_.push(when, kWakeTag | token); }

    // Throws TopologyError if the cue's target does not exist or its value is out of range.
    void schedule(const Cue& cue);

    // From now on the program decides what becomes of packets at this switch. It must outlive the
    // fabric. Throws TopologyError if the node is no switch.
    void run_program(NodeId node, SwitchProgram& program);

    // Whether Edge::transmitted() hears of the packets that leave by a port.
    void tap(PortId port, bool on) { impairment(port).tapped = on; }

    // Runs all events up to and including `limit`, or until stop().
    void run_until(Time limit);
    void stop() { stopped_ = true; }

    Time now() const { return now_; }
    Time next_event() const { return events_.next_time(); }  // kNever: nothing will ever happen
    std::size_t pending_events() const { return events_.size(); }
    const Topology& topology() const { return topology_; }
    const Routing& routing() const { return routing_; }
    PortStats stats(PortId port) const;
    std::uint32_t ports() const { return static_cast<std::uint32_t>(ports_.size()); }
    // Whether a packet injected now would leave at once; also when all interfaces of the host are
    // down, since then it would be dropped at once.
    bool host_ready(HostId host) const;
    std::uint64_t events() const { return event_count_; }
    std::size_t packets_in_flight() const { return packets_.live(); }
    std::size_t peak_packets() const { return packets_.peak(); }

  private:
    static constexpr std::uint32_t kArrivalTag = 0U << 30;
    static constexpr std::uint32_t kServiceTag = 1U << 30;
    static constexpr std::uint32_t kWakeTag = 2U << 30;
    static constexpr std::uint32_t kControlTag = 3U << 30;  // index into controls_
    static constexpr std::uint32_t kIndexMask = (1U << 30) - 1;

    struct Fifo {
        PacketIndex head;
        PacketIndex tail;
    };

    struct alignas(128) Port {
        Time busy_until = 0;
        Time delay = 0;
        double time_per_byte = 0;
        std::uint64_t bytes_sent = 0;
        NodeId to = 0;
        std::uint32_t backlog = 0;
        std::uint16_t wire_epoch = 0;  // counts failures
        std::uint16_t impairment = 0;  // into impairments_; 0: a perfect wire
        std::uint8_t paused = 0;       // bit per class
        std::uint8_t waiting = 0;      // bit per class with packets
        std::uint8_t down = 0;         // reasons: bit 0 the link, bits 1 and 2 its ends
        bool service_pending = false;
        Fifo queues[kClasses];
        std::uint32_t class_backlog[kClasses] = {};
        std::uint32_t packets_sent = 0;
        std::uint32_t peak_backlog = 0;
        std::uint32_t marks = 0;
        std::uint32_t trims = 0;
        std::uint32_t drops = 0;
        std::uint32_t lost = 0;
    };
    static_assert(sizeof(Port) == 128);

    struct Impairment {
        double loss = 0;
        double corruption = 0;
        double duplication = 0;
        Time jitter = 0;
        bool tapped = false;
        Random random{0};
    };

    // What happens rarely: cues, and the messages of priority flow control.
    struct Control {
        enum Kind : std::uint8_t { kCue, kPause, kResume, kReroute } kind = kCue;
        std::uint8_t priority = 0;
        PortId port = 0;
        Cue cue;
    };

    // Bytes that came in by a port and still wait in its switch.
    struct Ingress {
        std::uint32_t bytes[kClasses] = {};
        std::uint8_t paused = 0;  // classes for which the neighbour was told to pause
    };

    bool from_host(PortId port) const { return ports_[port ^ 1].to < topology_.hosts; }
    NodeId from(PortId port) const { return ports_[port ^ 1].to; }

    void arrive(PacketIndex index);
    void forward(NodeId node, PacketIndex index);
    PortId choose(NodeId node, Packet& packet);
    void enqueue(PortId id, PacketIndex index);
    bool admit(PortId id, Packet& packet);
    void mark(Port& port, Packet& packet);
    void transmit(PortId id, PacketIndex index);
    void service(PortId id);
    void request_service(PortId id);
    PacketIndex take(Port& port, std::uint8_t priority);
    void account(PortId id, const Packet& packet, bool enter);
    void drop(PacketIndex index, DropReason reason);
    void prefetch() const;

    void process(NodeId node, PacketIndex index);  // fabric_program.cc

    // fabric_control.cc
    void control(std::uint32_t index);
    void schedule_control(Time when, const Control& control);
    void perform(const Cue& cue);
    void set_down(PortId port, std::uint8_t reason, bool down);
    void pause(PortId port, std::uint8_t classes, bool on);
    void reroute_later();
    Impairment& impairment(PortId port);

    Topology topology_;
    FabricOptions options_;
    Edge* edge_;
    Routing routing_;
    EventQueue events_;
    PacketPool packets_;
    std::vector<Port> ports_;
    std::vector<std::uint64_t> node_seeds_;
    std::vector<Impairment> impairments_;
    std::vector<Ingress> ingress_;            // [port], only with flow control
    std::vector<std::uint64_t> shared_used_;  // [node], only with shared buffers
    std::vector<bool> host_paused_;
    std::vector<std::vector<PacketIndex>>
        held_;  // [host] arrivals that wait for the host to resume
    std::vector<Control> controls_;
    std::vector<std::uint32_t> free_controls_;
    // Only with programs: per node its program (or none) and its ports; per port its number there.
    std::vector<SwitchProgram*> programs_;
    std::vector<std::vector<PortId>> node_ports_;
    std::vector<std::uint32_t> port_numbers_;
    std::vector<SwitchProgram::Departure> departures_;
    Random random_;
    Time now_ = 0;
    std::uint64_t event_count_ = 0;
    bool stopped_ = false;
};

}  // namespace weft::fabric
