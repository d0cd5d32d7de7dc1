#include "datapath/udp/endpoint.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

namespace weft::datapath::udp {

Endpoint Endpoint::from_bytes(std::span<const std::uint8_t> ip, std::uint16_t port) {
    Endpoint endpoint;
    if (ip.size() == 4) {
        endpoint.storage_.v4.sin_family = AF_INET;
        std::memcpy(&endpoint.storage_.v4.sin_addr, ip.data(), 4);
    } else if (ip.size() == 16) {
        endpoint.storage_.v6 = {};
        endpoint.storage_.v6.sin6_family = AF_INET6;
        std::memcpy(&endpoint.storage_.v6.sin6_addr, ip.data(), 16);
    }
    endpoint.set_port(port);
    return endpoint;
}

Endpoint Endpoint::from_sockaddr(const sockaddr* address) {
    Endpoint endpoint;
    if (address != nullptr && address->sa_family == AF_INET) {
        std::memcpy(&endpoint.storage_.v4, address, sizeof(sockaddr_in));
    } else if (address != nullptr && address->sa_family == AF_INET6) {
        std::memcpy(&endpoint.storage_.v6, address, sizeof(sockaddr_in6));
    }
    return endpoint;
}

std::optional<Endpoint> Endpoint::parse(std::string_view text) {
    const std::string copy(text);
    std::uint8_t bytes[16];
    if (inet_pton(AF_INET, copy.c_str(), bytes) == 1) {
        return from_bytes({bytes, 4}, 0);
    }
    if (inet_pton(AF_INET6, copy.c_str(), bytes) == 1) {
        return from_bytes({bytes, 16}, 0);
    }
    return std::nullopt;
}

std::uint16_t Endpoint::port() const noexcept {
    return ntohs(family() == AF_INET6 ? storage_.v6.sin6_port : storage_.v4.sin_port);
}

void Endpoint::set_port(std::uint16_t port) noexcept {
    (family() == AF_INET6 ? storage_.v6.sin6_port : storage_.v4.sin_port) = htons(port);
}

std::span<const std::uint8_t> Endpoint::ip() const noexcept {
    switch (family()) {
        case AF_INET:
            return {reinterpret_cast<const std::uint8_t*>(&storage_.v4.sin_addr), 4};
        case AF_INET6:
            return {reinterpret_cast<const std::uint8_t*>(&storage_.v6.sin6_addr), 16};
        default:
            return {};
    }
}

bool Endpoint::is_loopback() const noexcept {
    return family() == AF_INET    ? ip()[0] == 127
           : family() == AF_INET6 ? IN6_IS_ADDR_LOOPBACK(&storage_.v6.sin6_addr) != 0
                                  : false;
}

bool Endpoint::is_link_local() const noexcept {
    return family() == AF_INET    ? ip()[0] == 169 && ip()[1] == 254
           : family() == AF_INET6 ? IN6_IS_ADDR_LINKLOCAL(&storage_.v6.sin6_addr) != 0
                                  : false;
}

bool Endpoint::same_subnet(const Endpoint& other, unsigned prefix) const noexcept {
    const auto a = ip();
    const auto b = other.ip();
    if (a.size() != b.size() || a.empty()) {
        return false;
    }
    for (std::size_t i = 0; i < a.size(); ++i) {
        const unsigned bits =
            std::min(8u, prefix - std::min<unsigned>(prefix, static_cast<unsigned>(8 * i)));
        const unsigned mask = 0xFF00u >> bits & 0xFFu;
        if (((a[i] ^ b[i]) & mask) != 0) {
            return false;
        }
    }
    return true;
}

std::string Endpoint::to_string() const {
    char text[INET6_ADDRSTRLEN] = "?";
    const auto bytes = ip();
    if (!bytes.empty()) {
        inet_ntop(family(), bytes.data(), text, sizeof text);
    }
    const std::string host = family() == AF_INET6 ? "[" + std::string(text) + "]" : text;
    return host + ":" + std::to_string(port());
}

bool operator==(const Endpoint& a, const Endpoint& b) noexcept {
    return a.family() == b.family() && a.port() == b.port() && std::ranges::equal(a.ip(), b.ip());
}

}  // namespace weft::datapath::udp
