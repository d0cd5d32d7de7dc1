// All peers of the process, keyed by their stable ids, with one channel each. Connections belong to
// peers, not to groups: a new group opens only the edges that did not exist yet.
//
// Who opens: of two processes that both want an edge (a group), the one with the lower id calls and
// the other waits, so that there are never two edges for one pair. A caller that alone knows of the
// other (weft_connect) calls whatever its id; should both do so at once, the call of the lower id
// stands.
//
// Everything here runs under the driver lock.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "engine/address.h"
#include "engine/engine.h"

namespace weft::engine {

class Peer;

// Tag::group of communicators is a random number; what is below belongs to the engine's own
// protocols.
constexpr std::uint64_t kFirstGroup = std::uint64_t{1} << 40;

// What a layer above (a communicator, the one-sided protocol) does with messages and losses of the
// groups it owns.
class GroupHandler {
  public:
    virtual void message_unmatched(Peer& peer, const datapath::Tag& tag, std::uint64_t signature,
                                   std::size_t size) = 0;
    virtual void peer_failed(Peer& peer, const ErrorPtr& error) = 0;

  protected:
    ~GroupHandler() = default;
};

class Peer {
  public:
    enum class State : std::uint8_t { kConnecting, kOpen, kFailed };

    explicit Peer(datapath::PeerId id) : id_(id) {}
    datapath::PeerId id() const noexcept { return id_; }
    State state() const noexcept { return state_; }
    const ErrorPtr& error() const noexcept { return error_; }
    // Only when open.
    datapath::Channel& channel() const noexcept { return *channel_; }

    // Messages outside groups with equal tags match in the order in which they were sent, though
    // datapaths may deliver them in another: both ends count them.
    struct Stream {
        std::uint32_t sent = 0;
        std::uint32_t received = 0;
    };
    Stream& stream(std::uint64_t tag) { return streams_[tag]; }

  private:
    friend class Mesh;
    const datapath::PeerId id_;
    std::unordered_map<std::uint64_t, Stream> streams_;
    State state_ = State::kConnecting;
    ErrorPtr error_;
    std::unique_ptr<datapath::Channel> channel_;
    Address address_;
    std::size_t next_entry_ = 0;  // of the datapaths still to be tried
    bool calling_ = false;        // we open; otherwise we wait to be called
    bool claimed_ = false;        // somebody here asked for it
    Time deadline_ = kNever;
};

class Mesh final : public datapath::ChannelOwner, public datapath::Acceptor {
  public:
    explicit Mesh(Engine& engine) : engine_(engine) {}
    Mesh(const Mesh&) = delete;
    Mesh& operator=(const Mesh&) = delete;

    // Before the first edge.
    void set_self(datapath::PeerId self) noexcept { self_ = self; }
    datapath::PeerId self() const noexcept { return self_; }
    Address address() const;

    // The peer, on the way to being open. `call_anyway`: do not wait for the peer to call although
    // its id is lower.
    Peer& want(const Address& address, Time deadline, bool call_anyway);
    // After a deadline: gives up a peer that is still connecting.
    void give_up(Peer& peer);
    // A peer that called us and was not claimed; null when there is none.
    Peer* next_unclaimed();
    Peer* find(datapath::PeerId id) noexcept;
    bool has_unclaimed() const noexcept { return !unclaimed_.empty(); }

    void add_group(std::uint64_t group, GroupHandler& handler);
    // Forgets it on all channels: what still comes for it is refused.
    void remove_group(std::uint64_t group);

    // Sends a small message whose fate nobody waits for (notices of failure, replies).
    void send_detached(Peer& peer, const datapath::Tag& tag, std::uint64_t signature,
                       std::string bytes);

    // Whoever waits for peers to open or to call is told of each change.
    void watch_changes(const void* key, std::function<void()> changed) {
        watchers_[key] = std::move(changed);
    }
    void unwatch_changes(const void* key) { watchers_.erase(key); }

    // Says goodbye on all channels.
    void close();
    std::string stats_json() const;

    // datapath::ChannelOwner
    void channel_open(datapath::Channel& channel) override;
    void message_unmatched(datapath::Channel& channel, const datapath::Tag& tag,
                           std::uint64_t signature, std::size_t size) override;
    void channel_failed(datapath::Channel& channel, const ErrorPtr& error) override;
    // datapath::Acceptor
    datapath::ChannelOwner* owner_for(datapath::PeerId peer) override;
    void accepted(std::unique_ptr<datapath::Channel> channel) override;

  private:
    void call_next(Peer& peer, ErrorPtr last_error);
    void sweep_detached();
    void changed();
    void count_local_processes();
    Peer& make(datapath::PeerId id);

    Engine& engine_;
    datapath::PeerId self_ = 0;
    struct Detached final : datapath::TransferObserver {
        explicit Detached(std::string text) : bytes(std::move(text)) {}
        void transfer_done(datapath::Transfer&) noexcept override { ended = true; }
        std::string bytes;
        datapath::Transfer transfer;
        bool ended = false;
    };
    std::vector<std::unique_ptr<Detached>>
        detached_;  // outlives the channels below, which point into it
    std::unordered_map<datapath::PeerId, std::unique_ptr<Peer>> peers_;
    std::unordered_map<std::uint64_t, GroupHandler*> groups_;
    // Messages that came for a group that we have not made yet: told to its handler once it exists.
    struct Early {
        datapath::PeerId peer;
        datapath::Tag tag;
        std::uint64_t signature;
        std::size_t size;
    };
    std::unordered_map<std::uint64_t, std::vector<Early>> early_;
    std::deque<datapath::PeerId> unclaimed_;
    std::map<const void*, std::function<void()>> watchers_;
    std::vector<std::unique_ptr<datapath::Channel>>
        retired_;  // lost calls, kept until no caller is on their stack
    bool closed_ = false;
};

}  // namespace weft::engine
