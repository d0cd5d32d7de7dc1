// A second process for tests that need a real one: it runs a body and is killed (by its own pid)
// when the test ends before it does.
#pragma once

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <string>

#include "node.h"

namespace weft::datapath::shm::test {

// A little pipe in both directions for test and child to speak through.
class Process {
  public:
    using Body = std::function<int(int pipe)>;

    explicit Process(const Body& body) {
        int ends[2];
        REQUIRE(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
        pid_ = fork();
        REQUIRE(pid_ >= 0);
        if (pid_ == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::close(ends[0]);
            _exit(body(ends[1]));
        }
        ::close(ends[1]);
        pipe_ = ends[0];
    }
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;
    ~Process() {
        if (!reaped_) {
            signal(SIGKILL);
            wait();
        }
        ::close(pipe_);
    }

    void signal(int number) const { kill(pid_, number); }
    // The exit status, or minus the signal that ended it.
    int wait() {
        int status = 0;
        waitpid(pid_, &status, 0);
        reaped_ = true;
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
    int pipe() const { return pipe_; }
    pid_t pid() const { return pid_; }

  private:
    pid_t pid_ = -1;
    int pipe_ = -1;
    bool reaped_ = false;
};

inline void tell(int pipe, const std::string& text) {
    CHECK(::send(pipe, text.data(), text.size(), MSG_NOSIGNAL) >= 0);
}
inline std::string hear(int pipe) {
    char text[512];
    const ssize_t got = ::recv(pipe, text, sizeof text, 0);
    return got > 0 ? std::string(text, static_cast<std::size_t>(got)) : std::string();
}

// A node in its own process, already connected to `to`; then the body runs there.
inline Process::Body node_process(const Node& to, const ShmOptions& options,
                                  const std::function<int(Node&, int)>& body) {
    const PeerId peer = to.id;
    const std::string address = to.datapath->address();
    return [=](int pipe) {
        Node node(identity(0xc), options);
        node.connect(peer, address);
        if (!drive({&node}, [&] { return node.opened == 1; })) {
            return 99;
        }
        return body(node, pipe);
    };
}

}  // namespace weft::datapath::shm::test
