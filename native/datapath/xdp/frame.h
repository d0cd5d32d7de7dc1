// Datagrams as they lie on the wire: Ethernet, IPv4 or IPv6, UDP. Pure functions over bytes;
// nothing that came from outside is trusted.
//
// Sums are the Internet checksum's (RFC 1071), over 16-bit words in memory order, not yet folded:
// folded and complemented they are what the header fields hold, whatever the byte order of the
// machine.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "datapath/udp/endpoint.h"

namespace weft::datapath::xdp {

using udp::Endpoint;
using Mac = std::array<std::uint8_t, 6>;

inline constexpr std::size_t kEthernetHeader = 14;
inline constexpr std::size_t kMostHeaders = kEthernetHeader + 40 + 8;

std::uint64_t sum(std::span<const std::uint8_t> bytes) noexcept;
// Copies, and sums what it copies.
std::uint64_t copy_and_sum(std::uint8_t* to, std::span<const std::uint8_t> from) noexcept;
// The sum of `head` bytes followed by something whose own sum is `tail`.
std::uint64_t join(std::uint64_t head, std::size_t head_size, std::uint64_t tail) noexcept;

// The headers of one flow's datagrams; what differs from one to the next is filled in by write().
class Envelope {
  public:
    Envelope() = default;
    Envelope(const Mac& source, const Mac& destination, const Endpoint& from, const Endpoint& to);

    std::size_t size() const noexcept { return size_; }  // 42 or 62 bytes
    // The headers of a datagram of so many bytes of payload with this sum.
    void write(std::uint8_t* out, std::size_t payload_size,
               std::uint64_t payload_sum) const noexcept;

  private:
    std::array<std::uint8_t, kMostHeaders> bytes_{};
    std::size_t size_ = 0;
    std::uint64_t ip_sum_ = 0;      // of the IPv4 header without its length
    std::uint64_t pseudo_sum_ = 0;  // of addresses, protocol and ports
};

struct Datagram {
    Endpoint from, to;
    std::span<const std::uint8_t> payload;
    bool marked = false;  // ECN: congestion experienced
};

enum class Verdict : std::uint8_t {
    kOk,
    kForeign,  // no UDP datagram, a fragment, or cut off
    kCorrupt,  // a sum does not match
};

// Takes a frame apart. The UDP checksum is looked at if `verify`; it also passes where it holds
// nothing but the sum of the pseudo header: that is what a sender leaves for its network card to
// finish, and between two ends of one machine (veth) no card ever does.
Verdict parse(std::span<const std::uint8_t> frame, bool verify, Datagram& datagram) noexcept;

}  // namespace weft::datapath::xdp
