// Random interleavings of everything, against a model: what was sent arrives once, whole, in order
// per tag, or was cancelled.
#include <doctest/doctest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <random>

#include "process.h"

namespace weft::datapath::shm::test {
namespace {

// One direction of the edge: what the sender did, and what the receiver must therefore see.
struct Flow {
    Node* from = nullptr;
    Node* to = nullptr;
    std::map<std::uint64_t, std::deque<std::uint64_t>>
        sent;  // per tag: seeds of messages in order, not yet received
    std::vector<std::unique_ptr<Op>> sends, recvs;
    std::vector<std::size_t> expected_seed;  // of recvs
    std::size_t received = 0;
};

std::size_t random_size(std::mt19937_64& random) {
    switch (random() % 6) {
        case 0:
            return random() % 65;
        case 1:
            return random() % 2000;
        case 2:
            return 16384 + random() % 3 - 1;
        case 3:
            return random() % 20000;
        case 4:
            return random() % 300000;
        default:
            return 8;
    }
}

// The size belongs to tag and position, so that receiver and sender agree although they run apart.
std::size_t size_of(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    return random_size(random);
}

TEST_CASE("random interleavings of sends and receives in both directions") {
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        ShmOptions options = with(kWays[seed % 3]);
        options.unmatched_bytes = seed % 2 != 0 ? 4u << 20 : 20000;  // often beyond the bound
        Pair pair(options);
        Flow flows[2];
        flows[0].from = flows[1].to = &pair.a;
        flows[0].to = flows[1].from = &pair.b;
        constexpr std::uint64_t kTags = 5;
        std::uint64_t send_count[2][kTags] = {}, recv_count[2][kTags] = {};
        const auto seed_of = [&](std::size_t f, std::uint64_t tag, std::uint64_t n) {
            return seed * 1000003 + f * 7919 + tag * 104729 + n * 13;
        };
        for (int step = 0; step < 4000; ++step) {
            const std::size_t f = random() % 2;
            Flow& flow = flows[f];
            const std::uint64_t tag = random() % kTags;
            switch (random() % 4) {
                case 0: {
                    const std::uint64_t s = seed_of(f, tag, send_count[f][tag]++);
                    auto op = make_op(size_of(s), tag);
                    fill(op->bytes, s);
                    flow.from->channel->send(op->transfer);
                    flow.sends.push_back(std::move(op));
                    break;
                }
                case 1: {
                    const std::uint64_t s = seed_of(f, tag, recv_count[f][tag]++);
                    auto op = make_op(size_of(s), tag);
                    flow.to->channel->recv(op->transfer);
                    flow.recvs.push_back(std::move(op));
                    flow.expected_seed.push_back(s);
                    break;
                }
                default:
                    (random() % 2 != 0 ? pair.a : pair.b).progress();
            }
        }
        // Match up what is left over on either side.
        for (std::size_t f = 0; f < 2; ++f) {
            for (std::uint64_t tag = 0; tag < kTags; ++tag) {
                while (send_count[f][tag] < recv_count[f][tag]) {
                    const std::uint64_t s = seed_of(f, tag, send_count[f][tag]++);
                    flows[f].sends.push_back(make_op(size_of(s), tag));
                    fill(flows[f].sends.back()->bytes, s);
                    flows[f].from->channel->send(flows[f].sends.back()->transfer);
                }
                while (recv_count[f][tag] < send_count[f][tag]) {
                    const std::uint64_t s = seed_of(f, tag, recv_count[f][tag]++);
                    flows[f].recvs.push_back(make_op(size_of(s), tag));
                    flows[f].to->channel->recv(flows[f].recvs.back()->transfer);
                    flows[f].expected_seed.push_back(s);
                }
            }
        }
        const auto all_done = [&] {
            return std::all_of(std::begin(flows), std::end(flows), [](const Flow& flow) {
                return std::all_of(flow.sends.begin(), flow.sends.end(),
                                   [](auto& op) { return op->ended == 1; }) &&
                       std::all_of(flow.recvs.begin(), flow.recvs.end(),
                                   [](auto& op) { return op->ended == 1; });
            });
        };
        REQUIRE(pair.until(all_done));
        for (const Flow& flow : flows) {
            for (std::size_t i = 0; i < flow.recvs.size(); ++i) {
                std::vector<std::byte> expected(flow.recvs[i]->bytes.size());
                fill(expected, flow.expected_seed[i]);
                REQUIRE(flow.recvs[i]->done());
                REQUIRE(flow.recvs[i]->bytes == expected);
            }
        }
        CHECK(pair.a.channel->stats_json().find("\"unmatched_bytes_now\":0,") != std::string::npos);
    }
}

TEST_CASE("random cancels: no transfer is touched afterwards, the rest arrives") {
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        struct Message {
            std::unique_ptr<Op> send, recv;
            bool send_cancelled = false, recv_cancelled = false;
            std::vector<std::byte> after_cancel;  // the receive's bytes when it was cancelled
        };
        std::vector<Message> messages;  // some are still pending at the end: the pair goes first
        Pair pair(with(kWays[seed % 3]));
        for (int step = 0; step < 3000; ++step) {
            const std::uint64_t roll = random() % 10;
            if (roll < 2) {  // every message has its own tag, so that a cancelled one's loss is not
                             // another's gain
                const std::uint64_t id = messages.size();
                Message m{make_op(size_of(seed * 77777 + id), id),
                          make_op(size_of(seed * 77777 + id), id),
                          false,
                          false,
                          {}};
                fill(m.send->bytes, id);
                messages.push_back(std::move(m));
                Message& last = messages.back();
                if (random() % 2 != 0) {
                    pair.b.channel->recv(last.recv->transfer);
                    pair.a.channel->send(last.send->transfer);
                } else {
                    pair.a.channel->send(last.send->transfer);
                    pair.b.channel->recv(last.recv->transfer);
                }
            } else if (roll < 3 && !messages.empty()) {
                Message& m = messages[messages.size() - 1 -
                                      random() % std::min<std::size_t>(messages.size(), 4)];
                if (random() % 2 != 0) {
                    m.send_cancelled |= m.send->transfer.state == Transfer::State::kPending;
                    pair.a.channel->cancel(m.send->transfer);
                    if (m.send_cancelled) {
                        fill(m.send->bytes,
                             ~std::uint64_t{
                                 0});  // the memory is ours again: whoever reads on is found out
                    }
                } else if (m.recv->transfer.state == Transfer::State::kPending) {
                    m.recv_cancelled = true;
                    pair.b.channel->cancel(m.recv->transfer);
                    m.after_cancel = m.recv->bytes;
                }
            } else {
                (random() % 2 != 0 ? pair.a : pair.b).progress();
            }
        }
        pair.settle(20000);
        std::size_t whole = 0, cut = 0;
        for (std::size_t i = 0; i < messages.size(); ++i) {
            const Message& m = messages[i];
            CAPTURE(i);
            CHECK(m.send->ended == (m.send_cancelled ? 0 : m.send->ended));
            CHECK(m.recv->ended == (m.recv_cancelled ? 0 : m.recv->ended));
            if (m.recv_cancelled) {
                REQUIRE(m.recv->bytes == m.after_cancel);
            } else if (m.recv->done()) {
                std::vector<std::byte> expected(m.recv->bytes.size());
                fill(expected, i);
                REQUIRE(m.recv->bytes == expected);
                ++whole;
            } else {
                REQUIRE(m.send_cancelled);  // nothing else may keep a message from arriving
                REQUIRE((m.recv->ended == 0 || m.recv->status() == WEFT_ERR_ABORTED));
                ++cut;
            }
            if (!m.send_cancelled && !m.recv_cancelled) {
                REQUIRE(m.send->done());
                REQUIRE(m.recv->done());
            }
        }
        CHECK(whole > 100);
        CHECK(cut > 0);
        // The edge is as good as new.
        auto send = make_op(1 << 20, 1 << 30), recv = make_op(1 << 20, 1 << 30);
        fill(send->bytes, 5);
        pair.b.channel->recv(recv->transfer);
        pair.a.channel->send(send->transfer);
        REQUIRE(pair.until([&] { return recv->done() && send->done(); }));
        CHECK(recv->bytes == send->bytes);
    }
}

