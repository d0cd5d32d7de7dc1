// What an output queue does with a packet that must wait.
#pragma once

#include <cstdint>

namespace weft::fabric {

// All figures in bytes of waiting packets (the one being sent is not counted), per port and class.
struct QueueOptions {
    std::uint32_t capacity = 200'000;  // a packet that would exceed it is trimmed or dropped

    // ECN: never below `ecn_min`, always from `ecn_max` on, in between with a probability rising to
    // `ecn_probability` (RED: Floyd and Jacobson, 1993). Equal bounds make DCTCP's step
    // (SIGCOMM'10). ecn_max = 0 switches it off.
    std::uint32_t ecn_min = 0;
    std::uint32_t ecn_max = 0;
    double ecn_probability = 1.0;

    // Packet trimming (NDP: Handley et al., SIGCOMM'17): what does not fit loses its payload and
    // goes on in class 0, of which `header_capacity` bytes may wait.
    bool trimming = false;
    std::uint32_t header_capacity = 64'000;

    // Memory shared by all ports of a switch; a queue may grow to `shared_alpha` times what is free
    // (Choudhury and Hahne, 1998) and `capacity` does not count. 0: none.
    std::uint64_t shared_buffer = 0;
    double shared_alpha = 1.0;

    // Priority flow control (IEEE 802.1Qbb): pause the neighbour when what came from it exceeds
    // `pfc_xoff`, let it go on below `pfc_xon`. 0: none.
    std::uint32_t pfc_xoff = 0;
    std::uint32_t pfc_xon = 0;
};

}  // namespace weft::fabric
