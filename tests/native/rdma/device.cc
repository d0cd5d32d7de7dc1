// The interface of provider.h as a real device keeps it, both ends of every queue pair on the same
// one: what the fake provider promises in other tests must hold here too.
#include <doctest/doctest.h>
#include <poll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "datapath/error.h"
#include "datapath/verbs/libibverbs.h"

using namespace weft::datapath::verbs;
using namespace std::chrono_literals;

namespace {

constexpr auto kDeadline = 30s;
constexpr std::size_t kBytes = 256 << 10;
constexpr std::uint32_t kReceives = 128;
constexpr std::size_t kRoute = 40;  // bytes in front of a datagram

// Two queue pairs of a kind that know each other, one of them with memory to write to.
struct Pair {
    explicit Pair(QpKind kind) : device(open()), kind(kind) {
        completions = device->make_completion_queue(1024);
        receives = device->make_receive_queue(kReceives);
        source = device->register_memory(from.data(), from.size(), false);
        target = device->register_memory(to.data(), to.size(), true);
        post_receives(kReceives / 2);
        for (std::size_t i = 0; i < from.size(); ++i) {
            from[i] = static_cast<std::byte>(i * 7 + i / 251);
        }
        renew();
    }

    static std::unique_ptr<Device> open() {
        const auto provider = load_libibverbs();
        return provider->open(provider->devices().front().name);
    }

    const PortInfo& port() const { return device->info().ports.front(); }

    Destination destination() const {
        const auto gid = std::ranges::find_if(port().gids, [](const GidEntry& entry) {
            return entry.kind == GidKind::kRoceV2 && entry.is_ipv4();
        });
        REQUIRE(gid != port().gids.end());
        Destination there;
        there.gid = gid->gid;
        there.gid_index = gid->index;
        return there;
    }

    void renew() {
        near.reset();
        far.reset();
        const QueuePairWish wish{.kind = kind,
                                 .port = port().number,
                                 .sends = 128,
                                 .key = 0x1234,
                                 .completions = completions.get(),
                                 .receives = receives.get()};
        near = device->make_queue_pair(wish);
        far = device->make_queue_pair(wish);
        if (kind == QpKind::kUd) {
            near->open();
            far->open();
            handle = device->make_address_handle(port().number, destination());
            return;
        }
        for (QueuePair* const one : {near.get(), far.get()}) {
            const QueuePair& other = one == near.get() ? *far : *near;
            one->connect({.destination = destination(),
                          .remote_qp = other.number(),
                          .receive_psn = 0xFFFFF0,  // so that it wraps
                          .send_psn = 0xFFFFF0,
                          .mtu = port().mtu,
                          .timeout = 14,
                          .retries = 2});
        }
    }

    void post_receives(std::uint32_t count) {
        std::vector<ReceiveWork> works;
        for (std::uint32_t i = 0; i < count; ++i) {
            const Piece piece{reinterpret_cast<std::uint64_t>(to.data()), 4096,
                              target->local_key()};
            works.push_back({1000 + i, piece});
        }
        REQUIRE(receives->post(works));
    }

    SendWork write(std::uint64_t id, std::size_t at, std::uint32_t size,
                   std::uint32_t immediate) const {
        SendWork work;
        work.id = id;
        work.operation = Operation::kWriteImm;
        work.signaled = true;
        work.pieces = 1;
        work.piece[0] = {reinterpret_cast<std::uint64_t>(from.data() + at), size,
                         source->local_key()};
        work.immediate = immediate;
        work.remote_address = reinterpret_cast<std::uint64_t>(to.data() + at);
        work.remote_key = target->remote_key();
        return work;
    }

    // Completions until there are `wanted` of them or `patience` is over.
    std::vector<Completion> collect(std::size_t wanted,
                                    std::chrono::milliseconds patience = kDeadline) const {
        std::vector<Completion> all;
        std::array<Completion, 16> some;
        const auto until = std::chrono::steady_clock::now() + patience;
        while (all.size() < wanted && std::chrono::steady_clock::now() < until) {
            const std::size_t got = completions->poll(some);
            all.insert(all.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(got));
            if (got == 0) {
                std::this_thread::sleep_for(1ms);
            }
        }
        return all;
    }

