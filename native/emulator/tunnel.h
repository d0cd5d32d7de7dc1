// Carries the frames of some hosts between two machines: what comes out of one end's interfaces
// goes through UDP into the other end's. The fabric's machine and the worker on which the hosts
// live run the same code; the fabric itself does not know that an edge is long.
//
// A datagram is a header of 24 bytes, little-endian, and a frame:
//
//     u64 key       drawn for the lab; whoever does not have it is not heard
//     u32 kind      0 frame, 1 probe, 2 its echo
//     u32 host      whose frame it is
//     u64 stamp     of a probe: the sender's CLOCK_MONOTONIC, ns; comes back in the echo
//
// The end that is told its peer's address probes it; the other learns where its peer is from the
// first datagram with the key. Checksums are completed before a frame leaves its machine.
#pragma once

#include <netinet/in.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "emulator/frame.h"
#include "emulator/packet_socket.h"

namespace weft::emulator {

struct TunnelReport {
    std::uint64_t frames_out = 0;  // into the tunnel
    std::uint64_t frames_in = 0;   // out of it
    std::uint64_t refused = 0;     // that the kernel took from neither
    std::uint64_t ring_drops = 0;  // that came faster than they were taken
    std::uint64_t strangers = 0;   // datagrams without the key, or of unknown hosts
    std::uint64_t probes = 0;      // that came back
    std::uint64_t round_trip = 0;  // the shortest, ns; 0: none yet
    std::uint64_t round_trip_last = 0;
};

class Tunnel {
  public:
    // `udp` is a bound datagram socket, which stays the caller's. Throws std::system_error.
    Tunnel(int udp, std::uint64_t key, std::size_t frame_size);
    ~Tunnel();
    Tunnel(const Tunnel&) = delete;
    Tunnel& operator=(const Tunnel&) = delete;

    // Before run(): hosts and the numbers of their interfaces, all in the network namespace in
    // which the calling thread is.
    struct Edge {
        std::uint32_t host;
        int interface;
    };
    void add(const std::vector<Edge>& edges, std::size_t ring_frames);
    // Where the peer is (an IPv4 address in network byte order, a port in host byte order).
    void set_peer(std::uint32_t address, std::uint16_t port);

    void run();  // until stop(), which any thread may call
    void stop();
    TunnelReport report() const;

  private:
    struct Header {
        std::uint64_t key;
        std::uint32_t kind;
        std::uint32_t host;
        std::uint64_t stamp;
    };
    static_assert(sizeof(Header) == 24);
    enum Kind : std::uint32_t { kFrame = 0, kProbe = 1, kEcho = 2 };
    struct Place {
        std::size_t socket;
        int interface;
    };
    static constexpr std::size_t kBatch = 32;

    void out_of(std::size_t socket);
    void into();
    void take(std::size_t index, std::size_t length, const sockaddr_in& from);
    void tick();
    void send(const Header& header, ConstBytes frame);

    const int udp_;
    const std::uint64_t key_;
    const std::size_t room_;  // of a datagram
    std::vector<std::unique_ptr<PacketSocket>> sockets_;
    std::vector<std::unordered_map<int, std::uint32_t>> hosts_;  // [socket]: by interface
    std::unordered_map<std::uint32_t, Place> places_;            // by host
    std::optional<sockaddr_in> peer_;
    bool told_ = false;  // the peer's address, rather than having learned it
    std::vector<std::uint8_t> buffer_;
    std::vector<std::uint8_t> scratch_;
    std::int64_t next_probe_ = 0;  // and look at the rings
    int doorbell_ = -1;
    std::atomic<bool> stopping_{false};

    struct Counts {
        std::atomic<std::uint64_t> out{0}, in{0}, refused{0}, strangers{0}, probes{0};
        std::atomic<std::uint64_t> shortest{0}, last{0}, ring_drops{0};
    } counts_;
};

}  // namespace weft::emulator
