// A process in miniature, over any datapath: an owner that notes what it is told, and transfers
// with buffers of their own. Who derives from it makes the datapath.
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

#include "datapath/channel.h"
#include "datapath/clock.h"

namespace weft::datapath::test {

constexpr Time kSecond = 1'000'000'000;

inline Time now() {
    return clock_now();
}

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

class Process : public ChannelOwner, public Acceptor {
  public:
    virtual ~Process() = default;
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

    // Nothing happens in this process before then, unless something comes in: to be told where time
    // is the test's own.
    virtual void rest(Time /*until*/) {}

    Channel& connect(Process& other, Time timeout = 5 * kSecond) {
        return connect(other.id(), other.datapath->address(), timeout);
    }
    Channel& connect(PeerId peer, const std::string& address, Time timeout = 5 * kSecond) {
        channels.push_back(datapath->connect(peer, address, *this, now() + timeout));
        return *channels.back();
    }
    PeerId id() const { return id_; }
    Channel& channel() { return *channels.back(); }
    std::uint64_t stat(const std::string& key) const { return number(datapath->stats_json(), key); }
    std::uint64_t channel_stat(const std::string& key) const {
        return number(channels.back()->stats_json(), key);
    }

    // The first number under this key.
    static std::uint64_t number(const std::string& json, const std::string& key) {
        const auto at = json.find("\"" + key + "\":");
        REQUIRE_MESSAGE(at != std::string::npos, key << " in " << json);
        return std::stoull(json.substr(at + key.size() + 3));
    }

    std::unique_ptr<Datapath> datapath;
    std::vector<std::unique_ptr<Channel>> channels;
    std::function<void(Channel&, const Tag&, std::size_t)> on_unmatched;
    int opened = 0, unmatched = 0, failures = 0;
    std::function<bool()> takes;  // calls; null: all of them
    ErrorPtr failure;

  protected:
    explicit Process(PeerId id) : id_(id) {}
    Identity identity(const char* secret, Time peer_timeout) const {
        Identity identity;
        identity.id = id_;
        identity.peer_timeout = peer_timeout;
        std::memcpy(identity.key, secret, std::min(std::strlen(secret), sizeof identity.key));
        return identity;
    }

  private:
    const PeerId id_;
};

// Drives all datapaths until the condition holds; false when it does not within `timeout`.
template <typename Condition>
bool run_until(std::initializer_list<Process*> nodes, Condition condition,
               Time timeout = 60 * kSecond, const std::function<void()>& also = {}) {
    const Time until = now() + timeout;
    while (!condition()) {
        if (now() > until) {
            return false;
        }
        bool moved = false;
        Time next = until + 1;
        for (Process* node : nodes) {
            if (node->datapath) {
                moved = node->datapath->progress(now()) || moved;
                next = std::min(next, node->datapath->next_wakeup());
            }
        }
        if (also) {
            also();
        }
        if (!moved) {
            (*nodes.begin())->rest(next);
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
inline void exchange(Process& a, Process& b, std::size_t size, std::uint64_t seed = 1) {
    const Tag tag{seed, size};
    Op from_a(tag, random_bytes(size, seed)), from_b(tag, random_bytes(size, seed + 1));
    Op to_a(tag, blank(size)), to_b(tag, blank(size));
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

// Both say goodbye while both listen, which saves each of them the wait for an answer.
inline void part(Process& a, Process& b) {
    a.channel().close();
    b.channel().close();
    const auto ended = [](Process& node) {
        return node.channel().stats_json().find("\"ended\"") != std::string::npos;
    };
    run_until({&a, &b}, [&] { return ended(a) && ended(b); }, kSecond);
}

}  // namespace weft::datapath::test
