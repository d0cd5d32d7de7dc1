// What goes wrong: wrong secrets, foreign datagrams, dead and stopped peers, ports in use, nobody
// there, both calling at once, orderly and disorderly ends. Each ends in the right typed error, in
// bounded time, with everything given back.
#include <dirent.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "datapath/error.h"
#include "datapath/udp/address.h"
#include "datapath/udp/check.h"
#include "datapath/udp/endpoint.h"
#include "node.h"
#include "wire/packet.h"

namespace weft::datapath::test {
namespace {

std::size_t open_descriptors() {
    DIR* folder = opendir("/proc/self/fd");
    std::size_t count = 0;
    while (readdir(folder) != nullptr) {
        ++count;
    }
    closedir(folder);
    return count;
}

udp::Endpoint first_endpoint(const std::string& address) {
    const auto addresses = udp::decode_addresses(address);
    udp::Endpoint endpoint = addresses.front().address;
    endpoint.set_port(addresses.front().ports.front());
    return endpoint;
}

// A peer in a process of its own, which answers everything and does nothing by itself.
class Child {
  public:
    explicit Child(PeerId id) {
        int ends[2];
        REQUIRE(pipe(ends) == 0);
        pid_ = fork();
        if (pid_ == 0) {
            close(ends[0]);
            Node node(id);
            const std::string address = node.datapath->address();
            const auto size = static_cast<std::uint16_t>(address.size());
            if (write(ends[1], &size, sizeof size) < 0 ||
                write(ends[1], address.data(), size) < 0) {
                _exit(1);
            }
            for (;;) {
                node.datapath->progress(now());
                if (getppid() == 1) {
                    _exit(0);
                }
            }
        }
        close(ends[1]);
        std::uint16_t size = 0;
        REQUIRE(read(ends[0], &size, sizeof size) == sizeof size);
        address_.resize(size);
        REQUIRE(read(ends[0], address_.data(), size) == size);
        close(ends[0]);
    }
    ~Child() {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
    void signal(int number) const { kill(pid_, number); }
    const std::string& address() const { return address_; }

  private:
    pid_t pid_ = -1;
    std::string address_;
};

TEST_CASE("a wrong secret is an authentication error, at once, and counted at the other end") {
    Node a(1, loopback(), "one secret"), b(2, loopback(), "another secret");
    a.connect(b);
    const Time begin = now();
    REQUIRE(run_until({&a, &b}, [&] { return a.failures == 1; }));
    CHECK(now() - begin < 5 * kSecond);
    CHECK(a.failure->status == WEFT_ERR_AUTH);
    CHECK(a.failure->peer_id == 2);
    CHECK(a.failure->message.find("secret") != std::string::npos);
    CHECK(a.channel().state() == Channel::State::kFailed);
    CHECK(b.opened == 0);
    CHECK(b.channels.empty());
    CHECK(b.stat("rejected_proof") >= 1);
}

TEST_CASE("nobody there: unreachable at the deadline, with the addresses that were tried") {
    std::string address;
    {
        Node gone(2);
        address = gone.datapath->address();
    }
    Node a(1);
    const Time begin = now();
    a.connect(2, address, kSecond / 5);
    Op out({1, 1}, blank(10)), in({1, 2}, blank(10));
    a.channel().send(out.transfer);
    a.channel().recv(in.transfer);
    REQUIRE(run_until({&a}, [&] { return a.failures == 1; }));
    CHECK(now() - begin >= kSecond / 5);
    CHECK(now() - begin < 3 * kSecond);
    CHECK(a.failure->status == WEFT_ERR_UNREACHABLE);
    CHECK(a.failure->message.find(first_endpoint(address).to_string()) != std::string::npos);
    CHECK(out.failed());
    CHECK(in.failed());
}

TEST_CASE("another process at the peer's old port is not taken for the peer") {
    Node a(1), b(2);
    a.connect(3, b.datapath->address(), kSecond / 5);
    REQUIRE(run_until({&a, &b}, [&] { return a.failures == 1; }));
    CHECK(a.failure->status == WEFT_ERR_UNREACHABLE);
    CHECK(b.stat("misdirected_checks") > 0);
    CHECK(b.channels.empty());
}

TEST_CASE("addresses of another world are unreachable, and reaches() knows") {
    Node a(1, loopback("127.0.0.1")), b(2, loopback("::1"));
    CHECK_FALSE(a.datapath->reaches(b.datapath->address()));
    CHECK_FALSE(b.datapath->reaches(a.datapath->address()));
    a.connect(b);
    REQUIRE(run_until({&a}, [&] { return a.failures == 1; }, kSecond));
    CHECK(a.failure->status == WEFT_ERR_UNREACHABLE);
}

TEST_CASE("a killed or stopped peer is found dead within the time-out, by whoever waits for it") {
    for (const int how : {SIGKILL, SIGSTOP}) {
        for (const bool sends : {false, true}) {
            CAPTURE(how);
            CAPTURE(sends);
            Child child(2);
            Node a(1);
            a.connect(2, child.address());
            REQUIRE(run_until({&a}, [&] { return a.opened == 1; }));
            child.signal(how);
            Op out({1, 1}, blank(1'000'000)), in({1, 2}, blank(10));
            if (sends) {
                a.channel().send(out.transfer);
            } else {
                a.channel().recv(in.transfer);
                a.channel().watch(true);
            }
            const Time begin = now();
            REQUIRE(run_until({&a}, [&] { return a.failures == 1; }));
            CHECK(now() - begin < 4 * kSecond);  // 1.5 s, and some for a busy machine
            CHECK(a.failure->status == WEFT_ERR_PEER_DEAD);
            CHECK(a.failure->peer_id == 2);
            CHECK((sends ? out : in).failed());
            CHECK((sends ? out : in).transfer.error->status == WEFT_ERR_PEER_DEAD);
        }
    }
}

TEST_CASE("a peer that nobody waits for is left in peace") {
    Child child(2);
    Node a(1, loopback(), "secret", kSecond / 5);
    a.connect(2, child.address());
    REQUIRE(run_until({&a}, [&] { return a.opened == 1; }));
    child.signal(SIGSTOP);
    CHECK_FALSE(run_until({&a}, [&] { return a.failures > 0; }, kSecond));
    child.signal(SIGCONT);
    CHECK(a.channel().state() == Channel::State::kOpen);
}

TEST_CASE("an idle edge wants no attention") {
    Pair pair;
    pair.exchange(1'000'000);
    REQUIRE(run_until({&pair.a, &pair.b}, [&] {
        const Time soon = now() + 10 * kSecond;
        return pair.a.datapath->arm() && pair.b.datapath->arm() &&
               pair.a.datapath->next_wakeup() > soon && pair.b.datapath->next_wakeup() > soon;
    }));
    const auto calls = pair.a.stat("send_calls");
    for (int i = 0; i < 1000; ++i) {
        CHECK_FALSE(pair.a.datapath->progress(now()));
    }
    CHECK(pair.a.stat("send_calls") == calls);
}

TEST_CASE("a port in use is named") {
    UdpOptions options = loopback();
    options.sockets = 1;
    Node a(1, options);
    options.port = first_endpoint(a.datapath->address()).port();
    Acceptor* const nobody = &a;
    try {
        UdpDatapath b(Identity{.id = 2}, *nobody, options);
        FAIL("opened a port that is in use");
    } catch (const Error& error) {
        CHECK(error.info()->status == WEFT_ERR_RESOURCES);
        CHECK(error.info()->message.find(std::to_string(options.port)) != std::string::npos);
    }
}

TEST_CASE(
    "foreign and malformed datagrams are counted, answered with no more than they are, and harm "
    "nothing") {
    Pair pair;
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const udp::Endpoint target = first_endpoint(pair.b.datapath->address());
    std::mt19937_64 random(7);
    std::size_t sent_bytes = 0;
    std::size_t answered_bytes = 0;
    const auto throw_at = [&](std::span<const std::uint8_t> bytes) {
        REQUIRE(sendto(fd, bytes.data(), bytes.size(), 0, target.data(), target.size()) >= 0);
        sent_bytes += bytes.size();
        pair.b.datapath->progress(now());
        pair.a.datapath->progress(now());
        std::uint8_t answer[65536];
        for (ssize_t got = 0; (got = recv(fd, answer, sizeof answer, 0)) >= 0;) {
            answered_bytes += static_cast<std::size_t>(got);
        }
    };
    Op out({1, 1}, random_bytes(3'000'000, 1)), in({1, 1}, blank(3'000'000));
    pair.b.channel().recv(in.transfer);
    pair.a.channel().send(out.transfer);
    for (int i = 0; i < 20'000; ++i) {
        // Noise; or a packet of ours with a plausible kind and wrong everything else.
        std::vector<std::uint8_t> bytes(random() % 200);
        std::ranges::generate(bytes, [&] { return static_cast<std::uint8_t>(random()); });
        if (!bytes.empty() && i % 2 == 0) {
            constexpr std::uint8_t kKinds[] = {1,  2,  3,  4,  5,  16,   17,   18,   19,  20,
                                               32, 33, 34, 35, 36, 0xC1, 0xC2, 0xC3, 0xC4};
            bytes[0] = kKinds[random() % std::size(kKinds)];
        }
        throw_at(bytes);
    }
    // Well-formed hellos and bindings without the key.
    wire::Packet hello;
    hello.kind = wire::PacketKind::kHello;
    hello.epoch = 2;
    hello.handshake = {};
    hello.handshake.source_connection = 77;
    hello.handshake.peer_id = 5;
    hello.handshake.chunk_size = 1024;
    hello.handshake.window = 1024;
    std::vector<std::uint8_t> bytes(wire::encoded_size(hello));
    wire::encode(hello, bytes);
    throw_at(bytes);
    throw_at(udp::encode_note({udp::NoteKind::kBind, 0, 8, 12345, 99}));
    CHECK(pair.b.stat("malformed") > 1000);
    CHECK(pair.b.stat("unknown_connection") > 100);
    CHECK(pair.b.stat("rejected_version") + pair.b.stat("rejected_epoch") +
              pair.b.stat("rejected_proof") >=
          1);
    CHECK(answered_bytes <= sent_bytes);
    REQUIRE(run_until({&pair.a, &pair.b}, [&] { return in.done() && out.done(); }));
    CHECK(in.data == out.data);
    CHECK(pair.b.channels.size() == 1);
    CHECK(pair.b.stat("edges") == 1);
    pair.exchange(1000);
    close(fd);
}

TEST_CASE("close delivers what was sent before, and the peer learns that we left") {
    for (const std::size_t size : {std::size_t{100}, std::size_t{2'000'000}}) {
        CAPTURE(size);
        Node a(1), b(2);
        a.connect(b);
        REQUIRE(run_until({&a, &b}, [&] { return a.opened == 1 && b.opened == 1; }));
        Op out({1, 1}, random_bytes(size, 1)), in({1, 1}, blank(size)), never({1, 2}, blank(10)),
            waits({1, 3}, blank(10));
        b.channel().recv(in.transfer);
        a.channel().recv(waits.transfer);
        a.channel().send(out.transfer);
        a.channel().close();
        CHECK(waits.failed());
        CHECK(a.channel().state() == Channel::State::kClosed);
        a.channel().send(never.transfer);
        CHECK(never.failed());
        REQUIRE(run_until({&a, &b}, [&] { return in.done() && b.failures == 1; }));
        CHECK(in.data == out.data);
        CHECK(out.done());
        CHECK(b.failure->status == WEFT_ERR_PEER_DEAD);
        CHECK(b.channel().state() == Channel::State::kClosed);
        CHECK(a.failures == 0);
    }
}

TEST_CASE("messages that came before the peer left can still be received") {
    Node a(1), b(2);
    a.connect(b);
    REQUIRE(run_until({&a, &b}, [&] { return a.opened == 1 && b.opened == 1; }));
    Op out({1, 1}, random_bytes(5000, 1)), in({1, 1}, blank(5000));
    a.channel().send(out.transfer);
    a.channel().close();
    const auto left = [&] {
        return b.channel().stats_json().find("\"left\"") != std::string::npos;
    };
    REQUIRE(run_until({&a, &b}, left));
    CHECK(b.failures == 0);
    b.channel().recv(in.transfer);
    CHECK(in.done());
    CHECK(in.data == out.data);
    REQUIRE(run_until({&b}, [&] { return b.failures == 1; }, kSecond));
}

TEST_CASE("the destructor waits for what was sent, and gives everything back") {
    const std::size_t before = open_descriptors();
    {
        Child child(2);
        Node a(1);
        a.connect(2, child.address());
        REQUIRE(run_until({&a}, [&] { return a.opened == 1; }));
        Op out({1, 1}, random_bytes(1000, 1));
        a.channel().send(out.transfer);
        CHECK(out.done());
        a.datapath.reset();  // before its channel
        CHECK(a.channel().state() == Channel::State::kClosed);
        Op late({1, 2}, blank(1)), in({1, 3}, blank(1));
        a.channel().send(late.transfer);
        a.channel().recv(in.transfer);
        CHECK(late.failed());
        CHECK(in.failed());
        a.channel().cancel(in.transfer);
        a.channel().forget_group(1);
        a.channel().watch(true);
        a.channel().close();
        CHECK(!a.channel().stats_json().empty());
    }
    CHECK(open_descriptors() == before);
}

TEST_CASE("channels may be destroyed from inside callbacks") {
    for (const bool in_transfer : {false, true}) {
        CAPTURE(in_transfer);
        Pair pair;
        Op out({1, 1}, random_bytes(100, 1)), in({1, 1}, blank(100));
        Node& b = pair.b;
        if (in_transfer) {
            in.then = [&] { b.channels.clear(); };
            b.channel().recv(in.transfer);
        } else {
            b.on_unmatched = [&](Channel&, const Tag&, std::size_t) { b.channels.clear(); };
        }
        pair.a.channel().send(out.transfer);
        REQUIRE(run_until({&pair.a, &pair.b},
                          [&] { return b.channels.empty() && pair.a.failures == 1; }));
        REQUIRE(run_until({&pair.a, &pair.b}, [&] { return b.stat("edges") == 0; }));
        b.channels.push_back(
            b.datapath->connect(1, pair.a.datapath->address(), b, now() + kSecond));
    }
}

TEST_CASE("a call that the owner refuses is not answered") {
    Node a(1), b(2);
    b.takes = [] { return false; };
    a.connect(b, kSecond / 4);
    REQUIRE(run_until({&a, &b}, [&] { return a.failures == 1; }));
    CHECK(a.failure->status == WEFT_ERR_UNREACHABLE);
    CHECK(b.stat("refused_calls") > 0);
    CHECK(b.stat("edges") == 0);
}

TEST_CASE("ends that disagree about checksums do not open an edge, and the error says so") {
    UdpOptions sealed = loopback();
    sealed.checksum = true;
    Node plain(1), strict(2, sealed);
    Node* callers[] = {&plain, &strict};
    for (Node* caller : callers) {
        Node& called = caller == &plain ? strict : plain;
        caller->connect(called, kSecond / 4);
        REQUIRE(run_until({&plain, &strict}, [&] { return caller->failures == 1; }));
        CHECK(caller->failure->status == WEFT_ERR_UNREACHABLE);
        CHECK(caller->failure->message.find("checksum") != std::string::npos);
        CHECK(called.opened == 0);
    }
}

// As the engine's mesh does: of two calls between one pair, the one of the lower id stands, and
// there is never a second edge.
struct MeshNode {
    explicit MeshNode(PeerId id) : node(id) {
        node.takes = [this] { return !open() && (node.channels.empty() || node.id() == 2); };
    }
    bool open() const {
        return !node.channels.empty() && node.channels.back()->state() == Channel::State::kOpen;
    }
    Node node;
};

TEST_CASE("when both call at once, the lower id's call stands") {
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        MeshNode low(1), high(2);
        Node* nodes[] = {&low.node, &high.node};
        low.node.connect(high.node);
        for (std::uint64_t rounds = random() % 30; rounds > 0; --rounds) {
            nodes[random() % 2]->datapath->progress(now());
        }
        if (high.node.channels.empty()) {
            high.node.connect(low.node);
        }
        if (seed % 2 == 0) {
            std::swap(nodes[0], nodes[1]);
        }
        REQUIRE(run_until({nodes[0], nodes[1]}, [&] { return low.open() && high.open(); }));
        high.node.channels.erase(high.node.channels.begin(),
                                 high.node.channels.end() - 1);  // its own call
        CHECK(low.node.channels.size() == 1);  // the higher one's call was never taken
        CHECK(high.node.failures == 0);        // nor did it fail
        Op out({1, 1}, random_bytes(1000, seed)), in({1, 1}, blank(1000)),
            back({1, 2}, random_bytes(1000, seed + 1)), got({1, 2}, blank(1000));
        high.node.channel().recv(in.transfer);
        low.node.channel().recv(got.transfer);
        low.node.channel().send(out.transfer);
        high.node.channel().send(back.transfer);
        REQUIRE(run_until({&low.node, &high.node}, [&] { return in.done() && got.done(); }));
        CHECK(in.data == out.data);
        CHECK(got.data == back.data);
        low.node.channel().close();
        run_until({&low.node, &high.node}, [&] { return high.node.failures > 0; }, kSecond);
    }
}

TEST_CASE("a forked child that abandons the datapath leaves the parent's edge alone") {
    Pair pair;
    Op out({1, 1}, random_bytes(5'000'000, 1)), in({1, 1}, blank(5'000'000));
    pair.b.channel().recv(in.transfer);
    pair.a.channel().send(out.transfer);
    REQUIRE(run_until({&pair.a, &pair.b},
                      [&] { return pair.b.channel_stat("bytes_received") > 100'000; }));
    const pid_t pid = fork();
    if (pid == 0) {
        pair.a.datapath->abandon();
        pair.b.datapath->abandon();
        Op late({1, 2}, blank(1));
        pair.a.channel().send(late.transfer);
        const bool quiet =
            !pair.a.datapath->progress(now()) && late.failed() && pair.a.failures == 0;
        pair.a.channels.clear();
        pair.a.datapath.reset();
        _exit(quiet ? 0 : 1);
    }
    int status = 0;
    REQUIRE(waitpid(pid, &status, 0) == pid);
    CHECK(status == 0);
    REQUIRE(run_until({&pair.a, &pair.b}, [&] { return in.done() && out.done(); }));
    CHECK(in.data == out.data);
    CHECK(pair.a.failures + pair.b.failures == 0);
}

}  // namespace
}  // namespace weft::datapath::test
