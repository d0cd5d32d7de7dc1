#include "transport/planned.h"

#include <doctest/doctest.h>

#include <map>
#include <random>
#include <vector>

using namespace weft::transport;

TEST_CASE("a planned message gives every path its share to within one burst") {
    std::mt19937_64 random(7);
    for (int round = 0; round < 300; ++round) {
        std::vector<PathShare> shares(1 + random() % 12);
        SendRequest request;
        for (std::size_t i = 0; i < shares.size(); ++i) {
            shares[i] = {static_cast<PathId>(i), 1 + random() % 300'000};
            request.size += shares[i].bytes;
        }
        request.shares = shares;
        const std::uint64_t burst = 4096 * (1 + random() % 4);
        std::map<PathId, std::uint64_t> sent;
        std::uint64_t offset = 0;
        while (offset < request.size) {
            const PlannedBurst next = planned_burst(request, offset, burst);
            REQUIRE(next.bytes > 0);
            REQUIRE(offset + next.bytes <= request.size);
            // Bursts may be cut short anywhere: the rest stays on its path.
            const std::uint64_t part = 1 + random() % next.bytes;
            if (shares.size() > 1 && part < next.bytes)
                CHECK(planned_burst(request, offset + part, burst).path == next.path);
            sent[next.path] += part;
            offset += part;
        }
        for (const PathShare& share : shares) {
            CHECK(sent[share.path] + 2 * burst > share.bytes);
            CHECK(sent[share.path] < share.bytes + 2 * burst);
        }
    }
}

TEST_CASE("the shares of a message are used side by side, not one after the other") {
    const std::vector<PathShare> shares{{0, 4 << 20}, {1, 4 << 20}, {2, 4 << 20}, {3, 4 << 20}};
    SendRequest request;
    request.size = 16 << 20;
    request.shares = shares;
    std::map<PathId, int> bursts;
    constexpr std::uint64_t kBurst = 65536;
    for (std::uint64_t offset = 0; offset < 16 * kBurst; offset += kBurst)
        ++bursts[planned_burst(request, offset, kBurst).path];
    for (const PathShare& share : shares) CHECK(bursts[share.path] >= 3);
}
