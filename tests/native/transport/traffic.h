// Random messages between the two ends of a simulated pair, and the proof that every byte arrived
// once.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "datapath/simulated/pair.h"

namespace weft::transport::test {

using datapath::simulated::Endpoint;
using datapath::simulated::Link;
using datapath::simulated::Pair;
using datapath::simulated::PairOptions;
using datapath::simulated::Side;

inline PairOptions options_with(std::uint16_t paths, std::uint64_t seed = 1) {
    PairOptions options;
    options.seed = seed;
    for (Config* config : {&options.client, &options.server}) {
        config->paths = paths;
        config->chunk_size = 1000;
        config->key = {1, 2, 3};
        config->epoch = 7;
    }
    options.client.peer_id = 101;
    options.server.peer_id = 202;
    return options;
}

inline std::size_t count(const std::vector<Event>& events, EventKind kind) {
    std::size_t number = 0;
    for (const Event& event : events) {
        number += event.kind == kind ? 1 : 0;
    }
    return number;
}

inline const Event* find(const std::vector<Event>& events, EventKind kind) {
    for (const Event& event : events) {
        if (event.kind == kind) {
            return &event;
        }
    }
    return nullptr;
}

inline std::vector<std::uint8_t> random_bytes(std::size_t size, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<std::uint8_t> bytes(size);
    for (std::size_t i = 0; i + 8 <= size; i += 8) {
        const std::uint64_t word = random();
        for (std::size_t k = 0; k < 8; ++k) {
            bytes[i + k] = static_cast<std::uint8_t>(word >> (8 * k));
        }
    }
    for (std::size_t i = size / 8 * 8; i < size; ++i) {
        bytes[i] = static_cast<std::uint8_t>(random());
    }
    return bytes;
}

// A set of messages from one side to the other.
class Traffic {
  public:
    Traffic(Pair& pair, Side from, std::uint64_t group) : pair_(pair), from_(from), group_(group) {}

    // Queues a message of random bytes; its destination is posted before, or later by post_all().
    void add(std::size_t size, bool post_first, std::uint8_t priority = 0, bool wait = false) {
        const Tag tag{group_, sent_.size()};
        sent_.push_back(std::make_unique<std::vector<std::uint8_t>>(
            random_bytes(size, group_ * 1000003 + sent_.size())));
        received_.push_back(std::make_unique<std::vector<std::uint8_t>>(size));
        posted_.push_back(post_first);
        if (post_first) {
            to()->post(pair_.now(), tag, *received_.back());
        }
        SendRequest request;
        request.tag = tag;
        request.signature = size ^ 0xABCD;
        request.priority = priority;
        request.wait_for_grant = wait;
        REQUIRE(from()->send(pair_.now(), request, *sent_.back()) != kNoMessage);
    }

    void post_all() {
        for (std::size_t i = 0; i < posted_.size(); ++i) {
            if (!posted_[i]) {
                posted_[i] = true;
                to()->post(pair_.now(), {group_, i}, *received_[i]);
            }
        }
    }

    Endpoint* from() { return pair_.endpoint(from_); }
    Endpoint* to() { return pair_.endpoint(other(from_)); }
    std::size_t size() const { return sent_.size(); }

    // Both sides were told of every message of this set, exactly once. Counting is incremental,
    // since runs ask after every packet.
    bool complete() {
        for (; seen_sent_ < from()->events().size(); ++seen_sent_) {
            const Event& event = from()->events()[seen_sent_];
            sent_events_ += event.kind == EventKind::kMessageSent && event.tag.group == group_;
        }
        for (; seen_received_ < to()->events().size(); ++seen_received_) {
            const Event& event = to()->events()[seen_received_];
            received_events_ +=
                event.kind == EventKind::kMessageReceived && event.tag.group == group_;
        }
        return sent_events_ >= sent_.size() && received_events_ >= sent_.size();
    }

    void check_bytes() {
        CHECK(sent_events_ == sent_.size());
        CHECK(received_events_ == sent_.size());
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < sent_.size(); ++i) {
            wrong += *sent_[i] != *received_[i] ? 1 : 0;
        }
        CHECK(wrong == 0);
    }

  private:
    Pair& pair_;
    Side from_;
    std::uint64_t group_;
    std::vector<std::unique_ptr<std::vector<std::uint8_t>>> sent_;
    std::vector<std::unique_ptr<std::vector<std::uint8_t>>> received_;
    std::vector<bool> posted_;
    std::size_t seen_sent_ = 0;
    std::size_t seen_received_ = 0;
    std::size_t sent_events_ = 0;
    std::size_t received_events_ = 0;
};

}  // namespace weft::transport::test
