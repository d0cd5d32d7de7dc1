// Peers that die, stop, leave, lie about the secret or write nonsense: every pending transfer ends
// with a typed error that names the peer, and nothing is left behind.
#include <dirent.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "process.h"

namespace weft::datapath::shm::test {
namespace {

// Forever, until killed.
int drive_on(Node& node) {
    for (;;) {
        node.progress();
    }
}

std::size_t open_descriptors() {
    DIR* const directory = opendir("/proc/self/fd");
    std::size_t count = 0;
    while (readdir(directory) != nullptr) {
        ++count;
    }
    closedir(directory);
    return count;
}

std::size_t shared_mappings() {
    std::ifstream maps("/proc/self/maps");
    std::string line;
    std::size_t count = 0;
    while (std::getline(maps, line)) {
        count += line.find("memfd:weft") != line.npos;
    }
    return count;
}

TEST_CASE("SIGKILL of the peer fails what is pending in every state, at once and by name") {
    for (const auto way : kWays) {
        Node a(identity(0xa), with(way));
        Process process(node_process(a, with(way), [](Node& node, int) {
            auto offer = make_op(1 << 20, 100);  // the parent never receives this one
            auto half = make_op(64 << 20, 101);
            node.channel->send(offer->transfer);
            node.channel->send(half->transfer);
            return drive_on(node);
        }));
        REQUIRE(drive({&a}, [&] { return a.opened == 1 && a.unmatched == 2; }));
        std::vector<std::unique_ptr<Op>> ops;
        for (std::uint64_t i = 0; i < 3; ++i) {
            ops.push_back(make_op(8, i));  // never sent
            a.channel->recv(ops.back()->transfer);
        }
        for (std::uint64_t i = 10; i < 13; ++i) {
            ops.push_back(make_op(100000, i));  // offered, never received
            a.channel->send(ops.back()->transfer);
        }
        for (std::uint64_t i = 20; i < 600; ++i) {
            auto small = make_op(8, i);  // more than the ring takes while nobody drains: here the
                                         // peer drains, so some are done
            a.channel->send(small->transfer);
            ops.push_back(std::move(small));
        }
        auto half = make_op(64 << 20, 101);
        a.channel->recv(half->transfer);
        for (int i = 0; i < 20; ++i) {
            a.progress();
        }
        process.signal(SIGKILL);
        REQUIRE(drive({&a}, [&] { return a.failed == 1; }, 5 * kSecond));
        process.wait();
        CHECK(a.channel->state() == Channel::State::kFailed);
        CHECK(a.error->status == WEFT_ERR_PEER_DEAD);
        CHECK(a.error->peer_id == 0xc);
        CHECK(a.error->message.find("000000000000000c") != std::string::npos);
        for (auto& op : ops) {
            REQUIRE(op->ended == 1);
            CHECK((op->done() || op->status() == WEFT_ERR_PEER_DEAD));
        }
        CHECK(ops[0]->status() == WEFT_ERR_PEER_DEAD);
        CHECK(ops[3]->status() == WEFT_ERR_PEER_DEAD);
        CHECK(half->ended == 1);
        auto late = make_op(8, 1);
        a.channel->send(late->transfer);
        CHECK(late->status() == WEFT_ERR_PEER_DEAD);
    }
}

TEST_CASE("what a peer sent before it was killed is still delivered") {
    Node a(identity(0xa));
    Process process(node_process(a, {}, [](Node& node, int) {
        for (std::uint64_t i = 0; i < 100; ++i) {
            auto op = make_op(1000, i);
            node.channel->send(op->transfer);
            if (!op->done()) {
                return 1;
            }
        }
        raise(SIGKILL);
        return 0;
    }));
    std::vector<std::unique_ptr<Op>> recvs;
    REQUIRE(drive({&a}, [&] { return a.opened == 1; }));
    CHECK(process.wait() == -SIGKILL);
    for (std::uint64_t i = 0; i < 100; ++i) {
        recvs.push_back(make_op(1000, i));
        a.channel->recv(recvs.back()->transfer);
    }
    REQUIRE(drive({&a}, [&] { return a.failed == 1; }));
    CHECK(std::all_of(recvs.begin(), recvs.end(), [](auto& op) { return op->done(); }));
}

TEST_CASE("a stopped peer is found while somebody watches it, and only then") {
    const Time timeout = kSecond;  // a busy machine may keep a process waiting for long
    Node a(identity(0xa, timeout));
    Process process(node_process(a, {}, [](Node& node, int) { return drive_on(node); }));
    REQUIRE(drive({&a}, [&] { return a.opened == 1; }));
    auto recv = make_op(8, 1);
    a.channel->recv(recv->transfer);

    a.channel->watch(true);  // alive: no complaint
    CHECK_FALSE(drive({&a}, [&] { return a.failed > 0; }, 3 * timeout / 2));
    a.channel->watch(false);

    process.signal(SIGSTOP);
    CHECK_FALSE(drive({&a}, [&] { return a.failed > 0; }, 3 * timeout / 2));
    a.channel->watch(true);
    REQUIRE(drive({&a}, [&] { return a.failed > 0; }, 20 * timeout));
    CHECK(a.error->status == WEFT_ERR_PEER_DEAD);
    CHECK(a.error->message.find("no sign of life") != std::string::npos);
    CHECK(recv->status() == WEFT_ERR_PEER_DEAD);
}

TEST_CASE("a watched peer that sleeps is woken and keeps its heart beating") {
    const Time timeout = kSecond;  // a busy machine may keep a process waiting for long
    Node a(identity(0xa, timeout));
    Process process(node_process(a, {}, [](Node& node, int) {
        for (;;) {  // an engine with nothing to do: sleeps as long as it may
            node.progress();
            if (node.datapath->arm()) {
                const Time until = node.datapath->next_wakeup();
                const Time now = clock_now();
                const int wait =
                    until == kNever
                        ? -1
                        : static_cast<int>(std::max<Time>(0, until - now) / kMillisecond + 1);
                pollfd fd{node.datapath->wait_fds()[0], POLLIN, 0};
                poll(&fd, 1, wait);
            }
            node.datapath->disarm();
        }
        return 0;
    }));
    REQUIRE(drive({&a}, [&] { return a.opened == 1; }));
    drive({&a}, [] { return false; }, 50 * kMillisecond);  // let it fall asleep
    a.channel->watch(true);
    CHECK_FALSE(drive({&a}, [&] { return a.failed > 0; }, 3 * timeout / 2));
}

TEST_CASE("an orderly close delivers what was queued, and the peer learns of it") {
    Pair pair;
    std::vector<std::unique_ptr<Op>> sends, recvs;
    for (std::uint64_t i = 0; i < 30; ++i) {
        sends.push_back(make_op(i % 2 != 0 ? 100000 : 16000, i));
        fill(sends.back()->bytes, i);
        pair.a.channel->send(sends.back()->transfer);
    }
    auto never = make_op(8, 1000);
    pair.a.channel->recv(never->transfer);
    pair.a.channel->close();
    CHECK(pair.a.channel->state() == Channel::State::kClosed);
    CHECK(never->ended == 1);
    CHECK(never->transfer.state == Transfer::State::kFailed);
    auto late = make_op(8, 2000);
    pair.a.channel->send(late->transfer);
    CHECK(late->status() == WEFT_ERR_STATE);
    for (std::uint64_t i = 0; i < 30; ++i) {
        recvs.push_back(make_op(sends[i]->bytes.size(), i));
        pair.b.channel->recv(recvs.back()->transfer);
    }
    auto unserved = make_op(8, 3000);
    pair.b.channel->recv(unserved->transfer);
    REQUIRE(pair.until([&] { return pair.b.failed == 1; }));
    CHECK(pair.b.channel->state() == Channel::State::kClosed);
    for (std::uint64_t i = 0; i < 30; ++i) {
        CHECK(sends[i]->done());
        CHECK(recvs[i]->done());
        CHECK(recvs[i]->bytes == sends[i]->bytes);
    }
    CHECK(unserved->status() == WEFT_ERR_PEER_DEAD);
    CHECK(pair.a.failed == 0);
}

TEST_CASE("eager messages that came before the peer left can be received after it") {
    Pair pair;
    auto send = make_op(1000, 1);
    fill(send->bytes, 1);
    pair.a.channel->send(send->transfer);
    pair.a.channel->close();
    pair.a.channel.reset();
    REQUIRE(pair.until([&] { return pair.b.failed == 1; }));
    auto recv = make_op(1000, 1), none = make_op(1000, 1);
    pair.b.channel->recv(recv->transfer);
    pair.b.channel->recv(none->transfer);
    CHECK(recv->done());
    CHECK(recv->bytes == send->bytes);
    CHECK(none->status() == WEFT_ERR_PEER_DEAD);
}

TEST_CASE("destroying a channel, or the datapath first, ends everything") {
    for (const bool datapath_first : {false, true}) {
        Pair pair;
        auto recv = make_op(8, 1), offer = make_op(100000, 2), theirs = make_op(100000, 2);
        pair.a.channel->recv(recv->transfer);
        pair.a.channel->send(offer->transfer);
        if (datapath_first) {
            pair.a.datapath.reset();
            CHECK(pair.a.channel->state() == Channel::State::kClosed);
            auto late = make_op(8, 1);
            pair.a.channel->send(late->transfer);
            CHECK(late->transfer.state == Transfer::State::kFailed);
        }
        pair.a.channel.reset();
        CHECK(recv->status() == WEFT_ERR_ABORTED);
        CHECK(offer->status() == WEFT_ERR_ABORTED);
        REQUIRE(drive({&pair.b}, [&] { return pair.b.failed == 1; }));
        CHECK(pair.b.error->status == WEFT_ERR_PEER_DEAD);
        pair.b.channel->recv(theirs->transfer);
        CHECK(theirs->status() == WEFT_ERR_PEER_DEAD);
    }
}

TEST_CASE("a channel may be destroyed from inside its own callbacks") {
    for (const std::size_t size : {8u, 100000u}) {
        Pair pair;
        auto send = make_op(size, 1), recv = make_op(size, 1), other = make_op(8, 2);
        recv->then = [&] { pair.b.channel.reset(); };
        pair.b.channel->recv(recv->transfer);
        pair.b.channel->recv(other->transfer);
        pair.a.channel->send(send->transfer);
        REQUIRE(pair.until([&] { return pair.a.failed == 1; }));
        CHECK(recv->done());
        CHECK(other->status() == WEFT_ERR_ABORTED);
    }
    Pair pair;
    pair.b.on_failed = [&] { pair.b.channel.reset(); };
    pair.a.channel.reset();
    REQUIRE(drive({&pair.b}, [&] { return pair.b.failed == 1; }));
    CHECK(pair.b.channel == nullptr);
}

TEST_CASE("another key: AUTH at both ends, counted, and no channel") {
    Identity stranger = identity(0xb);
    stranger.key[0] ^= 1;
    Node a(identity(0xa)), b(stranger);
    a.connect(b);
    auto send = make_op(8, 1);
    a.channel->send(send->transfer);
    REQUIRE(drive({&a, &b}, [&] { return a.failed == 1; }));
    CHECK(a.error->status == WEFT_ERR_AUTH);
    CHECK(a.error->peer_id == 0xb);
    CHECK(send->status() == WEFT_ERR_AUTH);
    CHECK(drive({&b}, [&] {
        return b.datapath->stats_json().find("\"auth_failures\":1") != std::string::npos;
    }));
    CHECK(a.datapath->stats_json().find("\"auth_failures\":1") != std::string::npos);
    CHECK(b.channel == nullptr);
}

TEST_CASE("peers that are not there, do not answer, or do not want us") {
    Node a(identity(0xa));
    std::string gone;
    {
        Node b(identity(0xb));
        gone = b.datapath->address();
    }
    CHECK(a.datapath->reaches(gone));
    a.connect(0xb, gone);
    CHECK(a.channel->state() == Channel::State::kFailed);
    CHECK(a.channel->error()->status == WEFT_ERR_UNREACHABLE);

    Node silent(identity(0xd));
    a.connect(silent, 50 * kMillisecond);
    REQUIRE(drive({&a}, [&] { return a.failed == 1; }));
    CHECK(a.error->status == WEFT_ERR_UNREACHABLE);
    CHECK(a.error->peer_id == 0xd);

    Node unwilling(identity(0xe));
    unwilling.accepting = false;
    a.connect(unwilling);
    REQUIRE(drive({&a, &unwilling}, [&] { return a.failed == 2; }));
    CHECK(a.error->status == WEFT_ERR_UNREACHABLE);

    a.connect(0xf, unwilling.datapath->address());  // an address that now belongs to somebody else
    REQUIRE(drive({&a, &unwilling}, [&] { return a.failed == 3; }));
    CHECK(a.error->status == WEFT_ERR_UNREACHABLE);

    CHECK_THROWS_AS(a.datapath->connect(1, "nonsense", a, clock_now()), Error);
    CHECK_FALSE(a.datapath->reaches("nonsense"));
    CHECK_FALSE(a.datapath->reaches("shm1/another-boot/1/socket"));
}

TEST_CASE("nothing is left behind: descriptors and mappings") {
    const std::size_t fds = open_descriptors(), maps = shared_mappings();
    for (int round = 0; round < 3; ++round) {
        Pair pair;
        auto send = make_op(1 << 20, 1);
        pair.a.channel->send(send->transfer);
        pair.settle();
        pair.a.channel->cancel(send->transfer);
        Node stranger(identity(0xc));
        stranger.connect(pair.a.id, pair.a.datapath->address());  // left in the middle
    }
    CHECK(open_descriptors() == fds);
    CHECK(shared_mappings() == maps);
}

TEST_CASE("after a fork the child abandons, and the parent's edge lives on until the parent dies") {
    // The child of the peer outlives it: if it kept the peer's descriptors, nobody would see the
    // peer die.
    Node a(identity(0xa));
    Process process(node_process(a, {}, [](Node& node, int pipe) {
        const pid_t child = fork();
        if (child == 0) {
            node.datapath->abandon();
            node.channel.reset();
            node.datapath.reset();
            tell(pipe, "abandoned");
            pause();
        }
        tell(pipe, std::to_string(child));
        return drive_on(node);
    }));
    REQUIRE(drive({&a}, [&] { return a.opened == 1; }));
    std::set<std::string> said{hear(process.pipe()), hear(process.pipe())};
    REQUIRE(said.erase("abandoned") == 1);
    const pid_t grandchild = std::stoi(*said.begin());
    auto send = make_op(100000, 1);
    a.channel->send(send->transfer);
    CHECK_FALSE(drive({&a}, [&] { return a.failed == 1; }, 50 * kMillisecond));
    process.signal(SIGKILL);
    CHECK(drive({&a}, [&] { return a.failed == 1; }, 5 * kSecond));
    CHECK(send->status() == WEFT_ERR_PEER_DEAD);
    kill(grandchild, SIGKILL);
}

}  // namespace
}  // namespace weft::datapath::shm::test
