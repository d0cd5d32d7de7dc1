// Conversations over a network that loses nothing: every kind of message, in both directions.
#include <doctest/doctest.h>

#include "traffic.h"

namespace weft::transport::test {
namespace {

TEST_CASE("messages of many sizes arrive whole, in both directions") {
    Pair pair(options_with(4));
    REQUIRE(pair.connect(pair.now() + kSecond));
    CHECK(pair.client().connection().remote_peer() == 202);
    CHECK(pair.server()->connection().remote_peer() == 101);
    Traffic up(pair, Side::kClient, 1);
    Traffic down(pair, Side::kServer, 2);
    for (const std::size_t size : {0, 1, 999, 1000, 1001, 64000, 1000000}) {
        for (const bool post_first : {true, false}) {
            up.add(size, post_first);
            down.add(size, post_first);
        }
    }
    CHECK_FALSE(pair.run([&] { return up.complete() && down.complete(); }, pair.now() + kSecond));
    up.post_all();
    down.post_all();
    CHECK(pair.run([&] { return up.complete() && down.complete(); }, pair.now() + kSecond));
    up.check_bytes();
    down.check_bytes();
    CHECK(pair.client().connection().stats().retransmitted == 0);
    CHECK(pair.server()->connection().stats().retransmitted == 0);
}

}  // namespace
}  // namespace weft::transport::test
