// The parts by themselves: options, addresses, notes, the search for paths, queues by tag, handles
// that go stale.
#include <set>

#include "datapath/edge/slab.h"
#include "datapath/edge/tag_queue.h"
#include "datapath/error.h"
#include "datapath/udp/address.h"
#include "datapath/udp/check.h"
#include "datapath/udp/interfaces.h"
#include "datapath/udp/path_finder.h"
#include "node.h"

namespace weft::datapath::test {
namespace {

using udp::Endpoint;
using udp::LocalAddress;
using udp::PathFinder;

Endpoint ip(const char* text) {
    return Endpoint::parse(text).value();
}

// The message of the INVALID error that f throws.
template <typename F>
std::string refusal(F f) {
    try {
        f();
    } catch (const Error& error) {
        CHECK(error.info()->status == WEFT_ERR_INVALID);
        return error.info()->message;
    }
    FAIL("was not refused");
    return "";
}

bool contains(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
}

TEST_CASE("options are read from text, and refused by name") {
    const UdpOptions options = UdpOptions::parse({{"paths", "32"},
                                                  {"sockets", "5"},
                                                  {"port", "4000"},
                                                  {"mtu", "1500"},
                                                  {"checksum", "crc32c"},
                                                  {"gso", "off"},
                                                  {"scheduler", "round_robin"},
                                                  {"burst", "4096"},
                                                  {"ack_every", "4"},
                                                  {"rto_min_us", "2500"},
                                                  {"congestion.base_target_us", "12.5"}},
                                                 " eth0, 10.0.0.1,,");
    CHECK(options.paths == 32);
    CHECK(options.sockets == 5);
    CHECK(options.port == 4000);
    CHECK(options.mtu == 1500);
    CHECK(options.checksum);
    CHECK_FALSE(options.gso);
    CHECK(options.gro);
    CHECK(options.burst == 4096);
    CHECK(options.ack_every == 4);
    CHECK(options.rto_min == 2'500'000);
    CHECK(options.rto_max == 0);
    CHECK(options.scheduler.name == "round_robin");
    CHECK(options.congestion.parameters ==
          std::vector<std::pair<std::string, double>>{{"base_target_us", 12.5}});
    CHECK(options.interfaces == std::vector<std::string>{"eth0", "10.0.0.1"});

    for (const auto& [key, value] : std::map<std::string, std::string>{{"paths", "0"},
                                                                       {"paths ", "1"},
                                                                       {"mtu", "100"},
                                                                       {"mtu", "abc"},
                                                                       {"port", "70000"},
                                                                       {"gso", "1"},
                                                                       {"checksum", "md5"},
                                                                       {"congestion.beta", "x"},
                                                                       {"congestion.", "1"},
                                                                       {"burst", "1"},
                                                                       {"window", "63"},
                                                                       {"ack_delay_us", "0"},
                                                                       {"rto_max_us", "2000001"},
                                                                       {"buffer", "-1"}}) {
        CAPTURE(key);
        const std::string message =
            refusal([&, k = key, v = value] { UdpOptions::parse({{k, v}}); });
        CHECK(contains(message, key.c_str()));
    }
    CHECK(contains(refusal([] { UdpOptions::parse({{"path", "1"}}); }),
                   "scheduler"));  // lists what there is
}

TEST_CASE("bad options are refused before anything is opened") {
    struct Nobody final : Acceptor {
        ChannelOwner* owner_for(PeerId) override { return nullptr; }
        void accepted(std::unique_ptr<Channel>) override {}
    } nobody;
    const auto refused = [&](auto change) {
        UdpOptions options = loopback();
        change(options);
        return refusal([&] { UdpDatapath(Identity{.id = 1}, nobody, options); });
    };
    CHECK(contains(refused([](UdpOptions& o) { o.scheduler.name = "fastest"; }), "fastest"));
    CHECK(contains(refused([](UdpOptions& o) { o.congestion.name = "magic"; }), "swift"));
    CHECK(
        contains(refused([](UdpOptions& o) { o.congestion.parameters = {{"warp", 9}}; }), "warp"));
    CHECK(contains(refused([](UdpOptions& o) { o.paths = 300; }), "paths"));
    CHECK(contains(refused([](UdpOptions& o) { o.interfaces = {"no-such-interface"}; }),
                   "no-such-interface"));
    CHECK(contains(refused([](UdpOptions& o) { o.interfaces = {"192.0.2.77"}; }), "192.0.2.77"));
}

TEST_CASE("endpoints") {
    CHECK(ip("10.1.2.3").to_string() == "10.1.2.3:0");
    Endpoint six = ip("fd00::1");
    six.set_port(77);
    CHECK(six.to_string() == "[fd00::1]:77");
    CHECK_FALSE(Endpoint::parse("10.1.2"));
    CHECK_FALSE(Endpoint::parse("eth0"));
    CHECK(ip("127.8.8.8").is_loopback());
    CHECK(ip("::1").is_loopback());
    CHECK_FALSE(ip("128.0.0.1").is_loopback());
    CHECK(ip("fe80::1").is_link_local());
    CHECK(ip("10.0.1.1").same_subnet(ip("10.0.2.1"), 22));
    CHECK_FALSE(ip("10.0.1.1").same_subnet(ip("10.0.4.1"), 22));
    CHECK(ip("10.0.1.1").same_subnet(ip("99.0.2.1"), 0));
    CHECK_FALSE(ip("10.0.1.1").same_subnet(ip("10.0.1.2"), 32));
    CHECK(ip("fd00:1::1").same_subnet(ip("fd00:1::2"), 64));
    CHECK_FALSE(ip("fd00:1::1").same_subnet(ip("10.0.0.1"), 0));
    CHECK(udp::usable_interfaces({"127.0.0.1"}).front().address == ip("127.0.0.1"));
}

TEST_CASE("addresses survive the blob, and no blob breaks the reader") {
    const std::vector<LocalAddress> addresses{{ip("10.0.0.1"), 0, 24, 9000, {1000, 1001}},
                                              {ip("fd00::1"), 1, 64, 1500, {65535}}};
    const std::string blob = udp::encode_addresses(addresses);
    const auto decoded = udp::decode_addresses(blob);
    REQUIRE(decoded.size() == 2);
    for (std::size_t i = 0; i < 2; ++i) {
        CHECK(decoded[i].address == addresses[i].address);
        CHECK(decoded[i].device == addresses[i].device);
        CHECK(decoded[i].prefix == addresses[i].prefix);
        CHECK(decoded[i].mtu == addresses[i].mtu);
        CHECK(decoded[i].ports == addresses[i].ports);
    }
    for (std::size_t length = 0; length < blob.size(); ++length) {
        refusal([&] { udp::decode_addresses(blob.substr(0, length)); });
    }
    refusal([&] { udp::decode_addresses(blob + "x"); });
    std::mt19937_64 random(1);
    for (int i = 0; i < 20'000; ++i) {
        std::string bad = blob;
        for (std::uint64_t changes = 1 + random() % 4; changes > 0; --changes) {
            bad[random() % bad.size()] = static_cast<char>(random());
        }
        try {
            const auto read = udp::decode_addresses(bad);
            CHECK(udp::encode_addresses(read).size() == bad.size());
        } catch (const Error& error) {
            CHECK(error.info()->status == WEFT_ERR_INVALID);
        }
    }
}

TEST_CASE("notes survive their bytes; their proof depends on every field and on the key") {
    const udp::Note note{udp::NoteKind::kBind, 7, 64, 0x123456789ABCDEF0, 42};
    const auto bytes = udp::encode_note(note);
    const auto read = udp::decode_note(bytes);
    REQUIRE(read);
    CHECK(read->kind == note.kind);
    CHECK(read->index == note.index);
    CHECK(read->count == note.count);
    CHECK(read->id == note.id);
    CHECK(read->word == note.word);
    CHECK_FALSE(udp::decode_note({bytes.data(), bytes.size() - 1}));
    const transport::Key key{1}, other{2};
    std::set<std::uint64_t> proofs{udp::prove(note, key), udp::prove(note, other)};
    proofs.insert(udp::prove({udp::NoteKind::kBound, 7, 64, note.id, 42}, key));
    proofs.insert(udp::prove({udp::NoteKind::kBind, 8, 64, note.id, 42}, key));
    proofs.insert(udp::prove({udp::NoteKind::kBind, 7, 65, note.id, 42}, key));
    proofs.insert(udp::prove({udp::NoteKind::kBind, 7, 64, note.id + 1, 42}, key));
    CHECK(proofs.size() == 6);
    CHECK(udp::prove({udp::NoteKind::kBind, 7, 64, note.id, 43}, key) ==
          udp::prove(note, key));  // the proof's own field
}

// ---------------------------------------------------------------- the search for paths

// A network in which a packet of some size passes between some addresses.
struct Search {
    Search(std::vector<LocalAddress> local, std::vector<LocalAddress> remote, std::uint32_t mtu = 0)
        : finder(std::move(local), std::move(remote), mtu) {}

