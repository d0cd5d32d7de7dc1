// An IPv4 or IPv6 address with a port, as the kernel wants it.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace weft::datapath::udp {

class Endpoint {
  public:
    Endpoint() { storage_.v4 = {}; }
    // 4 or 16 bytes in network order; anything else gives an endpoint whose family() is AF_UNSPEC.
    static Endpoint from_bytes(std::span<const std::uint8_t> ip, std::uint16_t port);
    // The kernel's form, from getifaddrs and the like. Families other than IPv4 and IPv6 are
    // AF_UNSPEC.
    static Endpoint from_sockaddr(const sockaddr* address);
    // Numeric text, "10.0.0.1" or "fd00::1"; nothing on any other text.
    static std::optional<Endpoint> parse(std::string_view text);

    int family() const noexcept { return storage_.any.sa_family; }
    std::uint16_t port() const noexcept;
    void set_port(std::uint16_t port) noexcept;
    std::span<const std::uint8_t> ip() const noexcept;  // empty for AF_UNSPEC
    bool is_loopback() const noexcept;
    bool is_link_local() const noexcept;
    // Whether the first `prefix` bits of both addresses (of one family) agree.
    bool same_subnet(const Endpoint& other, unsigned prefix) const noexcept;
    std::string to_string() const;  // "10.0.0.1:5000", "[fd00::1]:5000"

    const sockaddr* data() const noexcept { return &storage_.any; }
    sockaddr* data() noexcept { return &storage_.any; }
    socklen_t size() const noexcept {
        return family() == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
    }
    static constexpr socklen_t kMaxSize = sizeof(sockaddr_in6);

    friend bool operator==(const Endpoint& a, const Endpoint& b) noexcept;

  private:
    union {
        sockaddr any;
        sockaddr_in v4;
        sockaddr_in6 v6;
    } storage_;
};

// Bytes of IP and UDP header in front of a datagram of this family.
constexpr std::uint32_t header_overhead(int family) {
    return (family == AF_INET6 ? 40u : 20u) + 8u;
}

}  // namespace weft::datapath::udp
