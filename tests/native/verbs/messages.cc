// Messages over fake devices: all sizes, in all modes, in good weather and bad.
#include <numeric>

#include "node.h"

namespace weft::datapath::verbs::test {
namespace {

VerbsOptions mode(const char* name) {
    VerbsOptions options;
    options.mode = name;
    return options;
}

struct AddBytes final : Reducer {
    void combine(std::byte* acc, const std::byte* incoming,
                 std::size_t bytes) const noexcept override {
        for (std::size_t i = 0; i < bytes; ++i) {
            acc[i] = static_cast<std::byte>(static_cast<unsigned>(acc[i]) +
                                            static_cast<unsigned>(incoming[i]));
        }
    }
};

constexpr std::size_t kSizes[] = {0,     1,     63,      64,        4096,         32768,
                                  65536, 65537, 1 << 20, 1'234'567, (4 << 20) + 3};

// Many messages at once in both directions, received in another order than sent; every byte is
// checked against what was drawn for it.
void crowd(Pair& pair, std::size_t count, std::size_t most, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<std::unique_ptr<Op>> sends;
    std::vector<std::unique_ptr<Op>> receives;
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t size = random() % most;
        const Tag tag{seed, i};
        sends.push_back(std::make_unique<Op>(tag, random_bytes(size, seed + i)));
        receives.push_back(std::make_unique<Op>(tag, blank(size)));
    }
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::shuffle(order.begin(), order.end(), random);
    const auto source = [&](std::size_t i) -> Channel& {
        return i % 2 == 0 ? pair.a.channel() : pair.b.channel();
    };
    const auto sink = [&](std::size_t i) -> Channel& {
        return i % 2 == 0 ? pair.b.channel() : pair.a.channel();
    };
    for (std::size_t i = 0; i < count; ++i) {
        source(i).send(sends[i]->transfer);
        if (i % 3 == 0) {  // some come before anybody waits for them
            pair.a.datapath->progress(clock_now());
            pair.b.datapath->progress(clock_now());
        }
    }
    for (const std::size_t i : order) {
        sink(i).recv(receives[i]->transfer);
    }
    const auto ended = [](const auto& ops) {
        return std::ranges::all_of(ops, [](const auto& op) { return op->ended == 1; });
    };
    REQUIRE_MESSAGE(run_until({&pair.a, &pair.b}, [&] { return ended(sends) && ended(receives); }),
                    pair.a.channel().stats_json() << "\n"
                                                  << pair.b.channel().stats_json());
    for (std::size_t i = 0; i < count; ++i) {
        CAPTURE(i);
        REQUIRE(sends[i]->done());
        REQUIRE(receives[i]->done());
        REQUIRE(receives[i]->data == sends[i]->data);
    }
}

}  // namespace

TEST_CASE("messages of all sizes, both ways, in every mode") {
    for (const char* name : {"uc", "rc", "ud"}) {
        CAPTURE(name);
        Pair pair({}, mode(name));
        for (const std::size_t size : kSizes) {
            CAPTURE(size);
            pair.exchange(size, size + 5);
        }
        CHECK(pair.fabric.unread == 0);
        CHECK(pair.fabric.refused_writes == 0);
        CHECK((pair.a.channel_stat("written_chunks") > 0) == (std::string(name) != "ud"));
    }
}

