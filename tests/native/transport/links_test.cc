// What defaults make of several links of limited rate in both directions at once: virtual time, so
// that shares of the links' rate can be claimed.

#include "traffic.h"

namespace weft::transport::test {
namespace {

constexpr std::uint16_t kLinks = 4;
constexpr double kRate = 62.5e6;  // bytes per second of each
constexpr std::size_t kBytes = 30'000'000;

// As UDP's datapath sets a connection up on an interface with jumbo frames, before links with 10 ms
// of buffer, which acknowledgements share with the data of the other direction.
PairOptions links_in_parallel() {
    PairOptions options = options_with(kLinks);
    for (Config* config : {&options.client, &options.server}) {
        config->chunk_size = 8832;
        config->window = 1024;
        config->max_burst = 7 * config->chunk_size;
        config->spread_bursts = true;
        config->scheduler = {"least_in_flight", {}};
        config->ack_every = 16;
        config->rto_min = config->rto_initial;
    }
    options.link.rate = kRate;
    options.link.queue_limit = 10 * kMillisecond;
    return options;
}

// Payload that went both ways over what all links carry both ways.
double share(Pair& pair, std::uint64_t group) {
    Traffic up(pair, Side::kClient, group), down(pair, Side::kServer, group);
    for (Traffic* traffic : {&up, &down}) traffic->add(kBytes, true);
    const Time start = pair.now();
    REQUIRE(pair.run([&] { return up.complete() && down.complete(); }, start + 10 * kSecond));
    up.check_bytes();
    down.check_bytes();
    const double seconds = static_cast<double>(pair.now() - start) / static_cast<double>(kSecond);
    return kBytes / (kLinks * kRate * seconds);
}

TEST_CASE("four links: nine tenths of their sum in both directions at once") {
    Pair pair(links_in_parallel());
    REQUIRE(pair.connect(pair.now() + kSecond));
    share(pair, 1);
    CHECK(share(pair, 2) > 0.9);
}

TEST_CASE("one of four links loses 1 %: the others are as fast as before") {
    Pair pair(links_in_parallel());
    REQUIRE(pair.connect(pair.now() + kSecond));
    for (const Side side : {Side::kClient, Side::kServer}) {
        pair.network().link(side, kLinks - 1).loss = 0.01;
    }
    share(pair, 1);
    CHECK(share(pair, 2) > 0.8);
}

TEST_CASE("one of four links dies: what is left of the sum, once the timeouts have found it") {
    Pair pair(links_in_parallel());
    REQUIRE(pair.connect(pair.now() + kSecond));
    share(pair, 1);
    for (const Side side : {Side::kClient, Side::kServer}) {
        pair.network().link(side, kLinks - 1).down = true;
    }
    for (std::uint64_t group = 2; group < 6; ++group) share(pair, group);
    CHECK(share(pair, 6) > 0.7);
}

}  // namespace
}  // namespace weft::transport::test
