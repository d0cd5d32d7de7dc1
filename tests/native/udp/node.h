// A process in miniature: a UDP datapath, an owner that notes what it is told, and transfers with
// buffers of their own.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "datapath/udp/udp.h"
#include "datapath/xdp/xdp.h"

namespace weft::datapath::test {

inline Time now() {
    timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return Time{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}
constexpr Time kSecond = 1'000'000'000;

struct Op final : TransferObserver {
    Op(Tag tag, std::vector<std::byte> bytes, std::uint64_t signature = 7)
        : data(std::move(bytes)) {
        transfer.tag = tag;
        transfer.signature = signature;
        transfer.data = data.data();
        transfer.size = data.size();
        transfer.observer = this;
    }
    void transfer_done(Transfer&) noexcept override {
        ++ended;
        if (then) {
            then();
        }
    }
    bool done() const { return transfer.state == Transfer::State::kDone; }
    bool failed() const { return transfer.state == Transfer::State::kFailed; }

    std::vector<std::byte> data;
    Transfer transfer;
    int ended = 0;
    std::function<void()> then;
};

inline UdpOptions loopback(const char* address = "127.0.0.1") {
    UdpOptions options;
    options.interfaces = {address};
    return options;
}

struct Node final : ChannelOwner, Acceptor {
    explicit Node(PeerId id, UdpOptions options = loopback(), const char* secret = "secret",
                  Time peer_timeout = 1'500'000'000)
        : id_(id) {
        udp = std::make_unique<UdpDatapath>(identity(secret, peer_timeout), *this,
                                            std::move(options));
    }
    Node(PeerId id, XdpOptions options, const char* secret = "secret",
         Time peer_timeout = 1'500'000'000)
        : id_(id) {
        udp = std::make_unique<XdpDatapath>(identity(secret, peer_timeout), *this,
                                            std::move(options));
    }
    Identity identity(const char* secret, Time peer_timeout) const {
        Identity identity;
        identity.id = id_;
        identity.peer_timeout = peer_timeout;
        std::memcpy(identity.key, secret, std::min(std::strlen(secret), sizeof identity.key));
        return identity;
    }

    void channel_open(Channel&) override { ++opened; }
    void message_unmatched(Channel& channel, const Tag& tag, std::uint64_t,
                           std::size_t size) override {
        ++unmatched;
        if (on_unmatched) {
            on_unmatched(channel, tag, size);
        }
    }
    void channel_failed(Channel&, const ErrorPtr& why) override {
        ++failures;
        failure = why;
    }
    ChannelOwner* owner_for(PeerId) override { return takes && !takes() ? nullptr : this; }
    void accepted(std::unique_ptr<Channel> channel) override {
        channels.push_back(std::move(channel));
    }

    Channel& connect(Node& other, Time timeout = 5 * kSecond) {
        return connect(other.id(), other.udp->address(), timeout);
    }
    Channel& connect(PeerId peer, const std::string& address, Time timeout = 5 * kSecond) {
        channels.push_back(udp->connect(peer, address, *this, now() + timeout));
        return *channels.back();
    }
    PeerId id() const { return id_; }
    Channel& channel() { return *channels.back(); }
    std::uint64_t stat(const std::string& key) const { return number(udp->stats_json(), key); }
    std::uint64_t channel_stat(const std::string& key) const {
        return number(channels.back()->stats_json(), key);
    }

    // The first number under this key.
    static std::uint64_t number(const std::string& json, const std::string& key) {
        const auto at = json.find("\"" + key + "\":");
        REQUIRE_MESSAGE(at != std::string::npos, key << " in " << json);
        return std::stoull(json.substr(at + key.size() + 3));
    }

    PeerId id_ = 0;
    std::unique_ptr<UdpDatapath> udp;
    std::vector<std::unique_ptr<Channel>> channels;
    std::function<void(Channel&, const Tag&, std::size_t)> on_unmatched;
    int opened = 0, unmatched = 0, failures = 0;
    std::function<bool()> takes;  // calls; null: all of them
    ErrorPtr failure;
};

// Drives all datapaths until the condition holds; false when it does not within `timeout`.
template <typename Condition>
bool run_until(std::initializer_list<Node*> nodes, Condition condition, Time timeout = 60 * kSecond,
               const std::function<void()>& also = {}) {
    const Time until = now() + timeout;
    while (!condition()) {
        if (now() > until) {
            return false;
        }
        for (Node* node : nodes) {
            if (node->udp) {
                node->udp->progress(now());
            }
        }
        if (also) {
            also();
        }
    }
    return true;
}

inline std::vector<std::byte> random_bytes(std::size_t size, std::uint64_t seed) {
    std::vector<std::byte> bytes(size);
    std::mt19937_64 random(seed);
    std::size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        const std::uint64_t word = random();
        std::memcpy(&bytes[i], &word, 8);
    }
    for (; i < size; ++i) {
        bytes[i] = static_cast<std::byte>(random());
    }
    return bytes;
}

inline std::vector<std::byte> blank(std::size_t size) {
    return std::vector<std::byte>(size);
}

// Sends one message each way and checks the bytes.
inline void exchange(Node& a, Node& b, std::size_t size, std::uint64_t seed = 1) {
    const Tag tag{seed, size};
    Op from_a(tag, random_bytes(size, seed)), from_b(tag, random_bytes(size, seed + 1));
    Op to_a(tag, blank(size)), to_b(tag, blank(size));
    b.channel().recv(to_b.transfer);
    a.channel().recv(to_a.transfer);
    a.channel().send(from_a.transfer);
    b.channel().send(from_b.transfer);
    REQUIRE(run_until({&a, &b},
                      [&] { return from_a.ended + from_b.ended + to_a.ended + to_b.ended == 4; }));
    REQUIRE(from_a.done());
    REQUIRE(from_b.done());
    REQUIRE(to_a.done());
    REQUIRE(to_b.done());
    REQUIRE(to_b.data == from_a.data);
    REQUIRE(to_a.data == from_b.data);
}

// Both say goodbye while both listen, which saves each of them the wait for an answer.
inline void part(Node& a, Node& b) {
    a.channel().close();
    b.channel().close();
    const auto ended = [](Node& node) {
        return node.channel().stats_json().find("\"ended\"") != std::string::npos;
    };
    run_until({&a, &b}, [&] { return ended(a) && ended(b); }, kSecond);
}

// Two nodes with an open edge between them; `a` has called.
struct Pair {
    explicit Pair(UdpOptions options = loopback(), Time peer_timeout = 1'500'000'000)
        : a(1, options, "secret", peer_timeout), b(2, options, "secret", peer_timeout) {
        a.connect(b);
        REQUIRE(run_until({&a, &b}, [&] { return a.opened == 1 && b.opened == 1; }));
    }
    ~Pair() { part(a, b); }
    void exchange(std::size_t size, std::uint64_t seed = 1) { test::exchange(a, b, size, seed); }
    Node a, b;
};

}  // namespace weft::datapath::test
