// Two hosts with two network cards each, as network namespaces joined by two veth links: both links
// carry traffic, and when one goes dark the other carries on. Needs root and iproute2; says so and
// passes otherwise.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "node.h"

namespace weft::datapath::test {
namespace {

constexpr std::size_t kBytes = 30'000'000;

// A process in a network namespace of its own, with a line to the test.
class Host {
  public:
    template <typename Life>
    explicit Host(Life life) {
        int ends[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
        pid_ = fork();
        if (pid_ == 0) {
            close(ends[0]);
            const bool alone = unshare(CLONE_NEWNET) == 0;
            say(ends[1], alone ? "ready" : "not permitted");
            try {
                if (alone) {
                    life(ends[1]);
                }
            } catch (const std::exception& error) {
                say(ends[1], std::string("error: ") + error.what());
            }
            _exit(0);
        }
        close(ends[1]);
        line_ = ends[0];
    }
    ~Host() {
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
        close(line_);
    }
    Host(const Host&) = delete;
    Host& operator=(const Host&) = delete;

    static void say(int line, const std::string& text) {
        static_cast<void>(!send(line, text.data(), text.size(), MSG_NOSIGNAL));
    }
    static std::string hear(int line) {
        std::string text(65536, '\0');
        const ssize_t size = recv(line, text.data(), text.size(), 0);
        text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
        return text;
    }
    void say(const std::string& text) const { say(line_, text); }
    std::string hear() const { return hear(line_); }
    std::string pid() const { return std::to_string(pid_); }
    // Runs an iproute2 command in the namespace.
    bool ip(const std::string& arguments) const {
        return std::system(
                   ("nsenter -t " + pid() + " -n ip " + arguments + " 2>/dev/null").c_str()) == 0;
    }

  private:
    pid_t pid_ = -1;
    int line_ = -1;
};

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
    Host::say(line, node.udp->address());
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
        run_until({&node}, [&] { return in.ended + out.ended == 2 || node.failures > 0; });
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

TEST_CASE("two rails share the traffic, and one carries on alone") {
    Host a([](int line) { live(line, true); }), b([](int line) { live(line, false); });
    const std::string ready[] = {a.hear(), b.hear()};
    bool permitted = ready[0] == "ready" && ready[1] == "ready";
    for (const char* rail : {"0", "1"}) {
        const std::string name = std::string("rail") + rail;
        permitted = permitted &&
                    a.ip("link add " + name + " mtu 9000 type veth peer name " + name +
                         " mtu 9000 netns " + b.pid()) &&
                    a.ip("addr add 10.77." + std::string(rail) + ".1/24 dev " + name) &&
                    b.ip("addr add 10.77." + std::string(rail) + ".2/24 dev " + name) &&
                    a.ip("link set " + name + " up") && b.ip("link set " + name + " up");
    }
    if (!permitted) {
        MESSAGE("skipped: making network namespaces and links needs root, nsenter and iproute2");
        return;
    }
    a.say("links");
    b.say("links");
    const std::string address = a.hear();
    a.say(b.hear());
    b.say(address);
    const std::string opened[] = {a.hear(), b.hear()};
    REQUIRE(opened[0] == "open");
    REQUIRE(opened[1] == "open");

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
    REQUIRE(a.ip("link set rail0 down"));
    a.say("go");
    b.say("go");
    for (const Host* host : {&a, &b}) {
        const std::string text = host->hear();
        CAPTURE(text);
        CHECK(Report(text).word == "done");
    }
    REQUIRE(a.ip("link set rail0 up"));
    a.say("go");
    b.say("go");
    for (const Host* host : {&a, &b}) {
        CHECK(Report(host->hear()).word == "done");
    }
}

}  // namespace
}  // namespace weft::datapath::test
