// Hosts as processes in network namespaces of their own, joined by veth links. Namespaces and links
// vanish with the processes.
#pragma once

#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "node.h"

namespace weft::datapath::test {

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
    // Runs a command in the namespace.
    bool run(const std::string& command) const {
        return std::system(("nsenter -t " + pid() + " -n " + command + " 2>/dev/null").c_str()) ==
               0;
    }

  private:
    pid_t pid_ = -1;
    int line_ = -1;
};

// Waits until the kernel has noticed a link's carrier: until then it drops what is sent, though the
// link is up.
inline bool carries(const Host& host, const std::string& link) {
    for (int i = 0; i < 500; ++i) {
        if (host.run("ip link show dev " + link + " | grep -q 'LOWER_UP.*qdisc noqueue'")) {
            return true;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return false;
}

// Joins two hosts by links of these names: link i is 10.77.i.1 at the first, 10.77.i.2 at the
// second. False where that is not permitted.
inline bool join(const Host& a, const Host& b, const std::vector<std::string>& links) {
    const std::string ready[] = {a.hear(), b.hear()};
    bool good = ready[0] == "ready" && ready[1] == "ready";
    for (std::size_t i = 0; i < links.size() && good; ++i) {
        const std::string subnet = "10.77." + std::to_string(i);
        good = a.run("ip link add " + links[i] + " mtu 9000 type veth peer name " + links[i] +
                     " mtu 9000 netns " + b.pid()) &&
               a.run("ip addr add " + subnet + ".1/24 dev " + links[i]) &&
               b.run("ip addr add " + subnet + ".2/24 dev " + links[i]) &&
               a.run("ip link set " + links[i] + " up") && b.run("ip link set " + links[i] + " up");
        for (const Host* host : {&a, &b}) {
            good = good && carries(*host, links[i]);
        }
    }
    return good;
}

}  // namespace weft::datapath::test
