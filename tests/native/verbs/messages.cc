// Messages of all sizes over fake devices, in all modes and weathers.
#include <numeric>

#include "node.h"

namespace weft::datapath::verbs::test {
namespace {

VerbsOptions mode(const char* name) {
    VerbsOptions options;
    options.mode = name;
    return options;
}

struct AddBytes final : Reducer {
    void combine(std::byte* acc, const std::byte* incoming,
                 std::size_t bytes) const noexcept override {
        for (std::size_t i = 0; i < bytes; ++i) {
            acc[i] = static_cast<std::byte>(static_cast<unsigned>(acc[i]) +
                                            static_cast<unsigned>(incoming[i]));
        }
    }
};

constexpr std::size_t kSizes[] = {0,     1,     63,        64,        4096,         32768,
                                  65536, 65537, (1 << 20), 1'234'567, (4 << 20) + 3};

}  // namespace

TEST_CASE("messages of all sizes, both ways, in every mode") {
    for (const char* name : {"uc", "rc", "ud"}) {
        CAPTURE(name);
        Pair pair({}, mode(name));
        for (const std::size_t size : kSizes) {
            CAPTURE(size);
            pair.exchange(size, size + 5);
        }
        CHECK(pair.fabric.unread == 0);
        CHECK(pair.fabric.refused_writes == 0);
        CHECK((pair.a.channel_stat("written_chunks") > 0) == (std::string(name) != "ud"));
    }
}
}  // namespace weft::datapath::verbs::test
