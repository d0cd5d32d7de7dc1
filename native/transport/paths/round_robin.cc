#include "transport/paths/round_robin.h"

namespace weft::transport {

PathId RoundRobin::pick(const PickRequest& request, std::span<const Path> paths) {
    bool avoided_usable = false;
    for (std::size_t tried = 0; tried < paths.size(); ++tried) {
        const PathId path = next_ < paths.size() ? next_ : PathId{0};
        next_ = static_cast<PathId>(path + 1);
        if (!paths[path].usable()) {
            continue;
        }
        if (path != request.avoid) {
            return path;
        }
        avoided_usable = true;
    }
    return avoided_usable ? request.avoid : kNoPath;
}

}  // namespace weft::transport
