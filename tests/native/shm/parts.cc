// The pure parts by themselves, against simple models: matching, numbering, liveness, addresses.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

#include "datapath/shm/core.h"
#include "datapath/shm/liveness.h"
#include "datapath/shm/match.h"
#include "datapath/shm/slot_table.h"
#include "node.h"

namespace weft::datapath::shm::test {
namespace {

TEST_CASE("the match table behaves as one list in order of age") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        std::mt19937_64 random(seed);
        MatchTable table;
        std::vector<std::unique_ptr<Transfer>> owned;
        std::vector<Transfer*> posted;  // the model: oldest first
        std::vector<Message> unmatched;
        const auto random_tag = [&] { return Tag{random() % 3, random() % 40}; };
        for (int step = 0; step < 3000; ++step) {
            const Tag tag = random_tag();
            const auto same = [&](const Transfer* t) { return t->tag == tag; };
            const auto same_message = [&](const Message& m) { return m.tag == tag; };
            switch (random() % 6) {
                case 0: {
                    owned.push_back(std::make_unique<Transfer>());
                    owned.back()->tag = tag;
                    table.post(*owned.back());
                    posted.push_back(owned.back().get());
                    break;
                }
                case 1: {
                    const auto expected = std::find_if(posted.begin(), posted.end(), same);
                    Transfer* const found = table.match(tag);
                    REQUIRE(found == (expected == posted.end() ? nullptr : *expected));
                    if (found != nullptr) {
                        posted.erase(expected);
                    }
                    break;
                }
                case 2: {
                    if (!posted.empty()) {
                        const auto victim =
                            posted.begin() + static_cast<std::ptrdiff_t>(random() % posted.size());
                        table.withdraw(**victim);
                        posted.erase(victim);
                    }
                    break;
                }
                case 3: {
                    Message message(random() % 2 != 0 ? Kind::kOffer : Kind::kEager,
                                    {static_cast<std::uint64_t>(step), 0, 0});
                    message.tag = tag;
                    table.keep({message, nullptr});
                    unmatched.push_back(message);
                    break;
                }
                case 4: {
                    const auto expected =
                        std::find_if(unmatched.begin(), unmatched.end(), same_message);
                    Unmatched found;
                    REQUIRE(table.take(tag, found) == (expected != unmatched.end()));
                    if (expected != unmatched.end()) {
                        REQUIRE(found.message.link.id == expected->link.id);
                        unmatched.erase(expected);
                    }
                    break;
                }
                default: {
                    if (random() % 20 == 0) {
                        const auto taken = table.take_all(
                            [&](const Message& m) { return m.tag.group == tag.group; });
                        CHECK(taken.size() == std::erase_if(unmatched, [&](const Message& m) {
                                  return m.tag.group == tag.group;
                              }));
                    }
                }
            }
            REQUIRE(table.unmatched_count() == unmatched.size());
        }
        TransferList rest;
        table.drain_posted(rest);
        std::size_t count = 0;
        while (Transfer* t = rest.front()) {
            rest.remove(*t);
            ++count;
        }
        CHECK(count == posted.size());
    }
}

TEST_CASE("a number that was removed never finds anything again") {
    std::mt19937_64 random(5);
    SlotTable<int> table;
    std::map<std::uint64_t, int> live;
    std::vector<std::uint64_t> dead;
    for (int step = 0; step < 5000; ++step) {
        if (random() % 2 != 0 || live.empty()) {
            const std::uint64_t id = table.add(step);
            REQUIRE(id != 0);
            REQUIRE(live.emplace(id, step).second);
        } else {
            auto it = live.begin();
            std::advance(it, random() % live.size());
            table.remove(it->first);
            dead.push_back(it->first);
            live.erase(it);
        }
        REQUIRE(table.size() == live.size());
    }
    for (const auto& [id, value] : live) {
        REQUIRE(*table.find(id) == value);
    }
    for (const std::uint64_t id : dead) {
        REQUIRE(table.find(id) == nullptr);
        table.remove(id);  // harmless
    }
    CHECK(table.find(~std::uint64_t{0}) == nullptr);
}

TEST_CASE("only the peer's silence counts, not our own absence") {
    constexpr Time kTimeout = 1'500 * kMillisecond;
    Time now = 1'000 * kSecond;
    Liveness silent(kTimeout);
    std::uint64_t beat = 7;
    CHECK(silent.look(beat, now));
    Time heard = now;
    while (silent.look(beat, now)) {
        REQUIRE(now - heard < 2 * kTimeout);
        now = silent.next_look();
    }
    CHECK(now - heard >= kTimeout);

    Liveness beating(kTimeout);
    for (int i = 0; i < 1000; ++i) {
        now += 100 * kMillisecond;
        REQUIRE(beating.look(++beat, now));
    }

    Liveness after_pause(kTimeout);
    CHECK(after_pause.look(beat, now));
    now += 3600 * kSecond;  // we were suspended; the peer may not have had its turn yet
    CHECK(after_pause.look(beat, now));
    CHECK(after_pause.look(beat + 1, now + 100 * kMillisecond));
    CHECK(after_pause.silence() == 0);
}

TEST_CASE("addresses survive encoding; anything else is refused") {
    const ShmAddress address{"0d7a-boot", 4026531840, "weft-00ff"};
    ShmAddress decoded;
    REQUIRE(ShmAddress::decode(address.encode(), decoded));
    CHECK(decoded.host == address.host);
    CHECK(decoded.network == address.network);
    CHECK(decoded.socket == address.socket);
    for (const char* text : {"", "shm1/", "shm1/a", "shm1/a/b", "shm1/a/1/", "shm1/a/x/s",
                             "shm1/a/1x/s", "udp1/a/1/s", "shm1/a/99999999999999999999999/s"}) {
        CAPTURE(text);
        CHECK_FALSE(ShmAddress::decode(text, decoded));
    }
    CHECK_FALSE(ShmAddress::decode("shm1/a/1/" + std::string(200, 's'), decoded));
}

}  // namespace
}  // namespace weft::datapath::shm::test