TEST_CASE("full rings in both directions do not deadlock, nor do receives in an awkward order") {
    for (const auto way : kWays) {
        ShmOptions options = with(way);
        options.unmatched_bytes = 10000;
        Pair pair(options);
        std::vector<std::unique_ptr<Op>> ops[4];
        constexpr std::size_t kCount = 2000;  // some 16 MB each way through a ring of 256 KiB
        for (std::uint64_t i = 0; i < kCount; ++i) {
            for (int side = 0; side < 2; ++side) {
                auto op = make_op(i % 100 == 0 ? 100000 : 8000, i);
                fill(op->bytes, i);
                (side == 0 ? pair.a : pair.b).channel->send(op->transfer);
                ops[side].push_back(std::move(op));
            }
        }
        pair.settle(5000);
        for (std::uint64_t i = kCount; i-- > 0;) {  // newest first
            for (int side = 0; side < 2; ++side) {
                auto op = make_op(i % 100 == 0 ? 100000 : 8000, i);
                (side == 0 ? pair.b : pair.a).channel->recv(op->transfer);
                ops[2 + side].push_back(std::move(op));
            }
        }
        const auto done = [](auto& list) {
            return std::all_of(list.begin(), list.end(), [](auto& op) { return op->done(); });
        };
        REQUIRE(pair.until(
            [&] { return done(ops[0]) && done(ops[1]) && done(ops[2]) && done(ops[3]); }));
        for (std::size_t i = 0; i < kCount; ++i) {
            REQUIRE(ops[2][kCount - 1 - i]->bytes == ops[0][i]->bytes);
            REQUIRE(ops[3][kCount - 1 - i]->bytes == ops[1][i]->bytes);
        }
    }
}

