// One-sided writes and reads with notification, of two whole contexts over fake devices. One thread
// drives both: the devices' fabric belongs to it.
#include "engine/one_sided.h"

#include "datapath/verbs/verbs.h"
#include "engine/context.h"
#include "engine/edges.h"
#include "node.h"

namespace weft::datapath::verbs::test {
namespace {

using engine::NotificationWait;
using engine::Region;
using engine::RemoteAccess;

struct Host {
    Host(Fabric& fabric, int number, const VerbsOptions& options) : context(options_of_context()) {
        context.engine().stop();
        const Identity identity{.id = context.mesh().self(), .key = {7}, .peer_timeout = kSecond};
        context.engine().add(std::make_unique<VerbsDatapath>(
            identity, context.mesh(), options, std::make_shared<FakeHost>(fabric, number)));
    }
    template <typename T, typename... Arguments>
    std::shared_ptr<T> begin(Arguments&&... arguments) {
        auto operation =
            std::make_shared<T>(std::forward<Arguments>(arguments)..., clock_now() + kLong);
        context.engine().submit(operation, false);
        return operation;
    }
    static engine::ContextOptions options_of_context() {
        engine::ContextOptions options;
        options.secret = "secret";
        options.timeout = kLong;
        options.peer_timeout = kSecond;
        return options;  // without datapaths: ours is made by hand
    }
    static constexpr Time kLong = 60 * kSecond;
    engine::Context context;
};

struct Two {
    explicit Two(const char* mode, Weather weather, std::uint64_t seed)
        : fabric(seeded(seed), weather), a(fabric, 1, of(mode)), b(fabric, 2, of(mode)) {
        const auto there = engine::Address::decode(b.context.address());
        finish(*a.begin<engine::Connect>(a.context, there));
    }
    static VerbsOptions of(const char* mode) {
        VerbsOptions options;
        options.mode = mode;
        return options;
    }
    void finish(const engine::Operation& operation) {
        while (!operation.finished()) {  // its deadline ends it
            a.context.engine().poll();
            b.context.engine().poll();
        }
    }
    // By `a`, of memory of `b`.
    ErrorPtr access(RemoteAccess::Kind kind, std::vector<std::byte>& data, const Region& region,
                    std::uint64_t offset, std::uint64_t notify = 0) {
        const auto operation =
            a.begin<RemoteAccess>(a.context, b.context.mesh().self(), kind, data.data(),
                                  data.size(), region.descriptor(), offset, notify);
        finish(*operation);
        return operation->error();
    }
    Fabric fabric;
    Host a, b;
};

}  // namespace

TEST_CASE("what is written one-sided is there before its notification, and reads bring it back") {
    for (const char* mode : {"uc", "rc", "ud"}) {
        for (const double loss : {0.0, 0.03}) {
            CAPTURE(mode);
            CAPTURE(loss);
            Two two(mode, {.loss = loss, .delay = 20, .hold = 10}, 3);
            std::vector<std::byte> memory(1'200'000, std::byte{0x5a});
            const Region region(two.b.context.one_sided(), two.b.context.engine(), memory.data(),
                                memory.size());
            for (const std::size_t size :
                 {std::size_t{1}, std::size_t{1000}, std::size_t{1'000'001}}) {
                CAPTURE(size);
                std::vector<std::byte> data = random_bytes(size, size);
                const auto told = two.b.begin<NotificationWait>(two.b.context.one_sided());
                CHECK(two.access(RemoteAccess::Kind::kWrite, data, region, 77, 42) == nullptr);
                two.finish(*told);
                REQUIRE(told->arrived());
                CHECK(told->notification().value == 42);
                CHECK(told->notification().offset == 77);
                CHECK(told->notification().length == size);
                CHECK(std::equal(data.begin(), data.end(), memory.begin() + 77));
                CHECK(memory[76] == std::byte{0x5a});
                CHECK(memory[77 + size] == std::byte{0x5a});

                std::vector<std::byte> back = blank(size);
                CHECK(two.access(RemoteAccess::Kind::kRead, back, region, 77) == nullptr);
                CHECK(back == data);
                std::fill(memory.begin(), memory.end(), std::byte{0x5a});
            }
            CHECK(two.fabric.refused_writes == 0);
        }
    }
}

TEST_CASE("large one-sided writes and reads are written into place by the device") {
    Two two("uc", {}, 4);
    std::vector<std::byte> memory(4 << 20);
    const Region region(two.b.context.one_sided(), two.b.context.engine(), memory.data(),
                        memory.size());
    const auto written = [](Host& host) {
        const std::string stats = host.context.stats_json();
        return Process::number(stats, "written_chunks");
    };
    std::vector<std::byte> data = random_bytes(memory.size(), 9);
    CHECK(two.access(RemoteAccess::Kind::kWrite, data, region, 0) == nullptr);
    CHECK(written(two.a) >= 120);  // of 128 chunks; the first two come unasked
    CHECK(written(two.b) == 0);
    CHECK(two.access(RemoteAccess::Kind::kRead, data, region, 0) == nullptr);
    CHECK(written(two.b) >= 120);
}

TEST_CASE("one-sided access beyond a region, or to one that is gone, changes nothing") {
    Two two("rc", {}, 5);
    std::vector<std::byte> memory(100'000);
    auto region = std::make_unique<Region>(two.b.context.one_sided(), two.b.context.engine(),
                                           memory.data(), memory.size());
    std::vector<std::byte> data = random_bytes(100'001, 1);
    for (const auto kind : {RemoteAccess::Kind::kWrite, RemoteAccess::Kind::kRead}) {
        const auto error = two.access(kind, data, *region, 0);
        REQUIRE(error != nullptr);
        CHECK(error->status == WEFT_ERR_INVALID);
    }
    const Region::Descriptor gone = region->descriptor();
    region.reset();
    std::vector<std::byte> small = random_bytes(100, 2);
    const auto late = two.a.begin<RemoteAccess>(
        two.a.context, two.b.context.mesh().self(), RemoteAccess::Kind::kWrite, small.data(),
        small.size(), gone, std::uint64_t{0}, std::uint64_t{1});
    two.finish(*late);
    REQUIRE(late->error() != nullptr);
    CHECK(late->error()->status == WEFT_ERR_INVALID);
    CHECK(memory == blank(memory.size()));
}

}  // namespace weft::datapath::verbs::test
