// The process's side of the shared-memory datapath: its segment, listening socket, doorbell, and
// all handshakes and edges.
//
// Invariant: edges may be added and channels destroyed from inside any callback; edges that are
// over leave the list only between two rounds.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "datapath/shm/edge.h"
#include "datapath/shm/handshake.h"
#include "datapath/shm/segment.h"
#include "datapath/shm/shm.h"

namespace weft::datapath::shm {

// What ShmDatapath::address() says, for people and programs alike: same host and same network
// namespace (abstract sockets belong to it)?
struct ShmAddress {
    std::string host;           // boot id
    std::uint64_t network = 0;  // inode of the network namespace
    std::string socket;         // abstract name

    std::string encode() const;
    // False: not an address.
    static bool decode(std::string_view text, ShmAddress& address);
};

class Core {
  public:
    Core(const Identity& identity, Acceptor& acceptor, const ShmOptions& options);
    Core(const Core&) = delete;
    Core& operator=(const Core&) = delete;
    ~Core();

    const ShmAddress& address() const noexcept { return address_; }
    std::shared_ptr<Edge> connect(PeerId peer, const ShmAddress& address, ChannelOwner& owner,
                                  Time deadline);
    bool progress(Time now);
    Time next_wakeup() const noexcept;
    bool arm();
    void disarm();
    int wait_fd() const noexcept { return epoll_.get(); }
    void abandon() noexcept;
    // The datapath goes: all edges end.
    void shut_down();
    std::string stats_json() const;

    const std::shared_ptr<ProcessSegment>& segment() const noexcept { return segment_; }
    Edge* open_edge(PeerId peer) const noexcept;

  private:
    struct Pending {
        Handshake handshake;
        std::shared_ptr<Edge> edge;  // caller only
        bool over = false;
    };

    void listen();
    void poll(Time now);
    void welcome(Time now);
    void advance(Time now);
    void conclude(Pending& pending);
    void let_in(Handshake& handshake);
    void add_edge(std::shared_ptr<Edge> edge);
    void on_socket(int fd);
    bool add_to_poll(int fd) noexcept;
    void sweep();

    Acceptor& acceptor_;
    Local local_;
    std::shared_ptr<ProcessSegment> segment_;
    const std::shared_ptr<EdgeContext> context_;
    UniqueFd doorbell_;
    UniqueFd epoll_;
    UniqueFd listener_;
    ShmAddress address_;
    std::vector<std::shared_ptr<Edge>> edges_;
    std::unordered_map<PeerId, Edge*> by_peer_;  // of edges_; the newest, should there be two
    std::vector<std::unique_ptr<Pending>> pending_;
    bool poll_soon_ = true;
    Time next_poll_ = 0;
    Time next_beat_ = 0;

    struct {
        std::uint64_t called, answered, auth_failures, refused, unreachable, turned_away, wakeups;
    } count_{};
};

// The handle that owners hold.
class ShmChannel final : public Channel {
  public:
    explicit ShmChannel(std::shared_ptr<Edge> edge) : edge_(std::move(edge)) {
        edge_->channel = this;
    }
    ShmChannel(const ShmChannel&) = delete;
    ShmChannel& operator=(const ShmChannel&) = delete;
    ~ShmChannel() override {
        const std::shared_ptr<Edge> edge = edge_;
        edge->detach();
    }

    PeerId peer() const noexcept override { return edge_->peer(); }
    State state() const noexcept override { return edge_->state(); }
    std::string_view datapath() const noexcept override { return "shm"; }
    const ErrorPtr& error() const noexcept override { return edge_->error(); }
    void send(Transfer& transfer) override { edge_->send(transfer); }
    void recv(Transfer& transfer) override { edge_->recv(transfer); }
    void cancel(Transfer& transfer) override { edge_->cancel(transfer); }
    void forget_group(std::uint64_t group) override { edge_->forget_group(group); }
    void watch(bool on) override { edge_->watch(on); }
    void close() override { edge_->close(); }
    std::string stats_json() const override { return edge_->stats_json(); }

  private:
    const std::shared_ptr<Edge> edge_;
};

}  // namespace weft::datapath::shm
