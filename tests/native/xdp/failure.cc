// What goes wrong over AF_XDP ends in a typed error that says what to do, and leaves nothing behind
// in the kernel. Needs root and iproute2; says so and passes otherwise.
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "wire.h"

namespace weft::datapath::test {
namespace {

// A child in a namespace, with a line on which it says and hears.
class Child {
  public:
    template <typename Life>
    Child(const Namespace& at, Life life) {
        int ends[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
        pid_ = at.inside([&] {
            const pid_t pid = fork();
            if (pid == 0) {
                close(ends[0]);
                try {
                    life(ends[1]);
                } catch (const std::exception& error) {
                    say(ends[1], error.what());
                }
                _exit(0);
            }
            return pid;
        });
        close(ends[1]);
        line_ = ends[0];
    }
    ~Child() {
        end();
        close(line_);
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    void end() {
        if (pid_ > 0) {
            kill(pid_, SIGKILL);
            waitpid(pid_, nullptr, 0);
            pid_ = -1;
        }
    }
    static void say(int line, const std::string& text) {
        static_cast<void>(!::send(line, text.data(), text.size(), MSG_NOSIGNAL));
    }
    static std::string hear(int line) {
        std::string text(4096, '\0');
        const ssize_t size = ::recv(line, text.data(), text.size(), 0);
        text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
        return text;
    }
    void say(const std::string& text) const { say(line_, text); }
    std::string hear() const { return hear(line_); }

  private:
    pid_t pid_ = -1;
    int line_ = -1;
};

std::string refusal(const Namespace& at, const XdpOptions& options, weft_status expected) {
    try {
        at.inside([&] { Node node(9, options); });
    } catch (const Error& error) {
        CHECK(error.info()->status == expected);
        return error.info()->message;
    }
    return "no error";
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

void lose_capability(unsigned bit) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct sets[2];
    syscall(SYS_capget, &header, sets);
    for (__u32* set : {&sets[bit / 32].effective, &sets[bit / 32].permitted}) {
        *set &= ~(1u << bit % 32);
    }
    syscall(SYS_capset, &header, sets);
}

TEST_CASE("a killed peer is found dead in time, and leaves no program and no socket behind") {
    Wire wire;
    if (!wire.good) {
        return skip();
    }
    for (int life = 0; life < 2; ++life) {  // the second finds all as the first did
        Node node = wire.a.inside([] { return Node(1, over(), "secret", kSecond / 2); });
        Child child(wire.b, [](int line) {
            Node other(2, over());
            Child::say(line, other.datapath->address());
            run_until({&other}, [] { return false; }, 60 * kSecond);
        });
        node.connect(2, child.hear());
        REQUIRE(run_until({&node}, [&] { return node.opened == 1; }));
        CHECK(contains(wire.b.output("ip -d link show dev wire"), "xdp"));
        Op in({1, 1}, blank(100));
        node.channel().recv(in.transfer);
        node.channel().watch(true);
        const Time begin = now();
        child.end();
        REQUIRE(run_until({&node}, [&] { return node.failures == 1; }));
        CHECK(now() - begin >= kSecond / 4);
        CHECK(node.failure->status == WEFT_ERR_PEER_DEAD);
        CHECK(contains(node.failure->message, "xdp: peer 0000000000000002"));
        CHECK(in.failed());
        // The kernel takes things apart on its own time.
        CHECK(run_until(
            {}, [&] { return !contains(wire.b.output("ip -d link show dev wire"), "xdp"); }));
    }
}

TEST_CASE("who lacks a capability is told which") {
    Wire wire;
    if (!wire.good) {
        return skip();
    }
    struct Case {
        std::vector<unsigned> lost;
        const char* named;
    };
    for (const Case& some :
         {Case{{CAP_NET_RAW}, "CAP_NET_RAW"}, Case{{CAP_NET_ADMIN, CAP_SYS_ADMIN}, "CAP_NET_ADMIN"},
          Case{{CAP_BPF, CAP_SYS_ADMIN}, "CAP_BPF"}}) {
        const Child child(wire.a, [&](int line) {
            for (const unsigned bit : some.lost) {
                lose_capability(bit);
            }
            try {
                Node node(1, over());
                Child::say(line, "no error");
            } catch (const Error& error) {
                Child::say(line, std::to_string(error.info()->status) + error.info()->message);
            }
        });
        const std::string said = child.hear();
        CAPTURE(said);
        CHECK(said.starts_with(std::to_string(WEFT_ERR_UNSUPPORTED)));
        CHECK(contains(said, some.named));
        CHECK(contains(said, "device wire"));
    }
}

TEST_CASE("a device belongs to one process, and loopback to none") {
    Wire wire;
    if (!wire.good) {
        return skip();
    }
    {
        const Node first = wire.a.inside([] { return Node(1, over()); });
        const std::string said = refusal(wire.a, over(), WEFT_ERR_RESOURCES);
        CHECK(contains(said, "wire already has an XDP program"));
        CHECK(contains(said, "interfaces"));
    }
    CHECK(refusal(wire.a, over(), WEFT_ERR_RESOURCES) == "no error");
    CHECK(contains(refusal(wire.a, over("lo"), WEFT_ERR_UNSUPPORTED), "loopback"));
}

TEST_CASE("a link that goes down and comes back carries on") {
    Wire wire;
    if (!wire.good) {
        return skip();
    }
    Node a = wire.a.inside([] { return Node(1, over("10.78.0.1"), "secret", 20 * kSecond); });
    Node b = wire.b.inside([] { return Node(2, over("10.78.0.2"), "secret", 20 * kSecond); });
    a.connect(b);
    REQUIRE(run_until({&a, &b}, [&] { return a.opened == 1 && b.opened == 1; }));
    exchange(a, b, 1'000'000, 1);
    Op out({1, 1}, random_bytes(3'000'000, 5)), in({1, 1}, blank(3'000'000));
    b.channel().recv(in.transfer);
    a.channel().send(out.transfer);
    REQUIRE(wire.a.run("ip link set wire down"));
    for (const Time until = now() + kSecond / 5; now() < until;) {
        a.datapath->progress(now());
        b.datapath->progress(now());
    }
    REQUIRE(wire.a.run("ip link set wire up"));
    REQUIRE(run_until({&a, &b}, [&] { return in.ended + out.ended == 2; }, 30 * kSecond));
    CHECK(in.done());
    CHECK(in.data == out.data);
    const std::uint64_t before = a.stat("ring_sent");
    REQUIRE(run_until({&a, &b}, [&] {
        exchange(a, b, 1'000'000, 1);
        return a.stat("ring_sent") > before + 500;  // by the ring again
    }));
    part(a, b);
}

TEST_CASE("a device that is taken away ends its edges, and does not keep the sleeper awake") {
    Wire wire;
    if (!wire.good) {
        return skip();
    }
    Node a = wire.a.inside([] { return Node(1, over("10.78.0.1"), "secret", kSecond / 2); });
    Node b = wire.b.inside([] { return Node(2, over("10.78.0.2"), "secret", kSecond / 2); });
    a.connect(b);
    REQUIRE(run_until({&a, &b}, [&] { return a.opened == 1 && b.opened == 1; }));
    exchange(a, b, 100'000, 1);
    REQUIRE(wire.a.run("ip link del wire"));  // both ends go
    Op out({1, 1}, random_bytes(300'000, 1));
    a.channel().send(out.transfer);
    REQUIRE(run_until({&a, &b}, [&] { return out.failed(); }));
    CHECK(a.failure->status == WEFT_ERR_PEER_DEAD);
    pollfd sleeper{a.datapath->wait_fds().front(), POLLIN, 0};
    CHECK(run_until({&a, &b}, [&] { return poll(&sleeper, 1, 0) == 0; }));
}

TEST_CASE("a forked child that abandons the datapath leaves the parent's edge alone") {
    Wire wire;
    if (!wire.good) {
        return skip();
    }
    Node a = wire.a.inside([] { return Node(1, over("10.78.0.1")); });
    Node b = wire.b.inside([] { return Node(2, over("10.78.0.2")); });
    a.connect(b);
    REQUIRE(run_until({&a, &b}, [&] { return a.opened == 1 && b.opened == 1; }));
    {
        const Child child(wire.a, [&](int line) {
            a.datapath->abandon();
            Child::say(line, "abandoned");
        });
        CHECK(child.hear() == "abandoned");
    }
    exchange(a, b, 1'000'000, 1);
    part(a, b);
}

TEST_CASE("options are read from text, and refused by name") {
    const XdpOptions options =
        XdpOptions::parse({{"xdp.mode", "generic"}, {"xdp.queues", "4"}, {"paths", "2"}}, "wire");
    CHECK(options.mode == XdpOptions::Mode::kGeneric);
    CHECK(options.queues == 4);
    CHECK(options.udp.paths == 2);
    CHECK(options.udp.interfaces == std::vector<std::string>{"wire"});
    for (const auto& [key, value] :
         std::vector<std::pair<std::string, std::string>>{{"xdp.mode", "fast"},
                                                          {"xdp.queues", "65"},
                                                          {"xdp.queues", "two"},
                                                          {"xdp.speed", "9"},
                                                          {"path", "1"}}) {
        try {
            XdpOptions::parse({{key, value}});
            FAIL(key << "=" << value << " was taken");
        } catch (const Error& error) {
            CHECK(error.info()->status == WEFT_ERR_INVALID);
            CHECK(contains(error.info()->message, key));
        }
    }
}

}  // namespace
}  // namespace weft::datapath::test
