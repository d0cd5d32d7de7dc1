// Messages of all sizes arrive whole and once, in order per tag, by every way there is.
#include <doctest/doctest.h>
#include <sys/mman.h>

#include <algorithm>

#include "node.h"

namespace weft::datapath::shm::test {
namespace {

constexpr std::size_t kEager = ShmOptions{}.eager_limit;
const std::size_t kSizes[] = {0,          1,      7,       8,        23,      24,         25,
                              63,         64,     65,      1000,     4096,    kEager - 1, kEager,
                              kEager + 1, 32767,  32768,   32769,    65536,   131071,     262143,
                              262144,     262145, 1000003, 1u << 20, 3000001, 5u << 20};

TEST_CASE("every size around every boundary, receive first and message first") {
    for (const auto way : kWays) {
        Pair pair(with(way));
        std::uint64_t message = 0;
        for (const std::size_t size : kSizes) {
            for (const bool receive_first : {true, false}) {
                CAPTURE(size);
                CAPTURE(receive_first);
                auto send = make_op(size, ++message);
                auto recv = make_op(size, message);
                fill(send->bytes, message);
                if (receive_first) {
                    pair.b.channel->recv(recv->transfer);
                }
                const int unmatched = pair.b.unmatched;
                pair.a.channel->send(send->transfer);
                if (!receive_first) {
                    REQUIRE(pair.until([&] { return pair.b.unmatched == unmatched + 1; }));
                    CHECK(recv->ended == 0);
                    pair.b.channel->recv(recv->transfer);
                }
                REQUIRE(pair.until([&] { return send->ended == 1 && recv->ended == 1; }));
                CHECK(send->done());
                CHECK(recv->done());
                CHECK(recv->bytes == send->bytes);
                CHECK(pair.b.unmatched == unmatched + (receive_first ? 0 : 1));
            }
        }
    }
}

TEST_CASE("a reducer combines every element once, in pieces of whole cache lines") {
    for (const auto way : kWays) {
        Pair pair(with(way));
        for (const std::size_t size :
             {0u, 4u, 24u, 28u, 60u, 68u, 16384u, 16388u, 100004u, 262148u, 1048580u, 4000004u}) {
            for (const bool receive_first : {true, false}) {
                CAPTURE(size);
                WordSum sum;
                auto send = make_op(size, 1);
                auto recv = make_op(size, 1);
                fill(send->bytes, size);
                fill(recv->bytes, size + 1);
                std::vector<std::byte> expected = recv->bytes;
                WordSum{}.combine(expected.data(), send->bytes.data(), size);
                recv->transfer.reducer = &sum;
                if (receive_first) {
                    pair.b.channel->recv(recv->transfer);
                    pair.a.channel->send(send->transfer);
                } else {
                    pair.a.channel->send(send->transfer);
                    pair.settle();
                    pair.b.channel->recv(recv->transfer);
                }
                REQUIRE(pair.until([&] { return send->done() && recv->done(); }));
                CHECK(recv->bytes == expected);
                CHECK(sum.unaligned <= 1);
            }
        }
    }
}

TEST_CASE("messages with equal tags match in the order in which they were sent") {
    Pair pair;
    std::vector<std::unique_ptr<Op>> sends, recvs;
    for (std::size_t i = 0; i < 40; ++i) {
        sends.push_back(
            make_op(1000 + i * 1000, 5));  // some eager, some offered: sizes say which is which
        pair.a.channel->send(sends.back()->transfer);
    }
    pair.settle();
    for (std::size_t i = 0; i < 40; ++i) {
        recvs.push_back(make_op(1000 + i * 1000, 5));
        pair.b.channel->recv(recvs.back()->transfer);
    }
    REQUIRE(pair.until([&] { return recvs.back()->ended == 1; }));
    REQUIRE(pair.until([&] {
        return std::all_of(recvs.begin(), recvs.end(), [](auto& r) { return r->done(); });
    }));
}

TEST_CASE("transfers handed over before the edge is open are queued") {
    Node a(identity(0xa)), b(identity(0xb));
    a.connect(b);
    CHECK(a.channel->state() == Channel::State::kConnecting);
    auto send = make_op(100, 1);
    auto big = make_op(100000, 2);
    auto recv = make_op(8, 3);
    auto withdrawn = make_op(8, 4);
    fill(big->bytes, 9);
    a.channel->send(send->transfer);
    a.channel->send(big->transfer);
    a.channel->send(withdrawn->transfer);
    a.channel->recv(recv->transfer);
    a.channel->cancel(withdrawn->transfer);
    CHECK(withdrawn->ended == 0);
    REQUIRE(drive({&a, &b}, [&] { return b.unmatched == 2; }));
    auto got = make_op(100, 1);
    auto got_big = make_op(100000, 2);
    auto back = make_op(8, 3);
    b.channel->recv(got->transfer);
    b.channel->recv(got_big->transfer);
    b.channel->send(back->transfer);
    REQUIRE(drive({&a, &b},
                  [&] { return got->done() && got_big->done() && recv->done() && big->done(); }));
    CHECK(got_big->bytes == big->bytes);
}

TEST_CASE("an owner may post the receive when it is told of a message") {
    Pair pair;
    for (const std::size_t size : {8u, 1000u, 100000u}) {
        auto send = make_op(size, size);
        auto recv = make_op(size, size);
        fill(send->bytes, 1);
        pair.b.on_unmatched = [&](Channel& channel, const Tag& tag, std::size_t told) {
            CHECK(told == size);
            CHECK(tag == send->transfer.tag);
            channel.recv(recv->transfer);
        };
        pair.a.channel->send(send->transfer);
        REQUIRE(pair.until([&] { return recv->done() && send->done(); }));
        CHECK(recv->bytes == send->bytes);
    }
    CHECK(pair.b.unmatched == 3);
}

TEST_CASE("sizes or signatures that differ end both sides of a rendezvous with MISMATCH") {
    Pair pair;
    for (const std::size_t size : {8u, 1000u, 100000u}) {
        for (const bool by_size : {true, false}) {
            for (const bool receive_first : {true, false}) {
                auto send = make_op(size, 3);
                auto recv = make_op(by_size ? size + 4 : size, 3);
                recv->transfer.signature = by_size ? 42 : 43;
                if (receive_first) {
                    pair.b.channel->recv(recv->transfer);
                }
                pair.a.channel->send(send->transfer);
                pair.settle();
                if (!receive_first) {
                    pair.b.channel->recv(recv->transfer);
                }
                REQUIRE(pair.until([&] { return send->ended == 1 && recv->ended == 1; }));
                CHECK(recv->status() == WEFT_ERR_MISMATCH);
                CHECK(recv->transfer.peer_size == size);
                CHECK(recv->transfer.peer_signature == 42);
                CHECK(recv->transfer.error->peer_id == 0xa);
                if (size > kEager) {
                    CHECK(send->status() == WEFT_ERR_MISMATCH);
                    CHECK(send->transfer.peer_size == recv->transfer.size);
                    CHECK(send->transfer.peer_signature == recv->transfer.signature);
                }
            }
        }
    }
}

std::uint64_t counter(const Node& node, const std::string& name) {
    const std::string json = node.channel->stats_json();
    return std::stoull(json.substr(json.find("\"" + name + "\":") + name.size() + 3));
}

TEST_CASE("a sleeping sender's memory is read without its help; once it wakes, it helps") {
    Pair pair;
    auto send = make_op(5 << 20, 1), recv = make_op(5 << 20, 1);
    fill(send->bytes, 1);
    pair.a.channel->send(send->transfer);
    pair.settle();
    REQUIRE(pair.a.datapath->arm());
    pair.b.channel->recv(recv->transfer);
    pair.b.progress();
    pair.b.progress();
    pair.a.datapath->disarm();
    REQUIRE(pair.until([&] { return recv->done() && send->done(); }));
    CHECK(recv->bytes == send->bytes);
    CHECK(counter(pair.b, "pulled_bytes") > 0);
    CHECK(counter(pair.b, "streamed_bytes") > 0);
    CHECK(counter(pair.b, "pulled_bytes") + counter(pair.b, "streamed_bytes") == 5 << 20);

    auto all = make_op(5 << 20, 2), got = make_op(5 << 20, 2);
    fill(all->bytes, 2);
    pair.a.channel->send(all->transfer);
    pair.settle();
    const std::uint64_t before = counter(pair.b, "streamed_bytes");
    REQUIRE(pair.a.datapath->arm());
    pair.b.channel->recv(got->transfer);
    CHECK(drive({&pair.b}, [&] { return got->done(); }));  // all of it, while the sender sleeps
    pair.a.datapath->disarm();
    REQUIRE(pair.until([&] { return all->done(); }));
    CHECK(got->bytes == all->bytes);
    CHECK(counter(pair.b, "streamed_bytes") == before);
}

TEST_CASE("memory that the kernel will not read for a peer is streamed from where it refused") {
    constexpr std::size_t kSize = 4 << 20, kGood = 2 << 20;
    Pair pair(with(ShmOptions::Large::kPull));
    auto* const memory = static_cast<std::byte*>(
        mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(memory != MAP_FAILED);
    auto send = make_op(0, 1), recv = make_op(kSize, 1);
    std::vector<std::byte> content(kSize);
    fill(content, 3);
    std::memcpy(memory, content.data(), kSize);
    send->transfer.data = memory;
    send->transfer.size = kSize;
    pair.b.channel->recv(recv->transfer);
    pair.a.channel->send(send->transfer);
    REQUIRE(mprotect(memory + kGood, kSize - kGood, PROT_NONE) == 0);
    for (int i = 0; i < 10; ++i) {
        pair.b.progress();
    }
    CHECK(counter(pair.b, "pulled_bytes") == kGood);
    REQUIRE(mprotect(memory + kGood, kSize - kGood, PROT_READ) == 0);
    REQUIRE(pair.until([&] { return recv->done() && send->done(); }));
    CHECK(recv->bytes == content);
    CHECK(counter(pair.b, "streamed_bytes") == kSize - kGood);
    munmap(memory, kSize);
}

TEST_CASE("a higher priority is sent first when there is a queue") {
    Pair pair;
    std::vector<std::unique_ptr<Op>> fillers;
    for (std::size_t i = 0; i < 100; ++i) {  // more than the ring holds
        fillers.push_back(make_op(kEager, 100 + i));
        pair.a.channel->send(fillers.back()->transfer);
    }
    auto low = make_op(8, 1), high = make_op(8, 2);
    high->transfer.priority = 5;
    std::vector<int> order;
    low->then = [&] { order.push_back(1); };
    high->then = [&] { order.push_back(2); };
    pair.a.channel->send(low->transfer);
    pair.a.channel->send(high->transfer);
    REQUIRE(pair.until([&] { return order.size() == 2; }));
    CHECK(order == std::vector<int>{2, 1});
}

}  // namespace
}  // namespace weft::datapath::shm::test
