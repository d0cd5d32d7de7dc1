#include "fabric/fabric.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include "fabric/ecmp.h"

namespace weft::fabric {

const char* to_string(DropReason reason) {
    switch (reason) {
        case DropReason::kQueueFull:
            return "queue_full";
        case DropReason::kLinkLoss:
            return "link_loss";
        case DropReason::kLinkDown:
            return "link_down";
        case DropReason::kNoRoute:
            return "no_route";
    }
    return "unknown";
}

Fabric::Fabric(Topology topology, const FabricOptions& options, Edge& edge)
    : topology_((topology.check(), std::move(topology))),
      options_(options),
      edge_(&edge),
      routing_(topology_),
      ports_(2 * topology_.links.size()),
      impairments_(1),
      host_paused_(topology_.hosts, false),
      random_(mix(options.seed ^ 0x5EED'FAB1U)) {
    for (NodeId node = 0; node < topology_.nodes(); ++node) {
        node_seeds_.push_back(ecmp_seed(options.seed, node));
    }
    for (PortId id = 0; id < ports_.size(); ++id) {
        const Link& link = topology_.links[id / 2];
        Port& port = ports_[id];
        port.to = id % 2 == 0 ? link.b : link.a;
        port.delay = link.delay;
        port.time_per_byte = 8e12 / link.rate;
        for (Fifo& queue : port.queues) queue = {PacketPool::kNil, PacketPool::kNil};
        if (link.loss > 0 || link.corruption > 0 || link.duplication > 0 || link.jitter > 0) {
            Impairment& wire = impairment(id);
            wire.loss = link.loss;
            wire.corruption = link.corruption;
            wire.duplication = link.duplication;
            wire.jitter = link.jitter;
        }
    }
    if (options.queue.pfc_xoff > 0) ingress_.resize(ports_.size());
    if (options.queue.shared_buffer > 0) shared_used_.resize(topology_.nodes(), 0);
}

void Fabric::inject(HostId host, const Packet& packet) {
    const PacketIndex index = packets_.add(packet);
    packets_[index].ingress = 0;
    forward(host, index);
}

void Fabric::run_until(Time limit) {
    stopped_ = false;
    Event event;
    while (!stopped_ && events_.pop(limit, event)) {
        prefetch();
        now_ = std::max(now_, event.time);
        ++event_count_;
        const std::uint32_t index = event.payload & kIndexMask;
        switch (event.payload & ~kIndexMask) {
            case kArrivalTag:
                arrive(index);
                break;
            case kServiceTag:
                service(index);
                break;
            case kWakeTag:
                edge_->wake(index, now_);
                break;
            default:
                control(index);
                break;
        }
    }
    if (!stopped_ && limit != kNever) now_ = std::max(now_, limit);
}

// At scale nearly every hop is a cache miss; this lets them overlap. Six events ahead it asks for
// the packet or port itself, three ahead for what that leads to, one ahead for what that leads to.
void Fabric::prefetch() const {
    constexpr std::uint32_t kUnknown = EventQueue::kUnknown;
    if (const std::uint32_t far = events_.peek(6); far != kUnknown) {
        const std::uint32_t index = far & kIndexMask;
        if ((far & ~kIndexMask) == kArrivalTag) {
            packets_.prefetch(index);
        } else if ((far & ~kIndexMask) == kServiceTag) {
            __builtin_prefetch(&ports_[index]);
        }
    }
    if (const std::uint32_t middle = events_.peek(3); middle != kUnknown) {
        const std::uint32_t index = middle & kIndexMask;
        if ((middle & ~kIndexMask) == kArrivalTag) {
            __builtin_prefetch(&ports_[packets_[index].port]);
            routing_.prefetch(packets_[index].destination);
        } else if ((middle & ~kIndexMask) == kServiceTag && ports_[index].waiting != 0) {
            const Port& port = ports_[index];
            packets_.prefetch(port.queues[std::countr_zero(port.waiting)].head);
        }
    }
    if (const std::uint32_t near = events_.peek(1);
        near != kUnknown && (near & ~kIndexMask) == kArrivalTag) {
        const Packet& packet = packets_[near & kIndexMask];
        const NodeId node = ports_[packet.port].to;
        if (node >= topology_.hosts) {
            routing_.prefetch(node, packet.destination);
        } else {
            edge_->expect(packet);
        }
    }
}

void Fabric::arrive(PacketIndex index) {
    Packet& packet = packets_[index];
    Port& wire = ports_[packet.port];
    if (packet.wire_epoch != wire.wire_epoch) {
        ++wire.lost;
        drop(index, DropReason::kLinkDown);
        return;
    }
    const NodeId node = wire.to;
    if (node >= topology_.hosts) {
        packet.ingress = packet.port;
        if (!programs_.empty() && programs_[node] != nullptr) {
            process(node, index);
        } else {
            forward(node, index);
        }
    } else if (host_paused_[node]) {
        held_[node].push_back(index);
    } else {
        const Packet arrived = packet;
        packets_.remove(index);
        edge_->deliver(node, arrived, now_);
    }
}

void Fabric::forward(NodeId node, PacketIndex index) {
    const PortId port = choose(node, packets_[index]);
    if (port == PacketPool::kNil) {
        drop(index, DropReason::kNoRoute);
    } else {
        enqueue(port, index);
    }
}

PortId Fabric::choose(NodeId node, Packet& packet) {
    const auto ways = routing_.ways(node, packet.destination);
    const auto count = static_cast<std::uint32_t>(ways.size());
    if (count <= 1) return count == 0 ? PacketPool::kNil : ways[0];
    if ((packet.flags & kSourceRouted) != 0) {
        const std::uint32_t digit = packet.entropy % count;
        packet.entropy /= count;
        return ways[digit];
    }
    if (options_.forwarding == Forwarding::kSpray) return ways[random_.below(count)];
    return ways[ecmp_choice(node_seeds_[node], packet.entropy, count)];
}

void Fabric::enqueue(PortId id, PacketIndex index) {
    Port& port = ports_[id];
    Packet& packet = packets_[index];
    if (port.down != 0) {
        ++port.lost;
        drop(index, DropReason::kLinkDown);
        return;
    }
    const bool paused = (port.paused >> packet.priority & 1) != 0;
    if (port.busy_until <= now_ && port.waiting == 0 && !paused) {
        transmit(id, index);
        return;
    }
    if (!admit(id, packet)) {
        ++port.drops;
        drop(index, DropReason::kQueueFull);
        return;
    }
    const std::uint8_t priority = packet.priority;
    packet.port = id;
    packet.next = PacketPool::kNil;
    Fifo& queue = port.queues[priority];
    if (queue.head == PacketPool::kNil) {
        queue.head = index;
    } else {
        packets_[queue.tail].next = index;
    }
    queue.tail = index;
    port.waiting |= static_cast<std::uint8_t>(1U << priority);
    port.backlog += packet.size;
    port.class_backlog[priority] += packet.size;
    port.peak_backlog = std::max(port.peak_backlog, port.backlog);
    account(id, packet, true);
    request_service(id);
}

// Whether the packet may wait at the port; marks or trims it as the queue's options say.
bool Fabric::admit(PortId id, Packet& packet) {
    Port& port = ports_[id];
    const QueueOptions& options = options_.queue;
    std::uint64_t capacity = options.capacity;
    if (from_host(id)) {
        return port.backlog + packet.size <= options_.host_queue_capacity;
    }
    if (options.shared_buffer > 0) {
        const std::uint64_t free = options.shared_buffer - shared_used_[from(id)];
        if (packet.size > free) return false;
        capacity = static_cast<std::uint64_t>(options.shared_alpha * static_cast<double>(free));
    }
    if (port.class_backlog[packet.priority] + packet.size <= capacity) {
        mark(port, packet);
        return true;
    }
    if (!options.trimming || (packet.flags & kTrimmable) == 0) return false;
    packet.size = std::min(packet.size, packet.trimmed_size);
    packet.flags = static_cast<std::uint8_t>((packet.flags & ~kTrimmable) | kTrimmed);
    packet.priority = 0;
    ++port.trims;
    return port.class_backlog[0] + packet.size <= options.header_capacity;
}

void Fabric::mark(Port& port, Packet& packet) {
    const QueueOptions& options = options_.queue;
    const std::uint32_t depth = port.class_backlog[packet.priority];
    if (options.ecn_max == 0 || depth < options.ecn_min || (packet.flags & kMarkable) == 0) return;
    if (depth < options.ecn_max) {
        const double slope = options.ecn_probability / (options.ecn_max - options.ecn_min);
        if (random_.uniform() >= slope * (depth - options.ecn_min)) return;
    }
    packet.flags |= kMarked;
    ++port.marks;
}

void Fabric::transmit(PortId id, PacketIndex index) {
    Port& port = ports_[id];
    Packet& packet = packets_[index];
    const auto duration = static_cast<Time>(std::llrint(port.time_per_byte * packet.size));
    port.busy_until = now_ + duration;
    port.bytes_sent += packet.size;
    ++port.packets_sent;
    packet.port = id;
    packet.wire_epoch = port.wire_epoch;
    Time arrival = port.busy_until + port.delay;
    if (port.waiting != 0 || from_host(id)) request_service(id);
    if (port.impairment != 0) [[unlikely]] {
        Impairment& wire = impairments_[port.impairment];
        if (wire.tapped) edge_->transmitted(id, packet, now_);
        if (wire.loss > 0 && wire.random.uniform() < wire.loss) {
            ++port.lost;
            drop(index, DropReason::kLinkLoss);
            return;
        }
        if (wire.corruption > 0 && wire.random.uniform() < wire.corruption)
            packet.flags |= kCorrupted;
        if (wire.jitter > 0)
            arrival += static_cast<Time>(wire.random.uniform() * static_cast<double>(wire.jitter));
        if (wire.duplication > 0 && wire.random.uniform() < wire.duplication) {
            Packet copy = packet;
            if (edge_->duplicate(copy)) events_.push(arrival, kArrivalTag | packets_.add(copy));
        }
    }
    events_.push(arrival, kArrivalTag | index);
}

void Fabric::request_service(PortId id) {
    Port& port = ports_[id];
    if (port.service_pending) return;
    port.service_pending = true;
    events_.push(std::max(port.busy_until, now_), kServiceTag | id);
}

void Fabric::service(PortId id) {
    Port& port = ports_[id];
    port.service_pending = false;
    if (port.busy_until > now_) {  // a packet slipped in between: come back when it is out
        request_service(id);
        return;
    }
    const unsigned ready = port.waiting & ~static_cast<unsigned>(port.paused);
    if (ready != 0) {
        const PacketIndex index = take(port, static_cast<std::uint8_t>(std::countr_zero(ready)));
        account(id, packets_[index], false);
        transmit(id, index);
    } else if (port.waiting == 0 && from_host(id) && port.paused == 0 && port.down == 0) {
        edge_->egress_ready(from(id), now_);
    }
}

PacketIndex Fabric::take(Port& port, std::uint8_t priority) {
    Fifo& queue = port.queues[priority];
    const PacketIndex index = queue.head;
    const Packet& packet = packets_[index];
    queue.head = packet.next;
    if (queue.head == PacketPool::kNil)
        port.waiting &= static_cast<std::uint8_t>(~(1U << priority));
    port.backlog -= packet.size;
    port.class_backlog[priority] -= packet.size;
    return index;
}

// Keeps the books of shared memory and of priority flow control when a packet enters or leaves a
// queue of a switch.
void Fabric::account(PortId id, const Packet& packet, bool enter) {
    if (!shared_used_.empty() && !from_host(id)) {
        std::uint64_t& used = shared_used_[from(id)];
        used = enter ? used + packet.size : used - packet.size;
    }
    if (ingress_.empty() || from_host(id)) return;
    Ingress& ingress = ingress_[packet.ingress];
    const std::uint8_t priority = packet.priority;
    std::uint32_t& bytes = ingress.bytes[priority];
    bytes = enter ? bytes + packet.size : bytes - packet.size;
    const bool told = (ingress.paused >> priority & 1) != 0;
    const QueueOptions& options = options_.queue;
    if (enter ? told || bytes <= options.pfc_xoff : !told || bytes >= options.pfc_xon) return;
    ingress.paused ^= static_cast<std::uint8_t>(1U << priority);
    Control message;
    message.kind = enter ? Control::kPause : Control::kResume;
    message.priority = priority;
    message.port = packet.ingress;
    schedule_control(now_ + ports_[packet.ingress].delay, message);
}

void Fabric::drop(PacketIndex index, DropReason reason) {
    const Packet packet = packets_[index];
    packets_.remove(index);
    edge_->dropped(packet, reason, now_);
}

PortStats Fabric::stats(PortId id) const {
    const Port& port = ports_[id];
    return {port.bytes_sent, port.packets_sent, port.marks,   port.trims,
            port.drops,      port.lost,         port.backlog, port.peak_backlog};
}

bool Fabric::host_ready(HostId host) const {
    bool all_down = true;
    for (const PortId id : routing_.ways(host, host)) {
        const Port& port = ports_[id];
        if (port.down != 0) continue;
        all_down = false;
        if (port.busy_until <= now_ && port.waiting == 0 && port.paused == 0) return true;
    }
    return all_down;
}

}  // namespace weft::fabric
