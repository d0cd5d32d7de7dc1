// The headers that a simulated packet would have on the wire, for switches that run P4 programs:
// Ethernet, IPv4 and UDP around zeros. Host h is 10.0.0.0 + h + 1 and 02:00:(h + 1 in four bytes),
// as in the lab; the UDP source port is the packet's entropy.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>

#include "fabric/p4_program.h"

namespace weft::simulator {

class SimulatedFrames final : public fabric::Frames {
  public:
    // `source_of` says which host sent a packet.
    using SourceOf = std::function<fabric::HostId(const fabric::Packet&)>;
    explicit SimulatedFrames(SourceOf source_of) : source_of_(std::move(source_of)) {}

    std::span<const std::uint8_t> read(const fabric::Packet& packet) override;
    // Takes over congestion marks and a changed length. A packet has one cargo, so of several
    // copies only the first goes on.
    bool write(fabric::Packet& packet, std::span<const std::uint8_t> bytes,
               std::uint32_t copies) override;

  private:
    SourceOf source_of_;
    std::array<std::uint8_t, 1 << 16> frame_{};  // behind the headers all zeros
};

}  // namespace weft::simulator
