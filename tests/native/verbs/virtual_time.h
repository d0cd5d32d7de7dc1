// Time in these tests: it passes with the polls of fake devices, and jumps ahead where nothing can
// happen. So a second costs as much as happens in it, and a busy machine is no slow network.
#pragma once

#include "datapath/clock.h"

namespace weft::datapath::verbs::test {

constexpr Time kTick = 1'000;

// To this time, unless that has passed.
void pass_until(Time time);

}  // namespace weft::datapath::verbs::test
