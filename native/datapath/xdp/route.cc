#include "datapath/xdp/route.h"

#include <linux/ethtool.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "datapath/error.h"

namespace weft::datapath::xdp {
namespace {

constexpr std::uint8_t kUdp = 17;
// In these states an address is good to send to, be it to find out whether it still holds.
constexpr std::uint16_t kUsable =
    NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;

template <typename Body>
std::vector<std::uint8_t> request(std::uint16_t type, const Body& body) {
    std::vector<std::uint8_t> message(NLMSG_LENGTH(sizeof body));
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = NLM_F_REQUEST;
    std::memcpy(message.data(), &header, sizeof header);
    std::memcpy(message.data() + NLMSG_HDRLEN, &body, sizeof body);
    return message;
}

void attach(std::vector<std::uint8_t>& message, std::uint16_t type,
            std::span<const std::uint8_t> value) {
    message.resize(NLMSG_ALIGN(message.size()));
    rtattr attribute{};
    attribute.rta_type = type;
    attribute.rta_len = static_cast<std::uint16_t>(RTA_LENGTH(value.size()));
    const std::size_t at = message.size();
    message.resize(at + RTA_SPACE(value.size()));
    std::memcpy(message.data() + at, &attribute, sizeof attribute);
    std::ranges::copy(value, message.begin() + static_cast<std::ptrdiff_t>(at + RTA_LENGTH(0)));
}

void attach_port(std::vector<std::uint8_t>& message, std::uint16_t type, std::uint16_t port) {
    const std::uint8_t bytes[2] = {static_cast<std::uint8_t>(port >> 8),
                                   static_cast<std::uint8_t>(port)};
    attach(message, type, bytes);
}

// Calls f(type, value) for each attribute behind a body of this type.
template <typename Body, typename F>
void for_each_attribute(std::span<const std::uint8_t> answer, F&& f) {
    std::size_t at = NLMSG_SPACE(sizeof(Body));
    while (at + sizeof(rtattr) <= answer.size()) {
        rtattr attribute;
        std::memcpy(&attribute, answer.data() + at, sizeof attribute);
        if (attribute.rta_len < sizeof attribute || at + attribute.rta_len > answer.size()) {
            return;
        }
        f(attribute.rta_type,
          answer.subspan(at + RTA_LENGTH(0), attribute.rta_len - RTA_LENGTH(0)));
        at += RTA_ALIGN(attribute.rta_len);
    }
}

// Runs an ioctl on a device by name.
bool ask_device(const std::string& device, unsigned long what, ifreq& asked) {
    std::strncpy(asked.ifr_name, device.c_str(), IFNAMSIZ - 1);
    const Descriptor any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    return any && ioctl(any.get(), what, &asked) == 0;
}

}  // namespace

RouteTable::RouteTable()
    : fd_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE)),
      answer_(16384) {
    if (!fd_) {
        const bool scarce = errno == EMFILE || errno == ENFILE;
        throw Error(scarce ? WEFT_ERR_RESOURCES : WEFT_ERR_SYSTEM,
                    std::string("xdp: socket(AF_NETLINK) failed: ") + std::strerror(errno));
    }
}

// The kernel answers before send() returns.
bool RouteTable::ask(std::vector<std::uint8_t>& message) {
    nlmsghdr header;
    std::memcpy(&header, message.data(), sizeof header);
    header.nlmsg_len = static_cast<std::uint32_t>(message.size());
    header.nlmsg_seq = ++sequence_;
    std::memcpy(message.data(), &header, sizeof header);
    if (send(fd_.get(), message.data(), message.size(), MSG_DONTWAIT) < 0) {
        return false;
    }
    for (;;) {
        const ssize_t size = recv(fd_.get(), answer_.data(), answer_.size(), MSG_DONTWAIT);
        if (size < static_cast<ssize_t>(sizeof header)) {
            return false;
        }
        std::memcpy(&header, answer_.data(), sizeof header);
        if (header.nlmsg_seq == sequence_) {  // not a late answer to an earlier question
            answer_size_ = std::min<std::size_t>(static_cast<std::size_t>(size), header.nlmsg_len);
            return header.nlmsg_type == RTM_NEWROUTE || header.nlmsg_type == RTM_NEWNEIGH;
        }
    }
}

