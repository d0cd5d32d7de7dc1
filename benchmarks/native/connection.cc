// What a packet costs in the connection itself: a sender and a receiver joined by a queue of
// encoded packets in memory, which loses nothing and carries no payload. Prints nanoseconds per
// data packet for both sides together, with encoding and decoding, acknowledgements and this driver
// included.
//
//   connection [data packets, default 2000000] [paths, default 32] [chunks per burst, default 16]
#include "transport/connection.h"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <vector>

namespace {

using namespace weft;
using transport::Connection;
using transport::Time;

constexpr std::uint32_t kChunkSize = 4096;
constexpr Time kDelay = 4 * transport::kMicrosecond;
constexpr Time kSpacing = 80;  // ns between packets: 400 Gbit/s

// A fixed-delay queue of packets in one direction: first in, first out.
struct Wire {
    struct Item {
        Time at = 0;
        std::size_t size = 0;
        std::array<std::uint8_t, wire::kMaxHeaderSize> bytes;
    };
    std::vector<Item> items = std::vector<Item>(1 << 10);
    std::size_t head = 0;
    std::size_t tail = 0;
    Time free_at = 0;

    Item& front() { return items[head & (items.size() - 1)]; }
    bool empty() const { return head == tail; }
};

class Bench {
  public:
    Bench(std::uint16_t paths, std::uint32_t burst) {
        transport::Config config;
        config.paths = paths;
        config.chunk_size = kChunkSize;
        config.max_burst = burst * kChunkSize;
        config.congestion = {"none", {{"window_chunks", 256}}};
        client_ = Connection::client(config, [this] { return random_(); }, now_);
        pump(*client_, up_);
        server_ =
            Connection::server(config, [this] { return random_(); }, now_, decode(up_.front()));
        ++up_.head;
        pump(*server_, down_);
    }

    // Sends `packets` chunks in messages of 2 MB; returns data packets received.
    std::uint64_t run(std::uint64_t packets) {
        constexpr std::uint64_t kChunksPerMessage = 512;
        std::uint64_t to_send = packets / kChunksPerMessage;
        std::uint64_t received = 0;
        std::uint64_t waiting = to_send;
        for (int i = 0; i < 4 && to_send > 0; ++i, --to_send) {
            send();
        }
        pump(*client_, up_);
        while (waiting > 0) {
            step();
            transport::Event event;
            while (server_->poll_event(event)) {
                received += event.kind == transport::EventKind::kMessageReceived;
            }
            while (client_->poll_event(event)) {
                if (event.kind == transport::EventKind::kMessageSent) {
                    --waiting;
                    if (to_send > 0) {
                        --to_send;
                        send();
                        pump(*client_, up_);
                    }
                }
            }
        }
        return received * kChunksPerMessage;
    }

    const Connection& client() const { return *client_; }

  private:
    void send() {
        transport::SendRequest request;
        request.tag = {1, ++serial_};
        request.size = std::uint64_t{512} * kChunkSize;
        client_->send(now_, request);
    }

    void pump(Connection& from, Wire& wire) {
        while (from.poll_transmit(now_, transmit_)) {
            Wire::Item& item = wire.items[wire.tail++ & (wire.items.size() - 1)];
            wire.free_at = std::max(wire.free_at, now_) + kSpacing;
            item.at = wire.free_at + kDelay;
            item.size = wire::encode(transmit_.packet, item.bytes);
        }
    }

    void step() {
        Wire& wire =
            down_.empty() || (!up_.empty() && up_.front().at <= down_.front().at) ? up_ : down_;
        Connection& to = &wire == &up_ ? *server_ : *client_;
        const Time timer = std::min(client_->next_timeout(), server_->next_timeout());
        if (wire.empty() || timer < wire.front().at) {
            now_ = std::max(now_, timer);
            client_->handle_timeout(now_);
            server_->handle_timeout(now_);
            pump(*client_, up_);
            pump(*server_, down_);
            return;
        }
        Wire::Item& item = wire.front();
        ++wire.head;
        now_ = item.at;
        const wire::Packet& packet = decode(item);
        const transport::Landed landed = to.handle_packet(now_, packet, {});
        if (landed.opened) {
            to.accept(now_, packet.data.message, 0);
        }
        pump(to, &wire == &up_ ? down_ : up_);
    }

    const wire::Packet& decode(const Wire::Item& item) {
        std::span<const std::uint8_t> payload;
        wire::decode(std::span(item.bytes).first(item.size), packet_, payload,
                     wire::ChecksumRule::kIfPresent, true);
        return packet_;
    }

    std::mt19937_64 random_{1};
    Time now_ = transport::kSecond;
    Wire up_;
    Wire down_;
    std::unique_ptr<Connection> client_;
    std::unique_ptr<Connection> server_;
    transport::Transmit transmit_;
    wire::Packet packet_;
    std::uint64_t serial_ = 0;
};

}  // namespace

int main(int count, char** arguments) {
    const auto argument = [&](int index, long fallback) {
        return count > index ? std::atol(arguments[index]) : fallback;
    };
    const auto packets = static_cast<std::uint64_t>(argument(1, 2000000));
    const auto paths = static_cast<std::uint16_t>(argument(2, 32));
    const auto burst = static_cast<std::uint32_t>(argument(3, 16));
    Bench bench(paths, burst);
    bench.run(packets / 10);  // grows all arrays
    const auto start = std::chrono::steady_clock::now();
    const std::uint64_t received = bench.run(packets);
    const std::chrono::duration<double, std::nano> elapsed =
        std::chrono::steady_clock::now() - start;
    const transport::Stats stats = bench.client().stats();
    std::printf("paths=%u burst=%u packets=%llu acks=%llu retransmitted=%llu  %.1f ns per packet\n",
                paths, burst, static_cast<unsigned long long>(received),
                static_cast<unsigned long long>(stats.acks_received),
                static_cast<unsigned long long>(stats.retransmitted),
                elapsed.count() / static_cast<double>(received));
    return 0;
}
