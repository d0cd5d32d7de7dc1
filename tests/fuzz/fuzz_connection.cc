// A live connection under fire: the fuzzer's bytes are a script of genuine traffic, forged packets
// that carry the right id and epoch, commands and waiting. Whatever happens, payload lands inside
// of its message and only once per sequence number, ended connections stay ended, and nothing reads
// or writes out of bounds.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "transport/connection.h"

namespace {

using namespace weft;
using namespace weft::transport;
using wire::PacketKind;

void require(bool condition) {
    if (!condition) {
        std::abort();
    }
}

// The fuzzer's bytes, one number at a time; zeros at their end.
class Script {
  public:
    Script(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}
    bool empty() const { return left_ == 0; }

    std::uint8_t byte() {
        if (left_ == 0) {
            return 0;
        }
        --left_;
        return *data_++;
    }

    // Mostly small numbers, now and then one near the end of the type.
    std::uint64_t number() {
        const std::uint8_t shape = byte();
        switch (shape % 4) {
            case 0:
                return shape / 4;
            case 1:
                return byte();
            case 2:
                return static_cast<std::uint64_t>(byte()) << (byte() % 64);
            default:
                return ~static_cast<std::uint64_t>(byte());
        }
    }

  private:
    const std::uint8_t* data_;
    std::size_t left_;
};

class Battle {
  public:
    explicit Battle(Script script) : script_(script) {
        Config config;
        config.paths = 3;
        config.chunk_size = 100;
        config.window = 128;
        config.eager_limit = 1000;
        config.eager_window = 3000;
        const RandomSource random = [this] { return serial_ += 0x9E3779B97F4A7C15; };
        client_ = Connection::client(config, random, now_);
        Transmit transmit;
        require(client_->poll_transmit(now_, transmit));
        require(!check_hello(config, transmit.packet));
        server_ = Connection::server(config, random, now_, transmit.packet);
        exchange(4, false);
        require(client_->state() == State::kEstablished);
        require(server_->state() == State::kEstablished);
    }

    void run() {
        for (int steps = 0; !script_.empty() && steps < 2000; ++steps) {
            step();
            watch(*client_, client_over_);
            watch(*server_, server_over_);
        }
        // With nobody interfering any more, everything ends or idles in bounded time.
        for (int turns = 0; turns < 10000 && server_->next_timeout() != kNever; ++turns) {
            now_ = std::max(now_, server_->next_timeout());
            server_->handle_timeout(now_);
            Transmit transmit;
            while (server_->poll_transmit(now_, transmit)) {
            }
            require(server_->next_timeout() > now_ || server_->state() >= State::kClosed);
        }
    }

  private:
    void step() {
        switch (script_.byte() % 8) {
            case 0:
                exchange(1 + script_.byte() % 8, true);
                break;
            case 1:
            case 2:
            case 3:
                forge();
                break;
            case 4:
                now_ += static_cast<Time>(script_.byte()) * (1 + script_.byte()) * kMicrosecond;
                client_->handle_timeout(now_);
                server_->handle_timeout(now_);
                break;
            case 5:
                send(script_.byte() % 2 == 0 ? *client_ : *server_);
                break;
            default:
                command(script_.byte() % 2 == 0 ? *client_ : *server_);
                break;
        }
    }

    void send(Connection& from) {
        SendRequest request;
        request.tag = {script_.byte(), script_.byte()};
        request.size = script_.number() % 20000;
        request.priority = script_.byte() % 16;
        request.wait_for_grant = script_.byte() % 4 == 0;
        from.send(now_, request);
    }

    void command(Connection& host) {
        const MessageId message = script_.number();
        const wire::RemoteDescriptor remote{};
        switch (script_.byte() % 16) {
            case 0:
                host.close(now_);
                break;
            case 1:
                host.abort(now_, static_cast<std::uint32_t>(script_.number()));
                break;
            case 2:
            case 3:
            case 4:
                host.cancel(now_, message, 1);
                break;
            case 5:
            case 6:
                host.refuse(now_, message, 1);
                break;
            case 7:
                host.expect(now_, script_.byte() % 2 == 0);
                break;
            case 8:
                host.accept(now_, message, 0, &remote);
                break;
            default:
                host.accept(now_, message, 0);
                break;
        }
    }

    // Genuine packets; if lossy, some of them are lost, marked or trimmed.
    void exchange(int rounds, bool lossy) {
        Transmit transmit;
        for (int round = 0; round < rounds; ++round) {
            for (Connection* from : {client_.get(), server_.get()}) {
                Connection& to = from == client_.get() ? *server_ : *client_;
                while (from->poll_transmit(now_, transmit)) {
                    last_ = transmit.packet;
                    if (!lossy) {
                        to.handle_packet(now_, transmit.packet, {});
                    } else if (script_.byte() % 8 != 7) {
                        give(to, transmit.packet);
                    }
                }
            }
            now_ += 10 * kMicrosecond;
        }
    }

