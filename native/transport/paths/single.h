// Single path, what ECMP gives a flow: everything takes one path, drawn once (RFC 2992: the hash of
// a flow's addresses and ports decides for its whole life). Only a path that is no longer good is
// left, for the next one; a burst that does not fit waits.
#pragma once

#include "transport/paths/scheduler.h"

namespace weft::transport {

class SinglePath final : public PathScheduler {
  public:
    SinglePath(ParameterReader&, const PolicyContext& context)
        : path_(static_cast<PathId>(context.seed % context.paths)) {}

    PathId pick(const PickRequest&, std::span<const Path> paths) override {
        if (paths[path_].health != PathHealth::kGood) {
            const PathId other = first_usable(path_, kNoPath, paths);
            path_ = other != kNoPath ? other : path_;
        }
        return paths[path_].usable() ? path_ : kNoPath;
    }

  private:
    PathId path_;
};

}  // namespace weft::transport
