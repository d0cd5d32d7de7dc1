// One process's worth of shared-memory datapath for tests: the datapath, a stand-in for the
// engine's mesh, and ways to drive it.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <functional>
#include <initializer_list>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "datapath/shm/shm.h"

namespace weft::datapath::shm::test {

constexpr Time kMillisecond = 1'000'000;
constexpr Time kSecond = 1'000'000'000;
constexpr std::uint8_t kKey[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

inline Time clock_now() {
    timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return Time{ts.tv_sec} * kSecond + ts.tv_nsec;
}

inline Identity identity(PeerId id, Time peer_timeout = 1'500 * kMillisecond) {
    Identity identity;
    identity.id = id;
    std::memcpy(identity.key, kKey, sizeof kKey);
    identity.peer_timeout = peer_timeout;
    return identity;
}

// A transfer together with its memory, and how often it was said to have ended.
struct Op final : TransferObserver {
    explicit Op(std::size_t size) : bytes(size) {
        transfer.data = bytes.data();
        transfer.size = size;
        transfer.observer = this;
    }
    Op(const Op&) = delete;
    Op& operator=(const Op&) = delete;

    void transfer_done(Transfer& t) noexcept override {
        CHECK(&t == &transfer);
        ++ended;
        if (then) {
            then();
        }
    }
    bool done() const { return ended > 0 && transfer.state == Transfer::State::kDone; }
    weft_status status() const { return transfer.error ? transfer.error->status : WEFT_OK; }

    std::vector<std::byte> bytes;
    Transfer transfer;
    int ended = 0;
    std::function<void()> then;
};

inline std::unique_ptr<Op> make_op(std::size_t size, std::uint64_t message,
                                   std::uint64_t group = 7) {
    auto op = std::make_unique<Op>(size);
    op->transfer.tag = {group, message};
    op->transfer.signature = 42;
    return op;
}

inline void fill(std::vector<std::byte>& bytes, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    for (std::size_t i = 0; i < bytes.size(); i += 8) {
        const std::uint64_t word = random();
        std::memcpy(bytes.data() + i, &word, std::min<std::size_t>(8, bytes.size() - i));
    }
}

class Node final : public ChannelOwner, public Acceptor {
  public:
    explicit Node(const Identity& identity, const ShmOptions& options = {})
        : id(identity.id), datapath(std::make_unique<ShmDatapath>(identity, *this, options)) {}

    // ChannelOwner, Acceptor
    void channel_open(Channel&) override { ++opened; }
    void message_unmatched(Channel& from, const Tag& tag, std::uint64_t,
                           std::size_t size) override {
        ++unmatched;
        if (on_unmatched) {
            on_unmatched(from, tag, size);
        }
    }
    void channel_failed(Channel& which, const ErrorPtr& why) override {
        ++failed;
        CHECK(&which == channel.get());
        error = why;
        if (on_failed) {
            on_failed();
        }
    }
    ChannelOwner* owner_for(PeerId) override { return accepting ? this : nullptr; }
    void accepted(std::unique_ptr<Channel> from) override {
        ++opened;
        channel = std::move(from);
    }

    void connect(const Node& to, Time patience = 5 * kSecond) {
        connect(to.id, to.datapath->address(), patience);
    }
    void connect(PeerId peer, const std::string& address, Time patience = 5 * kSecond) {
        channel = datapath->connect(peer, address, *this, clock_now() + patience);
    }
    bool progress() { return datapath->progress(clock_now()); }

    const PeerId id;
    std::unique_ptr<ShmDatapath> datapath;
    std::unique_ptr<Channel> channel;  // to the one peer that most tests have
    bool accepting = true;
    int opened = 0;
    int failed = 0;
    int unmatched = 0;
    ErrorPtr error;
    std::function<void(Channel&, const Tag&, std::size_t)> on_unmatched;
    std::function<void()> on_failed;
};

// Drives all nodes until the condition holds; false when it did not within the time-out.
inline bool drive(std::initializer_list<Node*> nodes, const std::function<bool()>& condition,
                  Time timeout = 20 * kSecond) {
    const Time deadline = clock_now() + timeout;
    while (!condition()) {
        for (Node* node : nodes) {
            node->progress();
        }
        if (clock_now() > deadline) {
            return condition();
        }
    }
    return true;
}

// Two nodes with an open edge between them.
struct Pair {
    explicit Pair(const ShmOptions& options = {}, Time peer_timeout = 1'500 * kMillisecond)
        : a(identity(0xa, peer_timeout), options), b(identity(0xb, peer_timeout), options) {
        a.connect(b);
        REQUIRE(drive({&a, &b}, [&] { return a.opened == 1 && b.opened == 1; }));
    }
    bool until(const std::function<bool()>& condition, Time timeout = 20 * kSecond) {
        return drive({&a, &b}, condition, timeout);
    }
    // Rounds enough for anything under way to arrive.
    void settle(int rounds = 50) {
        for (int i = 0; i < rounds; ++i) {
            a.progress();
            b.progress();
        }
    }

    Node a;
    Node b;
};

// acc[i] += incoming[i] over 32-bit words; remembers the contract on pieces.
class WordSum final : public Reducer {
  public:
    void combine(std::byte* acc, const std::byte* incoming,
                 std::size_t bytes) const noexcept override {
        ++pieces;
        unaligned += bytes % 64 != 0;
        for (std::size_t i = 0; i + 4 <= bytes; i += 4) {
            std::uint32_t x, y;
            std::memcpy(&x, acc + i, 4);
            std::memcpy(&y, incoming + i, 4);
            x += y;
            std::memcpy(acc + i, &x, 4);
        }
    }
    mutable int pieces = 0;
    mutable int unaligned = 0;  // may be 1 per message: the last piece
};

inline ShmOptions with(ShmOptions::Large large) {
    ShmOptions options;
    options.large = large;
    return options;
}

constexpr ShmOptions::Large kWays[] = {ShmOptions::Large::kAdaptive, ShmOptions::Large::kPull,
                                       ShmOptions::Large::kStream};

}  // namespace weft::datapath::shm::test
