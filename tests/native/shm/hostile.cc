// A peer that proves itself and then writes nonsense: the edge fails with a typed error, and
// nothing else happens. The handshake's library is used to play that peer.
#include <doctest/doctest.h>
#include <poll.h>
#include <sys/eventfd.h>

#include <random>
#include <thread>

#include "datapath/shm/handshake.h"
#include "datapath/shm/ring.h"
#include "node.h"

namespace weft::datapath::shm::test {
namespace {

// A hand-made peer with an open edge to `node`.
struct Villain {
    explicit Villain(Node& node)
        : segment(0xbad, 4096), bell(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
        local.identity = identity(0xbad);
        local.segment_fd = segment.fd();
        local.doorbell_fd = bell.get();
        const std::string address = node.datapath->address();
        Handshake handshake = Handshake::call(
            local, node.id, address.substr(address.rfind('/') + 1), clock_now() + 5 * kSecond);
        REQUIRE(drive({&node}, [&] {
            handshake.advance();
            return handshake.state() != Handshake::State::kWaiting;
        }));
        REQUIRE(handshake.state() == Handshake::State::kOpen);
        session = handshake.take();
        memory = reinterpret_cast<EdgeMemory*>(session.memory->data());
        out = std::make_unique<Producer>(memory->flow[session.outgoing]);
    }

