// Messages between two datapaths in one process: sizes, order of posting, matching, reductions,
// taking back.
#include "node.h"

namespace weft::datapath::test {
namespace {

struct AddBytes final : Reducer {
    void combine(std::byte* acc, const std::byte* incoming,
                 std::size_t bytes) const noexcept override {
        for (std::size_t i = 0; i < bytes; ++i) {
            acc[i] = static_cast<std::byte>(static_cast<unsigned>(acc[i]) +
                                            static_cast<unsigned>(incoming[i]));
        }
    }
};

TEST_CASE("messages of all sizes arrive, over IPv4 and IPv6") {
    for (const char* address : {"127.0.0.1", "::1"}) {
        CAPTURE(address);
        Pair pair(loopback(address));
        for (const std::size_t size : {0, 1, 63, 64, 65, 1000, 8'000, 9'000, 16'384, 16'385,
                                       100'000, 262'144, 262'145, 1'000'003, 20'000'000}) {
            CAPTURE(size);
            pair.exchange(size, size + 1);
        }
    }
}

}  // namespace
}  // namespace weft::datapath::test
