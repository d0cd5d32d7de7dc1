// Registrations, formats, options: the parts by themselves.
#include <filesystem>
#include <fstream>

#include "datapath/verbs/frame.h"
#include "datapath/verbs/registry.h"
#include "datapath/verbs/sysfs.h"
#include "node.h"

namespace weft::datapath::verbs::test {
namespace {

struct Devices {
    explicit Devices(std::size_t limit)
        : fabric(1),
          host(fabric, 1, 2),
          first(host.open("h1_0")),
          second(host.open("h1_1")),
          registry({first.get(), second.get()}, limit) {}
    std::size_t ranges(const char* name) { return fabric.devices.at(name)->ranges.size(); }
    Fabric fabric;
    FakeHost host;
    std::unique_ptr<Device> first, second;
    Registry registry;
};

std::string refusal(const std::map<std::string, std::string>& pairs) {
    try {
        VerbsOptions::parse(pairs);
    } catch (const Error& error) {
        CHECK(error.info()->status == WEFT_ERR_INVALID);
        return error.info()->message;
    }
    return "";
}

}  // namespace

TEST_CASE("a registration in use serves all within it, and goes with its last user") {
    Devices devices(0);
    std::vector<std::byte> memory(1 << 20);
    {
        const auto whole = devices.registry.get(memory.data(), memory.size(), true);
        REQUIRE(whole != nullptr);
        CHECK(devices.ranges("h1_0") == 1);
        CHECK(devices.ranges("h1_1") == 1);
        const auto part = devices.registry.get(memory.data() + 4096, 8192, false);
        CHECK(part == whole);
        CHECK(devices.registry.counters().hits == 1);
    }
    devices.registry.trim();
    CHECK(devices.ranges("h1_0") == 0);
    CHECK(devices.registry.counters().ranges == 0);
    CHECK(devices.registry.counters().evictions == 1);
}

TEST_CASE("without a limit what is idle is never used again, even before it is let go") {
    Devices devices(0);
    std::vector<std::byte> memory(1 << 16);
    devices.registry.get(memory.data(), memory.size(), true).reset();
    const auto again = devices.registry.get(memory.data(), memory.size(), true);
    CHECK(again != nullptr);
    CHECK(devices.registry.counters().hits == 0);
    CHECK(devices.registry.counters().misses == 2);
    CHECK(devices.ranges("h1_0") == 1);
}

TEST_CASE("idle registrations are kept up to the limit, the least recently used go first") {
    Devices devices(300 << 10);
    std::vector<std::vector<std::byte>> blocks(4, std::vector<std::byte>(100 << 10));
    for (auto& block : blocks) {
        devices.registry.get(block.data(), block.size(), true).reset();
    }
    devices.registry.trim();
    CHECK(devices.registry.counters().idle_bytes <= 300 << 10);
    CHECK(devices.registry.counters().evictions >= 1);
    const std::uint64_t misses = devices.registry.counters().misses;
    devices.registry.get(blocks[3].data(), blocks[3].size(), true).reset();
    CHECK(devices.registry.counters().misses == misses);  // the youngest is there
    devices.registry.get(blocks[0].data(), blocks[0].size(), true).reset();
    CHECK(devices.registry.counters().misses == misses + 1);  // the oldest is not
    devices.registry.forget(blocks[3].data(), 1);
    devices.registry.get(blocks[3].data(), blocks[3].size(), true).reset();
    CHECK(devices.registry.counters().misses == misses + 2);
}

TEST_CASE("one that may only be read is no destination, and a refusal is no registration") {
    Devices devices(1 << 30);
    std::vector<std::byte> memory(1 << 16);
    const auto source = devices.registry.get(memory.data(), memory.size(), false);
    const auto sink = devices.registry.get(memory.data(), memory.size(), true);
    CHECK(source != sink);
    CHECK(devices.fabric.devices.at("h1_0")->find(source->remote_key(0),
                                                  reinterpret_cast<std::uintptr_t>(memory.data()),
                                                  64, true) == nullptr);
    devices.fabric.devices.at("h1_1")->refuses_memory = true;
    std::vector<std::byte> other(1 << 16);
    CHECK(devices.registry.get(other.data(), other.size(), true) == nullptr);
    CHECK(devices.registry.counters().refused == 1);
    CHECK(devices.ranges("h1_0") == 2);
}

TEST_CASE("another device's memory is registered by its DMA-BUF") {
    Devices devices(0);
    std::vector<std::byte> gpu = random_bytes(1 << 16, 1);
    devices.fabric.dmabufs[77] = &gpu;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an address that nobody may touch.
    auto* address = reinterpret_cast<std::byte*>(std::uintptr_t{0x7f0000000000});
    devices.registry.add_dmabuf(77, 4096, address, 8192);
    const auto range = devices.registry.get(address + 100, 1000, true);
    REQUIRE(range != nullptr);
    FakeDevice& device = *devices.fabric.devices.at("h1_0");
    CHECK(device.find(range->local_key(0), reinterpret_cast<std::uintptr_t>(address) + 100, 1000,
                      false) == gpu.data() + 4096 + 100);
    devices.registry.trim();
    CHECK(devices.registry.counters().ranges == 1);  // stays until it is forgotten
    try {
        devices.registry.add_dmabuf(78, 0, address, 4096);
        FAIL("a descriptor that is no DMA-BUF was taken");
    } catch (const Error& error) {
        CHECK(error.info()->status == WEFT_ERR_UNSUPPORTED);
    }
}

TEST_CASE("immediates carry low ends that are completed rightly, also where they wrap") {
    for (std::uint64_t near : {0ull, 5ull, 511ull, 512ull, 1023ull, 1024ull, 70000ull}) {
        for (std::uint64_t ahead = 0; ahead < 512; ++ahead) {
            CHECK(expand((near + ahead) & 1023, 10, near) == near + ahead);
            if (near >= ahead) {
                CHECK(expand((near - ahead) & 1023, 10, near) == near - ahead);
            }
        }
    }
    std::mt19937_64 random(seeded(2));
    for (int i = 0; i < 1000; ++i) {
        const auto bits = static_cast<std::uint32_t>(random());
        CHECK(encode(decode_immediate(bits)) == bits);
    }
}

TEST_CASE("cards, notes, prefixes and descriptors say what was put into them") {
    Card card{.kind = QpKind::kRc, .rails = {}};
    for (std::uint8_t i = 0; i < kMostRails; ++i) {
        RailCard rail{
            .ethernet = i % 2 == 0, .mtu = 1024u << i % 3, .lid = i, .gid = {}, .controls = {}};
        rail.gid[15] = i;
        rail.controls.assign(i + 1u, 1000u + i);
        card.rails.push_back(rail);
    }
    const std::string bytes = encode(card);
    const Card read = decode_card(bytes);
    CHECK(encode(read) == bytes);
    CHECK(read.rails[3].controls.size() == 4);
    for (std::size_t length = 0; length < bytes.size(); ++length) {
        CHECK_THROWS_AS(decode_card(bytes.substr(0, length)), Error);
    }
    CHECK_THROWS_AS(decode_card(bytes + "x"), Error);

    Note note{.kind = NoteKind::kLane,
              .from_rail = 1,
              .to_rail = 2,
              .wants = true,
              .index = 3,
              .count = 8,
              .id = 4,
              .word = 5,
              .pair = 6,
              .psn = 7,
              .known = 8,
              .life = 9};
    const transport::Key key{1, 2, 3};
    note.proof = prove(note, key);
    auto coded = encode(note);
    const auto back = decode_note(coded);
    REQUIRE(back);
    CHECK(encode(*back) == coded);
    CHECK(prove(*back, key) == back->proof);
    for (std::size_t i = 4; i < kNoteSize - 8; ++i) {  // any change of any field is noticed
        coded[i] ^= 1;
        CHECK(prove(*decode_note(coded), key) != note.proof);
        coded[i] ^= 1;
    }
    CHECK(!decode_note(std::span(coded).first(kNoteSize - 1)));

    const Descriptor there{.address = 0x7f1234567890, .slot = 63, .keys = {1, 2, 3, 4}};
    const auto found = decode_descriptor(encode(there));
    REQUIRE(found);
    CHECK(found->address == there.address);
    CHECK(found->slot == 63);
    CHECK(found->keys == there.keys);
    CHECK(!decode_descriptor(wire::RemoteDescriptor{}));
}

TEST_CASE("options are read, and refused with the key, the value and the mend") {
    const VerbsOptions options = VerbsOptions::parse({{"paths", "16"},
                                                      {"verbs.mode", "rc"},
                                                      {"verbs.devices", "mlx5_0+mlx5_1:2"},
                                                      {"verbs.gid", "3"},
                                                      {"verbs.traffic_class", "104"},
                                                      {"verbs.mtu", "2048"},
                                                      {"verbs.chunk", "65536"},
                                                      {"verbs.mr_cache", "1073741824"},
                                                      {"congestion.beta", "0.5"},
                                                      {"gso", "off"},
                                                      {"xdp.mode", "copy"}},
                                                     "eth0, eth1");
    CHECK(options.paths == 16);
    CHECK(options.mode == "rc");
    CHECK(options.devices == std::vector<std::string>{"mlx5_0", "mlx5_1:2"});
    CHECK(options.gid == "3");
    CHECK(options.traffic_class == 104);
    CHECK(options.mtu == 2048);
    CHECK(options.chunk == 65536);
    CHECK(options.mr_cache == std::size_t{1} << 30);
    CHECK(options.interfaces == std::vector<std::string>{"eth0", "eth1"});
    for (const auto& [key, value] :
         std::map<std::string, std::string>{{"verbs.mode", "xrc"},
                                            {"verbs.gid", "best"},
                                            {"verbs.mtu", "1500"},
                                            {"verbs.chunk", "100"},
                                            {"verbs.traffic_class", "256"},
                                            {"verbs.nonsense", "1"},
                                            {"paths", "0"},
                                            {"pathz", "4"},
                                            {"verbs.mr_cache", "-1"}}) {
        const std::string message = refusal({{key, value}});
        CAPTURE(message);
        CHECK(message.find(key) != std::string::npos);
    }
    CHECK(VerbsOptions::without({{"verbs.mode", "rc"}, {"paths", "2"}}).size() == 1);
}

TEST_CASE("devices, GIDs and their wishes") {
    Fabric fabric(1);
    const auto fails = [&](VerbsOptions options) -> std::string {
        try {
            Node node(fabric, 1, std::move(options));
        } catch (const Error& error) {
            return error.info()->message;
        }
        return "";
    };
    VerbsOptions options;
    options.devices = {"nothing0"};
    CHECK(fails(options).find("nothing0") != std::string::npos);
    options.devices = {"h1_0:1"};
    CHECK(fails(options) == "");
    options.gid = "ipv6";
    CHECK(fails(options).find("no such GID") != std::string::npos);
    options.gid = "ipv4";
    CHECK(fails(options) == "");
    options.interfaces = {"10.0.0.1"};
    CHECK(fails(options) == "");
    options.interfaces = {"10.9.9.9"};
    CHECK(fails(options).find("no RDMA port") != std::string::npos);
    options = {};
    options.scheduler.name = "best";
    CHECK(fails(options).find("best") != std::string::npos);
}

TEST_CASE("devices as the kernel lists them") {
    const auto root = std::filesystem::temp_directory_path() /
                      ("weft-sysfs-" + std::to_string(std::random_device{}()));
    const auto port = root / "rxe0" / "ports" / "1";
    std::filesystem::create_directories(port / "gids");
    std::filesystem::create_directories(port / "gid_attrs" / "types");
    std::filesystem::create_directories(port / "gid_attrs" / "ndevs");
    const auto write = [](const std::filesystem::path& path, const char* text) {
        std::ofstream(path) << text << "\n";
    };
    write(port / "state", "4: ACTIVE");
    write(port / "link_layer", "Ethernet");
    write(port / "rate", "2.5 Gb/sec (1X SDR)");
    write(port / "lid", "0x0");
    write(port / "gids" / "0", "fe80:0000:0000:0000:5054:00ff:fe12:3456");
    write(port / "gids" / "1", "0000:0000:0000:0000:0000:ffff:0a00:0001");
    write(port / "gids" / "2", "0000:0000:0000:0000:0000:0000:0000:0000");
    write(port / "gid_attrs" / "types" / "0", "RoCE v2");
    write(port / "gid_attrs" / "types" / "1", "RoCE v2");
    const auto devices = sysfs_devices(root.string());
    std::filesystem::remove_all(root);
    REQUIRE(devices.size() == 1);
    CHECK(devices[0].name == "rxe0");
    REQUIRE(devices[0].ports.size() == 1);
    CHECK(devices[0].ports[0].active);
    CHECK(devices[0].ports[0].ethernet);
    CHECK(devices[0].ports[0].gbit == 2.5);
    REQUIRE(devices[0].ports[0].gids.size() == 2);
    CHECK(devices[0].ports[0].gids[1].text() == "10.0.0.1");
    CHECK(devices[0].ports[0].gids[1].kind == GidKind::kRoceV2);
    CHECK(devices[0].ports[0].gids[0].link_local());
    CHECK(sysfs_devices("/nonexistent").empty());
}

}  // namespace weft::datapath::verbs::test
