// Path scheduling: on which path the next burst of chunks leaves. A scheduler sees the state of all
// paths and hears what became of bursts; it neither counts bytes nor decides about health.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "transport/feedback.h"
#include "transport/path.h"
#include "transport/policy.h"
#include "transport/types.h"

namespace weft::transport {

struct PickRequest {
    Time now = 0;
    PathId avoid =
        kNoPath;  // the path that lost the chunk to be sent again: take another one if there is one
    std::uint8_t priority = 0;
};

class PathScheduler {
  public:
    virtual ~PathScheduler() = default;

    // A path that is usable(), or kNoPath when there is none. Called once per burst.
    virtual PathId pick(const PickRequest& request, std::span<const Path> paths) = 0;
    virtual void on_echo(const PathEcho&, std::span<const Path>) {}
    virtual void on_loss(const LossSample&, std::span<const Path>) {}
};

// The first usable path from `start` on, going round; `avoid` only when there is no other; kNoPath
// when there is none at all. What most schedulers do with a choice that turns out unusable.
inline PathId first_usable(std::size_t start, PathId avoid, std::span<const Path> paths) {
    std::size_t path = start < paths.size() ? start : 0;
    bool avoided_usable = false;
    for (std::size_t tried = 0; tried < paths.size(); ++tried) {
        if (paths[path].usable()) {
            if (path != avoid) {
                return static_cast<PathId>(path);
            }
            avoided_usable = true;
        }
        path = path + 1 < paths.size() ? path + 1 : 0;
    }
    return avoided_usable ? avoid : kNoPath;
}

// Throw ConfigError for a name or a parameter that does not exist, naming those that do.
std::unique_ptr<PathScheduler> make_path_scheduler(const PolicyChoice& choice,
                                                   const PolicyContext& context);
std::vector<std::string> path_schedulers();

}  // namespace weft::transport
