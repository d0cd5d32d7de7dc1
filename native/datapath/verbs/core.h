// What all edges of the process share: the rails, the table by which completions find their edge,
// the registrations, and the loop that drives it all. Bounded work per round.
#pragma once

#include <array>
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
#include "datapath/verbs/edge.h"
#include "datapath/verbs/rail.h"
#include "datapath/verbs/registry.h"
#include "datapath/verbs/verbs.h"
#include "datapath/verbs/way.h"
#include "transport/config.h"

namespace weft::datapath::verbs {

class Core : public std::enable_shared_from_this<Core> {
  public:
    Core(const Identity& identity, Acceptor& acceptor, VerbsOptions options,
         std::shared_ptr<Provider> provider);
    ~Core();
    Core(const Core&) = delete;
    Core& operator=(const Core&) = delete;

    // --- For the datapath
    std::string address() const { return encode(card_); }
    bool reaches(std::string_view peer_address) const;
    std::unique_ptr<Channel> connect(PeerId peer, std::string_view peer_address,
                                     ChannelOwner& owner, Time deadline);
    bool progress(Time now);
    Time next_wakeup() const noexcept;
    bool arm();
    int wait_fd() const noexcept { return poll_fd_; }
    std::string stats_json() const;
    void shut_down();
    void abandon() noexcept;
    void set_policies(const transport::PolicyChange& change) {
        exchange_policies(config_, edges_, change);
    }
    Registry& registry() noexcept { return *registry_; }

    // --- For the edges
    const Identity& identity() const noexcept { return identity_; }
    const VerbsOptions& options() const noexcept { return options_; }
    QpKind kind() const noexcept { return card_.kind; }
    const transport::Key& key() const noexcept { return key_; }
    const Card& card() const noexcept { return card_; }
    std::size_t rails() const noexcept { return rails_.size(); }
    Rail& rail(std::size_t index) noexcept { return *rails_[index]; }
    Acceptor* acceptor() noexcept { return acceptor_; }
    std::uint64_t random() { return random_.next(); }
    EdgeTable<Edge>& edges() noexcept { return edges_; }
    void register_pair(std::size_t rail, std::uint32_t pair, Edge& edge, std::size_t lane) {
        by_pair_[std::uint64_t{rail} << 32 | pair] = {&edge, lane, false};
    }
    void register_way(std::size_t rail, std::uint32_t pair, Edge& edge, std::size_t way) {
        by_pair_[std::uint64_t{rail} << 32 | pair] = {&edge, way, true};
    }
    void forget_pair(std::size_t rail, std::uint32_t pair) {
        by_pair_.erase(std::uint64_t{rail} << 32 | pair);
    }
    // What both sides of a connection have in common.
    transport::Config config(PeerId called, std::uint32_t mtu) const;
    std::unique_ptr<Channel> make_channel(Edge& edge) {
        return std::make_unique<EdgeChannel>(shared_from_this(), edge);
    }
    std::uint64_t next_work() noexcept { return ++works_; }
    // Queues a datagram: prefix, the card if wished, and what `write` puts into the room it is
    // given (returns the number of bytes). False when there is no room now.
    template <typename F>
    bool send_control(std::size_t rail, SendQueue& sends, const Target& target,
                      const Prefix& prefix, F&& write);
    // Queues a work request; handed over by the next ring().
    void queue(std::size_t rail, SendQueue& sends, const SendWork& work, const Posted& posted);
    bool has_room(std::size_t rail, const SendQueue& sends, std::uint32_t depth) const;
    void ring();
    // Its queue pair is going: everything in it counts as read. Calls back about messages.
    template <typename F>
    void flush(std::size_t rail, SendQueue& sends, F&& message_read);
    // Completes everything up to this work request.
    template <typename F>
    void complete(std::size_t rail, SendQueue& sends, std::uint64_t id, F&& message_read);
    SendQueue& control_queue(std::size_t rail, std::size_t index) {
        return controls_[rail][index % controls_[rail].size()];
    }
    void forget_queue(SendQueue& sends) noexcept;

  private:
    // Whose a queue pair is: a lane's or a way's of an edge, or (no edge) the rail's for control.
    struct PairOwner {
        Edge* edge = nullptr;
        std::size_t index = 0;
        bool control = false;
    };
    struct Counters {
        std::uint64_t malformed = 0, unknown_connection = 0, misdirected_checks = 0;
        std::uint64_t doorbells = 0, works = 0, completions = 0, failed_works = 0;
        std::uint64_t stale_completions = 0, control_failures = 0, port_events = 0;
    };

