// A connection with buffers: gathers what it sends from the sender's memory, lands what it receives
// in the receiver's, and knows nothing of the network between. What the socket datapaths do,
// without sockets.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "transport/connection.h"

namespace weft::datapath::simulated {

// One datagram to send.
struct Outgoing {
    transport::PathId path = 0;
    std::span<const std::uint8_t> header;
    std::span<const std::uint8_t> payload;
};

class Endpoint {
  public:
    Endpoint(std::unique_ptr<transport::Connection> connection, bool checksum)
        : connection_(std::move(connection)), checksum_(checksum) {}

    transport::Connection& connection() { return *connection_; }

    // The bytes must stay until the event kMessageSent. The rest of `request` is the caller's.
    transport::MessageId send(transport::Time now, transport::SendRequest request,
                              std::span<const std::uint8_t> bytes);

    // A destination for the message with this tag, of exactly its size; it may be here already.
    // `remote` goes to the sender with the grant.
    void post(transport::Time now, transport::Tag tag, std::span<std::uint8_t> destination,
              const wire::RemoteDescriptor* remote = nullptr);

    void on_datagram(transport::Time now, std::span<const std::uint8_t> bytes,
                     const transport::Arrival& arrival);

    // The next datagram to send; its spans are valid until the next call.
    bool poll(transport::Time now, Outgoing& outgoing);

    // Everything the connection reported, in order; cleared by the caller.
    std::vector<transport::Event>& events() { return events_; }
    void drain_events();

  private:
    struct TagHash {
        std::size_t operator()(const transport::Tag& tag) const {
            return std::hash<std::uint64_t>{}(tag.group * 0x9E3779B97F4A7C15 + tag.message);
        }
    };
    struct Destination {
        std::span<std::uint8_t> bytes;
        std::optional<wire::RemoteDescriptor> remote;
    };
    struct Unexpected {  // a message that came before its destination
        transport::MessageId message = transport::kNoMessage;
        std::vector<std::uint8_t> bytes;
    };

    void accept(transport::Time now, transport::MessageId message, std::uint64_t cookie);
    void land(transport::Time now, const wire::Data& data, transport::Landed landed,
              std::span<const std::uint8_t> payload);

    std::unique_ptr<transport::Connection> connection_;
    bool checksum_;
    std::vector<std::span<const std::uint8_t>> sources_;  // by cookie of the send
    std::vector<Destination> destinations_;               // by cookie of the accept
    std::unordered_map<transport::Tag, std::uint64_t, TagHash> posted_;
    std::unordered_map<transport::Tag, Unexpected, TagHash> unexpected_;
    std::vector<transport::Event> events_;
    transport::Transmit transmit_;
    std::array<std::uint8_t, wire::kMaxHeaderSize> header_{};
};

}  // namespace weft::datapath::simulated
