// Whose turn it is at a host's interface, and what its packets look like to the fabric.
#include <algorithm>
#include <utility>

#include "fabric/ecmp.h"
#include "fabric/paths.h"
#include "simulator/run.h"

namespace weft::simulator {

void Run::line_up(std::uint32_t at, Line line) {
    Endpoint& endpoint = endpoints_[at];
    if (endpoint.waiting[line]) return;
    endpoint.waiting[line] = true;
    endpoint.next[line] = kNoEndpoint;
    Queue& queue = hosts_[endpoint.host].lines[line];
    if (queue.head == kNoEndpoint) {
        queue.head = at;
    } else {
        endpoints_[queue.tail].next[line] = at;
    }
    queue.tail = at;
}

std::uint32_t Run::next_in_line(Host& host) {
    for (const Line line : {kUrgent, kNormal}) {
        Queue& queue = host.lines[line];
        if (queue.head == kNoEndpoint) continue;
        const std::uint32_t at = queue.head;
        queue.head = endpoints_[at].next[line];
        endpoints_[at].waiting[line] = false;
        return at;
    }
    return kNoEndpoint;
}

// Sends as long as the host's interface is free and somebody has something to send.
void Run::pump(fabric::HostId id) {
    const transport::Time now = transport_time(fabric_.now());
    Host& host = hosts_[id];
    while (options_.host_queue > 0 || fabric_.host_ready(id)) {
        const std::uint32_t at = next_in_line(host);
        if (at == kNoEndpoint) return;
        if (endpoints_[at].connection->poll_transmit(now, transmit_)) {
            send(at, transmit_);
            line_up(at, kNormal);
        } else {
            handle_events(at);  // to find a packet's attempts exhausted is to fail
            arm(at, fabric_.now());
        }
    }
}

// The pair of a caller's socket and a called one's that path p is (native/datapath/udp, Edge); the
// host of the lower number is taken for the caller.
std::uint32_t Run::socket_entropy(const Endpoint& from, transport::PathId path) const {
    constexpr std::uint32_t kFirstAddress = 0x0A00'0001;  // 10.0.0.1
    constexpr std::uint8_t kUdp = 17;
    std::uint32_t sockets = 1;
    while (sockets * sockets < options_.transport.paths) ++sockets;
    std::uint32_t ours = options_.port + path % sockets;
    std::uint32_t theirs = options_.port + (path / sockets + path) % sockets;
    if (from.host > from.peer) std::swap(ours, theirs);
    const std::uint64_t addresses =
        std::uint64_t{kFirstAddress + from.host} << 32 | (kFirstAddress + from.peer);
    return fabric::flow_entropy(addresses, ours << 16 | theirs, kUdp);
}

std::uint32_t Run::entropy_of(std::uint32_t at, transport::PathId path) {
    const Endpoint& from = endpoints_[at];
    const std::uint64_t start = from.flow_hash + 0x9E3779B97F4A7C15U * path;
    switch (options_.pinning) {
        case Pinning::kSourceRoute:
            return path;
        case Pinning::kHash: {
            const auto [entry, is_new] = entropies_.try_emplace(std::uint64_t{at} << 16 | path, 0);
            if (is_new) {
                entry->second =
                    fabric::entropy_for(fabric_.topology(), fabric_.routing(), options_.fabric.seed,
                                        from.host, from.peer, path, start);
            }
            return entry->second;
        }
        case Pinning::kNone:
            if (options_.port != 0) return socket_entropy(from, path);
            break;
    }
    return static_cast<std::uint32_t>(fabric::mix(start) >> 32);
}

void Run::send(std::uint32_t at, const transport::Transmit& transmit) {
    const Endpoint& from = endpoints_[at];
    const wire::Packet& header = transmit.packet;
    const bool has_payload = header.kind == wire::PacketKind::kData && header.data.length > 0;
    const std::size_t header_bytes = wire::encoded_size(header) + options_.overhead;
    fabric::Packet packet;
    packet.destination = from.peer;
    packet.size = static_cast<std::uint16_t>(header_bytes + (has_payload ? header.data.length : 0));
    packet.trimmed_size = static_cast<std::uint16_t>(header_bytes);
    packet.cargo = cargo_.add(header, from.other);
    packet.entropy = entropy_of(at, header.path);
    if (options_.pinning == Pinning::kSourceRoute) packet.flags = fabric::kSourceRouted;
    if (has_payload) packet.flags |= fabric::kMarkable | fabric::kTrimmable;
    // Urgent messages use the upper classes; class 0 is for control packets and trimmed headers.
    packet.priority = static_cast<std::uint8_t>(header.priority >= 8   ? 1
                                                : header.priority >= 1 ? 2
                                                                       : 3);
    if (!has_payload) packet.priority = options_.control_first ? 0 : 3;
    fabric_.inject(from.host, packet);
}

// Sees to it that the endpoint is woken when its connection wants it, but not before `earliest`.
void Run::arm(std::uint32_t at, fabric::Time earliest) {
    Endpoint& endpoint = endpoints_[at];
    const fabric::Time due = std::max(fabric_time(endpoint.connection->next_timeout()), earliest);
    if (due >= endpoint.wake_at) return;
    endpoint.wake_at = due;
    fabric_.wake(endpoint.wake_at, at);
}

}  // namespace weft::simulator
