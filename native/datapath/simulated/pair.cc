#include "datapath/simulated/pair.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace weft::datapath::simulated {

using transport::Connection;
using transport::kNever;

namespace {

constexpr std::uint64_t kMaxStandstill =
    1'000'000;  // events at one instant: more is an endless loop

}  // namespace

Pair::Pair(PairOptions options)
    : options_(std::move(options)),
      random_(options_.seed),
      now_(options_.start),
      network_(options_.seed ^ 0x5DEECE66D, std::max(options_.client.paths, options_.server.paths),
               options_.link) {
    if (!options_.random) {
        options_.random = [this] { return random_(); };
    }
    client_ = std::make_unique<Endpoint>(Connection::client(options_.client, options_.random, now_),
                                         options_.checksum);
    pump(Side::kClient);
}

bool Pair::run(const std::function<bool()>& done, Time deadline) {
    // Commands may have been given since the last run.
    pump(Side::kClient);
    pump(Side::kServer);
    std::uint64_t standstill = 0;
    while (!done()) {
        const Time next = next_event();
        if (next == kNever || next > deadline) {
            now_ = next == kNever ? now_ : std::max(now_, deadline);
            return false;
        }
        standstill = next > now_ ? 0 : standstill + 1;
        if (standstill > kMaxStandstill) {
            throw std::logic_error("a timer does not move although it was served");
        }
        now_ = std::max(now_, next);
        if (network_.next_arrival() <= now_) {
            arrive();
            continue;
        }
        for (const Side side : {Side::kClient, Side::kServer}) {
            Endpoint* host = endpoint(side);
            if (host != nullptr && host->connection().next_timeout() <= now_) {
                host->connection().handle_timeout(now_);
                pump(side);
            }
        }
    }
    return true;
}

bool Pair::connect(Time deadline) {
    const auto established = [](Endpoint* host) {
        return host != nullptr && host->connection().state() == transport::State::kEstablished;
    };
    return run([&] { return established(client_.get()) && established(server_.get()); }, deadline);
}

Time Pair::next_event() const {
    Time next = std::min(network_.next_arrival(), client_->connection().next_timeout());
    if (server_ != nullptr) {
        next = std::min(next, server_->connection().next_timeout());
    }
    return next;
}

void Pair::arrive() {
    Datagram datagram = network_.receive();
    if (datagram.to == Side::kServer && server_ == nullptr) {
        on_hello(datagram);
    } else {
        endpoint(datagram.to)
            ->on_datagram(now_, datagram.bytes, {datagram.marked, datagram.trimmed});
    }
    const Side side = datagram.to;
    network_.recycle(std::move(datagram));
    pump(side);
}

// What a listener does.
void Pair::on_hello(const Datagram& datagram) {
    wire::Packet packet;
    std::span<const std::uint8_t> payload;
    if (wire::decode(datagram.bytes, packet, payload) != wire::DecodeStatus::kOk ||
        packet.kind != wire::PacketKind::kHello) {
        return;
    }
    if (const auto reason = transport::check_hello(options_.server, packet)) {
        ++rejected_;
        const wire::Packet reject = transport::make_reject(packet, *reason);
        std::array<std::uint8_t, wire::kMaxHeaderSize> bytes{};
        const auto header = std::span(bytes).first(wire::encode(reject, bytes));
        if (options_.checksum) {
            wire::seal(header, {});
        }
        network_.send(now_, Side::kServer, reject.path, header, {});
        return;
    }
    server_ = std::make_unique<Endpoint>(
        Connection::server(options_.server, options_.random, now_, packet), options_.checksum);
}

void Pair::pump(Side side) {
    Endpoint* host = endpoint(side);
    if (host == nullptr) {
        return;
    }
    Outgoing outgoing;
    while (host->poll(now_, outgoing)) {
        network_.send(now_, side, outgoing.path, outgoing.header, outgoing.payload);
    }
    host->drain_events();
}

}  // namespace weft::datapath::simulated
