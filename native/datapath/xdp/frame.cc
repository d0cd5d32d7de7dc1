#include "datapath/xdp/frame.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace weft::datapath::xdp {
namespace {

constexpr std::uint16_t kTypeIpv4 = 0x0800;
constexpr std::uint16_t kTypeIpv6 = 0x86DD;
constexpr std::uint8_t kUdp = 17;
constexpr std::size_t kIpv4Header = 20;
constexpr std::size_t kIpv6Header = 40;
constexpr std::size_t kUdpHeader = 8;
constexpr std::uint8_t kEctZero = 2;  // RFC 3168
constexpr std::uint8_t kCongestionExperienced = 3;
constexpr std::uint8_t kHops = 64;
constexpr std::size_t kBlock = 2048;  // of a copy: its sum is taken while it is in the cache

std::uint16_t load16(const std::uint8_t* at) noexcept {
    return static_cast<std::uint16_t>(at[0] << 8 | at[1]);
}

void store16(std::uint8_t* at, std::uint64_t value) noexcept {
    at[0] = static_cast<std::uint8_t>(value >> 8);
    at[1] = static_cast<std::uint8_t>(value);
}

// A 16-bit word, given by its value, as it counts in a sum.
std::uint64_t word(std::uint64_t value) noexcept {
    std::uint8_t bytes[2];
    store16(bytes, value);
    std::uint16_t there;
    std::memcpy(&there, bytes, 2);
    return there;
}

std::uint16_t fold(std::uint64_t total) noexcept {
    while (total >> 16 != 0) {
        total = (total & 0xFFFF) + (total >> 16);
    }
    return static_cast<std::uint16_t>(total);
}

void store_sum(std::uint8_t* at, std::uint16_t value) noexcept {
    std::memcpy(at, &value, 2);
}

}  // namespace

std::uint64_t sum(std::span<const std::uint8_t> bytes) noexcept {
    std::uint64_t total = 0;
    std::size_t i = 0;
    for (; i + 4 <= bytes.size(); i += 4) {
        std::uint32_t words;
        std::memcpy(&words, bytes.data() + i, 4);
        total += words;
    }
    std::uint32_t rest = 0;  // the missing last byte counts as zero
    std::memcpy(&rest, bytes.data() + i, bytes.size() - i);
    return total + rest;
}

std::uint64_t copy_and_sum(std::uint8_t* to, std::span<const std::uint8_t> from) noexcept {
    std::uint64_t total = 0;
    for (std::size_t at = 0; at < from.size(); at += kBlock) {
        const std::size_t size = std::min(kBlock, from.size() - at);
        std::memcpy(to + at, from.data() + at, size);
        total += sum({to + at, size});
    }
    return total;
}

std::uint64_t join(std::uint64_t head, std::size_t head_size, std::uint64_t tail) noexcept {
    if (head_size % 2 == 0) {
        return head + tail;
    }
    // Every byte of the tail stands in the other half of its word (RFC 1071, section 2 (B)).
    const std::uint16_t folded = fold(tail);
    return head + static_cast<std::uint16_t>(folded << 8 | folded >> 8);
}

Envelope::Envelope(const Mac& source, const Mac& destination, const Endpoint& from,
                   const Endpoint& to) {
    std::uint8_t* const ip = bytes_.data() + kEthernetHeader;
    std::ranges::copy(destination, bytes_.begin());
    std::ranges::copy(source, bytes_.begin() + 6);
    const auto from_ip = from.ip(), to_ip = to.ip();
    std::uint8_t* udp = nullptr;
    if (from.family() == AF_INET6) {
        store16(&bytes_[12], kTypeIpv6);
        ip[0] = 0x60;
        ip[1] = kEctZero << 4;
        ip[6] = kUdp;
        ip[7] = kHops;
        std::ranges::copy(from_ip, ip + 8);
        std::ranges::copy(to_ip, ip + 24);
        udp = ip + kIpv6Header;
    } else {
        store16(&bytes_[12], kTypeIpv4);
        ip[0] = 0x45;
        ip[1] = kEctZero;
        ip[6] = 0x40;  // never in fragments
        ip[8] = kHops;
        ip[9] = kUdp;
        std::ranges::copy(from_ip, ip + 12);
        std::ranges::copy(to_ip, ip + 16);
        udp = ip + kIpv4Header;
        ip_sum_ = sum({ip, kIpv4Header});
    }
    store16(udp, from.port());
    store16(udp + 2, to.port());
    size_ = static_cast<std::size_t>(udp - bytes_.data()) + kUdpHeader;
    pseudo_sum_ = sum(from_ip) + sum(to_ip) + word(kUdp) + sum({udp, 4});
}

