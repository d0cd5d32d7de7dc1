// Flow control of what has no destination yet, grants, cancelling and refusing.
#include <doctest/doctest.h>

#include "traffic.h"

namespace weft::transport::test {
namespace {

PairOptions small_credit() {
    PairOptions options = options_with(2);
    options.server.eager_limit = 8000;
    options.server.eager_window = 20000;
    return options;
}

void idle(Pair& pair, Time duration) {
    pair.run([] { return false; }, pair.now() + duration);
}

TEST_CASE("a message without destination sends no more than the peer's limit") {
    Pair pair(small_credit());
    REQUIRE(pair.connect(pair.now() + kSecond));
    Traffic up(pair, Side::kClient, 1);
    up.add(100000, false);
    idle(pair, 10 * kMillisecond);
    CHECK(pair.server()->connection().stats().bytes_received == 8000);
    up.post_all();
    CHECK(pair.run([&] { return up.complete(); }, pair.now() + kSecond));
    up.check_bytes();
}

TEST_CASE("all of them together send no more than the peer's window, and none blocks another") {
    Pair pair(small_credit());
    REQUIRE(pair.connect(pair.now() + kSecond));
    Traffic unexpected(pair, Side::kClient, 1);
    for (int i = 0; i < 50; ++i) {
        unexpected.add(5000, false);
    }
    idle(pair, 10 * kMillisecond);
    CHECK(pair.server()->connection().stats().bytes_received == 20000);
    // Every one of them has at least announced itself.
    CHECK(count(pair.server()->events(), EventKind::kMessageOpened) == 50);
    // Behind the flood: no credit is left, but a destination is there.
    Traffic expected(pair, Side::kClient, 2);
    expected.add(30000, true);
    CHECK(pair.run([&] { return expected.complete(); }, pair.now() + kSecond));
    unexpected.post_all();
    CHECK(pair.run([&] { return unexpected.complete(); }, pair.now() + kSecond));
    unexpected.check_bytes();
    expected.check_bytes();
    CHECK(pair.client().connection().stats().eager_credit_left == 20000);
}

TEST_CASE("credit comes back however messages end, over a network that loses") {
    PairOptions options = small_credit();
    options.link.loss = 0.1;
    options.client.rto_min = kMillisecond;
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + 5 * kSecond));
    Connection& client = pair.client().connection();
    Connection& server = pair.server()->connection();
    const std::vector<std::uint8_t> bytes = random_bytes(6000, 3);
    std::vector<std::uint8_t> scratch(6000);
    std::mt19937_64 random(4);
    std::size_t seen = 0;
    for (std::uint64_t i = 0; i < 300; ++i) {
        SendRequest request;
        request.tag = {9, i};
        const MessageId id = pair.client().send(pair.now(), request, bytes);
        idle(pair, static_cast<Time>(random() % 200) * kMicrosecond);
        if (random() % 2 == 0) {
            client.cancel(pair.now(), id, 1);
        }
        for (; seen < pair.server()->events().size(); ++seen) {
            const Event event = pair.server()->events()[seen];
            if (event.kind != EventKind::kMessageOpened) {
                continue;
            }
            const std::uint64_t choice = random() % 3;
            if (choice == 0) {
                server.refuse(pair.now(), event.message, 2);
            } else if (choice == 1) {
                pair.server()->post(pair.now(), event.tag, scratch);
            }
        }
    }
    // Whatever is still open is refused now.
    idle(pair, kSecond);
    for (const Event& event : pair.server()->events()) {
        if (event.kind == EventKind::kMessageOpened) {
            server.refuse(pair.now(), event.message, 2);
        }
    }
    CHECK(pair.run([&] { return !client.has_unfinished_messages(); }, pair.now() + 5 * kSecond));
    Traffic last(pair, Side::kClient, 10);
    last.add(1000, true);
    CHECK(pair.run([&] { return last.complete(); }, pair.now() + 5 * kSecond));
    last.check_bytes();
    CHECK(client.stats().eager_credit_left == 20000);
    CHECK_FALSE(server.has_unfinished_messages());
}

TEST_CASE("a message may wait for its grant, and learns the peer's descriptor from it") {
    Pair pair(options_with(2));
    REQUIRE(pair.connect(pair.now() + kSecond));
    const std::vector<std::uint8_t> bytes = random_bytes(50000, 5);
    SendRequest request;
    request.tag = {1, 1};
    request.wait_for_grant = true;
    pair.client().send(pair.now(), request, bytes);
    idle(pair, 10 * kMillisecond);
    CHECK(pair.server()->connection().stats().bytes_received == 0);
    const Event* opened = find(pair.server()->events(), EventKind::kMessageOpened);
    REQUIRE(opened != nullptr);
    CHECK(opened->size == 50000);
    CHECK(find(pair.client().events(), EventKind::kMessageGranted) == nullptr);

    wire::RemoteDescriptor remote;
    for (std::size_t i = 0; i < remote.size(); ++i) {
        remote[i] = static_cast<std::uint8_t>(i * 7);
    }
    std::vector<std::uint8_t> landed(50000);
    pair.server()->post(pair.now(), {1, 1}, landed, &remote);
    CHECK(pair.run([&] { return find(pair.client().events(), EventKind::kMessageSent) != nullptr; },
                   pair.now() + kSecond));
    const Event* granted = find(pair.client().events(), EventKind::kMessageGranted);
    REQUIRE(granted != nullptr);
    CHECK(granted->remote == remote);
    CHECK(landed == bytes);
}

