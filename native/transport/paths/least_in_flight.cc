#include "transport/paths/least_in_flight.h"

#include <limits>

namespace weft::transport {

PathId LeastInFlight::pick(const PickRequest& request, std::span<const Path> paths) {
    PathId best = kNoPath;
    std::uint64_t least = std::numeric_limits<std::uint64_t>::max();
    std::size_t path = start_ < paths.size() ? start_ : 0;
    for (std::size_t tried = 0; tried < paths.size(); ++tried) {
        const bool usable = paths[path].usable() && path != request.avoid;
        if (usable && paths[path].in_flight < least) {
            least = paths[path].in_flight;
            best = static_cast<PathId>(path);
        }
        path = path + 1 < paths.size() ? path + 1 : 0;
    }
    if (best == kNoPath) {
        const bool only_avoided = request.avoid < paths.size() && paths[request.avoid].usable();
        return only_avoided ? request.avoid : kNoPath;
    }
    start_ = static_cast<PathId>(best + 1);
    return best;
}

}  // namespace weft::transport