    std::vector<std::byte> from = std::vector<std::byte>(kBytes);
    std::vector<std::byte> to = std::vector<std::byte>(kBytes);
    std::unique_ptr<Device> device;
    QpKind kind;
    std::unique_ptr<CompletionQueue> completions;
    std::unique_ptr<SharedReceiveQueue> receives;
    std::unique_ptr<Memory> source;
    std::unique_ptr<Memory> target;
    std::unique_ptr<AddressHandle> handle;
    std::unique_ptr<QueuePair> near;
    std::unique_ptr<QueuePair> far;
};

std::vector<Completion> of(const std::vector<Completion>& all, Completion::Kind kind) {
    std::vector<Completion> found;
    std::ranges::copy_if(all, std::back_inserter(found),
                         [kind](const Completion& done) { return done.kind == kind; });
    return found;
}

}  // namespace

TEST_CASE("devices have ports that are up and addresses of both families") {
    const auto devices = load_libibverbs()->devices();
    REQUIRE(!devices.empty());
    const auto device = Pair::open();
    const PortInfo& port = device->info().ports.front();
    CHECK(port.active);
    CHECK(port.ethernet);
    CHECK(port.mtu >= 1024);
    CHECK(std::ranges::any_of(port.gids, [](const GidEntry& gid) { return gid.is_ipv4(); }));
    CHECK(std::ranges::any_of(port.gids, [](const GidEntry& gid) {
        return !gid.is_ipv4() && !gid.link_local() && gid.kind == GidKind::kRoceV2;
    }));
    CHECK(device->limits().queue_pairs > 0);
    CHECK_THROWS_WITH_AS(load_libibverbs()->open("no_such_device"),
                         doctest::Contains("no_such_device"), weft::Error);
}

TEST_CASE("a write lands, and its immediate value comes with it") {
    for (const QpKind kind : {QpKind::kUc, QpKind::kRc}) {
        CAPTURE(to_string(kind));
        Pair pair(kind);
        REQUIRE(pair.near->post(std::array{pair.write(7, 0, kBytes, 0xCAFE0001)}) == 1);
        const auto all = pair.collect(2);
        const auto written = of(all, Completion::Kind::kWritten);
        REQUIRE(written.size() == 1);
        CHECK(written[0].immediate == 0xCAFE0001);
        CHECK(written[0].bytes == kBytes);
        CHECK(written[0].queue_pair == pair.far->number());
        const auto sent = of(all, Completion::Kind::kSent);
        REQUIRE(sent.size() == 1);
        CHECK(sent[0].id == 7);
        CHECK(pair.to == pair.from);
    }
}

TEST_CASE("a batch of writes arrives in order, and only those asked for are reported") {
    for (const QpKind kind : {QpKind::kUc, QpKind::kRc}) {
        CAPTURE(to_string(kind));
        constexpr std::uint32_t kCount = 48;
        constexpr std::uint32_t kSize = 5000;  // more than a packet, not a multiple of it
        Pair pair(kind);
        std::vector<SendWork> works;
        for (std::uint32_t i = 0; i < kCount; ++i) {
            works.push_back(pair.write(i, i * kSize, kSize, i));
            works.back().signaled = i % 16 == 15;
        }
        REQUIRE(pair.near->post(works) == kCount);
        const auto all = pair.collect(kCount + 3);
        const auto written = of(all, Completion::Kind::kWritten);
        REQUIRE(written.size() == kCount);
        for (std::uint32_t i = 0; i < kCount; ++i) {
            CHECK(written[i].immediate == i);
        }
        CHECK(of(all, Completion::Kind::kSent).size() == 3);
        CHECK(std::equal(pair.from.begin(), pair.from.begin() + kCount * kSize, pair.to.begin()));
    }
}

TEST_CASE("two pieces are gathered into one message") {
    Pair pair(QpKind::kUc);
    SendWork work = pair.write(1, 0, 100, 5);
    work.pieces = 2;
    work.piece[1] = {reinterpret_cast<std::uint64_t>(pair.from.data() + 5000), 50,
                     pair.source->local_key()};
    REQUIRE(pair.near->post(std::array{work}) == 1);
    const auto written = of(pair.collect(2), Completion::Kind::kWritten);
    REQUIRE(written.size() == 1);
    CHECK(written[0].bytes == 150);
    CHECK(std::equal(pair.from.begin() + 5000, pair.from.begin() + 5050, pair.to.begin() + 100));
}

