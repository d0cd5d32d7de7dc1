// What all edges of the process share: the carrier of their datagrams, their table, and the loop
// that drives it all. Bounded work per round: some datagrams from the carrier, some packets from
// some edges.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "datapath/channel.h"
#include "datapath/clock.h"
#include "datapath/edge/channel.h"
#include "datapath/edge/edge_table.h"
#include "datapath/policies.h"
#include "datapath/random_words.h"
#include "datapath/udp/address.h"
#include "datapath/udp/carrier.h"
#include "datapath/udp/edge.h"
#include "datapath/udp/udp.h"
#include "transport/config.h"

namespace weft::datapath::udp {

// Makes the carrier once the options were found good.
using MakeCarrier = std::function<std::unique_ptr<Carrier>(const UdpOptions&)>;

class Core final : public std::enable_shared_from_this<Core>, private Sink {
  public:
    Core(const Identity& identity, Acceptor& acceptor, UdpOptions options,
         const MakeCarrier& make_carrier);
    Core(const Core&) = delete;
    Core& operator=(const Core&) = delete;

    // --- For the datapath
    std::string_view name() const noexcept { return carrier_->name(); }
    std::string address() const { return encode_addresses(local()); }
    bool reaches(std::string_view peer_address) const;
    std::unique_ptr<Channel> connect(PeerId peer, std::string_view peer_address,
                                     ChannelOwner& owner, Time deadline);
    bool progress(Time now);
    Time next_wakeup() const noexcept;
    bool arm();
    int wait_fd() const noexcept { return carrier_->wait_fd(); }
    std::string stats_json() const;
    void shut_down();
    void abandon() noexcept;
    void set_policies(const transport::PolicyChange& change) {
        exchange_policies(config_, edges_, change);
    }

    // --- For the edges
    const Identity& identity() const noexcept { return identity_; }
    const UdpOptions& options() const noexcept { return options_; }
    // Null once the datapath goes away.
    Acceptor* acceptor() noexcept { return acceptor_; }
    const transport::Key& key() const noexcept { return key_; }
    const std::vector<LocalAddress>& local() const noexcept { return carrier_->local(); }
    Carrier& carrier() noexcept { return *carrier_; }
    // False when the kernel has no room: the edge stays dirty and is pumped again later.
    bool flush(Time now);
    bool closed() const noexcept { return closed_; }
    std::uint64_t random() { return random_.next(); }
    EdgeTable<Edge>& edges() noexcept { return edges_; }
    void send_now(const Way& way, std::span<const std::uint8_t> bytes) {
        carrier_->send_now(*way.socket, way.to, bytes);
    }
    void send_note(const Way& way, const Note& note, std::size_t size = kNoteSize);
    // What both sides of a connection have in common; the epoch names the life of the process that
    // was called.
    transport::Config config(PeerId called, std::uint32_t packet_size) const;
    std::unique_ptr<Channel> make_channel(Edge& edge) {
        return std::make_unique<EdgeChannel>(shared_from_this(), edge);
    }

  private:
    struct Counters {
        std::uint64_t malformed = 0;           // no packet of ours at all
        std::uint64_t unknown_connection = 0;  // well formed, for nobody here
        std::uint64_t misdirected_checks = 0;  // path checks for another peer
    };

    bool receive(Time now);
    void arrived(Socket& socket, const Arrived& datagram) override;
    bool recognise_trimmed(std::span<const std::uint8_t> bytes, wire::Packet& packet) const;
    void on_hello(Time now, Socket& socket, const Arrived& datagram);
    void on_note(Time now, Socket& socket, const Arrived& datagram, const Note& note);
    bool pump(Time now);

    const Identity identity_;
    transport::Key key_;
    transport::Config config_;  // but for what differs from edge to edge
    const UdpOptions options_;
    Acceptor* acceptor_;
    std::unique_ptr<Carrier> carrier_;
    std::uint64_t window_bytes_ = 0;  // that may be in flight on one edge
    Time retry_at_ = kNever;          // the kernel had no room and will not tell when it has
    bool more_waits_ = false;         // the last round left datagrams with the carrier
    bool closed_ = false;
    Counters counters_;
    RandomWords random_;

    EdgeTable<Edge> edges_;
    Time next_look_ = 0;  // at the sockets, while there is no edge
};

}  // namespace weft::datapath::udp
