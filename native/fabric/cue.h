// What happens to the fabric at a given time: the atoms from which faults are made (a flapping link
// is a row of downs and ups, a reboot a switch that goes down and comes back).
#pragma once

#include <cstdint>

#include "fabric/time.h"

namespace weft::fabric {

enum class CueKind : std::uint8_t {
    kLinkDown,  // what is on the wire or waits for it is lost
    kLinkUp,
    kLinkRate,         // value: bit/s
    kLinkDelay,        // value: ns
    kLinkLoss,         // value: probability
    kLinkCorruption,   // value: probability
    kLinkJitter,       // value: ns
    kLinkDuplication,  // value: probability
    kSwitchDown,       // all its links are down, its queues are lost
    kSwitchUp,
    kHostPause,  // the host neither sends nor receives; its packets wait
    kHostResume,
};
const char* to_string(CueKind kind);

enum class Side : std::uint8_t { kBoth, kForward, kBackward };  // from a to b, from b to a

struct Cue {
    Time at = 0;
    CueKind kind = CueKind::kLinkDown;
    std::uint32_t target = 0;  // number of a link, of a switch (0 .. switches - 1) or of a host
    double value = 0;
    Side side = Side::kBoth;  // of a link; up and down always concern both
};

}  // namespace weft::fabric
