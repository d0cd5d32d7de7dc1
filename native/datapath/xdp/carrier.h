// AF_XDP rings in front of the kernel's sockets. Every port is still a socket of the kernel's: it
// keeps the port ours, and whatever does not come or leave through a ring passes through it: the
// loopback, frames on queues without a ring, and the datagram now and then that makes the kernel
// find out, or confirm, a neighbour's address.
//
// A datagram leaves by a ring when the kernel's routing says that it leaves by one of our devices,
// to a next hop whose Ethernet address is known. What was found out holds for a second.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "datapath/udp/carrier.h"
#include "datapath/xdp/program.h"
#include "datapath/xdp/queue.h"
#include "datapath/xdp/route.h"
#include "datapath/xdp/xdp.h"

namespace weft::datapath::xdp {

class XdpCarrier final : public udp::Carrier {
  public:
    XdpCarrier(const XdpOptions& options, const std::vector<udp::Interface>& interfaces);

    std::string_view name() const noexcept override { return "xdp"; }
    std::uint64_t window_bytes() const noexcept override;

    std::span<std::uint8_t> header() noexcept override;
    void add(udp::Socket& socket, const Endpoint& to, std::size_t header_size,
             std::span<const std::byte> payload) noexcept override;
    bool flush() noexcept override;
    bool waits() const noexcept override { return rings_wait_ || Carrier::waits(); }
    void send_now(udp::Socket& socket, const Endpoint& to,
                  std::span<const std::uint8_t> bytes) noexcept override;
    Harvest receive(std::int64_t now, udp::Sink& sink) override;
    std::string stats_json() const override;
    void close() noexcept override;

  private:
    struct Device {
        std::string name;
        std::uint32_t interface = 0;
        Mac address{};
        std::uint32_t mtu = 0;
        bool native = false, zero_copy = false, several = false;
        std::vector<udp::Socket*> sockets;  // whose address it has
        std::vector<std::unique_ptr<Queue>> queues;
        std::unique_ptr<Program> program;  // goes first: no frame for a queue that is gone
    };
    // The way of one socket's datagrams to one port.
    struct Route {
        Queue* queue = nullptr;  // null: through the kernel
        Envelope envelope;
        std::size_t room = 0;  // bytes of a datagram's payload
        std::int64_t good_until = 0;
        std::int64_t patience = 0;  // until we ask again for what is not known
    };
    struct Key {
        const udp::Socket* socket;
        Endpoint to;
        bool operator==(const Key&) const = default;
    };
    struct Hash {
        std::size_t operator()(const Key& key) const noexcept;
    };

    void open(Device& device, const XdpOptions& options,
              std::span<const udp::LocalAddress> addresses);
    Route& route(const udp::Socket& socket, const Endpoint& to) noexcept;
    void resolve(Route& route, const Key& key) noexcept;
    void take(Device& device, std::span<const std::uint8_t> frame, std::int64_t stamp,
              std::int64_t now, udp::Sink& sink);
    bool read_rings(udp::Sink& sink, bool& more);
    void forget_gone(std::int64_t now) noexcept;

    const bool verify_;  // the UDP checksum: not where every packet has a better one of ours
    RouteTable table_;
    std::vector<Device> devices_;
    std::unordered_map<Key, Route, Hash> routes_;
    Key last_key_{};
    Route* last_route_ = nullptr;
    std::span<std::uint8_t> scratch_;  // the header that is being written
    bool crowded_ = false;             // a ring may have no room for a further datagram
    bool rings_wait_ = false;          // a flush() left something in a ring
    std::int64_t now_ = 0;
    std::int64_t look_at_ = 0;   // at the kernel's sockets
    std::int64_t check_at_ = 0;  // whether devices are still there
    std::uint64_t ring_sent_ = 0, ring_received_ = 0, foreign_ = 0, corrupt_ = 0;
};

}  // namespace weft::datapath::xdp
