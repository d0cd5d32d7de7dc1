#include "datapath/simulated/endpoint.h"

#include <algorithm>
#include <utility>

namespace weft::datapath::simulated {

using transport::Time;

transport::MessageId Endpoint::send(Time now, transport::SendRequest request,
                                    std::span<const std::uint8_t> bytes) {
    request.size = bytes.size();
    request.cookie = sources_.size();
    const transport::MessageId id = connection_->send(now, request);
    if (id != transport::kNoMessage) {
        sources_.push_back(bytes);
    }
    return id;
}

void Endpoint::post(Time now, transport::Tag tag, std::span<std::uint8_t> destination,
                    const wire::RemoteDescriptor* remote) {
    const std::uint64_t cookie = destinations_.size();
    destinations_.push_back({destination, {}});
    if (remote != nullptr) {
        destinations_.back().remote = *remote;
    }
    const auto early = unexpected_.find(tag);
    if (early == unexpected_.end()) {
        posted_.emplace(tag, cookie);
        return;
    }
    std::copy(early->second.bytes.begin(), early->second.bytes.end(), destination.begin());
    accept(now, early->second.message, cookie);
    unexpected_.erase(early);
}

void Endpoint::accept(Time now, transport::MessageId message, std::uint64_t cookie) {
    const auto& remote = destinations_[cookie].remote;
    connection_->accept(now, message, cookie, remote ? &*remote : nullptr);
}

void Endpoint::on_datagram(Time now, std::span<const std::uint8_t> bytes,
                           const transport::Arrival& arrival) {
    wire::Packet packet;
    std::span<const std::uint8_t> payload;
    const auto rule = checksum_ ? wire::ChecksumRule::kRequired : wire::ChecksumRule::kIfPresent;
    const auto status = wire::decode(bytes, packet, payload, rule, arrival.trimmed);
    if (status != wire::DecodeStatus::kOk) {
        connection_->handle_undecodable(status);
        return;
    }
    const transport::Landed landed = connection_->handle_packet(now, packet, arrival);
    if (packet.kind == wire::PacketKind::kData && (landed.opened || !payload.empty())) {
        land(now, packet.data, landed, payload);
    }
}

void Endpoint::land(Time now, const wire::Data& data, transport::Landed landed,
                    std::span<const std::uint8_t> payload) {
    const transport::Tag tag{data.tag_group, data.tag_message};
    if (landed.opened) {
        const auto waiting = posted_.find(tag);
        if (waiting != posted_.end()) {
            landed.accepted = true;
            landed.cookie = waiting->second;
            accept(now, data.message, landed.cookie);
            posted_.erase(waiting);
        } else {
            unexpected_[tag] = {data.message, std::vector<std::uint8_t>(data.size)};
        }
    }
    if (landed.landing == transport::Landing::kLand) {
        std::uint8_t* base = landed.accepted ? destinations_[landed.cookie].bytes.data()
                                             : unexpected_[tag].bytes.data();
        std::copy(payload.begin(), payload.end(), base + data.offset);
    }
}

bool Endpoint::poll(Time now, Outgoing& outgoing) {
    if (!connection_->poll_transmit(now, transmit_)) {
        return false;
    }
    const wire::Packet& packet = transmit_.packet;
    const auto header = std::span(header_).first(wire::encode(packet, header_));
    outgoing = {packet.path, header, {}};
    if (packet.kind == wire::PacketKind::kData && packet.data.length > 0) {
        outgoing.payload =
            sources_[transmit_.cookie].subspan(packet.data.offset, packet.data.length);
    }
    if (checksum_) {
        wire::seal(header, outgoing.payload);
    }
    return true;
}

void Endpoint::drain_events() {
    transport::Event event;
    while (connection_->poll_event(event)) {
        events_.push_back(event);
    }
}

}  // namespace weft::datapath::simulated
