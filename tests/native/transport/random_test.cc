// A property over random everything: whatever two peers are configured with, and whatever the
// network between them does, short of cutting them off, all messages arrive whole, credit returns,
// and close() ends it.
#include <doctest/doctest.h>

#include <string>

#include "traffic.h"
#include "transport/congestion/congestion.h"
#include "transport/paths/scheduler.h"

namespace weft::transport::test {
namespace {

class Dice {
  public:
    explicit Dice(std::uint64_t seed) : random_(seed) {}
    std::uint64_t below(std::uint64_t limit) { return random_() % limit; }
    bool one_in(std::uint64_t n) { return below(n) == 0; }
    std::uint32_t between(std::uint32_t low, std::uint32_t high) {
        return low + static_cast<std::uint32_t>(below(high - low + 1));
    }
    Time microseconds(std::uint64_t limit) {
        return static_cast<Time>(below(limit + 1)) * kMicrosecond;
    }
    double permille(std::uint64_t limit) { return 0.001 * static_cast<double>(below(limit + 1)); }

  private:
    std::mt19937_64 random_;
};

void roll_config(Dice& dice, Config& config) {
    config.paths = static_cast<std::uint16_t>(dice.between(1, dice.one_in(2) ? 4 : 40));
    config.chunk_size = dice.between(50, 3000);
    config.window = dice.between(64, dice.one_in(2) ? 160 : 4096);
    config.max_burst = dice.between(1, 65536);
    config.eager_window = dice.one_in(3) ? 0 : dice.below(100000);
    config.eager_limit = dice.one_in(3) ? 0 : dice.below(50000);
    const std::vector<std::string> schedulers = path_schedulers();
    config.scheduler.name = schedulers[dice.below(schedulers.size())];
    const std::vector<std::string> controls = congestion_controls();
    config.congestion.name = controls[dice.below(controls.size())];
    if (config.congestion.name == "swift") {
        config.congestion.parameters = {{"base_target_us", 3000}};
    }
    config.ack_every = dice.between(1, 32);
    config.ack_disorder = dice.between(1, 64);
    config.ack_delay = dice.microseconds(500);
    config.rto_min = 100 * kMicrosecond + dice.microseconds(5000);
    config.rto_initial = 2 * config.rto_min;
    config.handshake_interval = 5 * kMillisecond;
    config.path_timeouts = dice.between(1, 4);
    if (config.congestion.name != "eqds" && dice.one_in(4)) {
        config.congestion.parameters.emplace_back(dice.one_in(2) ? "per_path" : "median", 1);
    }
    config.recovery.parameters = {{"tail_probe", dice.one_in(4) ? 0 : 1}};
}

void roll_link(Dice& dice, Link& link, bool checksum) {
    link.delay = dice.microseconds(200);
    link.jitter = dice.one_in(2) ? 0 : dice.microseconds(1000);
    link.loss = dice.one_in(2) ? 0 : dice.permille(150);
    link.duplicate = dice.one_in(2) ? 0 : dice.permille(200);
    link.corrupt = checksum && dice.one_in(2) ? dice.permille(100) : 0;
    link.trim = dice.one_in(3) ? dice.permille(200) : 0;
    link.mark = 0.1;
    if (dice.one_in(2)) {
        link.rate = 1e6 * dice.between(1, 200);
        link.queue_limit = dice.one_in(2) ? kNever : 100 * kMicrosecond + dice.microseconds(5000);
    }
}

void set_path(Pair& pair, PathId path, bool down) {
    pair.network().link(Side::kClient, path).down = down;
    pair.network().link(Side::kServer, path).down = down;
}

void converse(std::uint64_t seed) {
    Dice dice(seed);
    PairOptions options = options_with(1, seed);
    options.checksum = dice.one_in(2);
    roll_config(dice, options.client);
    roll_config(dice, options.server);
    roll_link(dice, options.link, options.checksum);
    // What a path carries of payload: credits need to know it, and others begin there.
    const double chunk = std::min(options.client.chunk_size, options.server.chunk_size);
    options.client.link_rate = options.server.link_rate =
        options.link.rate * chunk / (chunk + wire::kDataHeaderSize);
    std::string policies;
    for (const Config* config : {&options.client, &options.server}) {
        policies += config->scheduler.name + " " + config->congestion.name;
        for (const auto& [name, value] : config->congestion.parameters) {
            policies += " " + name + "=" + std::to_string(value);
        }
        policies += ", ";
    }
    CAPTURE(policies);
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + 5 * kSecond));
    Traffic up(pair, Side::kClient, 1);
    Traffic down(pair, Side::kServer, 2);
    const auto pause = [&](std::uint64_t most) {
        pair.run([] { return false; }, pair.now() + dice.microseconds(most));
    };
    for (std::uint32_t i = dice.between(1, 60); i > 0; --i) {
        for (Traffic* traffic : {&up, &down}) {
            traffic->add(dice.below(dice.one_in(5) ? 400000 : 5000), dice.one_in(2),
                         static_cast<std::uint8_t>(dice.below(16)), dice.one_in(6));
        }
        if (dice.one_in(4)) {
            pause(2000);
        }
    }
    const auto path = static_cast<PathId>(dice.below(options.client.paths));
    set_path(pair, path, dice.one_in(3));
    pause(20000);
    up.post_all();
    down.post_all();
    pause(200000);
    set_path(pair, path, false);
    const bool complete =
        pair.run([&] { return up.complete() && down.complete(); }, pair.now() + 300 * kSecond);
    INFO(pair.client().connection().failure().to_string());
    INFO(pair.server()->connection().failure().to_string());
    REQUIRE(complete);
    up.check_bytes();
    down.check_bytes();
    // What came back of the credit was told, but for less than a quarter of the window.
    const std::uint64_t credit = pair.client().connection().stats().eager_credit_left;
    CHECK(credit <= options.server.eager_window);
    CHECK(credit + options.server.eager_window / 4 + 1 >= options.server.eager_window);
    pair.client().connection().close(pair.now());
    CHECK(pair.run([&] { return pair.client().connection().state() == State::kClosed; },
                   pair.now() + 10 * kSecond));
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::uint64_t kSeeds = 60;
#else
constexpr std::uint64_t kSeeds = 300;
#endif

TEST_CASE("whatever the configuration and the weather, everything arrives") {
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
        CAPTURE(seed);
        converse(seed);
    }
}

}  // namespace
}  // namespace weft::transport::test
