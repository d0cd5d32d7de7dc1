// A bad network between two datapaths: a relay of datagrams that loses, doubles, delays,
// trims and corrupts them by a seed, or drops those that are too large. The caller is given the
// relay's ports in place of the called side's.
#pragma once

#include <poll.h>
#include <unistd.h>

#include <deque>
#include <map>
#include <random>

#include "datapath/udp/address.h"
#include "datapath/udp/endpoint.h"
#include "node.h"

namespace weft::datapath::test {

struct Weather {
    double loss = 0, duplication = 0, delay = 0, corruption = 0;  // probabilities per datagram
    double trimming = 0;                                          // likewise, of large ones
    std::size_t trimmed = 80;                                     // bytes that are left of those
    std::size_t largest = 65535;                                  // bytes of payload that pass
};

class Relay {
  public:
    Relay(const std::string& address, Weather weather, std::uint64_t seed)
        : weather_(weather), random_(seed) {
        auto addresses = udp::decode_addresses(address);
        for (auto& entry : addresses) {
            for (auto& port : entry.ports) {
                udp::Endpoint target = entry.address;
                target.set_port(port);
                Front front{open(entry.address), target};
                port = front.socket.local.port();
                fronts_.push_back(std::move(front));
            }
        }
        address_ = udp::encode_addresses(addresses);
    }
    ~Relay() {
        for (const Front& front : fronts_) {
            ::close(front.socket.fd);
            for (const auto& [port, back] : front.backs) {
                ::close(back.fd);
            }
        }
    }
    Relay(const Relay&) = delete;
    Relay& operator=(const Relay&) = delete;

    const std::string& address() const { return address_; }
    void set(Weather weather) { weather_ = weather; }
    std::uint64_t passed() const { return passed_; }
    std::uint64_t harmed() const { return harmed_; }

    void pump() {
        for (Front& front : fronts_) {
            udp::Endpoint from;
            while (const auto bytes = take(front.socket.fd, from)) {
                auto back = front.backs.find(from.port());
                if (back == front.backs.end()) {
                    udp::Endpoint any = front.target;
                    back = front.backs.emplace(from.port(), open(any)).first;
                }
                front.callers.insert_or_assign(from.port(), from);
                pass(back->second.fd, front.target, *bytes);
            }
            for (const auto& [port, back] : front.backs) {
                udp::Endpoint ignored;
                while (const auto bytes = take(back.fd, ignored)) {
                    pass(front.socket.fd, front.callers.at(port), *bytes);
                }
            }
        }
        // Delayed datagrams leave when as many others as they were told have passed, or when
        // nothing else moves.
        for (std::size_t i = 0; i < delayed_.size();) {
            if (delayed_[i].after <= clock_ || idle_rounds_ > 50) {
                put(delayed_[i].fd, delayed_[i].to, delayed_[i].bytes);
                delayed_.erase(delayed_.begin() + static_cast<std::ptrdiff_t>(i));
            } else {
                ++i;
            }
        }
        ++idle_rounds_;
    }

  private:
    static constexpr std::size_t kTrimmable = 512;  // nothing but payload is as large

    struct Socket {
        int fd;
        udp::Endpoint local;
    };
    struct Front {
        Socket socket;
        udp::Endpoint target;
        std::map<std::uint16_t, Socket> backs{};  // by the caller's port
        std::map<std::uint16_t, udp::Endpoint> callers{};
    };
    struct Delayed {
        std::uint64_t after;
        int fd;
        udp::Endpoint to;
        std::vector<std::uint8_t> bytes;
    };

    static Socket open(udp::Endpoint address) {
        address.set_port(0);
        Socket socket{::socket(address.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                      address};
        REQUIRE(socket.fd >= 0);
        REQUIRE(::bind(socket.fd, address.data(), address.size()) == 0);
        const int room = 8 << 20;
        setsockopt(socket.fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
        socklen_t size = udp::Endpoint::kMaxSize;
        REQUIRE(getsockname(socket.fd, socket.local.data(), &size) == 0);
        return socket;
    }

    std::optional<std::vector<std::uint8_t>> take(int fd, udp::Endpoint& from) {
        buffer_.resize(65536);
        socklen_t size = udp::Endpoint::kMaxSize;
        const ssize_t got = recvfrom(fd, buffer_.data(), buffer_.size(), 0, from.data(), &size);
        if (got < 0) {
            return std::nullopt;
        }
        idle_rounds_ = 0;
        ++clock_;
        return std::vector<std::uint8_t>(buffer_.begin(), buffer_.begin() + got);
    }

    bool happens(double probability) {
        return std::uniform_real_distribution<double>()(random_) < probability;
    }

    void pass(int fd, const udp::Endpoint& to, std::vector<std::uint8_t> bytes) {
        if (happens(weather_.loss) || bytes.size() > weather_.largest) {
            ++harmed_;
            return;
        }
        if (happens(weather_.corruption)) {
            ++harmed_;
            bytes[random_() % bytes.size()] ^= static_cast<std::uint8_t>(1u << random_() % 8);
        }
        if (bytes.size() > kTrimmable && happens(weather_.trimming)) {
            ++harmed_;
            bytes.resize(weather_.trimmed);
        }
        if (happens(weather_.duplication)) {
            ++harmed_;
            put(fd, to, bytes);
        }
        if (happens(weather_.delay)) {
            ++harmed_;
            delayed_.push_back({clock_ + 1 + random_() % 200, fd, to, std::move(bytes)});
            return;
        }
        put(fd, to, bytes);
    }

    void put(int fd, const udp::Endpoint& to, const std::vector<std::uint8_t>& bytes) {
        ++passed_;
        [[maybe_unused]] const ssize_t sent =
            sendto(fd, bytes.data(), bytes.size(), 0, to.data(), to.size());
    }

    Weather weather_;
    std::mt19937_64 random_;
    std::string address_;
    std::vector<Front> fronts_;
    std::deque<Delayed> delayed_;
    std::vector<std::uint8_t> buffer_;
    std::uint64_t clock_ = 0;  // datagrams seen
    std::uint64_t passed_ = 0, harmed_ = 0;
    int idle_rounds_ = 0;
};

}  // namespace weft::datapath::test
