#include "simulator/endpoint.h"

#include <algorithm>
#include <stdexcept>

namespace weft::simulator {

WarmPair connect_warm(const transport::Config& client, const transport::Config& server,
                      const transport::RandomSource& random, transport::Time now,
                      transport::Time round_trip) {
    constexpr int kFlights = 8;  // twice what the handshake needs
    const transport::Time flight = std::max<transport::Time>(round_trip / 2, 1);
    transport::Time clock = now - kFlights * flight;
    WarmPair pair;
    pair.client = transport::Connection::client(client, random, clock);
    for (int i = 0; i < kFlights; ++i) {
        const bool from_client = i % 2 == 0;
        auto& sender = from_client ? pair.client : pair.server;
        auto& receiver = from_client ? pair.server : pair.client;
        transport::Transmit transmit;
        bool sent = false;
        while (sender != nullptr && sender->poll_transmit(clock, transmit)) {
            if (receiver == nullptr) {
                receiver =
                    transport::Connection::server(server, random, clock + flight, transmit.packet);
            } else {
                receiver->handle_packet(clock + flight, transmit.packet, {});
            }
            sent = true;
        }
        clock += flight;
        if (!sent && i > 0) break;
    }
    transport::Event event;
    for (auto* side : {pair.client.get(), pair.server.get()}) {
        if (side == nullptr || side->state() != transport::State::kEstablished) {
            throw std::logic_error(
                "simulator: two connections with one configuration could not shake hands");
        }
        while (side->poll_event(event)) {
        }
    }
    return pair;
}

}  // namespace weft::simulator
