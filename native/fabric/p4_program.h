// A compiled P4 program (p4/switch/runtime/weft_p4.h) as a switch of the fabric.
//
// The program works on bytes, which the fabric does not have: whoever stands at the edges lends
// them. The lab has real frames; the simulator makes the headers that its packets would have.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "fabric/program.h"

struct wf_switch;
struct wf_output;

namespace weft::fabric {

// The bytes of packets under way, from the Ethernet header on.
class Frames {
  public:
    // Good until the next call of either.
    virtual std::span<const std::uint8_t> read(const Packet& packet) = 0;
    // `packet` is a copy of one that was read, and leaves as these bytes: gives it cargo, size and
    // flags accordingly. `copies`: how many have been written of the same packet before; the first
    // may take over its cargo. False: it cannot be, and does not leave.
    virtual bool write(Packet& packet, std::span<const std::uint8_t> bytes,
                       std::uint32_t copies) = 0;

  protected:
    ~Frames() = default;
};

class P4Program final : public SwitchProgram {
  public:
    // The functions of the shared object that the switch lives in.
    using Run = std::uint32_t (*)(wf_switch*, std::uint32_t port, const std::uint8_t* data,
                                  std::uint32_t length, std::uint64_t now_us);
    using Outputs = const wf_output* (*)(const wf_switch*);

    // All must outlive it. Tables may be changed meanwhile by another thread.
    P4Program(wf_switch* program, Run run, Outputs outputs, Frames& frames)
        : program_(program), run_(run), outputs_(outputs), frames_(&frames) {}

    void process(std::uint32_t port, const Packet& packet, Time now,
                 std::vector<Departure>& out) override;

  private:
    wf_switch* program_;
    Run run_;
    Outputs outputs_;
    Frames* frames_;
};

}  // namespace weft::fabric
