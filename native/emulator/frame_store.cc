#include "emulator/frame_store.h"

namespace weft::emulator {

std::uint32_t FrameStore::fresh() {
    if (!free_.empty()) {
        const std::uint32_t index = free_.back();
        free_.pop_back();
        return index;
    }
    frames_.emplace_back();
    return static_cast<std::uint32_t>(frames_.size() - 1);
}

std::uint32_t FrameStore::add(ConstBytes bytes, Offload offload, fabric::HostId source) {
    const std::uint32_t index = fresh();
    frames_[index].offload = offload;
    frames_[index].source = source;
    rewrite(index, bytes);
    return index;
}

std::uint32_t FrameStore::keep(const Received& received, fabric::HostId source) {
    const std::uint32_t index = fresh();
    StoredFrame& frame = frames_[index];
    frame.bytes = received.frame;
    frame.offload = received.offload;
    frame.source = source;
    frame.place = received.place;
    holder_[received.place] = index;
    return index;
}

std::uint32_t FrameStore::duplicate(std::uint32_t index) {
    const StoredFrame& original = frames_[index];
    return add(original.bytes, original.offload, original.source);
}

void FrameStore::rewrite(std::uint32_t index, ConstBytes bytes) {
    StoredFrame& frame = frames_[index];
    frame.own.assign(bytes.begin(), bytes.end());
    frame.bytes = frame.own;
    give_back(frame);
}

void FrameStore::remove(std::uint32_t index) {
    give_back(frames_[index]);
    free_.push_back(index);
}

void FrameStore::give_back(StoredFrame& frame) {
    if (frame.place == StoredFrame::kNowhere) return;
    holder_[frame.place] = kNobody;
    socket_.release(frame.place);
    frame.place = StoredFrame::kNowhere;
}

void FrameStore::move_out(std::uint32_t place) {
    const std::uint32_t index = holder_[place];
    if (index != kNobody) rewrite(index, frames_[index].bytes);
}

void FrameStore::pin(std::uint32_t index) {
    const std::uint32_t place = frames_[index].place;
    if (place != StoredFrame::kNowhere) holder_[place] = kNobody;
}

void FrameStore::passed(std::uint32_t place) {
    last_ = place;
    move_out((place + half_) % static_cast<std::uint32_t>(holder_.size()));
}

}  // namespace weft::emulator
