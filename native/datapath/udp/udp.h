// Messages between hosts over UDP, along many paths at once.
//
// A process has a few sockets per local address, shared by all its peers; a path of an edge is one
// (local socket, remote address and port) pair, so that one edge takes many ways through the
// network without owning a single descriptor. The reliable part is transport::Connection; this
// layer moves its packets between the sockets and the users' buffers: payload leaves straight from
// the sender's memory (one GSO batch per burst) and is copied, or combined, once at its
// destination.
//
// Opening an edge: every pair of a local and a remote address is tried with a small and with a
// full-size datagram (path checks, check.h). The pairs that answer become the edge's paths, and
// what fits through all of them its chunk size; therefore addresses that lead nowhere, and links
// that silently drop jumbo frames, cost some milliseconds and nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "datapath/channel.h"

namespace weft::datapath {

struct UdpOptions {
    std::uint16_t paths = 8;    // per edge, 1..256 (each way)
    std::uint16_t sockets = 0;  // per local address, 1..64; 0: the square root of `paths`, rounded
                                // up (ports pair up crosswise)
    std::uint16_t port = 0;     // socket i of every address is bound to port + i; 0: any free ports
    std::uint32_t mtu =
        0;  // largest IP packet in bytes, 1280..65535; 0: the interface's, at most 9000
    std::uint32_t buffer = 8 << 20;  // bytes of kernel buffer per socket and direction (the system
                                     // may grant less: see stats_json)
    bool checksum = false;           // CRC-32C on every packet, required of the peer, too
    bool gso = true;                 // let the kernel cut large batches (used where the kernel can)
    bool gro = true;       // let the kernel merge arriving packets (used where the kernel can)
    double link_gbit = 0;  // what our links carry together, for congestion controls that want to
                           // know it and as the pace of credits; 0: not known
    transport::PolicyChoice scheduler{"least_in_flight", {}};
    transport::PolicyChoice congestion{"swift", {}};
    transport::PolicyChoice recovery{"selective_repeat", {}};
    // Of every connection; 0 (path_timeouts, attempts too): this datapath's own, docs/udp.md.
    std::uint32_t burst = 0;          // bytes that follow one decision of the scheduler
    std::uint32_t window = 0;         // packets in flight or out of order, 64..4096
    std::uint32_t ack_every = 0;      // packets per acknowledgement
    std::uint32_t attempts = 0;       // transmissions of one packet before the edge fails, ..255
    std::uint32_t path_timeouts = 0;  // in a row, that make a path suspect, ..255
    Time ack_delay = 0, rto_initial = 0, rto_min = 0, rto_max = 0, probe_interval = 0;  // ns
    // Addresses ("10.0.0.1", "fd00::1") or interface names to use; empty: all that are up. Loopback
    // addresses are used between two processes that have no other addresses in common.
    std::vector<std::string> interfaces;

    // From the key=value pairs of weft_context_options.transport: the members above by name;
    // "scheduler.KNOB=NUMBER" (and so for congestion and recovery); checksum=none|crc32c; gso,
    // gro=on|off; times as whole microseconds, "rto_min_us=50000". `interfaces` is a
    // comma-separated list. Throws Error INVALID, which names the key, the value and what would do.
    static UdpOptions parse(const std::map<std::string, std::string>& pairs,
                            std::string_view interfaces = {});
};

namespace udp {
class Core;
}

// Calls (of channels too) may be made from inside callbacks, including the destruction of a
// channel; only the datapath itself must not be destroyed there. Channels may outlive the datapath:
// they are then closed.
//
// Details that the interface leaves open:
//  - A channel whose peer closed in order ends in State::kClosed; its owner hears channel_failed
//  with WEFT_ERR_PEER_DEAD all
//    the same, since nothing can be sent any more. An accepted channel is handed to
//    Acceptor::accepted first, then its owner hears channel_open.
//  - If both ends connect to each other at once, the call of the lower peer id stands; the other
//  never opens nor fails before
//    its deadline (the Acceptor replaces it). A hello that owner_for() refuses is not answered.
//  - Messages up to a few KB are copied by send() and done at once; longer ones are done when the
//  peer has them whole.
//  - A send that its peer refuses (forget_group there) or whose receive was cancelled in
//  mid-transfer fails with
//    WEFT_ERR_ABORTED; one that its peer found not to match with WEFT_ERR_MISMATCH. A receive whose
//    message the sender cancelled in mid-transfer fails with WEFT_ERR_ABORTED: the destination is
//    then undefined.
//  - Errors of channels: UNREACHABLE (nobody answered; names the addresses), AUTH (a secret that
//  differs), PEER_DEAD (with
//    the retry count and the last path states).
class UdpDatapath : public Datapath {
  public:
    // Opens the sockets. Throws Error: INVALID (an option out of range, an unknown interface or
    // policy), RESOURCES (port in use, no descriptors), UNSUPPORTED (no address to use), SYSTEM.
    UdpDatapath(const Identity& identity, Acceptor& acceptor, UdpOptions options = {});
    // Waits up to half a second for what was sent to be acknowledged, then tells the peers that we
    // leave.
    ~UdpDatapath() override;
    UdpDatapath(const UdpDatapath&) = delete;
    UdpDatapath& operator=(const UdpDatapath&) = delete;

    std::string_view name() const noexcept override;
    std::string_view protocol() const noexcept override { return "udp"; }
    std::string address() const override;
    bool reaches(std::string_view peer_address) const override;
    std::unique_ptr<Channel> connect(PeerId peer, std::string_view peer_address,
                                     ChannelOwner& owner, Time deadline) override;
    bool progress(Time now) override;
    Time next_wakeup() const noexcept override;
    bool arm() override;
    void disarm() override;
    std::vector<int> wait_fds() const override;
    void abandon() noexcept override;
    bool set_policies(const transport::PolicyChange& change) override;

    // Counters of the whole datapath as one JSON object: sockets with the buffers granted, system
    // calls, datagrams, drops by reason (foreign, malformed, unknown connection, wrong secret,
    // ...).
    std::string stats_json() const override;

  protected:
    // With another carrier of the same datagrams: datapath/xdp.
    explicit UdpDatapath(std::shared_ptr<udp::Core> core);

  private:
    std::shared_ptr<udp::Core> core_;
};

}  // namespace weft::datapath
