// What a connection is made of: the parts, what they share, and the states it is in.
#pragma once

#include <memory>
#include <utility>

#include "transport/connection.h"
#include "transport/credit_pacer.h"
#include "transport/credit_source.h"
#include "transport/handshake.h"
#include "transport/liveness.h"
#include "transport/path_health.h"
#include "transport/receiver.h"
#include "transport/ring_queue.h"
#include "transport/sender.h"
#include "transport/shared.h"

namespace weft::transport {

inline constexpr std::uint32_t kOrderly = 0;              // code of a kClose that ends well
inline constexpr std::uint32_t kOwnVerdict = 0x80000000;  // + FailureReason: the transport gave up

struct Connection::Parts {
    struct Reply {
        PathId path = 0;
        std::uint32_t echo = 0;
    };

    Parts(Config&& config, Role role, const RandomSource& random, Time now)
        : shared(make_shared(std::move(config), random)),
          handshaker(shared, role, now),
          health(shared),
          sender(shared, health),
          receiver(shared, sender),
          credits(shared),
          liveness(shared) {
        shared.stats.state = role == Role::kClient ? State::kConnecting : State::kAccepting;
        shared.last_heard = now;
    }

    static Shared make_shared(Config&& config, const RandomSource& random) {
        config.validate();
        Shared shared;
        shared.local_id = random() | 1;  // 0 means nobody
        shared.local_sequence = static_cast<std::uint32_t>(random());
        shared.seed = random();
        shared.paths.resize(config.paths);
        shared.stats.chunk_size = config.chunk_size;
        shared.config = std::move(config);
        if (shared.config.credit_pacer == nullptr) {
            shared.config.credit_pacer = std::make_shared<CreditPacer>(shared.config.link_rate);
        }
        return shared;
    }

    State state() const { return shared.stats.state; }
    bool alive() const { return state() < State::kClosed; }
    bool open() const { return state() == State::kEstablished || state() == State::kClosing; }

    // connection_states.cc
    void set_state(Time now, State state);
    void establish(Time now);
    void act_on_verdict(Time now);
    void say_goodbye(Time now, std::uint32_t code);
    void finish(Time now, State state, EventKind last_event, std::uint32_t code);
    void on_close(Time now, const wire::Packet& packet);
    void on_close_timer(Time now);
    void part(Time now);

    // connection.cc
    void on_probe_reply(Time now, const wire::Packet& packet);
    Landed on_packet_of_dead(const wire::Packet& packet);
    bool poll(Time now, Transmit& transmit);
    bool poll_signals(Time now, Transmit& transmit);
    bool poll_credits(Time now, Transmit& transmit);
    bool poll_probes(Time now, Transmit& transmit);
    void put_signal(Time now, Transmit& transmit, wire::PacketKind kind, PathId path);
    void settle(Time now);
    bool awaits_peer() const {
        return sender.has_messages() || receiver.awaits_bytes() || expecting;
    }
    PathId next_probe_path() { return static_cast<PathId>(probe_path++ % shared.paths.size()); }
    PathId next_good_path() {
        PathId path = next_probe_path();
        while (shared.paths[path].health != PathHealth::kGood) {  // one always is
            path = next_probe_path();
        }
        return path;
    }

    Shared shared;
    Handshaker handshaker;
    PathHealthLoop health;
    Sender sender;
    Receiver receiver;
    CreditSource credits;
    Liveness liveness;
    Failure failure;
    RingQueue<Reply> replies;  // to probes of the peer

    bool expecting = false;
    bool close_due = false;  // a kClose is to be sent
    bool close_reply_due = false;
    bool peer_leaves = false;  // its kClose waits for acknowledgements
    std::uint32_t close_code = kOrderly;
    Time close_timer = kNever;  // next repeat of our kClose
    Time close_deadline = kNever;
    Time close_interval = 0;
    std::uint32_t probe_path = 0;  // probes of the connection take the paths in turn
};

}  // namespace weft::transport
