#include "torch/stream_gate.h"

#include <c10/core/StreamGuard.h>
#include <dlfcn.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <thread>

namespace weft::torch_backend {
namespace {

struct Offers {
    std::mutex mutex;
    std::map<c10::DeviceType, StreamWait> by_type;
};

Offers& offers() {
    static auto& all = *std::make_unique<Offers>().release();  // works may outlive main
    return all;
}

// Torch has loaded the driver by the time that there are tensors on its device; a machine without
// one is not asked to.
StreamWait of_cuda_driver() {
    void* driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    return driver == nullptr
               ? nullptr
               : reinterpret_cast<StreamWait>(dlsym(driver, "cuStreamWaitValue32_v2"));
}

StreamWait stream_wait_of(c10::DeviceType type) {
    Offers& all = offers();
    const std::lock_guard lock(all.mutex);
    const auto offer = all.by_type.find(type);
    if (offer != all.by_type.end()) {
        return offer->second;
    }
    return type == c10::DeviceType::CUDA ? of_cuda_driver() : nullptr;
}

at::Tensor pinned_word() {
    at::Tensor word = at::empty({1}, at::TensorOptions().dtype(at::kInt).pinned_memory(true));
    *word.mutable_data_ptr<int32_t>() = 0;
    return word;
}

}  // namespace

bool arrives(const c10::Event& event, std::chrono::milliseconds timeout) {
    constexpr auto kLongest = std::chrono::microseconds(200);
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    for (auto pause = std::chrono::microseconds(10); !event.query();
         pause = std::min(pause * 2, kLongest)) {
        if (std::chrono::steady_clock::now() >= deadline) {
            return false;
        }
        std::this_thread::sleep_for(pause);
    }
    return true;
}

void offer_stream_wait(c10::DeviceType type, StreamWait wait) {
    Offers& all = offers();
    const std::lock_guard lock(all.mutex);
    all.by_type[type] = wait;
}

std::shared_ptr<StreamGate> StreamGate::make(const c10::Stream& stream) {
    const StreamWait wait = stream_wait_of(stream.device_type());
    if (wait == nullptr) {
        return nullptr;
    }
    const c10::StreamGuard on(stream);
    auto gate = std::make_shared<StreamGate>(wait, stream);
    return gate->enqueue_wait(0) ? gate : nullptr;
}

StreamGate::StreamGate(StreamWait wait, const c10::Stream& stream)
    : wait_(wait), stream_(stream), word_(pinned_word()) {}

// The stream may still have to read the word. One that does not come to it soon (a long computation
// is ahead of it) keeps it for good: 4 bytes against a wait in a destructor.
StreamGate::~StreamGate() {
    constexpr auto kPatience = std::chrono::seconds(1);
    try {
        c10::Event read(stream_.device_type());
        read.record(stream_);
        if (!arrives(read, kPatience)) {
            static_cast<void>(word_.unsafeReleaseIntrusivePtr().release());
        }
    } catch (const std::exception&) {  // a device that fails reads nothing any more
    }
}

bool StreamGate::enqueue_wait(uint32_t value) {
    const auto address = reinterpret_cast<uintptr_t>(word_.const_data_ptr());
    return wait_(stream_.native_handle(), address, value, 0) == 0;
}

uint32_t StreamGate::close() {
    const std::lock_guard lock(mutex_);
    TORCH_CHECK_WITH(DistBackendError, enqueue_wait(closed_ + 1), "weft: the driver of ",
                     stream_.device(),
                     " refused to let a stream wait for the host (WEFT_ERR_STATE)");
    return ++closed_;
}

void StreamGate::open(uint32_t ticket) {
    const std::lock_guard lock(mutex_);
    opened_.insert(ticket);
    const uint32_t before = passed_;
    while (opened_.erase(passed_ + 1) != 0) {
        ++passed_;
    }
    if (passed_ != before) {
        // What the host wrote for the copies behind the gate comes first.
        std::atomic_ref(*word_.mutable_data_ptr<int32_t>())
            .store(static_cast<int32_t>(passed_), std::memory_order_release);
    }
}

}  // namespace weft::torch_backend