    // Runs it to its end; answers come `delay` after the check.
    void run(const std::function<bool(const udp::Candidate&, std::uint32_t)>& passes,
             Time delay = 100'000) {
        struct Answer {
            Time at;
            std::uint16_t index;
            std::uint32_t bytes;
        };
        std::vector<Answer> answers;
        for (const Time end = now + kSecond; !finder.finished(now) && now < end; now += 50'000) {
            finder.poll(now, [&](std::uint16_t index, std::uint32_t bytes) {
                ++checks;
                if (passes(finder.candidates()[index], bytes)) {
                    answers.push_back({now + delay, index, bytes});
                }
            });
            for (const Answer& answer : answers) {
                if (answer.at == now) {
                    finder.answered(now, answer.index, answer.bytes);
                }
            }
        }
    }
    PathFinder finder;
    Time now = 0;
    int checks = 0;
};

LocalAddress on(const char* address, std::uint8_t device, std::uint32_t mtu = 9000,
                std::uint8_t prefix = 24) {
    return {ip(address), device, prefix, mtu, {1}};
}

TEST_CASE("two rails that both answer are two routes, each on its own subnet") {
    Search search({on("10.0.0.1", 0), on("10.0.1.1", 1)}, {on("10.0.0.2", 0), on("10.0.1.2", 1)});
    search.run([](const udp::Candidate&, std::uint32_t) { return true; });
    const auto routes = search.finder.routes();
    REQUIRE(routes.size() == 2);
    CHECK(routes[0].local == routes[0].remote);
    CHECK(routes[1].local == routes[1].remote);
    CHECK(search.finder.packet_size() == 9000);
    CHECK(search.now < 1'000'000);  // no grace when all have answered
    CHECK(search.checks == 8);
}

TEST_CASE("with one rail dead the other is used, after a moment's grace") {
    Search search({on("10.0.0.1", 0), on("10.0.1.1", 1)}, {on("10.0.0.2", 0), on("10.0.1.2", 1)});
    search.run(
        [](const udp::Candidate& c, std::uint32_t) { return c.local == 1 && c.remote == 1; });
    const auto routes = search.finder.routes();
    REQUIRE(routes.size() == 1);
    CHECK(routes[0].local == 1);
    CHECK(search.now < 50'000'000);
}

TEST_CASE("a rail that answers late joins, if it carries what the others do") {
    Search search({on("10.0.0.1", 0), on("10.0.1.1", 1), on("10.0.2.1", 2), on("10.0.3.1", 3)},
                  {on("10.0.0.2", 0), on("10.0.1.2", 1), on("10.0.2.2", 2), on("10.0.3.2", 3)});
    search.run(
        [](const udp::Candidate& c, std::uint32_t) { return c.local == 0 && c.remote == 0; });
    REQUIRE(search.finder.finished(search.now));
    search.finder.go_on(search.now);
    CHECK_FALSE(search.finder.finished(search.now));
    const int before = search.checks;
    search.run([](const udp::Candidate& c, std::uint32_t bytes) {
        return (c.local == 1 && c.remote != 0) || (c.local == 2 && bytes <= 1500);
    });
    const auto routes = search.finder.routes();
    REQUIRE(routes.size() == 2);
    CHECK(routes[1].local == 1);
    CHECK(routes[1].remote == 1);
    CHECK(search.finder.packet_size() == 9000);
    CHECK(search.checks > before);
    CHECK(search.checks < before + 30);  // of three rails in a second
    search.run([](const udp::Candidate& c, std::uint32_t) { return c.local == c.remote; });
    CHECK(search.finder.routes().size() == 4);
    CHECK(search.finder.finished(search.now));  // nobody is left to ask
}

TEST_CASE("a search for late rails ends") {
    Search search({on("10.0.0.1", 0), on("10.0.1.1", 1)}, {on("10.0.0.2", 0), on("10.0.1.2", 1)});
    const auto first = [](const udp::Candidate& c, std::uint32_t) {
        return c.local == 0 && c.remote == 0;
    };
    search.run(first);
    search.finder.go_on(search.now);
    const int before = search.checks;
    for (int second = 0; second < 20; ++second) {
        search.run(first);
    }
    CHECK(search.finder.finished(search.now));
    CHECK(search.checks <= before + 12);
    CHECK(search.finder.routes().size() == 1);
}

TEST_CASE("rails that do not reach each other's subnets cost no grace") {
    Search search({on("10.0.0.1", 0), on("10.0.1.1", 1)}, {on("10.0.0.2", 0), on("10.0.1.2", 1)});
    search.run([](const udp::Candidate& c, std::uint32_t) { return c.local == c.remote; });
    CHECK(search.finder.routes().size() == 2);
    CHECK(search.now < 1'000'000);
}

TEST_CASE("routed addresses serve where no subnet is shared, and all of them") {
    Search search({on("10.0.0.1", 0), on("10.0.1.1", 1)}, {on("10.9.0.2", 0), on("10.9.1.2", 1)});
    search.run([](const udp::Candidate&, std::uint32_t) { return true; });
    CHECK(search.finder.routes().size() == 4);
}

TEST_CASE("two families on one cable are one route, and loopback is the last resort") {
    Search search({on("127.0.0.1", 0, 65536, 8), on("10.0.0.1", 1), on("fd00::1", 1, 9000, 64)},
                  {on("127.0.0.1", 0, 65536, 8), on("10.0.0.2", 1), on("fd00::2", 1, 9000, 64)});
    search.run([](const udp::Candidate&, std::uint32_t) { return true; });
    REQUIRE(search.finder.routes().size() == 1);
    CHECK(search.finder.routes()[0].local == 1);
    Search lonely({on("127.0.0.1", 0, 65536, 8), on("10.0.0.1", 1)},
                  {on("127.0.0.1", 0, 65536, 8), on("10.0.0.2", 1)});
    lonely.run([](const udp::Candidate& c, std::uint32_t) { return c.local == 0; });
    REQUIRE(lonely.finder.routes().size() == 1);
    CHECK(lonely.finder.routes()[0].local == 0);
}

TEST_CASE("the packet size is what passes, the options allow and both ends have") {
    const auto all = [](const udp::Candidate&, std::uint32_t) { return true; };
    Search small_remote({on("10.0.0.1", 0, 9000)}, {on("10.0.0.2", 0, 1500)});
    small_remote.run(all);
    CHECK(small_remote.finder.packet_size() == 1500);
    Search optional({on("10.0.0.1", 0, 9000)}, {on("10.0.0.2", 0, 9000)}, 4000);
    optional.run(all);
    CHECK(optional.finder.packet_size() == 4000);
    Search hole({on("10.0.0.1", 0, 9000)}, {on("10.0.0.2", 0, 9000)});
    hole.run([](const udp::Candidate&, std::uint32_t bytes) { return bytes <= 1500; });
    CHECK(hole.finder.packet_size() == 1280);
    Search lossy({on("10.0.0.1", 0, 9000)}, {on("10.0.0.2", 0, 9000)});
    int large = 0;
    lossy.run(
        [&](const udp::Candidate&, std::uint32_t bytes) { return bytes <= 1500 || ++large == 3; });
    CHECK(lossy.finder.packet_size() == 9000);  // the third try came through
}

TEST_CASE("a search without an answer goes on, ever less often") {
    Search search({on("10.0.0.1", 0)}, {on("10.0.0.2", 0)});
    search.run([](const udp::Candidate&, std::uint32_t) { return false; });
    CHECK_FALSE(search.finder.finished(search.now));
    CHECK(search.checks < 60);
    CHECK(search.checks > 10);
    search.finder.answered(search.now, 99, 9000);  // nonsense is ignored
    CHECK_FALSE(search.finder.finished(search.now));
}

// ---------------------------------------------------------------- containers

TEST_CASE("a tag queue gives out the oldest of a tag") {
    std::mt19937_64 random(3);
    std::vector<Transfer> nodes(500);
    TagQueue<Transfer> queue;
    std::vector<Transfer*> model;
    for (int step = 0; step < 20'000; ++step) {
        Transfer& node = nodes[random() % nodes.size()];
        const Tag tag{random() % 3, random() % 40};
        const auto held = std::ranges::find(model, &node);
        if (held == model.end()) {
            node.tag = tag;
            queue.push(node);
            model.push_back(&node);
        } else if (random() % 3 == 0) {
            queue.remove(node);
            model.erase(held);
        } else {
            const auto oldest =
                std::ranges::find_if(model, [&](const Transfer* t) { return t->tag == tag; });
            Transfer* const expected = oldest == model.end() ? nullptr : *oldest;
            REQUIRE(queue.take(tag) == expected);
            if (expected != nullptr) {
                model.erase(oldest);
            }
        }
        REQUIRE(queue.size() == model.size());
    }
    while (queue.take_any() != nullptr) {
        model.pop_back();
    }
    CHECK(model.empty());
    CHECK(queue.empty());
}

TEST_CASE("a handle dies with its record") {
    struct Record {
        std::uint64_t handle = 0;
        void reset() {}
    };
    Slab<Record> slab;
    std::mt19937_64 random(4);
    std::vector<std::uint64_t> live, dead;
    for (int step = 0; step < 20'000; ++step) {
        if (live.empty() || random() % 2 == 0) {
            live.push_back(slab.take().handle);
        } else {
            const std::size_t i = random() % live.size();
            Record* record = slab.find(live[i]);
            REQUIRE(record != nullptr);
            slab.give_back(*record);
            dead.push_back(live[i]);
            live.erase(live.begin() + static_cast<std::ptrdiff_t>(i));
        }
        REQUIRE(slab.find(0) == nullptr);
        if (!dead.empty()) {
            REQUIRE(slab.find(dead[random() % dead.size()]) == nullptr);
        }
    }
}

}  // namespace
}  // namespace weft::datapath::test
