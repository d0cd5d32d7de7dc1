// Which path the next burst of a planned message takes.
#pragma once

#include <cstdint>

#include "transport/types.h"

namespace weft::transport {

struct PlannedBurst {
    PathId path = 0;
    std::uint64_t bytes = 0;  // at most so many belong to the same burst
};

// The message is dealt out in blocks of `max_burst` bytes. Block k lies at place k * stride of a
// line on which the shares lie end to end; a stride near the golden section makes consecutive
// blocks fall far apart (Knuth, The Art of Computer Programming 3, 6.4, theorem S), and being
// coprime with the number of blocks it takes each place once: every path gets its share to within
// one block. Depends on the offset alone, so that a burst cut short goes on where it was.
// `request.shares` must not be empty.
PlannedBurst planned_burst(const SendRequest& request, std::uint64_t offset,
                           std::uint64_t max_burst);

}  // namespace weft::transport