TEST_CASE("forgetting a group drops what is unmatched and refuses what still comes") {
    Pair pair;
    auto eager = make_op(1000, 1, 50), offer = make_op(100000, 2, 50), other = make_op(1000, 1, 51);
    pair.a.channel->send(eager->transfer);
    pair.a.channel->send(offer->transfer);
    pair.a.channel->send(other->transfer);
    REQUIRE(pair.until([&] { return pair.b.unmatched == 3; }));
    pair.b.channel->forget_group(50);
    REQUIRE(pair.until([&] { return offer->ended == 1; }));
    CHECK(offer->status() == WEFT_ERR_ABORTED);
    auto late = make_op(100000, 3, 50), late_eager = make_op(8, 4, 50);
    pair.a.channel->send(late->transfer);
    pair.a.channel->send(late_eager->transfer);
    REQUIRE(pair.until([&] { return late->ended == 1; }));
    CHECK(late->status() == WEFT_ERR_ABORTED);
    CHECK(pair.b.unmatched == 3);
    auto got = make_op(1000, 1, 51);
    pair.b.channel->recv(got->transfer);
    CHECK(got->done());
    CHECK(pair.b.channel->stats_json().find("\"unmatched_bytes_now\":0,") != std::string::npos);
}

// The receiving process echoes what it gets; both sleep whenever they may, so every wake-up is
// needed.
TEST_CASE("two processes that sleep: no wake-up is lost") {
    const auto sleep_if_idle = [](Node& node) {
        if (!node.progress() && node.datapath->arm()) {
            pollfd fd{node.datapath->wait_fds()[0], POLLIN, 0};
            const int ready =
                poll(&fd, 1, 10'000);  // a lost wake-up costs ten seconds: the test's deadline
            node.datapath->disarm();
            return ready > 0;
        }
        node.datapath->disarm();
        return true;
    };
    for (const auto way : kWays) {
        ShmOptions options = with(way);
        Node a(identity(0xa), options);
        Process process(node_process(a, options, [&](Node& node, int) {
            for (std::uint64_t i = 0;; ++i) {
                const std::size_t size = size_of(i);
                auto op = make_op(size, i), back = make_op(size, i);
                node.channel->recv(op->transfer);
                while (!op->done()) {
                    if (!sleep_if_idle(node)) {
                        return 1;
                    }
                }
                back->bytes.swap(op->bytes);
                back->transfer.data = back->bytes.data();
                node.channel->send(back->transfer);
                while (!back->done()) {
                    if (!sleep_if_idle(node)) {
                        return 2;
                    }
                }
            }
        }));
        REQUIRE(drive({&a}, [&] { return a.opened == 1; }));
        for (std::uint64_t i = 0; i < 500; ++i) {
            const std::size_t size = size_of(i);
            auto send = make_op(size, i), recv = make_op(size, i);
            fill(send->bytes, i);
            a.channel->recv(recv->transfer);
            a.channel->send(send->transfer);
            while (!recv->done()) {
                REQUIRE(sleep_if_idle(a));
            }
            REQUIRE(recv->bytes == send->bytes);
        }
    }
}

}  // namespace
}  // namespace weft::datapath::shm::test
