// Two hosts with two network cards each, as network namespaces joined by two veth links: both links
// carry traffic, and when one goes dark the other carries on. Needs root and iproute2; says so and
// passes otherwise.
#include <fcntl.h>
#include <poll.h>

#include <fstream>
#include <sstream>

#include "datapath/udp/socket.h"
#include "host.h"

namespace weft::datapath::test {
namespace {

constexpr std::size_t kBytes = 30'000'000;
constexpr Time kPatience = 100 * kSecond;  // a busy machine may take its time

// Bytes that the interface has sent.
std::uint64_t sent_by(const std::string& interface) {
    std::ifstream devices("/proc/self/net/dev");
    for (std::string line; std::getline(devices, line);) {
        const auto colon = line.find(':');
        if (colon != std::string::npos &&
            line.substr(0, colon).find(interface) != std::string::npos) {
            std::istringstream fields(line.substr(colon + 1));
            std::uint64_t value = 0;
            for (int i = 0; i < 9; ++i) {
                fields >> value;
            }
            return value;
        }
    }
    return 0;
}

// Exchanges messages with the peer once for each "go" and reports what each interface has sent.
void live(int line, bool calls) {
    Host::hear(line);  // the links are there
    UdpOptions options;
    Node node(calls ? 1 : 2, options);
    Host::say(line, node.datapath->address());
    const std::string other = Host::hear(line);
    if (calls) {
        node.connect(2, other);
    }
    if (!run_until({&node}, [&] { return node.opened + node.failures > 0; }) || node.failures > 0) {
        Host::say(line, "error: " + (node.failure ? node.failure->message : "no edge"));
        return;
    }
    Host::say(line, "open");
    fcntl(line, F_SETFL, O_NONBLOCK);
    for (std::uint64_t round = 0;; ++round) {
        std::string order;
        run_until({&node}, [&] { return !(order = Host::hear(line)).empty(); });
        if (order != "go") {
            return;
        }
        Op out({1, round}, random_bytes(kBytes, calls ? 1 : 2)), in({1, round}, blank(kBytes));
        node.channel().recv(in.transfer);
        node.channel().send(out.transfer);
        const auto over = [&] { return in.ended + out.ended == 2 || node.failures > 0; };
        if (!run_until({&node}, over, kPatience)) {
            node.channel().cancel(in.transfer);  // they end here, and must not be written to later
            node.channel().cancel(out.transfer);
        }
        std::string report =
            in.done() && out.done() && in.data == random_bytes(kBytes, calls ? 2 : 1) ? "done"
                                                                                      : "failed";
        if (node.failures > 0) {
            report += ": " + node.failure->message;
        }
        Host::say(line, report + " " + std::to_string(sent_by("rail0")) + " " +
                            std::to_string(sent_by("rail1")));
    }
}

struct Report {
    explicit Report(const std::string& text) {
        std::istringstream(text) >> word >> sent[0] >> sent[1];
    }
    std::string word;
    std::uint64_t sent[2] = {0, 0};
};

// Sends more trains than the link and the kernel's buffer can hold; says how often it was told to
// wait.
void crowd(int line, bool sends) {
    using namespace udp;
    Host::hear(line);
    SocketCounters counters;
    Socket socket(Endpoint::parse(sends ? "10.77.0.1" : "10.77.0.2").value(),
                  {1 << 20, true, true});
    const int small = 100'000;
    if (sends) {
        setsockopt(socket.fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    }
    Host::say(line, std::to_string(socket.local().port()));
    Endpoint to = Endpoint::parse("10.77.0.2").value();
    to.set_port(static_cast<std::uint16_t>(std::stoi(Host::hear(line))));
    constexpr std::uint32_t kDatagrams = 1000;
    if (sends) {
        SendBatch batch(counters);
        const std::vector<std::byte> payload(1396);
        pollfd room{socket.fd(), POLLOUT, 0};
        const auto drain = [&] {
            while (!batch.flush()) {
                poll(&room, 1, 100);
            }
        };
        for (std::uint32_t number = 0; number < kDatagrams; ++number) {
            if (batch.header().empty()) {
                drain();
            }
            std::memcpy(batch.header().data(), &number, sizeof number);
            batch.add(socket, to, sizeof number, payload);
        }
        drain();
        Host::say(line,
                  std::to_string(counters.blocked) + " " + std::to_string(counters.datagrams_sent));
    } else {
        ReceiveBatch batch(counters);
        std::uint32_t next = 0;
        bool in_order = true;
        pollfd ready{socket.fd(), POLLIN, 0};
        while (next < kDatagrams && poll(&ready, 1, 10'000) > 0) {
            batch.receive(socket);
            batch.for_each([&](const Arrived& datagram) {
                std::uint32_t number = 0;
                std::memcpy(&number, datagram.bytes.data(), sizeof number);
                in_order = in_order && number == next && datagram.bytes.size() == 1400;
                ++next;
            });
        }
        Host::say(line, std::to_string(in_order) + " " + std::to_string(next));
    }
    Host::hear(line);
}

TEST_CASE("a full send buffer holds datagrams back, and loses none") {
    Host a([](int line) { crowd(line, true); }), b([](int line) { crowd(line, false); });
    if (!join(a, b, {"rail0"}) ||
        !a.run("tc qdisc add dev rail0 root tbf rate 100mbit burst 70kb limit 100mb")) {
        MESSAGE("skipped: a slow link needs root, nsenter, iproute2 and the kernel's tbf");
        return;
    }
    a.say("links");
    b.say("links");
    a.hear();
    const std::string port = b.hear();
    a.say(port);
    b.say(port);
    unsigned long blocked = 0, sent = 0, in_order = 0, received = 0;
    std::istringstream(a.hear()) >> blocked >> sent;
    std::istringstream(b.hear()) >> in_order >> received;
    CHECK(blocked > 0);
    CHECK(sent == 1000);
    CHECK(received == 1000);
    CHECK(in_order == 1);
}

// The two learn each other's address, and have an edge each.
void open_edges(const Host& a, const Host& b) {
    a.say("links");
    b.say("links");
    const std::string address = a.hear();
    a.say(b.hear());
    b.say(address);
    const std::string opened[] = {a.hear(), b.hear()};
    REQUIRE(opened[0] == "open");
    REQUIRE(opened[1] == "open");
}

TEST_CASE("a rail that was silent when the edge opened carries its share once it is not") {
    Host a([](int line) { live(line, true); }), b([](int line) { live(line, false); });
    // To an address that nobody has, as if neighbours were still being looked for.
    const std::string lost = " lladdr 02:00:00:00:00:99 nud permanent dev rail1";
    if (!join(a, b, {"rail0", "rail1"}) || !a.run("ip neigh replace 10.77.1.2" + lost)) {
        MESSAGE("skipped: making network namespaces and links needs root, nsenter and iproute2");
        return;
    }
    open_edges(a, b);
    REQUIRE(a.run("ip neigh del 10.77.1.2 dev rail1"));
    // Checks come ever less often: a few rounds may pass before one gets through.
    bool shared = false;
    for (int round = 0; round < 100 && !shared; ++round) {
        shared = true;
        a.say("go");
        b.say("go");
        for (const Host* host : {&a, &b}) {
            const std::string text = host->hear();
            CAPTURE(text);
            const Report report(text);
            REQUIRE(report.word == "done");
            shared = shared && report.sent[1] > kBytes / 10;
        }
    }
    CHECK(shared);
}

TEST_CASE("two rails share the traffic, and one carries on alone") {
    Host a([](int line) { live(line, true); }), b([](int line) { live(line, false); });
    if (!join(a, b, {"rail0", "rail1"})) {
        MESSAGE("skipped: making network namespaces and links needs root, nsenter and iproute2");
        return;
    }
    open_edges(a, b);

    a.say("go");
    b.say("go");
    for (const Host* host : {&a, &b}) {
        const std::string text = host->hear();
        CAPTURE(text);
        const Report report(text);
        CHECK(report.word == "done");
        CHECK(report.sent[0] > kBytes / 10);  // both carry, whatever the balance
        CHECK(report.sent[1] > kBytes / 10);
    }
    REQUIRE(a.run("ip link set rail0 down"));
    a.say("go");
    b.say("go");
    for (const Host* host : {&a, &b}) {
        const std::string text = host->hear();
        CAPTURE(text);
        CHECK(Report(text).word == "done");
    }
    REQUIRE(a.run("ip link set rail0 up"));
    a.say("go");
    b.say("go");
    for (const Host* host : {&a, &b}) {
        CHECK(Report(host->hear()).word == "done");
    }
}

}  // namespace
}  // namespace weft::datapath::test
