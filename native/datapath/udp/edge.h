// One edge over UDP: the search for paths, and the packets of the transport's connection between
// its ways and the user's memory.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "datapath/edge/message_edge.h"
#include "datapath/timing_wheel.h"
#include "datapath/udp/check.h"
#include "datapath/udp/path_finder.h"
#include "datapath/udp/socket.h"

namespace weft::datapath::udp {

class Core;
class Edge;

// A path: which socket, and where to.
struct Way {
    Socket* socket = nullptr;
    Endpoint to;
    bool bound = false;  // client: the peer noted it; server: the client said that it is this one
};

class Edge final : public MessageEdge {
  public:
    // We call.
    Edge(Core& core, PeerId peer, std::vector<LocalAddress> remote, ChannelOwner& owner,
         Time deadline);
    // We are called: `hello` came through `way` and was found good.
    Edge(Core& core, const wire::Packet& hello, const Way& way);
    ~Edge() override;

    std::uint16_t paths() const noexcept override {
        return static_cast<std::uint16_t>(ways_.size());
    }
    std::string stats_json() const override;

    // --- What the core passes on
    void on_note(Time now, const Note& note, const Way& from);
    void on_time(Time now);
    // Reads events and hands packets to the batch, a bounded number; true when it did anything.
    // Call again while dirty.
    bool pump(Time now);

    WakeUp<Edge> wake_up{*this};  // the core's: on its wheel while on_time() is to be called

  private:
    void touch() override;
    void sweep_soon() override;
    Time peer_timeout() const override;
    void on_connected(Time now) override;
    void ended() noexcept override { bind_at_ = kNever; }
    void retired() noexcept override { finder_.reset(); }
    void let_go(Outgoing& message) override;
    std::string where() const override;
    std::string describe_paths(const transport::Failure& failure) const override;

    void begin_connection(Time now);
    void deal_paths();
    void send_checks(Time now);
    void bind_paths(Time now);
    const Way& way(std::uint16_t path) const noexcept { return ways_[path % ways_.size()]; }
    bool transmit(Time now);
    void update_wake(Time now);

    Core& core_;
    Time deadline_ = kNever;  // of opening
    std::optional<PathFinder> finder_;
    std::uint64_t nonce_ = 0;  // of our path checks
    std::vector<Way> ways_;
    Time bind_at_ = kNever;  // when bindings are said again
    int bind_rounds_ = 0;
    std::uint64_t remote_connection_ = 0;
    std::uint64_t refused_bindings_ = 0;
};

}  // namespace weft::datapath::udp
