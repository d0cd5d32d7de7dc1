// Network namespaces that this process makes and enters by turns, and links between them: what is
// opened in a namespace stays there, so that one process can hold both ends. They vanish with their
// last descriptor.
#pragma once

#include <fcntl.h>
#include <linux/bpf.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "../udp/node.h"

namespace weft::datapath::test {

class Namespace {
  public:
    Namespace() {
        const Namespace here(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
        if (here.fd_ < 0 || unshare(CLONE_NEWNET) != 0) {
            return;
        }
        fd_ = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
        setns(here.fd_, CLONE_NEWNET);
        run("ip link set lo up");
    }
    ~Namespace() {
        if (fd_ >= 0) {
            close(fd_);
        }
    }
    Namespace(const Namespace&) = delete;
    Namespace& operator=(const Namespace&) = delete;

    bool exists() const { return fd_ >= 0; }
    // As other processes can name it.
    std::string path() const {
        return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(fd_);
    }

    // What f() opens, it opens there.
    template <typename F>
    auto inside(F&& f) const {
        struct Back {
            int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
            ~Back() {
                setns(fd, CLONE_NEWNET);
                close(fd);
            }
        } back;
        REQUIRE(setns(fd_, CLONE_NEWNET) == 0);
        return f();
    }
    bool run(const std::string& command) const {
        return inside([&] { return std::system((command + " 2>/dev/null").c_str()) == 0; });
    }
    std::string output(const std::string& command) const {
        return inside([&] {
            std::string text;
            FILE* const pipe = popen(command.c_str(), "r");
            REQUIRE(pipe != nullptr);
            std::array<char, 4096> some;
            for (std::size_t got; (got = fread(some.data(), 1, some.size(), pipe)) > 0;) {
                text.append(some.data(), got);
            }
            pclose(pipe);
            return text;
        });
    }

  private:
    explicit Namespace(int fd) : fd_(fd) {}
    int fd_ = -1;
};

// Whether this kernel and these privileges permit AF_XDP and BPF at all.
inline bool xdp_permitted() {
    const int socket = ::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    bpf_attr map{};
    map.map_type = BPF_MAP_TYPE_ARRAY;
    map.key_size = map.value_size = sizeof(std::uint32_t);
    map.max_entries = 1;
    const auto made = static_cast<int>(syscall(SYS_bpf, BPF_MAP_CREATE, &map, sizeof map));
    const bool permitted = socket >= 0 && made >= 0;
    close(socket);
    close(made);
    return permitted;
}

// Joins two namespaces by a veth link of this name, with these addresses. False where it is not
// permitted.
inline bool join(const Namespace& a, const Namespace& b, const std::string& link,
                 const std::vector<std::string>& addresses_a,
                 const std::vector<std::string>& addresses_b, int mtu = 1500, int queues = 1) {
    const std::string shape = " mtu " + std::to_string(mtu) + " numrxqueues " +
                              std::to_string(queues) + " numtxqueues " + std::to_string(queues);
    bool good = a.exists() && b.exists() && xdp_permitted() &&
                a.run("ip link add " + link + shape + " type veth peer name " + link + shape +
                      " netns " + b.path());
    for (const auto* side : {&a, &b}) {
        for (const std::string& address : side == &a ? addresses_a : addresses_b) {
            good = good && side->run("ip addr add " + address + " dev " + link +
                                     (address.find(':') != std::string::npos ? " nodad" : ""));
        }
    }
    good = good && a.run("ip link set " + link + " up") && b.run("ip link set " + link + " up");
    // Until the kernel has noticed the carrier it drops what is sent, though the link is up.
    for (const auto* side : {&a, &b}) {
        for (int i = 0; good; ++i) {
            if (side->run("ip link show dev " + link + " | grep -q 'LOWER_UP.*qdisc noqueue'")) {
                break;
            }
            good = i < 500;
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        }
    }
    return good;
}

inline void skip() {
    MESSAGE(
        "skipped: namespaces, links and AF_XDP need root (CAP_BPF outside user namespaces), "
        "iproute2 and a kernel with CONFIG_XDP_SOCKETS");
}

// Two namespaces with one link, `wire`, between them.
struct Wire {
    explicit Wire(int mtu = 1500, int queues = 1)
        : good(join(a, b, "wire", {"10.78.0.1/24", "fd78::1/64"}, {"10.78.0.2/24", "fd78::2/64"},
                    mtu, queues)) {}
    Namespace a, b;
    bool good;
};

inline XdpOptions over(const std::string& interface = "wire") {
    XdpOptions options;
    options.udp.interfaces = {interface};
    return options;
}

}  // namespace weft::datapath::test
