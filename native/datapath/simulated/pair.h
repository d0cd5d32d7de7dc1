// Two endpoints, the network between them and the clock that they share: runs whole conversations
// in virtual time, as fast as the processor goes, the same way for the same seed.
#pragma once

#include <functional>
#include <memory>
#include <random>

#include "datapath/simulated/endpoint.h"
#include "datapath/simulated/network.h"

namespace weft::datapath::simulated {

struct PairOptions {
    transport::Config client;
    transport::Config server;
    Link link;  // of both directions of all paths, to begin with
    std::uint64_t seed = 1;
    bool checksum = false;
    Time start = transport::kSecond;  // what the clock shows at first
    transport::RandomSource random;   // of both connections; empty: drawn from the seed
};

class Pair {
  public:
    explicit Pair(PairOptions options);
    Pair(const Pair&) = delete;
    Pair& operator=(const Pair&) = delete;

    Time now() const { return now_; }
    Network& network() { return network_; }
    Endpoint& client() { return *client_; }
    // Null until the first good hello arrived.
    Endpoint* server() { return server_.get(); }
    Endpoint* endpoint(Side side) { return side == Side::kClient ? client_.get() : server_.get(); }

    // Lets time pass until `done()` holds, or nothing will ever happen again, or the clock reaches
    // `deadline`. Returns done().
    bool run(const std::function<bool()>& done, Time deadline);

    // Runs until both sides are established; false if `deadline` came first.
    bool connect(Time deadline);

    // Hellos that the server's side turned away.
    std::uint64_t rejected() const { return rejected_; }

  private:
    void arrive();
    void on_hello(const Datagram& datagram);
    void pump(Side side);
    Time next_event() const;

    PairOptions options_;
    std::mt19937_64 random_;
    Time now_;
    Network network_;
    std::unique_ptr<Endpoint> client_;
    std::unique_ptr<Endpoint> server_;
    std::uint64_t rejected_ = 0;
};

}  // namespace weft::datapath::simulated
