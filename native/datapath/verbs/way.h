// A way: how control datagrams of an edge leave for its peer. Which way a datagram takes through
// the network follows from the queue pair that sends it (and the flow label), so that a way may be
// dead for good while its neighbours work; none of them says so, for datagrams are not
// acknowledged. Hence the edge knocks on its ways, and one that stays without an answer is left,
// and made anew: a queue pair of the edge's own sends in place of the rail's, to the same one of
// the peer. This needs no word with the peer, who hears control datagrams from whomever they come.
#pragma once

#include <cstdint>
#include <memory>

#include "datapath/verbs/lane.h"
#include "datapath/verbs/provider.h"

namespace weft::datapath::verbs {

struct RailPair {
    std::uint8_t local = 0, remote = 0;
    bool operator==(const RailPair&) const = default;
};

// Where a control datagram goes; no address: as good as lost.
struct Target {
    const AddressHandle* to = nullptr;
    std::uint32_t pair = 0;
};

struct Way {
    static constexpr int kTrust = 2;

    RailPair rails;
    std::size_t place = 0;           // among the edge's ways
    std::size_t index = 0;           // of the rail's control queue pairs, and of the peer's
    std::unique_ptr<QueuePair> own;  // sends instead of the rail's
    std::unique_ptr<AddressHandle> own_address;
    SendQueue sends;  // of `own`

    std::uint64_t knock = 0;        // that waits for its answer; 0: none does
    std::uint64_t knock_first = 0;  // and the first since the last answer, or since it is made anew
    Time knocked_at = 0;            // last
    int silent = 0;                 // knocks in a row without an answer
    bool trusted() const { return silent < kTrust; }
};

}  // namespace weft::datapath::verbs
