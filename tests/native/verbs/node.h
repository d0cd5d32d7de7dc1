// A process in miniature: a verbs datapath on a fake host, an owner that notes what it is told, and
// transfers with buffers of their own.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "datapath/clock.h"
#include "datapath/verbs/verbs.h"
#include "fake_provider.h"

namespace weft::datapath::verbs::test {

constexpr Time kSecond = 1'000'000'000;

// WEFT_TEST_SEED adds to every seed; a failure prints what it was.
inline std::uint64_t seeded(std::uint64_t seed) {
    const char* more = std::getenv("WEFT_TEST_SEED");
    return seed + (more != nullptr ? std::strtoull(more, nullptr, 10) * 1000 : 0);
}

struct Op final : TransferObserver {
    Op(Tag tag, std::vector<std::byte> bytes, std::uint64_t signature = 7)
        : data(std::move(bytes)) {
        transfer.tag = tag;
        transfer.signature = signature;
        transfer.data = data.data();
        transfer.size = data.size();
        transfer.observer = this;
    }
    void transfer_done(Transfer&) noexcept override { ++ended; }
    bool done() const { return transfer.state == Transfer::State::kDone; }
    bool failed() const { return transfer.state == Transfer::State::kFailed; }

    std::vector<std::byte> data;
    Transfer transfer;
    int ended = 0;
};

struct Node final : ChannelOwner, Acceptor {
    Node(Fabric& fabric, PeerId id, VerbsOptions options = {}, int rails = 1,
         const char* secret = "secret", Time peer_timeout = 1'500'000'000)
        : id(id) {
        Identity identity;
        identity.id = id;
        identity.peer_timeout = peer_timeout;
        std::memcpy(identity.key, secret, std::min(std::strlen(secret), sizeof identity.key));
        verbs = std::make_unique<VerbsDatapath>(
            identity, *this, std::move(options),
            std::make_shared<FakeHost>(fabric, static_cast<int>(id), rails));
    }
    void channel_open(Channel&) override { ++opened; }
    void message_unmatched(Channel&, const Tag&, std::uint64_t, std::size_t) override {
        ++unmatched;
    }
    void channel_failed(Channel&, const ErrorPtr& why) override {
        ++failures;
        failure = why;
    }
    ChannelOwner* owner_for(PeerId) override { return this; }
    void accepted(std::unique_ptr<Channel> channel) override {
        channels.push_back(std::move(channel));
    }
    Channel& connect(Node& other, Time timeout = 5 * kSecond) {
        channels.push_back(
            verbs->connect(other.id, other.verbs->address(), *this, clock_now() + timeout));
        return *channels.back();
    }
    Channel& channel() { return *channels.back(); }
    std::uint64_t stat(const std::string& key) const { return number(verbs->stats_json(), key); }
    std::uint64_t channel_stat(const std::string& key) const {
        return number(channels.back()->stats_json(), key);
    }
    // The first number under this key.
    static std::uint64_t number(const std::string& json, const std::string& key) {
        const auto at = json.find("\"" + key + "\":");
        REQUIRE_MESSAGE(at != std::string::npos, key << " in " << json);
        return std::stoull(json.substr(at + key.size() + 3));
    }

    const PeerId id;
    std::unique_ptr<VerbsDatapath> verbs;
    std::vector<std::unique_ptr<Channel>> channels;
    int opened = 0, unmatched = 0, failures = 0;
    ErrorPtr failure;
};

// Drives all datapaths until the condition holds; false when it does not within `timeout`.
template <typename Condition>
bool run_until(std::initializer_list<Node*> nodes, Condition condition,
               Time timeout = 60 * kSecond) {
    const Time until = clock_now() + timeout;
    while (!condition()) {
        if (clock_now() > until) {
            return false;
        }
        for (Node* node : nodes) {
            if (node->verbs) {
                node->verbs->progress(clock_now());
            }
        }
    }
    return true;
}

inline std::vector<std::byte> random_bytes(std::size_t size, std::uint64_t seed) {
    std::vector<std::byte> bytes(size);
    std::mt19937_64 random(seed);
    for (std::size_t i = 0; i < size; i += 8) {
        const std::uint64_t word = random();
        std::memcpy(&bytes[i], &word, std::min<std::size_t>(8, size - i));
    }
    return bytes;
}

inline std::vector<std::byte> blank(std::size_t size) {
    return std::vector<std::byte>(size);
}

// Two hosts with an open edge between them; `a` has called.
struct Pair {
    explicit Pair(Weather weather = {}, VerbsOptions options = {}, std::uint64_t seed = 1,
                  int rails = 1)
        : fabric(seeded(seed), weather),
          a(fabric, 1, options, rails),
          b(fabric, 2, options, rails) {
        INFO("seed " << seeded(seed));
        a.connect(b);
        REQUIRE(run_until({&a, &b}, [&] { return a.opened == 1 && b.opened == 1; }));
    }
    ~Pair() {
        // Both say goodbye while both listen, which saves each of them the wait for an answer.
        a.channel().close();
        b.channel().close();
        const auto ended = [](Node& node) {
            return node.channel().stats_json().find("\"ended\"") != std::string::npos;
        };
        run_until({&a, &b}, [&] { return ended(a) && ended(b); }, kSecond);
    }
    // Sends one message each way and checks the bytes.
    void exchange(std::size_t size, std::uint64_t seed = 1) {
        const Tag tag{seed, size};
        Op from_a(tag, random_bytes(size, seed));
        Op from_b(tag, random_bytes(size, seed + 1));
        Op to_a(tag, blank(size));
        Op to_b(tag, blank(size));
        b.channel().recv(to_b.transfer);
        a.channel().recv(to_a.transfer);
        a.channel().send(from_a.transfer);
        b.channel().send(from_b.transfer);
        REQUIRE_MESSAGE(
            run_until({&a, &b},
                      [&] { return from_a.ended + from_b.ended + to_a.ended + to_b.ended == 4; }),
            a.channel().stats_json() << "\n"
                                     << b.channel().stats_json());
        REQUIRE_MESSAGE(from_a.done(), (a.failure ? a.failure->message : "nothing"));
        REQUIRE(from_b.done());
        REQUIRE(to_a.done());
        REQUIRE(to_b.done());
        REQUIRE(to_b.data == from_a.data);
        REQUIRE(to_a.data == from_b.data);
    }
    Fabric fabric;
    Node a, b;
};

}  // namespace weft::datapath::verbs::test
