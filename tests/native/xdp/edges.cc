// Edges over AF_XDP, between namespaces joined by veth: with each other and with the UDP datapath.
// Needs root and iproute2; says so and passes otherwise.
#include <sys/socket.h>
#include <sys/time.h>

#include "datapath/udp/endpoint.h"
#include "wire.h"

namespace weft::datapath::test {
namespace {

constexpr std::size_t kSizes[] = {0, 1, 100, 4096, 65'536, 1'000'003, 8'000'000};

// Two nodes with an open edge between them; `a` has called.
struct Ends {
    template <typename OptionsA, typename OptionsB>
    Ends(const Namespace& at_a, const OptionsA& options_a, const Namespace& at_b,
         const OptionsB& options_b, Time peer_timeout = 5 * kSecond) {
        a = at_a.inside(
            [&] { return std::make_unique<Node>(1, options_a, "secret", peer_timeout); });
        b = at_b.inside(
            [&] { return std::make_unique<Node>(2, options_b, "secret", peer_timeout); });
        a->connect(*b);
        REQUIRE(run_until({a.get(), b.get()},
                          [&] { return (a->opened == 1 && b->opened == 1) || a->failures > 0; }));
        REQUIRE_MESSAGE(a->failures == 0, a->failure->message);
    }
    ~Ends() { part(*a, *b); }
    void exchange_all() {
        std::uint64_t seed = 1;
        for (const std::size_t size : kSizes) {
            CAPTURE(size);
            exchange(*a, *b, size, seed += 2);
        }
    }
    std::unique_ptr<Node> a, b;
};

UdpOptions plain() {
    UdpOptions options;
    options.interfaces = {"wire"};
    return options;
}

TEST_CASE("messages of all sizes arrive through the rings, over IPv4 and IPv6, jumbo or not") {
    for (const int mtu : {1500, 3000, 9000}) {
        Wire wire(mtu);
        if (!wire.good) {
            return skip();
        }
        for (const char* address : {"10.78.0.", "fd78::"}) {
            CAPTURE(mtu);
            CAPTURE(address);
            Ends ends(wire.a, over(std::string(address) + "1"), wire.b,
                      over(std::string(address) + "2"));
            ends.exchange_all();
            for (Node* node : {ends.a.get(), ends.b.get()}) {
                // All but the few datagrams that make the kernel look after the neighbour.
                CHECK(node->stat("ring_sent") > 10 * node->stat("datagrams_sent"));
                CHECK(node->stat("ring_received") > 10 * node->stat("datagrams_received"));
                CHECK(node->stat("corrupt") == 0);
                CHECK(node->stat("foreign") == 0);
                CHECK(node->stat("tx_invalid") == 0);
                CHECK(node->channel().datapath() == "xdp");
            }
            CHECK(ends.a->channel_stat("chunk_size") > static_cast<std::uint64_t>(mtu) - 250);
        }
    }
}

TEST_CASE("every mode that veth offers carries messages, and the one it lacks is refused by name") {
    Wire wire;
    if (!wire.good) {
        return skip();
    }
    using Mode = XdpOptions::Mode;
    for (const Mode mode : {Mode::kAuto, Mode::kCopy, Mode::kGeneric}) {
        XdpOptions options = over();
        options.mode = mode;
        Ends ends(wire.a, options, wire.b, options);
        ends.exchange_all();
        const char* const expected = mode == Mode::kGeneric ? "\"generic\"" : "\"copy\"";
        CHECK(ends.a->datapath->stats_json().find(expected) != std::string::npos);
        CHECK(ends.b->stat("ring_received") > 1000);
    }
    XdpOptions options = over();
    options.mode = Mode::kZeroCopy;
    try {
        wire.a.inside([&] { Node node(1, options); });
        FAIL("veth has learnt zero copy: have its test above");
    } catch (const Error& error) {
        CHECK(error.info()->status == WEFT_ERR_UNSUPPORTED);
        CHECK(error.info()->message.find("device wire") != std::string::npos);
        CHECK(error.info()->message.find("zero copy") != std::string::npos);
    }
}

TEST_CASE("xdp and udp endpoints understand each other, whoever calls, with and without offloads") {
    for (const int mtu : {1500, 9000}) {
        Wire wire(mtu);
        if (!wire.good) {
            return skip();
        }
        for (const bool offloads : {true, false}) {
            UdpOptions options = plain();
            options.gso = options.gro = offloads;
            CAPTURE(mtu);
            CAPTURE(offloads);
            {
                Ends ends(wire.a, over(), wire.b, options);
                ends.exchange_all();
                // What the sockets of the kernel have sent lacks its checksums here, and is good.
                CHECK(ends.a->stat("ring_received") > 1000);
                CHECK(ends.a->stat("corrupt") == 0);
                CHECK(ends.b->channel().datapath() == "udp");
            }
            Ends ends(wire.a, options, wire.b, over());
            ends.exchange_all();
            CHECK(ends.b->stat("ring_sent") > 1000);
        }
    }
}

TEST_CASE("with two queues both carry, and frames on a queue without a ring are not lost") {
    Wire wire(1500, 2);
    if (!wire.good) {
        return skip();
    }
    XdpOptions options = over("10.78.0.1"), fewer = over("10.78.0.2");
    {
        XdpOptions other = over("10.78.0.2");
        Ends ends(wire.a, options, wire.b, other);
        ends.exchange_all();
        CHECK(ends.a->stat("queues") == 2);
        // Sockets of the sender are dealt out over its queues, and veth joins equal queues.
        CHECK(ends.b->stat("ring_received") > 10 * ends.b->stat("datagrams_received"));
    }
    fewer.queues = 1;
    Ends ends(wire.a, options, wire.b, fewer);
    ends.exchange_all();
    CHECK(ends.b->stat("queues") == 1);
    CHECK(ends.b->stat("ring_received") > 100);
    CHECK(ends.b->stat("datagrams_received") > 100);
    Wire other;
    XdpOptions more = over();
    more.queues = 3;
    try {
        other.a.inside([&] { Node node(3, more); });
        FAIL("more queues than the device has");
    } catch (const Error& error) {
        CHECK(error.info()->status == WEFT_ERR_INVALID);
        CHECK(error.info()->message.find("xdp.queues=3") != std::string::npos);
    }
}

TEST_CASE("over a router that drops what it cannot queue, every byte arrives once") {
    Namespace a, router, b;
    const bool good =
        join(a, router, "wire", {"10.78.0.1/24"}, {"10.78.0.9/24"}) &&
        join(b, router, "wire2", {"10.79.0.1/24"}, {"10.79.0.9/24"}) &&
        a.run("ip route add default via 10.78.0.9") &&
        b.run("ip route add default via 10.79.0.9") &&
        router.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0") &&
        router.run("tc qdisc add dev wire2 root tbf rate 400mbit burst 20kb limit 30kb");
    if (!good) {
        return skip();
    }
    Ends ends(a, over("wire"), b, over("wire2"));
    constexpr std::size_t kSize = 8'000'000;
    Op out({1, 1}, random_bytes(kSize, 1)), in({1, 1}, blank(kSize));
    ends.b->channel().recv(in.transfer);
    ends.a->channel().send(out.transfer);
    REQUIRE(run_until(
        {ends.a.get(), ends.b.get()}, [&] { return in.ended + out.ended == 2; }, 60 * kSecond));
    REQUIRE(in.done());
    CHECK(in.data == out.data);
    CHECK(ends.a->channel_stat("retransmitted") > 0);
    CHECK(ends.a->stat("ring_sent") > 10 * ends.a->stat("datagrams_sent"));
}

TEST_CASE("a stream fills the rings over and over, and loses nothing for want of room") {
    Wire wire(1500);
    if (!wire.good) {
        return skip();
    }
    XdpOptions options = over("10.78.0.1"), other = over("10.78.0.2");
    options.udp.buffer = other.udp.buffer = 1 << 18;  // 64 frames
    Ends ends(wire.a, options, wire.b, other);
    exchange(*ends.a, *ends.b, 20'000'000, 9);
    CHECK(ends.b->stat("ring_received") > 10'000);
}

TEST_CASE("the kernel's stack keeps everything that is not ours") {
    Wire wire;
    if (!wire.good) {
        return skip();
    }
    Ends ends(wire.a, over(), wire.b, over());
    const auto socket_in = [](const Namespace& at, const char* address, int type) {
        return at.inside([&] {
            const int fd = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
            udp::Endpoint local = *udp::Endpoint::parse(address);
            REQUIRE(::bind(fd, local.data(), local.size()) == 0);
            return fd;
        });
    };
    const auto address_of = [](int fd) {
        udp::Endpoint local = *udp::Endpoint::parse("0.0.0.0");
        socklen_t size = udp::Endpoint::kMaxSize;
        getsockname(fd, local.data(), &size);
        return local;
    };
    const int from = socket_in(wire.a, "10.78.0.1", SOCK_DGRAM);
    const int to = socket_in(wire.b, "10.78.0.2", SOCK_DGRAM);
    const udp::Endpoint there = address_of(to);
    REQUIRE(sendto(from, "hello", 5, 0, there.data(), there.size()) == 5);
    char text[16];
    timeval patience{5, 0};
    setsockopt(to, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    CHECK(recv(to, text, sizeof text, 0) == 5);
    const int listener = socket_in(wire.b, "10.78.0.2", SOCK_STREAM);
    REQUIRE(listen(listener, 1) == 0);
    const int caller = socket_in(wire.a, "10.78.0.1", SOCK_STREAM);
    setsockopt(caller, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    const udp::Endpoint door = address_of(listener);
    CHECK(connect(caller, door.data(), door.size()) == 0);
    for (const int fd : {from, to, listener, caller}) {
        close(fd);
    }
    exchange(*ends.a, *ends.b, 100'000);
}

}  // namespace
}  // namespace weft::datapath::test