    Local local;
    ProcessSegment segment;
    UniqueFd bell;
    Session session;
    EdgeMemory* memory = nullptr;
    std::unique_ptr<Producer> out;
};

bool fails_as_broken(Node& node) {
    return drive(
               {&node}, [&] { return node.failed == 1; }, 2 * kSecond) &&
           node.error->status == WEFT_ERR_SYSTEM &&
           node.error->message.find("broke the shared-memory protocol") != std::string::npos &&
           node.error->peer_id == 0xbad;
}

TEST_CASE("each kind of nonsense fails the edge") {
    const auto strike = [](const std::function<void(Villain&, Node&)>& blow) {
        Node node(identity(0xa));
        auto recv = make_op(100000, 1), send = make_op(100000, 2);
        Villain villain(node);
        node.channel->recv(recv->transfer);
        node.channel->send(send->transfer);
        blow(villain, node);
        const bool broken = fails_as_broken(node);
        CHECK(recv->status() == WEFT_ERR_SYSTEM);
        CHECK(send->status() == WEFT_ERR_SYSTEM);
        return broken;
    };
    const auto offer = [](Villain& villain) {  // matches `recv`
        Message message(Kind::kOffer, {77, 0, reinterpret_cast<std::uintptr_t>(&villain)});
        message.size = 100000;
        message.tag = {7, 1};
        message.signature = 42;
        villain.out->push(message);
    };
    CHECK(strike([](Villain& v, Node&) { v.out->push(Message(static_cast<Kind>(99))); }));
    CHECK(strike([](Villain& v, Node&) {
        Message eager(Kind::kEager);
        eager.size = std::uint64_t{1} << 60;
        v.out->push(eager);
    }));
    CHECK(strike([](Villain& v, Node&) {
        Message piece(Kind::kPiece);
        piece.size = std::uint64_t{1} << 60;
        v.out->push(piece);
    }));
    CHECK(strike([](Villain& v, Node&) { v.out->push(Message(Kind::kPiece)); }));
    CHECK(strike([&](Villain& v, Node& node) {  // a piece at the wrong place
        offer(v);
        REQUIRE(drive({&node}, [&] {
            return node.channel->stats_json().find("\"offers_received\":1") != std::string::npos;
        }));
        Message piece(Kind::kPiece, {77, std::uint64_t{1} << 32, 64});
        piece.size = 64;
        v.out->push(piece);
    }));
    CHECK(strike([&](Villain& v, Node& node) {  // a piece of odd length in the middle
        offer(v);
        REQUIRE(drive({&node}, [&] {
            return node.channel->stats_json().find("\"offers_received\":1") != std::string::npos;
        }));
        Message piece(Kind::kPiece, {77, std::uint64_t{1} << 32, 0});
        piece.size = 63;
        v.out->push(piece);
    }));
    CHECK(strike([](Villain& v, Node&) {
        v.out->push(Message(Kind::kPull, {std::uint64_t{1} << 32, 5, 100001}));
    }));
    CHECK(strike([](Villain& v, Node&) {
        for (int i = 0; i < 2; ++i) {
            v.out->push(Message(Kind::kPull, {std::uint64_t{1} << 32, 5, 0}));
        }
    }));
    CHECK(strike(
        [](Villain& v, Node& node) {  // reads more than was sent; found when the sender needs room
            v.memory->flow[1 - v.session.outgoing].consumed.slots = std::uint64_t{1} << 40;
            for (int i = 0; i < 1000 && node.failed == 0; ++i) {
                auto op = make_op(8, 1000);
                node.channel->send(op->transfer);
                if (op->transfer.state == Transfer::State::kPending) {
                    node.progress();
                    node.channel->cancel(op->transfer);
                }
            }
        }));
    CHECK(strike([](Villain& v, Node& node) {  // ignores the wish for no more eager messages
        std::vector<std::byte> payload(16384);
        while (node.failed == 0) {
            if (v.out->room(payload.size())) {
                Message eager(Kind::kEager);
                eager.size = payload.size();
                eager.tag = {9, 9};
                v.out->push(eager, payload.data(), payload.size());
            }
            node.progress();
        }
    }));
}

TEST_CASE("random garbage in all of the shared memory, all the time, crashes nothing") {
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        Node node(identity(0xa));
        std::vector<std::unique_ptr<Op>> ops;
        Villain villain(node);
        auto* const words = reinterpret_cast<std::uint64_t*>(villain.session.memory->data());
        constexpr std::size_t kHeaderWords = offsetof(Direction, bytes) / 8;
        for (int step = 0; step < 2000 && node.failed == 0; ++step) {
            for (int i = 0; i < 3; ++i) {
                const std::size_t at =
                    random() % kHeaderWords + (random() % 2 != 0 ? sizeof(Direction) / 8 : 0);
                words[at] = random() % 2 != 0 ? random() : random() % 16;
            }
            if (random() % 4 == 0) {  // something that looks right
                Message message(
                    static_cast<Kind>(random() % 8),
                    {std::uint64_t{random() % 3} << 32 | random() % 4,
                     std::uint64_t{random() % 3} << 32 | random() % 4, random() % 4 * 64});
                message.size = random() % 3 == 0 ? random() : random() % 100;
                message.tag = {7, random() % 4};
                message.signature = 42;
                message.status = static_cast<std::int16_t>(random() % 20 - 15);
                villain.out->push(message);
            }
            auto op = make_op(random() % 2 != 0 ? random() % 100 : 20000, random() % 4);
            random() % 2 != 0 ? node.channel->send(op->transfer) : node.channel->recv(op->transfer);
            ops.push_back(std::move(op));
            node.progress();
        }
        node.channel.reset();
        for (auto& op : ops) {
            CHECK(op->ended == 1);
        }
    }
}

TEST_CASE(
    "strangers at the socket: garbage, silence and half a handshake are counted and dropped") {
    Node node(identity(0xa));
    const std::string address = node.datapath->address();
    Identity other = identity(0xbad);
    ProcessSegment segment(0xbad, 0);
    UniqueFd bell(eventfd(0, EFD_CLOEXEC));
    Local local{other, true, segment.fd(), bell.get(), {}};
    std::vector<Handshake> handshakes;
    for (int i = 0; i < 20; ++i) {
        handshakes.push_back(Handshake::call(local, node.id, address.substr(address.rfind('/') + 1),
                                             clock_now() + kSecond));
        if (i % 2 == 0) {
            const char garbage[200] = "GET / HTTP/1.1";
            CHECK(::write(handshakes.back().fd(), garbage, static_cast<std::size_t>(i) * 10) >= 0);
        }
    }
    drive({&node}, [] { return false; }, 30 * kMillisecond);
    handshakes.clear();
    CHECK(drive({&node}, [&] {
        return node.datapath->stats_json().find("\"callers_refused\":20") != std::string::npos;
    }));
    CHECK(node.opened == 0);
    Node friendly(identity(0xb));
    friendly.connect(node);
    CHECK(drive({&node, &friendly}, [&] { return node.opened == 1; }));
}

}  // namespace
}  // namespace weft::datapath::shm::test
