// Hook by which an observer follows a connection event by event (the writer of qlog-like JSON lines
// lives outside). Costs one predictable branch per event while no observer is set.
#pragma once

#include <cstdint>

#include "transport/types.h"

namespace weft::transport {

enum class TraceKind : std::uint8_t {
    kPacketSent,      // value: wire::PacketKind; sequence, message, path, bytes
    kPacketReceived,  // the same
    kPacketDropped,   // value: Drop
    kChunkAcked,      // sequence, path, bytes; value: round-trip time, ns (0 unknown)
    kChunkLost,       // sequence, path, bytes; value: transport::LossCause
    kWindow,          // value: congestion window, bytes
    kPathHealth,      // path; value: PathHealth
    kState,           // value: State
};
const char* to_string(TraceKind kind);

struct TraceEvent {
    Time now = 0;
    TraceKind kind = TraceKind::kState;
    PathId path = kNoPath;
    std::uint32_t bytes = 0;
    std::uint64_t sequence = 0;
    MessageId message = kNoMessage;
    std::uint64_t value = 0;
};

class TraceSink {
  public:
    virtual ~TraceSink() = default;
    virtual void trace(const TraceEvent& event) = 0;
};

}  // namespace weft::transport
