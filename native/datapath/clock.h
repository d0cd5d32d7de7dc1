// The one clock of all datapaths.
#pragma once

#include <ctime>

#include "datapath/channel.h"

namespace weft::datapath {

inline Time clock_now() noexcept {
    timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return Time{ts.tv_sec} * 1'000'000'000 + ts.tv_nsec;
}

}  // namespace weft::datapath
