// Processes on fake hosts, over verbs.
#pragma once

#include "../edges/node.h"
#include "datapath/verbs/verbs.h"
#include "fake_provider.h"

namespace weft::datapath::verbs::test {

using namespace datapath::test;

struct Node final : Process {
    Node(Fabric& fabric, PeerId id, VerbsOptions options = {}, int rails = 1,
         const char* secret = "secret", Time peer_timeout = 1'500'000'000)
        : Process(id), fabric_(fabric) {
        datapath = std::make_unique<VerbsDatapath>(
            identity(secret, peer_timeout), *this, std::move(options),
            std::make_shared<FakeHost>(fabric, static_cast<int>(id), rails));
    }
    void rest(Time until) override { fabric_.rest(until); }

  private:
    Fabric& fabric_;
};

// Two hosts with an open edge between them; `a` has called.
struct Pair {
    explicit Pair(Weather weather = {}, const VerbsOptions& options = {}, std::uint64_t seed = 1,
                  int rails = 1, Time peer_timeout = kSecond * 3 / 2)
        : fabric(seeded(seed), weather),
          a(fabric, 1, options, rails, "secret", peer_timeout),
          b(fabric, 2, options, rails, "secret", peer_timeout) {
        INFO("seed " << seeded(seed));
        a.connect(b);
        REQUIRE(run_until({&a, &b}, [&] { return a.opened == 1 && b.opened == 1; }));
    }
    ~Pair() { part(a, b); }
    void exchange(std::size_t size, std::uint64_t seed = 1) {
        datapath::test::exchange(a, b, size, seed);
    }
    Fabric fabric;
    Node a, b;
};

}  // namespace weft::datapath::verbs::test
