// The frames that are inside the fabric. A frame stays where the kernel put it, in the ring of the
// packet socket, until it leaves: of trains, copying is what costs. It gets memory of its own when
// it must not stay there, or is made by us; that memory is kept, so that a run allocates only until
// it has seen its fullest moment.
#pragma once

#include <cstdint>
#include <vector>

#include "emulator/frame.h"
#include "emulator/packet_socket.h"
#include "fabric/packet.h"

namespace weft::emulator {

struct StoredFrame {
    Bytes bytes;        // in the ring, or in `own`
    Offload offload{};  // what the sender left for its network card to do
    fabric::HostId source = 0;
    std::uint32_t place = kNowhere;  // of the ring
    std::vector<std::uint8_t> own;

    static constexpr std::uint32_t kNowhere = 0xFFFFFFFF;
};

class FrameStore {
  public:
    explicit FrameStore(PacketSocket& socket)
        : socket_(socket), holder_(socket.places(), kNobody), half_(socket.places() / 2) {}

    // A frame of ours: copied.
    std::uint32_t add(ConstBytes bytes, Offload offload, fabric::HostId source);
    // A frame that stays in the ring for now.
    std::uint32_t keep(const Received& received, fabric::HostId source);
    std::uint32_t duplicate(std::uint32_t index);
    // Other bytes; they must not lie in the frame itself.
    void rewrite(std::uint32_t index, ConstBytes bytes);
    void remove(std::uint32_t index);

    // It is sent from where it lies, and removed then: until that it is not moved.
    void pin(std::uint32_t index);
    // Call once the socket has passed a place. Half of the ring is always the kernel's: a frame
    // that is still there when the ring has gone half around is moved out.
    void passed(std::uint32_t place);
    // A socket whose last frame lies in its ring goes on saying that it is readable.
    void before_sleep() { move_out(last_); }

    StoredFrame& operator[](std::uint32_t index) { return frames_[index]; }

  private:
    static constexpr std::uint32_t kNobody = 0xFFFFFFFF;

    std::uint32_t fresh();
    void give_back(StoredFrame& frame);
    void move_out(std::uint32_t place);

    PacketSocket& socket_;
    std::vector<std::uint32_t> holder_;  // [place of the ring]: frame that can be moved out of it
    const std::uint32_t half_;           // a ring
    std::uint32_t last_ = 0;             // place that was passed
    std::vector<StoredFrame> frames_;
    std::vector<std::uint32_t> free_;
};

}  // namespace weft::emulator
