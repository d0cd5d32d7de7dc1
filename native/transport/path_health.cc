#include "transport/path_health.h"

#include <algorithm>

namespace weft::transport {
namespace {

constexpr Time kMaxBackoff = 16;  // a path that stays dead is probed ever less often, down to this

}  // namespace

bool PathHealthLoop::on_timeout(Time now, PathId path) {
    Path& state = shared_.paths[path];
    const bool last_good = out_of_use_ + 1 >= shared_.paths.size();
    if (state.health != PathHealth::kGood || state.timeouts < shared_.config.path_timeouts ||
        last_good) {
        return false;
    }
    set_health(now, path, PathHealth::kSuspect);
    ++out_of_use_;
    state.probe_wait = shared_.config.probe_interval;
    state.probe_at = now + state.probe_wait;
    timer_ = std::min(timer_, state.probe_at);
    return true;
}

bool PathHealthLoop::set_denied(Time now, PathId path, bool denied) {
    if (path >= shared_.paths.size()) {
        return false;
    }
    Path& state = shared_.paths[path];
    if (denied == (state.health == PathHealth::kDenied)) {
        return true;
    }
    const bool was_good = state.health == PathHealth::kGood;
    if (was_good && out_of_use_ + 1 >= shared_.paths.size()) {
        return false;
    }
    out_of_use_ = out_of_use_ + (denied && was_good ? 1 : 0) - (denied ? 0 : 1);
    state.probe_at = kNever;
    set_health(now, path, denied ? PathHealth::kDenied : PathHealth::kGood);
    return true;
}

void PathHealthLoop::on_renewal(Time now, PathId path) {
    Path& state = shared_.paths[path];
    if (state.health == PathHealth::kSuspect) {
        state.probe_wait = shared_.config.probe_interval;
        state.probe_at = now;
        timer_ = now;
    }
}

void PathHealthLoop::on_reply(Time now, PathId path) {
    Path& state = shared_.paths[path];
    state.timeouts = 0;
    if (state.health == PathHealth::kSuspect) {
        set_health(now, path, PathHealth::kGood);
        --out_of_use_;
        state.probe_at = kNever;
    }
}

PathId PathHealthLoop::poll_probe(Time now) {
    if (now < timer_) {
        return kNoPath;
    }
    PathId due = kNoPath;
    timer_ = kNever;
    for (std::size_t path = 0; path < shared_.paths.size(); ++path) {
        Path& state = shared_.paths[path];
        if (due == kNoPath && state.probe_at <= now) {
            due = static_cast<PathId>(path);
            state.probe_wait =
                std::min(2 * state.probe_wait, kMaxBackoff * shared_.config.probe_interval);
            state.probe_at = now + state.probe_wait;
        }
        timer_ = std::min(timer_, state.probe_at);
    }
    return due;
}

void PathHealthLoop::set_health(Time now, PathId path, PathHealth health) {
    shared_.paths[path].health = health;
    shared_.observe({.now = now,
                     .kind = TraceKind::kPathHealth,
                     .path = path,
                     .value = static_cast<std::uint64_t>(health)});
}

}  // namespace weft::transport
