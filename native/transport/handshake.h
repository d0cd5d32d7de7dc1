// The set-up of a connection: four packets by which both sides learn each other's connection id and
// options, and prove that they hold the same key. Only the client repeats packets by timer; the
// server answers.
//
//   client                                   server
//   kHello      id, options, proof     ->    (a listener runs check_hello, then makes the
//   connection)
//                                      <-    kChallenge   id, options, proof over both ids
//   kResponse   proof over both ids    ->    established
//   established                        <-    kConfirm
//
// A repeated or replayed packet only causes a repeated answer. The ids are fresh random numbers and
// part of every proof but the hello's, so an old proof fits no new connection; a replayed hello
// leaves a half-open server behind, which expires.
#pragma once

#include "transport/shared.h"

namespace weft::transport {

enum class Role : std::uint8_t { kClient, kServer };

class Handshaker {
  public:
    Handshaker(Shared& shared, Role role, Time now);

    // Server: the hello that check_hello let pass.
    void take_hello(const wire::Packet& hello);

    // A kHello, kChallenge, kResponse, kConfirm or kReject; true when it establishes the
    // connection.
    bool on_packet(Time now, const wire::Packet& packet);

    // Client: whether the server answered with a valid proof. From then on any packet of an
    // established connection stands for a lost kConfirm.
    bool peer_proved() const { return phase_ == Phase::kResponse; }
    void finish() {
        phase_ = Phase::kDone;
        timer_ = kNever;
        send_ = wire::PacketKind::kAck;
    }

    void on_timer(Time now);
    bool poll(Time now, Transmit& transmit);
    bool has_output() const { return send_ != wire::PacketKind::kAck; }
    Time next_timeout() const { return timer_; }
    std::uint32_t attempts() const { return attempts_; }

  private:
    enum class Phase : std::uint8_t { kHello, kResponse, kAwaitResponse, kDone };

    wire::Handshake self(wire::PacketKind kind) const;
    bool on_challenge(Time now, const wire::Packet& packet);
    bool on_response(Time now, const wire::Packet& packet);
    void learn(const wire::Handshake& remote);

    Shared& shared_;
    Phase phase_;
    wire::PacketKind send_;  // what poll() gives out next; kAck stands for nothing
    Time deadline_;
    Time interval_;
    Time timer_;
    std::uint32_t attempts_ = 0;
};

}  // namespace weft::transport