TEST_CASE("a cancelled message is reported once, and its bytes are not read any more") {
    PairOptions options = options_with(2);
    options.link.loss = 0.2;
    options.link.rate = 10e6;
    options.client.rto_min = kMillisecond;
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + 5 * kSecond));
    SendRequest request;
    request.tag = {1, 1};
    MessageId id = kNoMessage;
    std::vector<std::uint8_t> landed(200000);
    {
        std::vector<std::uint8_t> bytes = random_bytes(200000, 5);
        pair.server()->post(pair.now(), {1, 1}, landed);
        id = pair.client().send(pair.now(), request, bytes);
        idle(pair, 3 * kMillisecond);
        CHECK(pair.client().connection().cancel(pair.now(), id, 77));
        CHECK_FALSE(pair.client().connection().cancel(pair.now(), id, 77));
        // The memory is gone now; the address sanitizer sees any further access.
    }
    auto& events = pair.server()->events();
    CHECK(pair.run([&] { return find(events, EventKind::kMessageCancelled) != nullptr; },
                   pair.now() + kSecond));
    CHECK(find(events, EventKind::kMessageCancelled)->code == 77);
    Traffic next(pair, Side::kClient, 2);
    next.add(20000, true);
    CHECK(pair.run([&] { return next.complete(); }, pair.now() + 5 * kSecond));
    next.check_bytes();
    CHECK(count(events, EventKind::kMessageCancelled) == 1);
    CHECK(count(events, EventKind::kMessageReceived) == 1);
    CHECK(find(pair.client().events(), EventKind::kMessageRefused) == nullptr);
    CHECK(count(pair.client().events(), EventKind::kMessageSent) == 1);
}

TEST_CASE("a message cancelled before its first chunk leaves no trace") {
    PairOptions options = options_with(1);
    options.client.congestion = {"none", {{"window_chunks", 1}}};
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + kSecond));
    Traffic first(pair, Side::kClient, 1);
    first.add(5000, true);
    const std::vector<std::uint8_t> bytes = random_bytes(5000, 5);
    SendRequest request;
    request.tag = {2, 1};
    const MessageId id = pair.client().send(pair.now(), request, bytes);
    CHECK(pair.client().connection().cancel(pair.now(), id, 1));
    CHECK(pair.run([&] { return first.complete(); }, pair.now() + kSecond));
    CHECK(count(pair.server()->events(), EventKind::kMessageOpened) == 1);
    CHECK_FALSE(pair.client().connection().has_unfinished_messages());
}

TEST_CASE("a straggler does not revive a message whose cancel overtook it") {
    Pair pair(options_with(1));
    REQUIRE(pair.connect(pair.now() + kSecond));
    Connection& server = pair.server()->connection();
    // Steal the client's next packets, and deliver them in the wrong order.
    Connection& client = pair.client().connection();
    SendRequest request;
    request.size = 10;
    const MessageId id = client.send(pair.now(), request);
    Transmit data;
    Transmit cancel;
    REQUIRE(client.poll_transmit(pair.now(), data));
    REQUIRE(data.packet.kind == wire::PacketKind::kData);
    REQUIRE(client.cancel(pair.now(), id, 3));
    REQUIRE(client.poll_transmit(pair.now(), cancel));
    REQUIRE(cancel.packet.kind == wire::PacketKind::kCancel);
    server.handle_packet(pair.now(), cancel.packet, {});
    const Landed landed = server.handle_packet(pair.now(), data.packet, {});
    CHECK(landed.landing == Landing::kNothing);
    CHECK_FALSE(landed.opened);
    Event event;
    CHECK_FALSE(server.poll_event(event));
    CHECK_FALSE(server.accept(pair.now(), id, 0));
    // Its number is used up all the same, and its credit is back.
    CHECK(server.stats().chunks_received == 2);
    Traffic next(pair, Side::kClient, 1);
    next.add(5000, true);
    CHECK(pair.run([&] { return next.complete(); }, pair.now() + kSecond));
    CHECK(client.stats().eager_credit_left >= Config{}.eager_window - 5000);
}

TEST_CASE("a refused message ends at its sender with the receiver's reason") {
    PairOptions options = options_with(2);
    options.link.loss = 0.1;
    options.client.rto_min = options.server.rto_min = kMillisecond;
    Pair pair(options);
    REQUIRE(pair.connect(pair.now() + 5 * kSecond));
    const std::vector<std::uint8_t> bytes = random_bytes(2000000, 5);
    SendRequest request;
    request.tag = {1, 1};
    pair.client().send(pair.now(), request, bytes);
    auto& opened = pair.server()->events();
    REQUIRE(pair.run([&] { return find(opened, EventKind::kMessageOpened) != nullptr; },
                     pair.now() + kSecond));
    Connection& server = pair.server()->connection();
    const MessageId id = find(opened, EventKind::kMessageOpened)->message;
    CHECK(server.refuse(pair.now(), id, 55));
    CHECK_FALSE(server.refuse(pair.now(), id, 55));
    CHECK_FALSE(server.accept(pair.now(), id, 0));
    auto& events = pair.client().events();
    REQUIRE(pair.run([&] { return find(events, EventKind::kMessageRefused) != nullptr; },
                     pair.now() + kSecond));
    CHECK(find(events, EventKind::kMessageRefused)->code == 55);
    CHECK(find(events, EventKind::kMessageRefused)->tag == Tag{1, 1});
    CHECK_FALSE(pair.client().connection().has_unfinished_messages());
    CHECK(pair.run(
        [&] { return server.stats().chunks_received > 0 && server.next_timeout() == kNever; },
        pair.now() + 5 * kSecond));
    CHECK(count(opened, EventKind::kMessageCancelled) == 0);
}

}  // namespace
}  // namespace weft::transport::test