std::optional<Hop> RouteTable::find(const Endpoint& from, const Endpoint& to) {
    rtmsg route{};
    route.rtm_family = static_cast<std::uint8_t>(to.family());
    route.rtm_dst_len = route.rtm_src_len = static_cast<std::uint8_t>(8 * to.ip().size());
    auto message = request(RTM_GETROUTE, route);
    attach(message, RTA_DST, to.ip());
    attach(message, RTA_SRC, from.ip());
    attach(message, RTA_IP_PROTO, {&kUdp, 1});  // as the datagram's own way, over several hops too
    attach_port(message, RTA_SPORT, from.port());
    attach_port(message, RTA_DPORT, to.port());
    if (!ask(message)) {
        return std::nullopt;
    }
    const std::span<const std::uint8_t> answer{answer_.data(), answer_size_};
    if (answer.size() < NLMSG_SPACE(sizeof route)) {
        return std::nullopt;
    }
    std::memcpy(&route, answer.data() + NLMSG_HDRLEN, sizeof route);
    if (route.rtm_type != RTN_UNICAST) {
        return std::nullopt;
    }
    std::uint32_t interface = 0;
    Endpoint hop = to;
    for_each_attribute<rtmsg>(answer, [&](std::uint16_t type, std::span<const std::uint8_t> value) {
        if (type == RTA_OIF && value.size() == sizeof interface) {
            std::memcpy(&interface, value.data(), sizeof interface);
        } else if (type == RTA_GATEWAY) {
            hop = Endpoint::from_bytes(value, 0);
        } else if (type == RTA_VIA && value.size() > 2) {  // struct rtvia: family, address
            hop = Endpoint::from_bytes(value.subspan(2), 0);
        }
    });
    const auto address = neighbour(interface, hop);
    return address ? std::optional(Hop{interface, *address}) : std::nullopt;
}

std::optional<Mac> RouteTable::neighbour(std::uint32_t interface, const Endpoint& hop) {
    ndmsg entry{};
    entry.ndm_family = static_cast<std::uint8_t>(hop.family());
    entry.ndm_ifindex = static_cast<int>(interface);
    auto message = request(RTM_GETNEIGH, entry);
    attach(message, NDA_DST, hop.ip());
    if (!ask(message) || answer_size_ < NLMSG_SPACE(sizeof entry)) {
        return std::nullopt;
    }
    std::memcpy(&entry, answer_.data() + NLMSG_HDRLEN, sizeof entry);
    std::optional<Mac> found;
    for_each_attribute<ndmsg>({answer_.data(), answer_size_},
                              [&](std::uint16_t type, std::span<const std::uint8_t> value) {
                                  if (type == NDA_LLADDR && value.size() == sizeof(Mac)) {
                                      std::ranges::copy(value, found.emplace().begin());
                                  }
                              });
    return (entry.ndm_state & kUsable) != 0 ? found : std::nullopt;
}

std::optional<Mac> hardware_address(const std::string& device) {
    ifreq asked{};
    if (!ask_device(device, SIOCGIFHWADDR, asked) || asked.ifr_hwaddr.sa_family != ARPHRD_ETHER) {
        return std::nullopt;
    }
    Mac address;
    std::memcpy(address.data(), asked.ifr_hwaddr.sa_data, address.size());
    return address;
}

std::uint32_t queue_count(const std::string& device) {
    ethtool_channels channels{};
    channels.cmd = ETHTOOL_GCHANNELS;
    ifreq asked{};
    asked.ifr_data = reinterpret_cast<char*>(&channels);
    if (!ask_device(device, SIOCETHTOOL, asked)) {
        return 1;
    }
    return std::max(1u, channels.combined_count + std::min(channels.rx_count, channels.tx_count));
}

}  // namespace weft::datapath::xdp