void Envelope::write(std::uint8_t* out, std::size_t payload_size,
                     std::uint64_t payload_sum) const noexcept {
    std::memcpy(out, bytes_.data(), size_);
    std::uint8_t* const ip = out + kEthernetHeader;
    std::uint8_t* const udp = out + size_ - kUdpHeader;
    const std::size_t length = kUdpHeader + payload_size;
    if (ip[0] == 0x45) {
        store16(ip + 2, kIpv4Header + length);
        store_sum(ip + 10, static_cast<std::uint16_t>(~fold(ip_sum_ + word(kIpv4Header + length))));
    } else {
        store16(ip + 4, length);
    }
    store16(udp + 4, length);
    // The length counts twice: in the pseudo header and in UDP's own (RFC 768; RFC 8200, 8.1).
    const auto check =
        static_cast<std::uint16_t>(~fold(pseudo_sum_ + 2 * word(length) + payload_sum));
    store_sum(udp + 6, check == 0 ? std::uint16_t{0xFFFF} : check);
}

Verdict parse(std::span<const std::uint8_t> frame, bool verify, Datagram& datagram) noexcept {
    if (frame.size() < kEthernetHeader + kIpv4Header + kUdpHeader) {
        return Verdict::kForeign;
    }
    const std::uint8_t* const ip = frame.data() + kEthernetHeader;
    std::size_t room = frame.size() - kEthernetHeader;  // IP header and what follows, at most
    std::size_t header = 0, length = 0;                 // of IP; of what it carries
    std::span<const std::uint8_t> from, to;
    std::uint8_t traffic_class = 0;
    if (load16(frame.data() + 12) == kTypeIpv4) {
        header = kIpv4Header;  // with options it would be longer: those the program leaves to the
                               // kernel
        const std::size_t total = load16(ip + 2);
        if (ip[0] != 0x45 || ip[9] != kUdp || (load16(ip + 6) & 0x3FFF) != 0 || total > room ||
            total < header) {
            return Verdict::kForeign;
        }
        if (verify && fold(sum({ip, header})) != 0xFFFF) {
            return Verdict::kCorrupt;
        }
        length = total - header;
        from = {ip + 12, 4};
        to = {ip + 16, 4};
        traffic_class = ip[1];
    } else if (load16(frame.data() + 12) == kTypeIpv6) {
        header = kIpv6Header;
        if (room < header || ip[0] >> 4 != 6 || ip[6] != kUdp) {
            return Verdict::kForeign;
        }
        length = load16(ip + 4);
        from = {ip + 8, 16};
        to = {ip + 24, 16};
        traffic_class = static_cast<std::uint8_t>(load16(ip) >> 4);
    } else {
        return Verdict::kForeign;
    }
    room -= header;
    const std::uint8_t* const udp = ip + header;
    const std::size_t size = length >= kUdpHeader && length <= room ? load16(udp + 4) : 0;
    if (size < kUdpHeader || size > length) {
        return Verdict::kForeign;
    }
    datagram.from = Endpoint::from_bytes(from, load16(udp));
    datagram.to = Endpoint::from_bytes(to, load16(udp + 2));
    datagram.payload = {udp + kUdpHeader, size - kUdpHeader};
    datagram.marked = (traffic_class & 3) == kCongestionExperienced;
    std::uint16_t check;
    std::memcpy(&check, udp + 6, 2);
    if (!verify || (check == 0 && from.size() == 4)) {
        return Verdict::kOk;
    }
    const std::uint64_t pseudo = sum(from) + sum(to) + word(kUdp) + word(size);
    const bool good =
        check != 0 && (check == fold(pseudo) || fold(pseudo + sum({udp, size})) == 0xFFFF);
    return good ? Verdict::kOk : Verdict::kCorrupt;
}

}  // namespace weft::datapath::xdp
