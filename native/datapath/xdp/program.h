// The BPF program that decides which frames of a network device are ours: UDP datagrams to one of
// our addresses and ports, without IP options and not in fragments, go to the AF_XDP socket of the
// queue on which they came; all else, and what comes on queues without a socket, goes its way
// through the kernel. It is assembled for exactly these addresses and ports, and leaves the time of
// arrival (CLOCK_MONOTONIC) in the eight bytes before each frame.
//
// It is attached by a BPF link: when the descriptor closes, however the process ends, the program
// is gone.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "datapath/udp/address.h"
#include "datapath/xdp/descriptor.h"

struct bpf_insn;

namespace weft::datapath::xdp {

inline constexpr std::size_t kStampSize = 8;

// The instructions; `map` is the descriptor of the map from queue to socket.
std::vector<bpf_insn> assemble(std::span<const udp::LocalAddress> ours, int map);

class Program {
  public:
    // Loads it and makes the map for `queues` sockets. Throws Error: UNSUPPORTED (no capability, no
    // such kernel), SYSTEM.
    Program(const std::string& device, std::span<const udp::LocalAddress> ours,
            std::uint32_t queues);

    // Hooks it into the device's driver (`native`), or behind it. False where the driver has no
    // hook for it; throws Error: RESOURCES (another program is there), UNSUPPORTED (no capability).
    bool attach(std::uint32_t interface, bool native);
    // Gives the frames of a queue to this socket. Throws Error SYSTEM.
    void steer(std::uint32_t queue, int socket);

  private:
    std::string device_;
    Descriptor map_, program_, link_;
};

}  // namespace weft::datapath::xdp