    // A packet with the right address and anything else.
    void forge() {
        constexpr PacketKind kKinds[] = {
            PacketKind::kHello,      PacketKind::kChallenge, PacketKind::kResponse,
            PacketKind::kConfirm,    PacketKind::kReject,    PacketKind::kData,
            PacketKind::kGrant,      PacketKind::kCancel,    PacketKind::kRefuse,
            PacketKind::kSkip,       PacketKind::kAck,       PacketKind::kProbe,
            PacketKind::kProbeReply, PacketKind::kClose,     PacketKind::kCloseReply,
            PacketKind::kCredit,     PacketKind::kDemand};
        Connection& to = script_.byte() % 2 == 0 ? *client_ : *server_;
        wire::Packet packet;
        packet.kind = kKinds[script_.byte() % std::size(kKinds)];
        packet.flags = script_.byte() & 6;
        packet.path = static_cast<std::uint16_t>(script_.number());
        packet.connection = to.id();
        packet.sequence = last_.sequence + static_cast<std::uint32_t>(script_.number());
        packet.timestamp = static_cast<std::uint32_t>(now_ - script_.byte());
        fill(packet);
        // Through the codec, which keeps the promises that connections rely on.
        std::vector<std::uint8_t> bytes(wire::encoded_size(packet));
        wire::encode(packet, bytes);
        std::span<const std::uint8_t> payload;
        wire::Packet decoded;
        if (wire::decode(bytes, decoded, payload, wire::ChecksumRule::kIfPresent, true) ==
            wire::DecodeStatus::kOk) {
            give(to, decoded);
        }
    }

    void fill(wire::Packet& packet) {
        const auto word = [&] { return static_cast<std::uint32_t>(script_.number()); };
        switch (packet.kind) {
            case PacketKind::kHello:
            case PacketKind::kChallenge:
                packet.handshake = {word(),           word(),           script_.number(),
                                    script_.number(), word(),           word(),
                                    script_.number(), script_.number(), script_.number()};
                break;
            case PacketKind::kData:
                packet.data = {word() % 200,   script_.number(), script_.number(), script_.number(),
                               script_.byte(), script_.byte(),   script_.number()};
                break;
            case PacketKind::kGrant:
                packet.grant.message = script_.number();
                packet.grant.remote = {};
                break;
            case PacketKind::kAck:
                packet.ack.echo_sequence = last_.sequence + word();
                packet.ack.echo_timestamp = last_.timestamp + word();
                packet.ack.echo_path = static_cast<std::uint16_t>(script_.number());
                packet.ack.echo_flags = script_.byte();
                packet.ack.word_count = script_.byte() % 66;
                packet.ack.delay = word();
                packet.ack.marked = word();
                packet.ack.eager_credit = script_.number();
                for (std::size_t i = 0; i < std::min<std::size_t>(packet.ack.word_count, 64); ++i) {
                    packet.ack.words[i] = script_.number();
                }
                packet.ack.word_count = std::min<std::uint8_t>(packet.ack.word_count, 64);
                break;
            case PacketKind::kProbe:
            case PacketKind::kProbeReply:
                packet.probe = {word(), static_cast<std::uint16_t>(script_.number())};
                break;
            case PacketKind::kCredit:
            case PacketKind::kDemand:
                packet.total.bytes = script_.number();
                break;
            case PacketKind::kResponse:
                packet.proof.proof = script_.number();
                break;
            default:
                packet.abandon = {script_.number(), word()};
                break;
        }
    }

    void give(Connection& to, const wire::Packet& packet) {
        const Arrival arrival{script_.byte() % 16 == 0, script_.byte() % 16 == 0};
        const Landed landed = to.handle_packet(now_, packet, arrival);
        if (landed.landing == Landing::kLand || landed.opened) {
            require(packet.kind == PacketKind::kData);
            require(packet.data.offset + packet.data.length <= packet.data.size);
            require(!arrival.trimmed || landed.landing == Landing::kNothing);
            auto& sizes = &to == client_.get() ? client_sizes_ : server_sizes_;
            if (landed.opened) {
                sizes[packet.data.message] = packet.data.size;
            }
            // The destination has the size that the message was opened with.
            require(sizes.at(packet.data.message) == packet.data.size);
        }
    }

    // After the last event there is none; a failure has a reason.
    void watch(Connection& host, bool& over) {
        Event event;
        while (host.poll_event(event)) {
            require(!over);
            over = event.kind == EventKind::kClosed || event.kind == EventKind::kFailed ||
                   event.kind == EventKind::kPeerClosed;
        }
        require(over == (host.state() >= State::kClosed));
        require((host.state() == State::kFailed) ==
                (host.failure().reason != FailureReason::kNone));
    }

    Script script_;
    std::uint64_t serial_ = 0;
    Time now_ = kSecond;
    std::unique_ptr<Connection> client_;
    std::unique_ptr<Connection> server_;
    std::unordered_map<MessageId, std::uint64_t> client_sizes_;
    std::unordered_map<MessageId, std::uint64_t> server_sizes_;
    wire::Packet last_;
    bool client_over_ = false;
    bool server_over_ = false;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    Battle(Script(data, size)).run();
    return 0;
}