TEST_CASE("datagrams arrive behind the room for their route") {
    Pair pair(QpKind::kUd);
    SendWork work;
    work.id = 3;
    work.signaled = true;
    work.pieces = 1;
    work.piece[0] = {reinterpret_cast<std::uint64_t>(pair.from.data()), 1000,
                     pair.source->local_key()};
    work.to = pair.handle.get();
    work.remote_qp = pair.far->number();
    REQUIRE(pair.near->post(std::array{work}) == 1);
    const auto received = of(pair.collect(2), Completion::Kind::kReceived);
    REQUIRE(received.size() == 1);
    CHECK(received[0].bytes == kRoute + 1000);
    CHECK(received[0].queue_pair == pair.far->number());
    CHECK(std::equal(pair.from.begin(), pair.from.begin() + 1000, pair.to.begin() + kRoute));
}

TEST_CASE("an armed completion queue wakes a sleeper, once") {
    Pair pair(QpKind::kUc);
    pollfd bell{pair.completions->fd(), POLLIN, 0};
    REQUIRE(pair.completions->arm());
    CHECK(poll(&bell, 1, 0) == 0);
    REQUIRE(pair.near->post(std::array{pair.write(1, 0, 100, 5)}) == 1);
    REQUIRE(poll(&bell, 1, 30'000) == 1);
    pair.completions->clear();
    CHECK(poll(&bell, 1, 0) == 0);
    CHECK(pair.collect(2).size() == 2);
}

TEST_CASE("a queue pair in error flushes, lets nothing in, and another takes its place") {
    for (const QpKind kind : {QpKind::kUc, QpKind::kRc}) {
        CAPTURE(to_string(kind));
        Pair pair(kind);
        pair.far->error();
        REQUIRE(pair.near->post(std::array{pair.write(1, 0, 4096, 1)}) == 1);
        const auto sent = pair.collect(1);
        REQUIRE(!sent.empty());
        // Reliable pairs find out; unreliable ones believe that all is well.
        CHECK(sent[0].status ==
              (kind == QpKind::kRc ? WorkStatus::kUnreachable : WorkStatus::kSuccess));
        CHECK(of(pair.collect(1, 200ms), Completion::Kind::kWritten).empty());
        CHECK(std::ranges::all_of(pair.to, [](std::byte b) { return b == std::byte{0}; }));
        pair.near->error();
        pair.near->post(std::array{pair.write(2, 0, 4096, 2)});
        const auto flushed = pair.collect(1);
        REQUIRE(!flushed.empty());
        CHECK(flushed[0].status == WorkStatus::kFlushed);
        pair.renew();
        REQUIRE(pair.near->post(std::array{pair.write(3, 0, 4096, 3)}) == 1);
        const auto all = pair.collect(2);
        REQUIRE(of(all, Completion::Kind::kWritten).size() == 1);
        CHECK(std::equal(pair.from.begin(), pair.from.begin() + 4096, pair.to.begin()));
    }
}

TEST_CASE("what may not be written stays as it is") {
    for (const QpKind kind : {QpKind::kUc, QpKind::kRc}) {
        CAPTURE(to_string(kind));
        Pair pair(kind);
        SendWork work = pair.write(9, 0, 4096, 1);
        work.remote_key = pair.source->remote_key();  // not registered for others
        work.remote_address = reinterpret_cast<std::uint64_t>(pair.from.data() + 8192);
        const auto before = pair.from;
        REQUIRE(pair.near->post(std::array{work}) == 1);
        const auto all = pair.collect(kind == QpKind::kRc ? 1 : 2, 1s);
        CHECK(of(all, Completion::Kind::kWritten).empty());
        const auto mine = std::ranges::find(all, 9u, &Completion::id);
        REQUIRE(mine != all.end());
        CHECK(mine->status == (kind == QpKind::kRc ? WorkStatus::kRefused : WorkStatus::kSuccess));
        CHECK(pair.from == before);
    }
}