    void close() noexcept;
    void open_rails(Provider& provider);
    bool receive(Time now);
    void on_completion(Time now, std::size_t rail, const Completion& done);
    void on_control(Time now, std::size_t rail, std::span<const std::uint8_t> bytes);
    void on_hello(Time now, std::size_t rail, std::span<const std::uint8_t> bytes,
                  const Prefix& prefix, const Card& card);
    void on_note(Time now, std::size_t rail, const Note& note, const Card* card);
    void on_control_sent(std::size_t rail, std::size_t control, const Completion& done);
    template <typename F>
    void answer(std::size_t rail, const RailCard& to, F&& write);
    void look_at_devices(Time now);
    bool pump(Time now);

    const Identity identity_;
    transport::Key key_;
    transport::Config config_;
    const VerbsOptions options_;
    Acceptor* acceptor_;
    std::shared_ptr<Provider> provider_;
    std::vector<std::unique_ptr<Rail>> rails_;
    Card card_;
    std::string card_bytes_;
    std::unique_ptr<Registry> registry_;
    std::vector<std::vector<SendQueue>> controls_;  // by rail
    std::vector<std::pair<std::size_t, SendQueue*>> to_ring_;
    int poll_fd_ = -1;
    bool closed_ = false;
    std::uint64_t works_ = 0;
    std::size_t answers_ = 0;
    Time next_device_look_ = 0;
    Counters counters_;
    RandomWords random_;

    EdgeTable<Edge> edges_;
    std::unordered_map<std::uint64_t, PairOwner> by_pair_;
};

template <typename F>
bool Core::send_control(std::size_t rail, SendQueue& sends, const Target& target,
                        const Prefix& prefix, F&& write) {
    Arena& headers = rails_[rail]->headers();
    if (!has_room(rail, sends, kControlSends) || headers.empty()) {
        return false;
    }
    if (target.to == nullptr) {
        return true;
    }
    const std::uint32_t header = headers.take();
    auto* bytes = reinterpret_cast<std::uint8_t*>(headers.at(header));
    std::size_t size = kPrefixSize;
    verbs::encode(prefix, std::span<std::uint8_t, kPrefixSize>(bytes, kPrefixSize));
    if (prefix.card) {
        std::copy(card_bytes_.begin(), card_bytes_.end(), bytes + size);
        size += card_bytes_.size();
    }
    size += write(std::span<std::uint8_t>(bytes + size, kHeaderPiece - size));
    SendWork work;
    work.pieces = 1;
    work.piece[0] = {reinterpret_cast<std::uintptr_t>(bytes), static_cast<std::uint32_t>(size),
                     headers.key()};
    work.to = target.to;
    work.remote_qp = target.pair;
    queue(rail, sends, work, {.id = 0, .message = 0, .header = header, .copy = Arena::kNone});
    return true;
}

// To somebody of whom nothing is known yet: by the rail's control queue pairs in turn.
template <typename F>
void Core::answer(std::size_t rail, const RailCard& to, F&& write) {
    const std::size_t control = answers_++ % rails_[rail]->controls();
    const Target target{rails_[rail]->address_of(to, control),
                        to.controls[control % to.controls.size()]};
    send_control(rail, control_queue(rail, control), target,
                 {.rail = static_cast<std::uint8_t>(rail)}, write);
}

template <typename F>
void Core::complete(std::size_t rail, SendQueue& sends, std::uint64_t id, F&& message_read) {
    Rail& of = *rails_[rail];
    while (!sends.posted.empty() && sends.posted.front().id <= id) {
        const Posted done = sends.posted.front();
        sends.posted.pop();
        ++of.sends_left;
        if (done.header != Arena::kNone) {
            of.headers().give_back(done.header);
        }
        if (done.copy != Arena::kNone) {
            of.copies().give_back(done.copy);
        }
        if (done.message != 0) {
            message_read(done.message);
        }
    }
}

template <typename F>
void Core::flush(std::size_t rail, SendQueue& sends, F&& message_read) {
    forget_queue(sends);
    sends.batch.clear();
    complete(rail, sends, ~std::uint64_t{0}, message_read);
}

}  // namespace weft::datapath::verbs
