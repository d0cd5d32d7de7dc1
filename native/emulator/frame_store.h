// The frames that are inside the fabric. A place keeps its memory when its frame leaves, so that a
// run allocates only until it has seen its fullest moment.
#pragma once

#include <cstdint>
#include <vector>

#include "emulator/frame.h"
#include "fabric/packet.h"

namespace weft::emulator {

struct StoredFrame {
    std::vector<std::uint8_t> bytes;
    Offload offload{};  // what the sender left for its network card to do
    fabric::HostId source = 0;
};

class FrameStore {
  public:
    std::uint32_t add(ConstBytes bytes, const Offload& offload, fabric::HostId source) {
        std::uint32_t index = 0;
        if (free_.empty()) {
            index = static_cast<std::uint32_t>(frames_.size());
            frames_.emplace_back();
        } else {
            index = free_.back();
            free_.pop_back();
        }
        StoredFrame& frame = frames_[index];
        frame.bytes.assign(bytes.begin(), bytes.end());
        frame.offload = offload;
        frame.source = source;
        return index;
    }
    void remove(std::uint32_t index) { free_.push_back(index); }

    StoredFrame& operator[](std::uint32_t index) { return frames_[index]; }
    std::size_t live() const { return frames_.size() - free_.size(); }

  private:
    std::vector<StoredFrame> frames_;
    std::vector<std::uint32_t> free_;
};

}  // namespace weft::emulator
