// What must not come in: replayed, foreign, malformed and contradictory packets are counted and
// change nothing.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "traffic.h"

namespace weft::transport::test {
namespace {

using Bytes = std::vector<std::uint8_t>;

std::uint64_t drops(Connection& connection, Drop drop) {
    return connection.stats().drops[static_cast<std::size_t>(drop)];
}

// Two endpoints joined by hand at one instant, with a record of every datagram.
class Taped {
  public:
    Taped() {
        const PairOptions options = options_with(2);
        server_config_ = options.server;
        client_ = std::make_unique<Endpoint>(
            Connection::client(options.client, [this] { return random_(); }, now_), false);
        exchange();
    }

    void exchange() {
        Outgoing outgoing;
        for (bool moved = true; moved;) {
            moved = false;
            while (client_->poll(now_, outgoing)) {
                up_.push_back(join(outgoing));
                to_server(up_.back());
                moved = true;
            }
            while (server_ && server_->poll(now_, outgoing)) {
                down_.push_back(join(outgoing));
                client_->on_datagram(now_, down_.back(), {});
                moved = true;
            }
        }
        client_->drain_events();
        server_->drain_events();
    }

    // Lets the delayed acknowledgements go.
    void later() {
        now_ += 10 * kMillisecond;
        client_->connection().handle_timeout(now_);
        server_->connection().handle_timeout(now_);
        exchange();
    }

    void to_server(const Bytes& bytes) {
        if (server_) {
            server_->on_datagram(now_, bytes, {});
            return;
        }
        server_ = std::make_unique<Endpoint>(fresh_server(bytes), false);
    }

    std::unique_ptr<Connection> fresh_server(const Bytes& hello) {
        wire::Packet packet;
        std::span<const std::uint8_t> payload;
        REQUIRE(wire::decode(hello, packet, payload) == wire::DecodeStatus::kOk);
        REQUIRE_FALSE(check_hello(server_config_, packet));
        return Connection::server(server_config_, [this] { return random_(); }, now_, packet);
    }

    // A whole message from client to server.
    void transfer(std::uint64_t number) {
        sent_ = random_bytes(5000, number);
        received_.assign(5000, 0);
        server_->post(now_, {1, number}, received_);
        SendRequest request;
        request.tag = {1, number};
        client_->send(now_, request, sent_);
        exchange();
        later();
        CHECK(received_ == sent_);
    }

    Endpoint& client() { return *client_; }
    Endpoint& server() { return *server_; }
    const std::vector<Bytes>& up() const { return up_; }
    const std::vector<Bytes>& down() const { return down_; }
    Time now() const { return now_; }

  private:
    using Outgoing = datapath::simulated::Outgoing;

    static Bytes join(const Outgoing& outgoing) {
        Bytes bytes(outgoing.header.begin(), outgoing.header.end());
        bytes.insert(bytes.end(), outgoing.payload.begin(), outgoing.payload.end());
        return bytes;
    }

