// An accelerator for the tests, where there is none: torch's PrivateUse1 device in host memory. Its
// streams are threads that take their time over every copy, so that whoever forgets to wait, on the
// device or on the host, sees stale data.
#include <ATen/EmptyTensor.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/Resize.h>
#include <ATen/native/TensorFactories.h>
#include <ATen/ops/_copy_from_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/view_native.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/core/impl/alloc_cpu.h>
#include <torch/csrc/utils/pybind.h>
#include <torch/library.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

namespace {

constexpr auto kCopyTime = std::chrono::milliseconds(2);
constexpr auto kPollPeriod = std::chrono::microseconds(100);
constexpr auto kType = c10::DeviceType::PrivateUse1;
const c10::Device kDevice(kType, 0);

struct Flag {
    std::mutex mutex;
    std::condition_variable raised;
    bool up = false;

    void raise() {
        const std::lock_guard lock(mutex);
        up = true;
        raised.notify_all();
    }
    void wait() {
        std::unique_lock lock(mutex);
        raised.wait(lock, [this] { return up; });
    }
    bool test() {
        const std::lock_guard lock(mutex);
        return up;
    }
};

// Runs its tasks one after the other on a thread of its own.
class StreamThread {
  public:
    StreamThread() {
        std::thread([this] { run(); }).detach();
    }

    void enqueue(std::function<void()> task) {
        const std::lock_guard lock(mutex_);
        tasks_.push_back(std::move(task));
        wake_.notify_one();
    }

    void finish() {
        auto flag = std::make_shared<Flag>();
        enqueue([flag] { flag->raise(); });
        flag->wait();
    }

