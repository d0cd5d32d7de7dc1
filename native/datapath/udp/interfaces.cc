#include "datapath/udp/interfaces.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>

#include "datapath/error.h"

namespace weft::datapath::udp {
namespace {

constexpr std::uint32_t kLeastMtu = 576;  // RFC 791: what every host must take

std::uint32_t mtu_of(const char* name) {
    ifreq request{};
    std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const bool known = fd >= 0 && ioctl(fd, SIOCGIFMTU, &request) == 0 && request.ifr_mtu > 0;
    if (fd >= 0) {
        close(fd);
    }
    return known ? static_cast<std::uint32_t>(request.ifr_mtu) : 1500;
}

std::uint8_t prefix_of(const sockaddr* netmask) {
    const Endpoint mask = Endpoint::from_sockaddr(netmask);  // ip() looks into it
    int bits = 0;
    for (const std::uint8_t byte : mask.ip()) {
        bits += std::popcount(byte);
    }
    return static_cast<std::uint8_t>(bits);
}

std::vector<Interface> all_interfaces() {
    ifaddrs* list = nullptr;
    if (getifaddrs(&list) != 0) {
        throw Error(WEFT_ERR_SYSTEM, std::string("getifaddrs failed: ") + std::strerror(errno));
    }
    const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> guard(list, freeifaddrs);
    std::vector<Interface> found;
    for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
        const Endpoint address = Endpoint::from_sockaddr(entry->ifa_addr);
        const std::uint32_t mtu = mtu_of(entry->ifa_name);
        if (address.family() == AF_UNSPEC || (entry->ifa_flags & IFF_UP) == 0 || mtu < kLeastMtu ||
            (address.family() == AF_INET6 && address.is_link_local())) {
            continue;
        }
        found.push_back({.name = entry->ifa_name,
                         .index = if_nametoindex(entry->ifa_name),
                         .address = address,
                         .prefix = prefix_of(entry->ifa_netmask),
                         .mtu = mtu});
        found.back().address.set_port(0);
    }
    return found;
}

bool named_by(const Interface& interface, const std::string& want) {
    const auto address = Endpoint::parse(want);
    return address ? *address == interface.address : want == interface.name;
}

std::string describe(const std::vector<Interface>& interfaces) {
    std::string text;
    for (const Interface& interface : interfaces) {
        const std::string address = interface.address.to_string();
        text += (text.empty() ? "" : ", ") + interface.name + " (" +
                address.substr(0, address.rfind(':')) + ")";
    }
    return text.empty() ? "none" : text;
}

// One address per device and family is enough: a second one is no other way through the network.
std::vector<Interface> one_per_device(const std::vector<Interface>& all) {
    std::vector<Interface> chosen;
    for (const Interface& interface : all) {
        const bool seen = std::ranges::any_of(chosen, [&](const Interface& other) {
            return other.index == interface.index &&
                   other.address.family() == interface.address.family();
        });
        if (!seen && !interface.address.is_link_local()) {
            chosen.push_back(interface);
        }
    }
    return chosen;
}

}  // namespace

std::vector<Interface> usable_interfaces(const std::vector<std::string>& wanted) {
    const std::vector<Interface> all = all_interfaces();
    std::vector<Interface> chosen;
    if (wanted.empty()) {
        chosen = one_per_device(all);
    }
    for (const std::string& want : wanted) {
        const auto before = chosen.size();
        std::ranges::copy_if(all, std::back_inserter(chosen),
                             [&](const Interface& i) { return named_by(i, want); });
        if (chosen.size() == before) {
            throw Error(
                WEFT_ERR_INVALID,
                "option interfaces: '" + want +
                    "' is neither an interface that is up nor an address of one; here are: " +
                    describe(all));
        }
    }
    if (chosen.empty()) {
        throw Error(WEFT_ERR_UNSUPPORTED,
                    "udp: no network interface with an IPv4 or IPv6 address is up");
    }
    return chosen;
}

}  // namespace weft::datapath::udp
