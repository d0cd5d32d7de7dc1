// Messages between two datapaths in one process: sizes, order of posting, matching, reductions,
// taking back.
#include <deque>
#include <map>
#include <set>

#include "node.h"

namespace weft::datapath::test {
namespace {

constexpr std::size_t kEager = 200'000;  // surely below what comes unasked of a message
constexpr std::size_t kLarge = 900'000;  // surely beyond it

struct AddBytes final : Reducer {
    void combine(std::byte* acc, const std::byte* incoming,
                 std::size_t bytes) const noexcept override {
        whole = whole && (bytes % 64 == 0 || bytes % 64 == tail);
        for (std::size_t i = 0; i < bytes; ++i) {
            acc[i] = static_cast<std::byte>(static_cast<unsigned>(acc[i]) +
                                            static_cast<unsigned>(incoming[i]));
        }
    }
    std::size_t tail = 0;  // what the last piece may be over
    mutable bool whole = true;
};

std::vector<std::byte> sum(const std::vector<std::byte>& a, const std::vector<std::byte>& b) {
    std::vector<std::byte> c(a.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
        c[i] = static_cast<std::byte>(static_cast<unsigned>(a[i]) + static_cast<unsigned>(b[i]));
    }
    return c;
}

TEST_CASE("messages of all sizes arrive, over IPv4 and IPv6") {
    for (const char* address : {"127.0.0.1", "::1"}) {
        CAPTURE(address);
        Pair pair(loopback(address));
        for (const std::size_t size : {0, 1, 63, 64, 65, 1000, 8'000, 9'000, 16'384, 16'385,
                                       100'000, 262'144, 262'145, 1'000'003, 20'000'000}) {
            CAPTURE(size);
            pair.exchange(size, size + 1);
        }
    }
}

TEST_CASE("messages arrive whatever the kernel and the options offer") {
    UdpOptions options = loopback();
    SUBCASE("no trains sent") {
        options.gso = false;
    }
    SUBCASE("no trains received") {
        options.gro = false;
    }
    SUBCASE("no trains at all") {
        options.gso = options.gro = false;
    }
    SUBCASE("checksums") {
        options.checksum = true;
    }
    SUBCASE("one path") {
        options.paths = 1;
    }
    SUBCASE("256 paths") {
        options.paths = 256;
    }
    SUBCASE("small packets") {
        options.mtu = 1280;
    }
    SUBCASE("packets as large as there are") {
        options.mtu = 65535;
    }
    SUBCASE("tiny kernel buffers") {
        options.buffer = 1 << 16;
    }
    SUBCASE("no congestion control, round robin") {
        options.congestion.name = "none";
        options.scheduler.name = "round_robin";
    }
    Pair pair(options);
    for (const std::size_t size : {1, 1'000, 100'001, 3'000'000}) {
        CAPTURE(size);
        pair.exchange(size);
    }
    CHECK(pair.a.channel_stat("mismatches") == 0);
}

TEST_CASE("of two packet sizes the smaller one counts") {
    UdpOptions large = loopback();
    large.mtu = 9000;
    UdpOptions small = loopback();
    small.mtu = 1400;
    Node a(1, small), b(2, large);
    a.connect(b);
    REQUIRE(run_until({&a, &b}, [&] { return a.opened == 1 && b.opened == 1; }));
    CHECK(a.channel_stat("chunk_size") <= 1400);
    CHECK(b.channel_stat("chunk_size") == a.channel_stat("chunk_size"));
    Op out({1, 1}, random_bytes(50'000, 1)), in({1, 1}, blank(50'000));
    a.channel().recv(in.transfer);
    b.channel().send(out.transfer);
    REQUIRE(run_until({&a, &b}, [&] { return in.done(); }));
    CHECK(in.data == out.data);
}

TEST_CASE("both ends learn all paths") {
    UdpOptions options = loopback();
    options.paths = 64;
    Pair pair(options);
    const auto bound = [](Node& node) {
        const std::string json = node.channel().stats_json();
        std::size_t count = 0;
        for (std::size_t at = 0; (at = json.find("\"bound\":true", at)) != std::string::npos;
             ++at) {
            ++count;
        }
        return count;
    };
    REQUIRE(
        run_until({&pair.a, &pair.b}, [&] { return bound(pair.a) == 64 && bound(pair.b) == 64; }));
    // 64 different pairs of ports, the same ones at both ends.
    std::set<std::string> ways;
    const std::string json = pair.a.channel().stats_json();
    for (std::size_t at = 0; (at = json.find("{\"local\":", at)) != std::string::npos; ++at) {
        ways.insert(json.substr(at, json.find(",\"bound\"", at) - at));
    }
    CHECK(ways.size() == 64);
    pair.exchange(10'000'000);
    CHECK(pair.a.channel_stat("refused_bindings") == 0);
}

TEST_CASE("a message waits for its receive, a receive for its message") {
    for (const std::size_t size : {std::size_t{0}, std::size_t{10}, kEager, kLarge}) {
        CAPTURE(size);
        Pair pair;
        Op out({1, 5}, random_bytes(size, size)), in({1, 5}, blank(size));
        pair.a.channel().send(out.transfer);
        REQUIRE(run_until({&pair.a, &pair.b}, [&] { return pair.b.unmatched == 1; }));
        pair.b.channel().recv(in.transfer);
        REQUIRE(run_until({&pair.a, &pair.b}, [&] { return in.done() && out.done(); }));
        CHECK(in.data == out.data);
        CHECK(in.ended == 1);
        CHECK(out.ended == 1);
    }
}

TEST_CASE("an owner posts the receive from inside message_unmatched") {
    for (const std::size_t size : {std::size_t{0}, std::size_t{10}, kEager, kLarge}) {
        CAPTURE(size);
        Pair pair;
        Op out({1, 5}, random_bytes(size, size)), in({1, 5}, blank(size));
        pair.b.on_unmatched = [&](Channel& channel, const Tag& tag, std::size_t told) {
            CHECK(told == size);
            in.transfer.tag = tag;
            channel.recv(in.transfer);
        };
        pair.a.channel().send(out.transfer);
        REQUIRE(run_until({&pair.a, &pair.b}, [&] { return in.done() && out.done(); }));
        CHECK(in.data == out.data);
        CHECK(pair.b.unmatched == 1);
    }
}

TEST_CASE("equal tags match in the order of sending") {
    Pair pair;
    std::deque<Op> out, in;
    for (int i = 0; i < 20; ++i) {
        out.emplace_back(Tag{1, 1}, std::vector<std::byte>(100, static_cast<std::byte>(i)));
        pair.a.channel().send(out.back().transfer);
        REQUIRE(run_until({&pair.a, &pair.b}, [&] { return pair.b.unmatched == i + 1; }));
    }
    for (int i = 0; i < 20; ++i) {
        in.emplace_back(Tag{1, 1}, blank(100));
        pair.b.channel().recv(in.back().transfer);
        REQUIRE(in.back().done());
        CHECK(in.back().data.front() == static_cast<std::byte>(i));
    }
}

TEST_CASE("receives that reduce add every byte exactly once") {
    Pair pair;
    for (const bool late : {false, true}) {
        for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{77}, kEager,
                                       kLarge, std::size_t{5'000'001}}) {
            CAPTURE(late);
            CAPTURE(size);
            AddBytes add;
            add.tail = size % 64;
            const Tag tag{late + 1u, size};
            Op out(tag, random_bytes(size, 3)), in(tag, random_bytes(size, 4));
            const auto expected = sum(in.data, out.data);
            in.transfer.reducer = &add;
            const int before = pair.b.unmatched;
            if (!late) {
                pair.b.channel().recv(in.transfer);
            }
            pair.a.channel().send(out.transfer);
            if (late) {
                REQUIRE(run_until({&pair.a, &pair.b}, [&] { return pair.b.unmatched > before; }));
                pair.b.channel().recv(in.transfer);
            }
            REQUIRE(run_until({&pair.a, &pair.b}, [&] { return in.done() && out.done(); }));
            CHECK(in.data == expected);
            CHECK(add.whole);
        }
    }
}

TEST_CASE("a receive of another size or kind is a mismatch that tells what the peer said") {
    for (const bool late : {false, true}) {
        for (const bool kind : {false, true}) {
            CAPTURE(late);
            CAPTURE(kind);
            Pair pair;
            Op out({1, 5}, random_bytes(kLarge, 1), 100),
                in({1, 5}, blank(kind ? kLarge : kLarge + 1), kind ? 200 : 100);
            if (!late) {
                pair.b.channel().recv(in.transfer);
            }
            pair.a.channel().send(out.transfer);
            if (late) {
                REQUIRE(run_until({&pair.a, &pair.b}, [&] { return pair.b.unmatched == 1; }));
                pair.b.channel().recv(in.transfer);
            }
            REQUIRE(run_until({&pair.a, &pair.b}, [&] { return in.failed() && out.failed(); }));
            CHECK(in.transfer.error->status == WEFT_ERR_MISMATCH);
            CHECK(out.transfer.error->status == WEFT_ERR_MISMATCH);
            CHECK(in.transfer.peer_size == kLarge);
            CHECK(in.transfer.peer_signature == 100);
            CHECK(in.data == blank(in.data.size()));
            pair.exchange(1000);  // the edge itself is fine
        }
    }
}

TEST_CASE("what was taken back is not touched any more") {
    Pair pair;
    SUBCASE("a posted receive") {
        Op in({1, 1}, blank(100));
        pair.b.channel().recv(in.transfer);
        pair.b.channel().cancel(in.transfer);
        Op out({1, 1}, random_bytes(100, 1)), again({1, 1}, blank(100));
        pair.a.channel().send(out.transfer);
        REQUIRE(run_until({&pair.a, &pair.b}, [&] { return pair.b.unmatched == 1; }));
        CHECK(in.ended == 0);
        CHECK(in.data == blank(100));
        pair.b.channel().recv(again.transfer);
        REQUIRE(run_until({&pair.a, &pair.b}, [&] { return again.done(); }));
        CHECK(again.data == out.data);
    }
    SUBCASE("a receive in mid-transfer") {
        Op out({1, 1}, random_bytes(50'000'000, 1)), in({1, 1}, blank(50'000'000));
        pair.b.channel().recv(in.transfer);
        pair.a.channel().send(out.transfer);
        REQUIRE(run_until({&pair.a, &pair.b},
                          [&] { return pair.b.channel_stat("bytes_received") > 500'000; }));
        REQUIRE(!in.done());
        pair.b.channel().cancel(in.transfer);
        const auto before = in.data;
        REQUIRE(run_until({&pair.a, &pair.b}, [&] { return out.failed(); }));
        CHECK(out.transfer.error->status == WEFT_ERR_ABORTED);
        CHECK(in.ended == 0);
        pair.exchange(1'000'000);
        CHECK(in.data == before);
    }
    SUBCASE("a send in mid-transfer") {
        Op out({1, 1}, random_bytes(50'000'000, 1)), in({1, 1}, blank(50'000'000));
        pair.b.channel().recv(in.transfer);
        pair.a.channel().send(out.transfer);
        REQUIRE(run_until({&pair.a, &pair.b},
                          [&] { return pair.b.channel_stat("bytes_received") > 500'000; }));
        REQUIRE(!in.done());
        pair.a.channel().cancel(out.transfer);
        std::vector<std::byte>().swap(out.data);  // under a sanitizer, a look at it is an error
        REQUIRE(run_until({&pair.a, &pair.b}, [&] { return in.failed(); }));
        CHECK(in.transfer.error->status == WEFT_ERR_ABORTED);
        CHECK(out.ended == 0);
        pair.exchange(1'000'000);
    }
    SUBCASE("a send nobody has received") {
        Op out({1, 1}, random_bytes(kLarge, 1));
        pair.a.channel().send(out.transfer);
        REQUIRE(run_until({&pair.a, &pair.b}, [&] { return pair.b.unmatched == 1; }));
        pair.a.channel().cancel(out.transfer);
        std::vector<std::byte>().swap(out.data);
        pair.exchange(1'000'000);
        CHECK(run_until({&pair.a, &pair.b},
                        [&] { return pair.b.channel_stat("unmatched_messages") == 0; }));
    }
    SUBCASE("transfers of an edge that is not open yet") {
        Node c(3);
        Channel& channel = c.connect(pair.b);
        Op out({1, 1}, random_bytes(100, 1)), in({1, 2}, blank(100)),
            kept({1, 3}, random_bytes(100, 2)), got({1, 3}, blank(100));
        channel.send(out.transfer);
        channel.recv(in.transfer);
        channel.send(kept.transfer);
        channel.cancel(out.transfer);
        channel.cancel(in.transfer);
        REQUIRE(
            run_until({&pair.b, &c}, [&] { return c.opened == 1 && pair.b.channels.size() == 2; }));
        pair.b.channel().recv(got.transfer);
        REQUIRE(run_until({&pair.b, &c}, [&] { return got.done() && kept.done(); }));
        CHECK(got.data == kept.data);
        CHECK(out.ended + in.ended == 0);
    }
}

TEST_CASE("nothing of a forgotten group is received") {
    Pair pair;
    Op eager({9, 1}, random_bytes(100, 1)), large({9, 2}, random_bytes(kLarge, 1));
    pair.a.channel().send(eager.transfer);
    pair.a.channel().send(large.transfer);
    REQUIRE(run_until({&pair.a, &pair.b}, [&] { return pair.b.unmatched == 2; }));
    pair.b.channel().forget_group(9);
    REQUIRE(run_until({&pair.a, &pair.b}, [&] { return large.failed(); }));
    CHECK(large.transfer.error->status == WEFT_ERR_ABORTED);
    Op later({9, 3}, random_bytes(kLarge, 1));
    pair.a.channel().send(later.transfer);
    REQUIRE(run_until({&pair.a, &pair.b}, [&] { return later.failed(); }));
    CHECK(pair.b.unmatched == 2);
    CHECK(pair.b.channel_stat("unmatched_messages") == 0);
    pair.exchange(kLarge);
}

TEST_CASE("unmatched messages are held back, and let go when receives come") {
    Pair pair;
    constexpr std::size_t kCount = 60, kSize = 200'000;  // three times what is buffered in all
    std::deque<Op> out, in;
    for (std::size_t i = 0; i < kCount; ++i) {
        out.emplace_back(Tag{1, i}, random_bytes(kSize, i));
        pair.a.channel().send(out.back().transfer);
    }
    REQUIRE(run_until({&pair.a, &pair.b}, [&] { return pair.b.unmatched == kCount; }));
    for (int round = 0; round < 2000; ++round) {
        pair.a.datapath->progress(now());
        pair.b.datapath->progress(now());
    }
    CHECK(pair.b.channel_stat("bytes_received") <= 4 << 20);
    for (std::size_t i = kCount; i-- > 0;) {
        in.emplace_front(Tag{1, i}, blank(kSize));
        pair.b.channel().recv(in.front().transfer);
    }
    REQUIRE(run_until({&pair.a, &pair.b}, [&] {
        return std::ranges::all_of(in, &Op::done) && std::ranges::all_of(out, &Op::done);
    }));
    for (std::size_t i = 0; i < kCount; ++i) {
        CHECK(in[i].data == out[i].data);
    }
}

TEST_CASE("many peers share the sockets of one process") {
    constexpr std::size_t kPeers = 40, kSize = 30'000;
    Node hub(1000);
    std::deque<Node> peers;
    std::deque<Op> out, in, back, got;
    for (std::size_t i = 0; i < kPeers; ++i) {
        peers.emplace_back(i + 1);
        peers.back().connect(hub);
    }
    const auto all = [&](auto condition) {
        return run_until({&hub}, [&] {
            for (Node& peer : peers) {
                peer.datapath->progress(now());
            }
            return condition();
        });
    };
    const std::string before = hub.datapath->stats_json();
    REQUIRE(all([&] {
        return hub.opened == kPeers &&
               std::ranges::all_of(peers, [](const Node& p) { return p.opened == 1; });
    }));
    for (std::size_t i = 0; i < kPeers; ++i) {
        Channel& channel = *hub.channels[i];
        Node& peer = peers[channel.peer() - 1];
        out.emplace_back(Tag{1, 1}, random_bytes(kSize, i));
        got.emplace_back(Tag{1, 1}, blank(kSize));
        back.emplace_back(Tag{1, 1}, random_bytes(kSize, 1000 + i));
        in.emplace_back(Tag{1, 1}, blank(kSize));
        channel.send(out.back().transfer);
        channel.recv(in.back().transfer);
        peer.channel().send(back.back().transfer);
        peer.channel().recv(got.back().transfer);
    }
    REQUIRE(all(
        [&] { return std::ranges::all_of(in, &Op::done) && std::ranges::all_of(got, &Op::done); }));
    for (std::size_t i = 0; i < kPeers; ++i) {
        CHECK(got[i].data == out[i].data);
        CHECK(in[i].data == back[i].data);
    }
    const auto sockets = [](const std::string& json) {
        return json.substr(json.find("\"sockets\""));
    };
    CHECK(sockets(hub.datapath->stats_json()) == sockets(before));
    for (Node& peer : peers) {
        peer.channel().close();
    }
    CHECK(all([&] { return hub.failures == kPeers; }));
}

// Random traffic against a model that knows only tags and bytes: each receive gets the bytes that
// were sent under its tag, each transfer ends exactly once, whatever the order of posting, sizes,
// priorities and take-backs.
TEST_CASE("random traffic obeys the model") {
    for (const std::uint64_t seed : {1, 2, 3, 4, 5, 6}) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        UdpOptions options = loopback();
        options.paths = static_cast<std::uint16_t>(1 + random() % 16);
        options.gso = random() % 4 != 0;
        options.gro = random() % 4 != 0;
        options.mtu = random() % 2 != 0 ? 1500 : 9000;
        Pair pair(options);
        Node* nodes[] = {&pair.a, &pair.b};
        struct Message {
            std::unique_ptr<Op> out, in;
            std::vector<std::byte> expected;
            bool sent = false, posted = false, taken_back = false;
        };
        std::vector<Message> messages(150);
        AddBytes add;
        for (std::size_t i = 0; i < messages.size(); ++i) {
            const std::size_t size = std::size_t{1} << random() % 22;
            const Tag tag{1 + i % 2, i};
            Message& m = messages[i];
            m.out = std::make_unique<Op>(tag, random_bytes(random() % (size + 1), seed + i));
            m.in = std::make_unique<Op>(tag, random_bytes(m.out->data.size(), i));
            m.out->transfer.priority = static_cast<std::int32_t>(random() % 40) - 10;
            m.expected = m.out->data;
            if (random() % 2 == 0) {
                m.expected = sum(m.in->data, m.out->data);
                m.in->transfer.reducer = &add;
                add.tail = 0;
            }
        }
        for (std::size_t left = 2 * messages.size(); left > 0;) {
            Message& m = messages[random() % messages.size()];
            const std::size_t i = static_cast<std::size_t>(&m - messages.data());
            if (random() % 2 == 0 && !m.sent) {
                m.sent = true;
                --left;
                nodes[i % 2]->channel().send(m.out->transfer);
            } else if (!m.posted) {
                m.posted = true;
                --left;
                nodes[1 - i % 2]->channel().recv(m.in->transfer);
            }
            if (random() % 8 == 0 && m.posted && !m.sent &&
                m.in->transfer.state == Transfer::State::kPending) {
                nodes[1 - i % 2]->channel().cancel(m.in->transfer);  // and comes back below
                nodes[1 - i % 2]->channel().recv(m.in->transfer);
            }
            for (std::uint64_t rounds = random() % 4; rounds > 0; --rounds) {
                nodes[random() % 2]->datapath->progress(now());
            }
        }
        REQUIRE(run_until({&pair.a, &pair.b}, [&] {
            return std::ranges::all_of(
                messages, [](const Message& m) { return m.in->ended + m.out->ended == 2; });
        }));
        for (const Message& m : messages) {
            REQUIRE(m.in->done());
            REQUIRE(m.out->done());
            REQUIRE(m.in->data == m.expected);
        }
        CHECK(pair.a.channel_stat("unmatched_messages") +
                  pair.b.channel_stat("unmatched_messages") ==
              0);
    }
}

}  // namespace
}  // namespace weft::datapath::test
