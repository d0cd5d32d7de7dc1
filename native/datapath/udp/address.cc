#include "datapath/udp/address.h"

#include "datapath/error.h"

namespace weft::datapath::udp {
namespace {

constexpr std::uint8_t kVersion = 1;

template <typename Int>
void put(std::string& out, Int value) {
    for (std::size_t i = 0; i < sizeof(Int); ++i) {
        out.push_back(static_cast<char>(static_cast<std::uint64_t>(value) >> (8 * i) & 0xFF));
    }
}

class Input {
  public:
    explicit Input(std::string_view text) : left_(text) {}

    std::span<const std::uint8_t> bytes(std::size_t count) {
        if (left_.size() < count) {
            throw Error(WEFT_ERR_INVALID, "the UDP part of a peer's address is cut short");
        }
        const auto* data = reinterpret_cast<const std::uint8_t*>(left_.data());
        left_.remove_prefix(count);
        return {data, count};
    }

    template <typename Int>
    Int number() {
        std::uint64_t sum = 0;
        const auto field = bytes(sizeof(Int));
        for (std::size_t i = 0; i < sizeof(Int); ++i) {
            sum |= std::uint64_t{field[i]} << (8 * i);
        }
        return static_cast<Int>(sum);
    }

    bool empty() const { return left_.empty(); }

  private:
    std::string_view left_;
};

LocalAddress decode_address(Input& in) {
    LocalAddress entry;
    const auto family = in.number<std::uint8_t>();
    if (family != 4 && family != 6) {
        throw Error(WEFT_ERR_INVALID,
                    "the UDP part of a peer's address has an unknown address family");
    }
    entry.device = in.number<std::uint8_t>();
    entry.prefix = in.number<std::uint8_t>();
    entry.mtu = in.number<std::uint32_t>();
    entry.address = Endpoint::from_bytes(in.bytes(family == 4 ? 4 : 16), 0);
    const auto ports = in.number<std::uint8_t>();
    for (unsigned i = 0; i < ports; ++i) {
        entry.ports.push_back(in.number<std::uint16_t>());
    }
    if (entry.ports.empty()) {
        throw Error(WEFT_ERR_INVALID,
                    "the UDP part of a peer's address has an address without a port");
    }
    return entry;
}

}  // namespace

std::string encode_addresses(const std::vector<LocalAddress>& addresses) {
    std::string out;
    put(out, kVersion);
    put(out, static_cast<std::uint8_t>(addresses.size()));
    for (const LocalAddress& entry : addresses) {
        put(out, static_cast<std::uint8_t>(entry.address.family() == AF_INET ? 4 : 6));
        put(out, entry.device);
        put(out, entry.prefix);
        put(out, entry.mtu);
        const auto ip = entry.address.ip();
        out.append(reinterpret_cast<const char*>(ip.data()), ip.size());
        put(out, static_cast<std::uint8_t>(entry.ports.size()));
        for (const std::uint16_t port : entry.ports) {
            put(out, port);
        }
    }
    return out;
}

std::vector<LocalAddress> decode_addresses(std::string_view blob) {
    Input in(blob);
    if (in.number<std::uint8_t>() != kVersion) {
        throw Error(WEFT_ERR_INVALID,
                    "the UDP part of a peer's address was written by another version of Weft");
    }
    std::vector<LocalAddress> addresses;
    const auto count = in.number<std::uint8_t>();
    for (unsigned i = 0; i < count; ++i) {
        addresses.push_back(decode_address(in));
    }
    if (!in.empty()) {
        throw Error(WEFT_ERR_INVALID, "the UDP part of a peer's address has trailing bytes");
    }
    return addresses;
}

bool compatible(const Endpoint& a, const Endpoint& b) {
    return a.family() == b.family() && a.is_loopback() == b.is_loopback();
}

std::string describe(const std::vector<LocalAddress>& addresses) {
    std::string text;
    for (const LocalAddress& entry : addresses) {
        Endpoint endpoint = entry.address;
        endpoint.set_port(entry.ports.front());
        text += (text.empty() ? "" : ", ") + endpoint.to_string();
    }
    return text;
}

}  // namespace weft::datapath::udp
