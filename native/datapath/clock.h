// The one clock of all datapaths, and of the engine that drives them. A program that is linked with
// another clock_now() lives in that one's time, as tests over devices made of software do.
#pragma once

#include "datapath/channel.h"

namespace weft::datapath {

Time clock_now() noexcept;

}  // namespace weft::datapath