    std::mt19937_64 random_{99};
    Time now_ = kSecond;
    Config server_config_;
    std::unique_ptr<Endpoint> client_;
    std::unique_ptr<Endpoint> server_;
    std::vector<Bytes> up_;
    std::vector<Bytes> down_;
    Bytes sent_;
    Bytes received_;
};

TEST_CASE("replaying everything that was ever sent changes nothing") {
    Taped tape;
    tape.transfer(1);
    REQUIRE(tape.client().connection().state() == State::kEstablished);
    REQUIRE(tape.server().connection().state() == State::kEstablished);
    const std::size_t client_events = tape.client().events().size();
    const std::size_t server_events = tape.server().events().size();
    const Stats before = tape.server().connection().stats();
    std::vector<Bytes> up = tape.up();
    std::vector<Bytes> down = tape.down();
    std::mt19937_64 random(1);
    for (int round = 0; round < 3; ++round) {
        std::shuffle(up.begin(), up.end(), random);
        std::shuffle(down.begin(), down.end(), random);
        for (const Bytes& bytes : up) {
            tape.server().on_datagram(tape.now(), bytes, {});
        }
        for (const Bytes& bytes : down) {
            tape.client().on_datagram(tape.now(), bytes, {});
        }
        tape.exchange();
    }
    CHECK(tape.client().events().size() == client_events);
    CHECK(tape.server().events().size() == server_events);
    CHECK(tape.server().connection().stats().bytes_received == before.bytes_received);
    CHECK(drops(tape.server().connection(), Drop::kDuplicate) >= 3 * 5);
    CHECK(drops(tape.server().connection(), Drop::kUnexpected) >= 3);
    tape.transfer(2);  // and the connection still works
}

TEST_CASE("an old conversation opens no new connection") {
    Taped tape;
    tape.transfer(1);
    // The hello is the one packet that is valid again; it makes a half-open connection, which
    // nothing recorded can bring further, for it has a new id.
    auto revived = tape.fresh_server(tape.up().front());
    for (const Bytes& bytes : tape.up()) {
        wire::Packet packet;
        std::span<const std::uint8_t> payload;
        REQUIRE(wire::decode(bytes, packet, payload) == wire::DecodeStatus::kOk);
        packet.connection = tape.server().connection().id();
        revived->handle_packet(tape.now(), packet, {});
        // Even when somebody learnt the id:
        packet.connection = revived->id();
        revived->handle_packet(tape.now(), packet, {});
        CHECK(revived->state() == State::kAccepting);
    }
    CHECK(drops(*revived, Drop::kForeign) > 0);
    CHECK(drops(*revived, Drop::kUnexpected) > 0);
    Event event;
    CHECK_FALSE(revived->poll_event(event));
}

TEST_CASE("a hello is taken only whole and unchanged") {
    Taped tape;
    const Config config = options_with(2).server;
    wire::Packet hello;
    std::span<const std::uint8_t> payload;
    REQUIRE(wire::decode(tape.up().front(), hello, payload) == wire::DecodeStatus::kOk);
    CHECK_FALSE(check_hello(config, hello));
    const auto verdict_after = [&](auto change) {
        wire::Packet changed = hello;
        change(changed);
        return check_hello(config, changed);
    };
    using wire::Packet;
    CHECK(verdict_after([](Packet& p) { ++p.handshake.version; }) == RejectReason::kVersion);
    CHECK(verdict_after([](Packet& p) { ++p.epoch; }) == RejectReason::kEpoch);
    CHECK(verdict_after([](Packet& p) { ++p.handshake.peer_id; }) == RejectReason::kProof);
    CHECK(verdict_after([](Packet& p) { ++p.handshake.proof; }) == RejectReason::kProof);
    CHECK(verdict_after([](Packet& p) { ++p.handshake.source_connection; }) ==
          RejectReason::kProof);
    CHECK(verdict_after([](Packet& p) { ++p.handshake.eager_limit; }) == RejectReason::kProof);
    CHECK(verdict_after([](Packet& p) { p.kind = wire::PacketKind::kChallenge; }).has_value());
}

TEST_CASE("a challenge without the key does not move the client") {
    Taped tape;
    const PairOptions options = options_with(2);
    std::mt19937_64 random(5);
    auto client = Connection::client(options.client, [&] { return random(); }, 0);
    Transmit transmit;
    REQUIRE(client->poll_transmit(0, transmit));
    wire::Packet challenge;
    std::span<const std::uint8_t> payload;
    REQUIRE(wire::decode(tape.down().front(), challenge, payload) == wire::DecodeStatus::kOk);
    REQUIRE(challenge.kind == wire::PacketKind::kChallenge);
    challenge.connection = client->id();
    client->handle_packet(1, challenge, {});
    CHECK(drops(*client, Drop::kForeign) == 1);
    CHECK(client->state() == State::kConnecting);
    CHECK(client->remote_peer() == 0);
}

TEST_CASE("packets of other connections, epochs and states are counted, each under its name") {
    Taped tape;
    tape.transfer(1);
    Connection& server = tape.server().connection();
    const auto give = [&](auto change) {
        wire::Packet packet;
        packet.kind = wire::PacketKind::kData;
        packet.epoch = 7;
        packet.connection = server.id();
        wire::Packet last;
        std::span<const std::uint8_t> payload;
        wire::decode(tape.up().back(), last, payload);
        packet.data = {0, 1000, 0, 10, 0, 0, 0};
        change(packet);
        return server.handle_packet(tape.now(), packet, {}).landing;
    };
    const Stats before = server.stats();
    CHECK(give([](wire::Packet& p) { ++p.epoch; }) == Landing::kNothing);
    CHECK(give([](wire::Packet& p) { ++p.connection; }) == Landing::kNothing);
    CHECK(give([](wire::Packet& p) { p.kind = wire::PacketKind::kConfirm; }) == Landing::kNothing);
    wire::Packet data;
    std::span<const std::uint8_t> payload;
    for (const Bytes& bytes : tape.up()) {
        wire::Packet packet;
        wire::decode(bytes, packet, payload);
        if (packet.kind == wire::PacketKind::kData) {
            data = packet;
        }
    }
    CHECK(give([&](wire::Packet& p) { p.sequence = data.sequence + 5000; }) == Landing::kNothing);
    CHECK(give([&](wire::Packet& p) { p.sequence = data.sequence - 5000; }) == Landing::kNothing);
    CHECK(drops(server, Drop::kWrongEpoch) == 1);
    CHECK(drops(server, Drop::kForeign) == 1);
    CHECK(drops(server, Drop::kUnexpected) == 1);
    CHECK(drops(server, Drop::kOutsideWindow) == 1);
    CHECK(drops(server, Drop::kDuplicate) == 1);
    // A second chunk of a message that tells of another size than the first.
    CHECK(give([&](wire::Packet& p) {
              p.sequence = data.sequence + 1;
              p.data = {5, 1000, 0, 10, 0, 0, 0};
          }) == Landing::kLand);
    CHECK(give([&](wire::Packet& p) {
              p.sequence = data.sequence + 2;
              p.data = {5, 1000, 5, 11, 0, 0, 0};
          }) == Landing::kNothing);
    CHECK(drops(server, Drop::kMalformed) == 1);
    CHECK(server.stats().chunks_received == before.chunks_received + 1);

    // An acknowledgement of what was never sent.
    Connection& client = tape.client().connection();
    wire::Packet ack;
    ack.kind = wire::PacketKind::kAck;
    ack.epoch = 7;
    ack.connection = client.id();
    ack.sequence = data.sequence + 100;
    ack.ack = {};
    client.handle_packet(tape.now(), ack, {});
    CHECK(drops(client, Drop::kOutsideWindow) == 1);

    std::mt19937_64 random(6);
    for (int i = 0; i < 100; ++i) {
        tape.server().on_datagram(tape.now(), random_bytes(random() % 100, random()), {});
    }
    CHECK(drops(server, Drop::kMalformed) > 90);
    CHECK(server.state() == State::kEstablished);
}

}  // namespace
}  // namespace weft::transport::test
