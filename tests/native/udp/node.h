// Processes over UDP and AF_XDP.
#pragma once

#include "../edges/node.h"
#include "datapath/udp/udp.h"
#include "datapath/xdp/xdp.h"

namespace weft::datapath::test {

inline UdpOptions loopback(const char* address = "127.0.0.1") {
    UdpOptions options;
    options.interfaces = {address};
    return options;
}

struct Node final : Process {
    explicit Node(PeerId id, UdpOptions options = loopback(), const char* secret = "secret",
                  Time peer_timeout = 1'500'000'000)
        : Process(id) {
        datapath = std::make_unique<UdpDatapath>(identity(secret, peer_timeout), *this,
                                                 std::move(options));
    }
    Node(PeerId id, XdpOptions options, const char* secret = "secret",
         Time peer_timeout = 1'500'000'000)
        : Process(id) {
        datapath = std::make_unique<XdpDatapath>(identity(secret, peer_timeout), *this,
                                                 std::move(options));
    }
};

// Two nodes with an open edge between them; `a` has called.
struct Pair {
    explicit Pair(const UdpOptions& options = loopback(), Time peer_timeout = 1'500'000'000)
        : a(1, options, "secret", peer_timeout), b(2, options, "secret", peer_timeout) {
        a.connect(b);
        REQUIRE(run_until({&a, &b}, [&] { return a.opened == 1 && b.opened == 1; }));
    }
    ~Pair() { part(a, b); }
    void exchange(std::size_t size, std::uint64_t seed = 1) { test::exchange(a, b, size, seed); }
    Node a, b;
};

}  // namespace weft::datapath::test
