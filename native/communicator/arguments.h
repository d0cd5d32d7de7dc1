// The arguments of one collective call, as every layer below the doors sees them.
#pragma once

#include <cstddef>
#include <vector>

#include "collectives/schedule.h"
#include "weft/weft.h"

namespace weft::communicator {

using collectives::Collective;

struct Arguments {
    Collective collective = Collective::kBarrier;
    const std::byte* input = nullptr;
    std::byte* output = nullptr;
    std::size_t count = 0;  // elements of one block
    std::vector<std::size_t> send_counts =
        {};  // v-forms: elements of each rank's block (all_to_allv: of input's)
    std::vector<std::size_t> recv_counts = {};  // all_to_allv: of output's
    weft_dtype dtype = WEFT_U8;
    weft_reduction op = WEFT_SUM;
    std::int32_t root = 0;
    double scale = 1.0;  // PREMUL_SUM
};

// Throws Error(INVALID or UNSUPPORTED) naming the argument.
void check(const Arguments& arguments, std::int32_t size, std::int32_t rank);

}  // namespace weft::communicator
