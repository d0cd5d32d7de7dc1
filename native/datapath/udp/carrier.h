// What carries the datagrams of all edges: sockets of the kernel's, with GSO and GRO. It is also
// the interface behind which another way of moving the same datagrams stands (datapath/xdp puts
// AF_XDP rings in front of these sockets); edges, path checks and the handshake know no difference.
//
// Invariants: the sockets are opened once, address-major, and stay until close(); a datagram handed
// to add() leaves at the next flush() at the latest, unless there is no room for it, which flush()
// says.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "datapath/udp/address.h"
#include "datapath/udp/interfaces.h"
#include "datapath/udp/socket.h"
#include "datapath/udp/udp.h"

namespace weft::datapath::udp {

// Who is told of each datagram that comes.
class Sink {
  public:
    virtual void arrived(Socket& socket, const Arrived& datagram) = 0;

  protected:
    ~Sink() = default;
};

// Sockets on each local address by these options.
std::size_t sockets_for(const UdpOptions& options);

class Carrier {
  public:
    // Opens the sockets. Throws Error: RESOURCES (port in use, no descriptors), SYSTEM.
    Carrier(const UdpOptions& options, const std::vector<Interface>& interfaces);
    virtual ~Carrier();
    Carrier(const Carrier&) = delete;
    Carrier& operator=(const Carrier&) = delete;

    // As the datapath is called, in options and messages.
    virtual std::string_view name() const noexcept { return "udp"; }

    const std::vector<LocalAddress>& local() const noexcept { return local_; }
    Socket& socket(std::size_t local, std::size_t index) noexcept {
        return *sockets_[local * sockets_per_address_ + index];
    }
    std::size_t sockets_per_address() const noexcept { return sockets_per_address_; }
    // Readable when receive() finds something, or when there is room again for what waits.
    int wait_fd() const noexcept { return poll_fd_; }
    // Bytes that are kept for one peer's datagrams while we do not look.
    virtual std::uint64_t window_bytes() const noexcept;

    // --- Sending; as SendBatch has it
    virtual std::span<std::uint8_t> header() noexcept { return out_.header(); }
    virtual void add(Socket& socket, const Endpoint& to, std::size_t header_size,
                     std::span<const std::byte> payload) noexcept {
        out_.add(socket, to, header_size, payload);
    }
    virtual bool flush() noexcept;
    virtual void forget(const std::byte* data, std::size_t size) noexcept {
        out_.forget(data, size);
    }
    virtual bool empty() const noexcept { return out_.empty(); }
    virtual bool waits() const noexcept { return out_.waits(); }
    // One datagram, at once and whatever becomes of it.
    virtual void send_now(Socket& socket, const Endpoint& to,
                          std::span<const std::uint8_t> bytes) noexcept;

    // --- Receiving
    struct Harvest {
        bool moved = false;  // something came
        bool more = false;   // and more lies there
    };
    // Takes what has come, a bounded number of datagrams. `now` is a recent reading of the clock.
    virtual Harvest receive(std::int64_t now, Sink& sink);

    // Counters and sockets, as members of a JSON object (without its braces).
    virtual std::string stats_json() const;
    // Gives everything back; nothing may be called any more. Harmless to a parent after fork().
    virtual void close() noexcept;

  protected:
    // This address's device carries no larger packets.
    void limit_mtu(std::uint8_t device, std::uint32_t mtu) noexcept;
    // Lets `fd` wake whoever waits on wait_fd(); receive() must then look there.
    void watch(int fd);
    void unwatch(int fd) noexcept;
    const std::vector<std::unique_ptr<Socket>>& sockets() const noexcept { return sockets_; }

    SocketCounters io_;

  private:
    void watch_writable(bool on);

    std::vector<LocalAddress> local_;
    std::vector<std::unique_ptr<Socket>> sockets_;  // address-major
    std::size_t sockets_per_address_ = 1;
    int poll_fd_ = -1;
    SendBatch out_{io_};
    ReceiveBatch in_{io_};
    bool awaits_writable_ = false;
};

}  // namespace weft::datapath::udp