  private:
    void run() {
        while (true) {
            std::unique_lock lock(mutex_);
            wake_.wait(lock, [this] { return !tasks_.empty(); });
            auto task = std::move(tasks_.front());
            tasks_.pop_front();
            lock.unlock();
            task();
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<std::function<void()>> tasks_;
};

StreamThread& stream_thread(c10::StreamId id) {
    static std::mutex mutex;
    static auto& threads =
        *new std::map<c10::StreamId, StreamThread*>;  // never freed: the threads never end
    const std::lock_guard lock(mutex);
    StreamThread*& thread = threads[id];
    if (thread == nullptr) {
        thread = new StreamThread;
    }
    return *thread;
}

thread_local c10::StreamId current_stream = 0;

c10::Stream stream_of(c10::StreamId id) {
    return c10::Stream(c10::Stream::UNSAFE, kDevice, id);
}

struct Guard final : c10::impl::DeviceGuardImplInterface {
    using Event = std::shared_ptr<Flag>;

    c10::DeviceType type() const override { return kType; }
    c10::Device exchangeDevice(c10::Device) const override { return kDevice; }
    c10::Device getDevice() const override { return kDevice; }
    void setDevice(c10::Device) const override {}
    void uncheckedSetDevice(c10::Device) const noexcept override {}
    c10::DeviceIndex deviceCount() const noexcept override { return 1; }
    c10::Stream getStream(c10::Device) const override { return stream_of(current_stream); }
    c10::Stream getDefaultStream(c10::Device) const override { return stream_of(0); }
    c10::Stream getStreamFromGlobalPool(c10::Device, bool) const override {
        static std::atomic<c10::StreamId> last{0};
        return stream_of(++last);
    }
    c10::Stream exchangeStream(c10::Stream stream) const override {
        return stream_of(std::exchange(current_stream, stream.id()));
    }
    void record(void** event, const c10::Stream& stream, c10::DeviceIndex,
                c10::EventFlag) const override {
        if (*event == nullptr) {
            *event = new Event;
        }
        auto flag = std::make_shared<Flag>();
        *static_cast<Event*>(*event) = flag;
        stream_thread(stream.id()).enqueue([flag] { flag->raise(); });
    }
    void block(void* event, const c10::Stream& stream) const override {
        if (event != nullptr) {
            stream_thread(stream.id()).enqueue([flag = *static_cast<Event*>(event)] {
                flag->wait();
            });
        }
    }
    bool queryEvent(void* event) const override {
        return event == nullptr || (*static_cast<Event*>(event))->test();
    }
    void synchronizeEvent(void* event) const override {
        if (event != nullptr) {
            (*static_cast<Event*>(event))->wait();
        }
    }
    void destroyEvent(void* event, c10::DeviceIndex) const noexcept override {
        delete static_cast<Event*>(event);
    }
    void* getStreamNativeHandle(const c10::Stream stream) const override {
        return &stream_thread(stream.id());
    }
    void synchronizeStream(const c10::Stream& stream) const override {
        stream_thread(stream.id()).finish();
    }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard);

// As a driver's stream memory operations do it: the stream looks at the word until it is there.
int wait_value(void* stream, uint64_t address, uint32_t value, unsigned flags) {
    if (flags != 0) {
        return 1;
    }
    static_cast<StreamThread*>(stream)->enqueue([address, value] {
        const std::atomic_ref word(*reinterpret_cast<uint32_t*>(address));
        while (static_cast<int32_t>(word.load(std::memory_order_acquire) - value) < 0) {
            std::this_thread::sleep_for(kPollPeriod);
        }
    });
    return 0;
}

struct DeviceAllocator final : c10::Allocator {
    c10::DataPtr allocate(size_t bytes) override {
        void* memory = c10::alloc_cpu(bytes);
        return {memory, memory, &c10::free_cpu, kDevice};
    }
    c10::DeleterFnPtr raw_deleter() const override { return &c10::free_cpu; }
    void copy_data(void* to, const void* from, size_t bytes) const override {
        default_copy_data(to, from, bytes);
    }
};

DeviceAllocator device_allocator;

struct Hooks final : at::PrivateUse1HooksInterface {
    bool isBuilt() const override { return true; }
    bool isAvailable() const override { return true; }
    bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
    c10::Allocator* getPinnedMemoryAllocator() const override { return c10::GetCPUAllocator(); }
};

at::Tensor empty(c10::IntArrayRef size, std::optional<at::ScalarType> dtype,
                 std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>,
                 std::optional<at::MemoryFormat> format) {
    return at::detail::empty_generic(size, &device_allocator,
                                     c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                     c10::dtype_or_default(dtype), format);
}

at::Tensor empty_strided(c10::IntArrayRef size, c10::IntArrayRef stride,
                         std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                         std::optional<at::Device>, std::optional<bool>) {
    return at::detail::empty_strided_generic(size, stride, &device_allocator,
                                             c10::DispatchKeySet(c10::DispatchKey::PrivateUse1),
                                             c10::dtype_or_default(dtype));
}

at::Tensor on_host(const at::Tensor& tensor) {
    return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(),
                         tensor.options().device(at::kCPU));
}

// The only thing that this device does.
at::Tensor copy_from(const at::Tensor& self, const at::Tensor& to, bool non_blocking) {
    StreamThread& stream = stream_thread(current_stream);
    stream.enqueue([self, to] {
        std::this_thread::sleep_for(kCopyTime);
        const at::AutoDispatchBelowADInplaceOrView below;
        on_host(to).copy_(on_host(self));
    });
    if (!non_blocking) {
        stream.finish();
    }
    return to;
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
    library.impl("empty.memory_format", &empty);
    library.impl("empty_strided", &empty_strided);
    library.impl("_copy_from", &copy_from);
    library.impl("view", &at::native::view);
    library.impl("as_strided", &at::native::as_strided_tensorimpl);
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
    c10::register_privateuse1_backend("slow_device");
    at::RegisterPrivateUse1HooksInterface(new Hooks);
    module.attr("wait_value") = reinterpret_cast<uintptr_t>(&wait_value);
    // Without the GIL: a stream may have to take it in order to release a tensor.
    using WithoutGil = pybind11::call_guard<pybind11::gil_scoped_release>;
    module.def(
        "to_device",
        [](const at::Tensor& tensor) {
            at::Tensor copy = at::empty(tensor.sizes(), tensor.options().device(kDevice));
            return copy.copy_(tensor, /*non_blocking=*/true);
        },
        WithoutGil());
    module.def(
        "to_host",
        [](const at::Tensor& tensor) {
            at::Tensor copy = at::empty(tensor.sizes(), tensor.options().device(at::kCPU));
            return copy.copy_(tensor);
        },
        WithoutGil());
}
