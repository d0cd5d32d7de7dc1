#include "fabric/p4_program.h"

#include <type_traits>

extern "C" {
#include "weft_p4.h"
}

namespace weft::fabric {

static_assert(std::is_same_v<P4Program::Run, decltype(&wf_run)>);
static_assert(std::is_same_v<P4Program::Outputs, decltype(&wf_outputs)>);

void P4Program::process(std::uint32_t port, const Packet& packet, Time now,
                        std::vector<Departure>& out) {
    const std::span<const std::uint8_t> bytes = frames_->read(packet);
    const auto now_us = static_cast<std::uint64_t>(now / kMicrosecond);
    const std::uint32_t count =
        run_(program_, port, bytes.data(), static_cast<std::uint32_t>(bytes.size()), now_us);
    const wf_output* outputs = outputs_(program_);
    std::uint32_t written = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
        Packet copy = packet;
        if (!frames_->write(copy, {outputs[i].data, outputs[i].length}, written)) continue;
        out.push_back({outputs[i].port, copy});
        ++written;
    }
}

}  // namespace weft::fabric
