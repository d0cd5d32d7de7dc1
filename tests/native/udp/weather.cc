// The datapath over a bad network: every byte arrives once, or a typed error comes in bounded time.
#include <cmath>

#include "relay.h"

namespace weft::datapath::test {
namespace {

struct Link {
    Link(Weather weather, std::uint64_t seed, UdpOptions options, Time peer_timeout = 5 * kSecond)
        : a(1, options, "secret", peer_timeout),
          b(2, options, "secret", peer_timeout),
          relay(b.datapath->address(), weather, seed) {
        a.connect(2, relay.address());
        REQUIRE(run([&] { return (a.opened == 1 && b.opened == 1) || a.failures > 0; }));
        REQUIRE(a.failures == 0);
    }
    ~Link() {
        relay.set({});
        a.channel().close();
        b.channel().close();
        const auto ended = [](Node& node) {
            return node.channel().stats_json().find("\"ended\"") != std::string::npos;
        };
        run_until({&a, &b}, [&] { return ended(a) && ended(b); }, kSecond, [&] { relay.pump(); });
    }

    template <typename Condition>
    bool run(Condition condition, Time timeout = 60 * kSecond) {
        return run_until({&a, &b}, condition, timeout, [&] { relay.pump(); });
    }

    Node a, b;
    Relay relay;
};

TEST_CASE("every byte arrives once through loss, duplication, disorder and corruption") {
    struct AddFloats final : Reducer {
        void combine(std::byte* acc, const std::byte* incoming,
                     std::size_t bytes) const noexcept override {
            for (std::size_t i = 0; i < bytes; i += sizeof(float)) {
                float x, y;
                std::memcpy(&x, acc + i, sizeof x);
                std::memcpy(&y, incoming + i, sizeof y);
                x += y;
                std::memcpy(acc + i, &x, sizeof x);
            }
        }
    } add;
    Weather weather;
    SUBCASE("loss of 10 %") {
        weather.loss = 0.1;
    }
    SUBCASE("duplication of 10 %") {
        weather.duplication = 0.1;
    }
    SUBCASE("heavy disorder") {
        weather.delay = 0.3;
    }
    SUBCASE("corruption of 5 %") {
        weather.corruption = 0.05;
    }
    SUBCASE("trimming of 10 %") {
        weather.trimming = 0.1;
    }
    SUBCASE("all of it") {
        weather = {.loss = 0.05, .duplication = 0.05, .delay = 0.1, .corruption = 0.02};
    }
    UdpOptions options = loopback();
    options.checksum = weather.corruption > 0;
    options.mtu = 1500;
    const std::uint64_t seed = 42;
    Link link(weather, seed, options);
    constexpr std::size_t kCount = 60;
    std::deque<Op> out, in;
    std::vector<std::vector<std::byte>> expected;
    std::mt19937_64 random(seed);
    for (std::size_t i = 0; i < kCount; ++i) {
        const std::size_t size = random() % (i % 10 == 0 ? 400'000 : 20'000) / 4 * 4;
        out.emplace_back(Tag{1, i}, blank(size));
        in.emplace_back(Tag{1, i}, blank(size));
        expected.emplace_back(size);
        for (std::size_t at = 0; at < size; at += 4) {
            const float x = static_cast<float>(random() % 1000),
                        y = static_cast<float>(random() % 1000);
            const float result = i % 3 == 0 ? x + y : x;
            std::memcpy(&out.back().data[at], &x, 4);
            std::memcpy(&in.back().data[at], &y, 4);
            std::memcpy(&expected.back()[at], &result, 4);
        }
        in.back().transfer.reducer = i % 3 == 0 ? &add : nullptr;
    }
    for (std::size_t i = 0; i < kCount; ++i) {
        Node& sender = i % 2 == 0 ? link.a : link.b;
        Node& receiver = i % 2 == 0 ? link.b : link.a;
        if (i % 4 < 2) {
            receiver.channel().recv(in[i].transfer);
            sender.channel().send(out[i].transfer);
        } else {
            sender.channel().send(out[i].transfer);
            for (int round = 0; round < 20; ++round) {
                sender.datapath->progress(now());
                link.relay.pump();
                receiver.datapath->progress(now());
            }
            receiver.channel().recv(in[i].transfer);
        }
    }
    REQUIRE(link.run([&] {
        return std::ranges::all_of(in, [](const Op& op) { return op.ended > 0; }) &&
               std::ranges::all_of(out, [](const Op& op) { return op.ended > 0; });
    }));
    for (std::size_t i = 0; i < kCount; ++i) {
        CAPTURE(i);
        REQUIRE(out[i].done());
        REQUIRE(in[i].done());
        REQUIRE(in[i].ended == 1);
        REQUIRE(in[i].data == expected[i]);
    }
    CHECK(link.relay.harmed() > 0);
    MESSAGE("datagrams passed " << link.relay.passed() << ", harmed " << link.relay.harmed());
}

// As a switch does that cuts payloads off rather than drop (NDP, SIGCOMM 2017): what is left of a
// packet tells the receiver, which tells the sender, which need not wait for a timer.
TEST_CASE("what a switch has trimmed is reported, and sent again without waiting") {
    UdpOptions options = loopback();
    options.mtu = 1500;
    Weather weather{.trimming = 0.2};
    SUBCASE("to its whole header") {}
    SUBCASE("to less than that, on IPv6 over a switch that keeps 128 bytes of a frame") {
        weather.trimmed = 66;
    }
    Link link(weather, 7, options);
    constexpr std::size_t kSize = 2'000'000;
    Op out({1, 1}, random_bytes(kSize, 1)), in({1, 1}, blank(kSize));
    link.b.channel().recv(in.transfer);
    link.a.channel().send(out.transfer);
    REQUIRE(link.run([&] { return in.ended + out.ended == 2; }));
    REQUIRE(in.done());
    CHECK(in.data == out.data);
    const auto chunks = kSize / link.a.channel_stat("chunk_size");
    CHECK(link.b.channel_stat("trimmed") > chunks / 10);
    CHECK(link.a.channel_stat("trims") > chunks / 10);
    CHECK(link.b.channel_stat("malformed") == 0);
}

TEST_CASE("where packets are sealed, nothing is believed of a trimmed one") {
    UdpOptions options = loopback();
    options.mtu = 1500;
    options.checksum = true;
    Link link({.trimming = 0.1}, 7, options);
    Op out({1, 1}, random_bytes(300'000, 1)), in({1, 1}, blank(300'000));
    link.b.channel().recv(in.transfer);
    link.a.channel().send(out.transfer);
    REQUIRE(link.run([&] { return in.done() && out.done(); }));
    CHECK(in.data == out.data);
    CHECK(link.a.channel_stat("trims") == 0);
    CHECK(link.b.channel_stat("trimmed") == 0);
}

TEST_CASE("a path that swallows large datagrams is used with small ones") {
    UdpOptions options = loopback();
    options.mtu = 9000;
    Link link({.largest = 1472}, 1, options);
    CHECK(link.a.channel_stat("chunk_size") < 1472);
    CHECK(link.a.channel_stat("chunk_size") > 1000);
    Op out({1, 1}, random_bytes(300'000, 1)), in({1, 1}, blank(300'000));
    link.b.channel().recv(in.transfer);
    link.a.channel().send(out.transfer);
    REQUIRE(link.run([&] { return in.done() && out.done(); }));
    CHECK(in.data == out.data);
}

TEST_CASE(
    "a network that goes dark ends in a typed error, in time, that tells of paths and attempts") {
    Link link({}, 1, loopback(), kSecond / 2);
    Op before({1, 1}, random_bytes(300'000, 1)), got({1, 1}, blank(300'000));
    link.b.channel().recv(got.transfer);
    link.a.channel().send(before.transfer);
    REQUIRE(link.run([&] { return got.done() && before.done(); }));
    link.relay.set({.loss = 1});
    Op out({1, 2}, random_bytes(300'000, 1)), in({1, 3}, blank(10));
    const Time begin = now();
    link.b.channel().recv(in.transfer);
    link.b.channel().watch(true);
    link.a.channel().send(out.transfer);
    REQUIRE(link.run([&] { return link.a.failures == 1 && link.b.failures == 1; }, 10 * kSecond));
    CHECK(now() - begin >= kSecond / 2);
    for (Node* node : {&link.a, &link.b}) {
        CHECK(node->failure->status == WEFT_ERR_PEER_DEAD);
        CHECK(node->failure->peer_id == (node == &link.a ? 2u : 1u));
        CHECK(node->failure->message.find("127.0.0.1:") != std::string::npos);
        CHECK(node->failure->message.find("chunks lost") != std::string::npos);
        CHECK(node->channel().state() == Channel::State::kFailed);
    }
    CHECK(out.failed());
    CHECK(in.failed());
    Op late({1, 4}, blank(1));
    link.a.channel().send(late.transfer);
    CHECK(late.failed());
}

}  // namespace
}  // namespace weft::datapath::test
