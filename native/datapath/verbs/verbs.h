// Messages between hosts through RDMA devices: RoCE v2 or InfiniBand.
//
// The device moves the data; what goes when, on which path, and what is lost, is decided by
// native/transport, the same code as on UDP. An edge has as many lanes as it has paths: connected
// queue pairs whose packets take different ways through the network (a RoCE device derives the UDP
// source port from the queue pair). Large messages are written by the device straight to their
// destination, one chunk per work request, each announced by its 32 immediate bits; everything
// else is sent as packets of the transport's own format. Control packets travel on
// unreliable-datagram queue pairs that all edges share. docs/rdma.md has formats and options.
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
#include "datapath/verbs/provider.h"

namespace weft::datapath {

struct VerbsOptions {
    std::uint16_t paths = 8;  // lanes per edge, 1..256
    // How data travels: "auto" is uc where all devices have it, else rc; "ud" needs no connections
    // but cuts messages into packets.
    std::string mode = "auto";
    std::vector<std::string> devices;  // "mlx5_0", "mlx5_0:2"; empty: all with an active port
    // Which of a port's GIDs: "auto" (RoCE v2 before v1, IPv4 before IPv6), "ipv4", "ipv6", or its
    // index.
    std::string gid = "auto";
    std::uint8_t traffic_class = 0;  // of all packets; DSCP is its upper six bits
    std::uint8_t service_level = 0;  // InfiniBand
    std::uint8_t hop_limit = 64;
    std::uint32_t mtu = 0;           // 1024, 2048, 4096; 0: the port's
    std::uint32_t chunk = 32 << 10;  // bytes per work request, 1024..1048576; not for ud
    std::uint32_t buffers = 512;     // receive buffers per device, 64..16384
    std::uint16_t controls = 4;      // control queue pairs per device, 1..8
    std::size_t mr_cache = 0;        // bytes of registrations kept although unused (registry.h)
    std::uint32_t rc_timeout = 14;   // rc: 4.096 us * 2^N until the device repeats, 1..31
    std::uint32_t rc_retries = 3;    // rc: repetitions before the queue pair fails, 0..7
    double link_gbit = 0;            // what our links carry together; 0: as the ports say
    std::string scheduler = "least_in_flight";
    std::string congestion = "swift";
    std::string recovery = "selective_repeat";
    std::vector<std::pair<std::string, double>> scheduler_parameters;
    std::vector<std::pair<std::string, double>> congestion_parameters;
    std::vector<std::pair<std::string, double>> recovery_parameters;
    // Network interfaces or addresses: only ports with a GID of one of them. Empty: all.
    std::vector<std::string> interfaces;

    // From the key=value pairs of weft_context_options.transport: `paths`, `link_gbit`, the
    // policies and their knobs as on UDP; all else as "verbs.KEY" (lists with '+'). Other
    // datapaths' keys are passed over. Throws Error INVALID, which names the key, the value and
    // what would do.
    static VerbsOptions parse(const std::map<std::string, std::string>& pairs,
                              std::string_view interfaces = {});
    // The pairs that are not only ours.
    static std::map<std::string, std::string> without(std::map<std::string, std::string> pairs);
};

namespace verbs {
class Core;
}

// Details that the interface leaves open:
//  - What holds for UdpDatapath about calls, callbacks and endings holds here.
//  - Taking back a receive whose bytes the device may be writing costs the edge its queue pairs,
//    which are made anew: rare, and cheaper than to wait.
class VerbsDatapath final : public Datapath {
  public:
    // Opens devices. Throws Error: INVALID (an option out of range, an unknown device or policy),
    // UNSUPPORTED (no libibverbs, no device with an active port and a usable GID), RESOURCES,
    // SYSTEM.
    VerbsDatapath(const Identity& identity, Acceptor& acceptor, VerbsOptions options = {},
                  std::shared_ptr<verbs::Provider> provider = nullptr);
    ~VerbsDatapath() override;
    VerbsDatapath(const VerbsDatapath&) = delete;
    VerbsDatapath& operator=(const VerbsDatapath&) = delete;

    std::string_view name() const noexcept override { return "verbs"; }
    std::string address() const override;
    bool reaches(std::string_view peer_address) const override;
    std::unique_ptr<Channel> connect(PeerId peer, std::string_view peer_address,
                                     ChannelOwner& owner, Time deadline) override;
    bool progress(Time now) override;
    Time next_wakeup() const noexcept override;
    bool arm() override;
    void disarm() override {}
    std::vector<int> wait_fds() const override;
    void abandon() noexcept override;
    std::string stats_json() const override;

    // Another device's memory (a GPU's) by its DMA-BUF: sends from, and receives into, [address,
    // + size) go through it. `address` is only a name; nothing is read or written there.
    void add_dmabuf(int fd, std::uint64_t offset, std::byte* address, std::size_t size);
    // Memory in this range is about to be unmapped (needed with mr_cache only).
    void forget_memory(const std::byte* data, std::size_t size);

  private:
    std::shared_ptr<verbs::Core> core_;
};

}  // namespace weft::datapath
