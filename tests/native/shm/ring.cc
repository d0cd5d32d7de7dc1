// The ring by itself: two threads on one piece of memory (this is what ThreadSanitizer can see),
// and what it does about a peer that lies.
#include "datapath/shm/ring.h"

#include <doctest/doctest.h>

#include <cstring>
#include <memory>
#include <random>
#include <thread>

#include "node.h"

namespace weft::datapath::shm::test {
namespace {

// Zeroed, as a fresh memfd is.
std::unique_ptr<Direction> fresh() {
    auto direction = std::make_unique<Direction>();
    std::memset(static_cast<void*>(direction.get()), 0, sizeof(Direction));
    return direction;
}

TEST_CASE(
    "a producer and a consumer thread: everything arrives in order and whole, through many laps") {
    const auto direction = fresh();
    constexpr std::uint64_t kMessages = 60'000;
    std::thread producer([&] {
        Producer out(*direction);
        std::mt19937_64 random(1);
        std::vector<std::byte> payload(kMaxEagerLimit);
        for (std::uint64_t i = 0; i < kMessages;) {
            const std::size_t size = random() % 8 == 0 ? random() % kMaxEagerLimit : random() % 100;
            while (!out.room(size)) {
                std::this_thread::yield();
            }
            Message message(Kind::kEager);
            message.size = size;
            message.tag = {i, ~i};
            std::memset(payload.data(), static_cast<int>(i), size);
            out.push(message, payload.data(), size);
            ++i;
        }
    });
    Consumer in(*direction);
    bool good = true;
    for (std::uint64_t i = 0; i < kMessages;) {
        if (!in.ready()) {
            std::this_thread::yield();
            continue;
        }
        const Message message = in.pop();
        good &= message.kind == Kind::kEager && message.tag == Tag{i, ~i};
        const Consumer::Payload payload = in.take(message.size);
        good &= payload.first.size() + payload.second.size() == message.size;
        for (const auto part : {payload.first, payload.second}) {
            for (const std::byte byte : part) {
                good &= byte == static_cast<std::byte>(i);
            }
        }
        in.publish();
        ++i;
    }
    producer.join();
    CHECK(good);
}

TEST_CASE("a full ring has no room until a quarter of it was consumed") {
    const auto direction = fresh();
    Producer out(*direction);
    Consumer in(*direction);
    std::size_t pushed = 0;
    while (out.room(0)) {
        out.push(Message(Kind::kEager));
        ++pushed;
    }
    CHECK(pushed == kSlots);
    CHECK_FALSE(out.wait_for_room(0));
    bool wanted = false;
    for (std::size_t i = 0; i < kSlots / 4; ++i) {
        REQUIRE(in.ready());
        in.pop();
        CHECK_FALSE(wanted);
        wanted = in.publish();
    }
    CHECK(wanted);  // the producer waits, its doorbell is to be rung
    CHECK(out.room(0));
}

TEST_CASE("a consumer that claims to have read what was never sent is found out") {
    const auto direction = fresh();
    Producer out(*direction);
    out.push(Message(Kind::kEager));
    direction->consumed.slots = 2;
    CHECK(out.wait_for_room(0));  // there is room, whatever it says
    CHECK(out.broken());
}

}  // namespace
}  // namespace weft::datapath::shm::test
