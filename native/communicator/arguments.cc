#include "communicator/arguments.h"

#include <numeric>
#include <string>

#include "collectives/reduce/reduce.h"
#include "datapath/error.h"

namespace weft::communicator {
namespace {

using collectives::Buffer;

[[noreturn]] void refuse(const Arguments& a, weft_status status, const std::string& what) {
    throw Error(status, std::string(collective_name(a.collective)) + ": " + what);
}

void check_counts(const Arguments& a, const std::vector<std::size_t>& counts, std::int32_t size,
                  const char* name) {
    if (counts.size() != static_cast<std::size_t>(size)) {
        refuse(a, WEFT_ERR_INVALID,
               std::string(name) + " has " + std::to_string(counts.size()) +
                   " entries, the group has " + std::to_string(size) + " ranks");
    }
}

void check_reduction(const Arguments& a) {
    try {
        collectives::combine_function(a.op, a.dtype);
        if (a.op == WEFT_AVG) {
            collectives::divide_function(a.dtype);
        }
    } catch (const Error& error) {
        refuse(a, error.info()->status, error.what());
    }
}

}  // namespace

void check(const Arguments& a, std::int32_t size, std::int32_t rank) {
    if (weft_dtype_size(a.dtype) == 0) {
        refuse(a, WEFT_ERR_INVALID,
               "data type " + std::to_string(static_cast<int>(a.dtype)) + " does not exist");
    }
    if (collectives::is_rooted(a.collective) && (a.root < 0 || a.root >= size)) {
        refuse(a, WEFT_ERR_INVALID,
               "root " + std::to_string(a.root) + " is not in 0.." + std::to_string(size - 1));
    }
    if (collectives::is_reducing(a.collective)) {
        check_reduction(a);
    }
    if (a.collective == Collective::kBarrier) {
        return;
    }
    std::size_t elements = a.count;
    if (a.collective == Collective::kAllGatherV || a.collective == Collective::kReduceScatterV) {
        check_counts(a, a.send_counts, size, "counts");
        elements = std::accumulate(a.send_counts.begin(), a.send_counts.end(), std::size_t{0});
    } else if (a.collective == Collective::kAllToAllV) {
        check_counts(a, a.send_counts, size, "send_counts");
        check_counts(a, a.recv_counts, size, "recv_counts");
        elements = std::accumulate(a.send_counts.begin(), a.send_counts.end(), std::size_t{0});
    }
    if (elements >
        (std::size_t{1} << 60) / static_cast<std::size_t>(size) / weft_dtype_size(a.dtype)) {
        refuse(a, WEFT_ERR_INVALID,
               "count " + std::to_string(elements) + " is larger than any memory");
    }
    const auto needs = [&](Buffer buffer) {
        const collectives::Spec spec{
            .collective = a.collective, .size = size, .root = a.root, .chunks = 1};
        if (collectives::blocks(spec, rank, buffer) == 0 || elements == 0) {
            return false;
        }
        const auto& own = buffer == Buffer::kOutput && a.collective == Collective::kAllToAllV
                              ? a.recv_counts
                              : a.send_counts;
        const bool own_block_only =
            (a.collective == Collective::kAllGatherV && buffer == Buffer::kInput) ||
            (a.collective == Collective::kReduceScatterV && buffer == Buffer::kOutput);
        if (own_block_only) {
            return own[static_cast<std::size_t>(rank)] > 0;
        }
        return own.empty() || std::accumulate(own.begin(), own.end(), std::size_t{0}) > 0;
    };
    if (a.input == nullptr && needs(Buffer::kInput)) {
        refuse(a, WEFT_ERR_INVALID, "the input is NULL");
    }
    if (a.output == nullptr && needs(Buffer::kOutput)) {
        refuse(a, WEFT_ERR_INVALID, "the output is NULL");
    }
}

}  // namespace weft::communicator
