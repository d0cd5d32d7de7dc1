// A lane: this side's end of one path of an edge. For uc and rc a queue pair of its own, which is
// made anew whenever it fails; for ud a way through the rail's control queue pairs.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "datapath/verbs/frame.h"
#include "datapath/verbs/provider.h"
#include "datapath/verbs/rail.h"
#include "transport/ring_queue.h"
#include "transport/types.h"

namespace weft::datapath::verbs {

using transport::kNever;
using transport::Time;

// A work request that is out, and what is freed when the device has read it.
struct Posted {
    std::uint64_t id = 0;
    std::uint64_t message = 0;  // handle of an outgoing message whose memory it reads; 0: none
    std::uint32_t header = Arena::kNone;
    std::uint32_t copy = Arena::kNone;
};

// The sends of one queue pair: gathered, then handed over by one doorbell, the last of them
// signalled, so that every request is covered by a completion.
struct SendQueue {
    QueuePair* pair = nullptr;
    std::vector<SendWork> batch;
    transport::RingQueue<Posted> posted;
    bool in_dirty_list = false;

    std::size_t outstanding() const { return posted.size(); }
};

struct Lane {
    Rail* rail = nullptr;
    std::uint8_t local_rail = 0, remote_rail = 0;
    std::unique_ptr<QueuePair> pair;
    SendQueue sends;

    // The two ends agree on their queue pairs: each says its own number, and which of the other's
    // it is connected to (docs/rdma.md). `ready`: both are connected to each other.
    std::uint32_t flow_label = 0;  // which way our packets take, where devices go by it; 0: not yet
    std::uint32_t life = 0;
    std::uint32_t psn = 0;
    std::uint32_t peer_pair = 0;  // that ours is connected to; 0: none
    std::uint32_t peer_life = 0;  // heard last
    bool ready = false;
    Time say_at = kNever;    // when our state is said again
    int said = 0;            // times since it last changed
    Time renew_at = kNever;  // a failed pair is replaced then
    int failures = 0;        // in a row
    std::uint64_t renewals = 0;
    Time suspect_since = kNever;  // the transport's path, or this queue pair of a suspect path
    int revivals = 0;             // of a suspect path, since it was good
    std::uint64_t written = 0, announced = 0;  // chunks sent: by the device, and as packets

    // Receiving side: a chunk came a second time before the first copy, written on this lane, was
    // seen; it may yet land. Cleared by anything written later (queue pairs keep order), by the
    // answer to a question sent after it (`fence`), and by the end of the queue pair.
    bool doubt = false;
    std::uint32_t doubt_sequence = 0;
    std::uint64_t fence = 0;       // number of the oldest question without an answer; 0: none
    std::uint64_t fence_last = 0;  // and of the youngest
    Time ask_at = kNever;
    int asked = 0;
};

}  // namespace weft::datapath::verbs