TEST_CASE("the mode follows what devices offer") {
    const auto chosen = [](Weather weather) {
        Pair pair(weather);
        pair.exchange(300'000);
        const std::string stats = pair.a.datapath->stats_json();
        return stats.substr(stats.find("\"mode\":\"") + 8, 2);
    };
    CHECK(chosen({.uc = true, .rc = true}) == "uc");
    CHECK(chosen({.uc = false, .rc = true}) == "rc");
    CHECK(chosen({.uc = false, .rc = false}) == "ud");
}

TEST_CASE("large messages are written to their destination, on every lane, and not copied") {
    Pair pair;
    pair.exchange(8 << 20);
    const std::string stats = pair.a.channel().stats_json();
    const std::uint64_t chunks = Node::number(stats, "chunk_size");
    CHECK(chunks == 32768);
    CHECK(pair.a.channel_stat("written_chunks") > (8 << 20) / chunks * 9 / 10);
    CHECK(pair.a.channel_stat("copied_chunks") == 0);
    CHECK(stats.find("\"written\":0,") == std::string::npos);  // every lane had its share
    CHECK(pair.a.stat("works") > pair.a.stat("doorbells"));
}

TEST_CASE("receives that reduce add each byte exactly once, also when chunks are lost") {
    for (const double loss : {0.0, 0.05}) {
        CAPTURE(loss);
        Pair pair({.loss = loss}, {}, 11);
        const AddBytes add;
        Op send({1, 1}, random_bytes(700'001, 3));
        Op receive({1, 1}, random_bytes(700'001, 4));
        receive.transfer.reducer = &add;
        std::vector<std::byte> wanted = receive.data;
        add.combine(wanted.data(), send.data.data(), wanted.size());
        pair.b.channel().recv(receive.transfer);
        pair.a.channel().send(send.transfer);
        REQUIRE(run_until({&pair.a, &pair.b}, [&] { return receive.ended + send.ended == 2; }));
        CHECK(receive.done());
        CHECK(receive.data == wanted);
    }
}

TEST_CASE("a crowd of messages in any order") {
    for (const char* name : {"uc", "rc", "ud"}) {
        CAPTURE(name);
        Pair pair({.delay = 30, .hold = 30}, mode(name), 21);
        crowd(pair, 120, 400'000, 31);
        CHECK(pair.a.channel_stat("retransmitted") <= pair.a.channel_stat("chunks_sent"));
    }
}

TEST_CASE("one message in ten is lost, and all arrive") {
    for (const char* name : {"uc", "ud"}) {
        for (std::uint64_t seed = 1; seed <= 3; ++seed) {
            CAPTURE(name);
            CAPTURE(seeded(seed));
            Pair pair({.loss = 0.1, .delay = 20, .hold = 10}, mode(name), seed);
            crowd(pair, 40, 1'000'000, seed + 40);
            CHECK(pair.fabric.lost > 0);
            CHECK(pair.a.channel_stat("retransmitted") > 0);
            CHECK(pair.fabric.refused_writes == 0);
        }
    }
}

TEST_CASE("destinations are the user's alone once a receive is done") {
    // Long delays make time-outs, and so repetitions of chunks whose first copies still fly. Each
    // destination is overwritten as soon as its receive is done: a late copy would show.
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
        CAPTURE(seeded(seed));
        Pair pair({.loss = 0.02, .delay = 3000, .hold = 10}, {}, seed);
        std::vector<std::unique_ptr<Op>> receives;
        for (std::uint64_t i = 0; i < 6; ++i) {
            Op send({1, i}, random_bytes(600'000, i));
            receives.push_back(std::make_unique<Op>(Tag{1, i}, blank(600'000)));
            Op& receive = *receives.back();
            pair.b.channel().recv(receive.transfer);
            pair.a.channel().send(send.transfer);
            REQUIRE(run_until({&pair.a, &pair.b},
                              [&] { return receive.ended == 1 && send.ended == 1; }));
            REQUIRE(receive.data == send.data);
            std::ranges::fill(receive.data, std::byte{0x5a});
            std::ranges::fill(send.data, std::byte{0xa5});
        }
        const auto until = pair.fabric.now() + 20'000;
        run_until({&pair.a, &pair.b}, [&] { return pair.fabric.now() > until; });
        for (const auto& receive : receives) {
            CHECK(std::ranges::all_of(receive->data,
                                      [](std::byte b) { return b == std::byte{0x5a}; }));
        }
    }
}

TEST_CASE("messages that nobody waits for") {
    Pair pair;
    Op small({5, 1}, random_bytes(1000, 1));
    Op large({5, 2}, random_bytes(1'000'000, 2));
    pair.a.channel().send(small.transfer);
    pair.a.channel().send(large.transfer);
    CHECK(small.done());  // copied
    REQUIRE(run_until({&pair.a, &pair.b}, [&] { return pair.b.unmatched == 2; }));
    CHECK(large.ended == 0);
    Op to_large({5, 2}, blank(1'000'000));
    Op to_small({5, 1}, blank(1000));
    pair.b.channel().recv(to_large.transfer);
    pair.b.channel().recv(to_small.transfer);
    REQUIRE(run_until({&pair.a, &pair.b}, [&] { return to_large.ended == 1 && large.ended == 1; }));
    CHECK(to_large.data == large.data);
    CHECK(to_small.data == small.data);

    Op refused({6, 1}, random_bytes(1'000'000, 3));
    pair.a.channel().send(refused.transfer);
    REQUIRE(run_until({&pair.a, &pair.b}, [&] { return pair.b.unmatched == 3; }));
    pair.b.channel().forget_group(6);
    REQUIRE(run_until({&pair.a, &pair.b}, [&] { return refused.ended == 1; }));
    CHECK(refused.transfer.error->status == WEFT_ERR_ABORTED);
}

TEST_CASE("a front that is written although its first chunk went to a buffer is not overwritten") {
    // A window of one chunk: the grant comes when the second of the chunks that need none is still
    // to be sent, so that it is written into place, beside the first one, which waits in a buffer.
    VerbsOptions options;
    options.congestion = {"none", {{"window_chunks", 1}}};
    Pair pair({}, options);
    Op send({1, 1}, random_bytes(400'000, 1));
    Op receive({1, 1}, blank(400'000));
    pair.a.channel().send(send.transfer);
    REQUIRE(run_until({&pair.a, &pair.b}, [&] { return pair.b.unmatched == 1; }));
    pair.b.channel().recv(receive.transfer);
    REQUIRE(run_until({&pair.a, &pair.b}, [&] { return receive.ended == 1 && send.ended == 1; }));
    CHECK(receive.data == send.data);
}

TEST_CASE("both ends must agree on size and kind") {
    Pair pair;
    Op send({1, 1}, random_bytes(500'000, 1));
    Op receive({1, 1}, blank(400'000));
    pair.b.channel().recv(receive.transfer);
    pair.a.channel().send(send.transfer);
    REQUIRE(run_until({&pair.a, &pair.b}, [&] { return send.ended + receive.ended == 2; }));
    CHECK(send.transfer.error->status == WEFT_ERR_MISMATCH);
    CHECK(receive.transfer.error->status == WEFT_ERR_MISMATCH);
    CHECK(receive.transfer.peer_size == 500'000);
    pair.exchange(500'000);
}

TEST_CASE("a receive taken back in mid-transfer is touched no more, and the edge goes on") {
    for (const std::size_t kept : {std::size_t{0}, std::size_t{1} << 30}) {
        for (std::uint64_t seed = 1; seed <= 20; ++seed) {
            CAPTURE(kept);
            CAPTURE(seeded(seed));
            VerbsOptions options;
            options.mr_cache = kept;
            Pair pair({.loss = 0.1, .delay = 60}, options, seed);
            Op send({1, 1}, random_bytes(4 << 20, 1));
            Op receive({1, 1}, blank(4 << 20));
            pair.b.channel().recv(receive.transfer);
            pair.a.channel().send(send.transfer);
            REQUIRE(run_until({&pair.a, &pair.b},
                              [&] { return pair.a.channel_stat("written_chunks") > 20; }));
            pair.b.channel().cancel(receive.transfer);
            CHECK(receive.transfer.state == Transfer::State::kIdle);
            std::ranges::fill(receive.data, std::byte{0x5a});
            REQUIRE(run_until({&pair.a, &pair.b}, [&] { return send.ended == 1; }));
            CHECK(send.transfer.error->status == WEFT_ERR_ABORTED);
            pair.exchange(1 << 20);
            CHECK(std::ranges::all_of(receive.data, [](auto b) { return b == std::byte{0x5a}; }));
            CHECK(receive.ended == 0);
            CHECK(pair.b.channel_stat("renewed_pairs") > 0);
        }
    }
}

TEST_CASE("a send taken back in mid-transfer fails the receive, after which nothing lands") {
    Pair pair({.delay = 60}, {}, 6);
    Op send({1, 1}, random_bytes(4 << 20, 1));
    Op receive({1, 1}, blank(4 << 20));
    pair.b.channel().recv(receive.transfer);
    pair.a.channel().send(send.transfer);
    REQUIRE(
        run_until({&pair.a, &pair.b}, [&] { return pair.a.channel_stat("written_chunks") > 20; }));
    pair.a.channel().cancel(send.transfer);
    std::ranges::fill(send.data, std::byte{0xa5});
    REQUIRE(run_until({&pair.a, &pair.b}, [&] { return receive.ended == 1; }));
    CHECK(receive.transfer.error->status == WEFT_ERR_ABORTED);
    std::ranges::fill(receive.data, std::byte{0x5a});
    pair.exchange(1 << 20);
    CHECK(std::ranges::all_of(receive.data, [](std::byte b) { return b == std::byte{0x5a}; }));
    CHECK(pair.b.channel_stat("questions") > 0);
}

}  // namespace weft::datapath::verbs::test
