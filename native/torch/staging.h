// Operations on accelerator tensors, without a kernel of our own: copy engines bring the data to
// pinned host memory on one side stream and back on another, and the host's collective runs between
// the two, stage by stage, so that the copies of one stage overlap the network of the next. Only
// torch's device-generic streams and events are used, so any accelerator fits.
//
// What waits for what:
//  - the copies to the host wait, on the device, for what the caller's current stream held when the
//  operation was called;
//  - where the driver lets a stream wait for the host (stream_gate.h), a collective's copies back
//  are enqueued at the call, behind a gate that opens when the host has its part done, and
//  Work::wait only orders the caller's current stream after them: neither host nor device wait for
//  one another. A failure that shows after wait() has returned is thrown by the next operation;
//  - elsewhere, and for messages (which may arrive in any order, and must not hold up one another
//  on the device), Work::wait blocks the calling thread until the copies back have been
//  *enqueued*, then orders the stream by an event; it does not wait for the copies themselves;
//  - isCompleted is true once the copies back are done;
//  - the results' memory and the staging buffers are recorded on the side streams, so the caching
//  allocators keep them.
#pragma once

#include <c10/core/impl/VirtualGuardImpl.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "torch/stream_gate.h"
#include "torch/work.h"

namespace weft::torch_backend {

class StagedWork;

// A failure that came to light after a waiter had been let go.
class LateFailure {
  public:
    void keep(std::exception_ptr failure);
    void throw_if_any();  // once

  private:
    std::mutex mutex_;
    std::exception_ptr failure_;
};

// The side streams of one device and the thread that issues host collectives in the order of the
// calls, each once its data has arrived. Collectives use a communicator of their own: when they are
// issued depends on the device's pace, and must not mix with the order of the host's collectives.
// Messages use the group itself, matched by tag.
class StagingLane : public ProcessBound {
  public:
    StagingLane(std::shared_ptr<Group> group, c10::Device device);
    ~StagingLane();
    StagingLane(const StagingLane&) = delete;
    StagingLane& operator=(const StagingLane&) = delete;

    c10::Device device() const { return to_host_.device(); }
    c10::intrusive_ptr<c10d::Work> submit(Call call, WorkContext context, bool collective);

  private:
    void run();
    const std::shared_ptr<Group>& collective_group();

    std::shared_ptr<Group> group_;
    std::shared_ptr<Group> collective_group_;
    c10::Stream to_host_;
    c10::Stream to_device_;
    c10::Stream messages_to_device_;
    std::shared_ptr<StreamGate> gate_;  // of to_device_; null where the driver has none
    std::shared_ptr<LateFailure> late_failure_ = std::make_shared<LateFailure>();
    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<c10::intrusive_ptr<StagedWork>> queue_;
    bool closed_ = false;
    std::thread thread_;
};

}  // namespace weft::torch_backend
