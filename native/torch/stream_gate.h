// Host and accelerator wait for each other: the host by an event, a stream by what torch's
// device-generic streams lack. The driver's stream memory operations do it (CUDA Driver API,
// "Stream Memory Operations", cuStreamWaitValue32 of the second version, which every platform
// offers by default): the stream reads a word of pinned host memory until it has come far enough.
// No kernel runs meanwhile.
#pragma once

#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>

#include "torch/torch_api.h"

namespace weft::torch_backend {

// Waits on the host without burning a core, which is what drivers do in Event::synchronize: what
// comes before the event may be a long computation. False if it does not come in time.
bool arrives(const c10::Event& event, std::chrono::milliseconds timeout);

// Enqueues on `stream` (the device's native handle) a wait until the word at `address`, less
// `value`, is at least 0 as a signed number. Returns 0 on success. With `flags` 0 this is
// cuStreamWaitValue32_v2.
using StreamWait = int (*)(void* stream, uint64_t address, uint32_t value, unsigned flags);

// For accelerators whose driver Weft does not know. Null takes the offer back.
void offer_stream_wait(c10::DeviceType type, StreamWait wait);

// Tickets are handed out in the stream's order and pass in that order: a ticket lets the stream go
// on once it and all before it were opened. Ticket numbers wrap around, as the comparison does.
class StreamGate {
  public:
    // Null where the device's driver has no such wait or refuses a first one.
    static std::shared_ptr<StreamGate> make(const c10::Stream& stream);

    StreamGate(StreamWait wait, const c10::Stream& stream);  // use make()
    ~StreamGate();
    StreamGate(const StreamGate&) = delete;
    StreamGate& operator=(const StreamGate&) = delete;

    // What is enqueued on the stream from now on waits for the ticket. Throws DistBackendError if
    // the driver refuses.
    uint32_t close();
    // From any thread, once for each ticket.
    void open(uint32_t ticket);

  private:
    bool enqueue_wait(uint32_t value);

    StreamWait wait_;
    c10::Stream stream_;
    at::Tensor word_;  // the last ticket that all up to which were opened
    std::mutex mutex_;
    uint32_t closed_ = 0;          // the last ticket handed out
    uint32_t passed_ = 0;          // what `word_` says
    std::set<uint32_t> opened_{};  // beyond `passed_`
};

}  // namespace weft::torch_backend
