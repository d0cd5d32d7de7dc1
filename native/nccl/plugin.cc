// What NCCL finds: one table per version of its plugin interface, thin adapters over one core.
#include "nccl/abi.h"
#include "nccl/devices.h"
#include "nccl/link.h"
#include "nccl/log.h"

namespace weft::nccl {
namespace {

using abi::Result;

// ---------------------------------------------------------------- what does not differ

void begin(abi::Logger logger) {
    set_logger(logger);
    inform(std::string("Weft ") + weft_version() + ", " + std::to_string(Devices::all().count()) +
           " devices");
}

Result devices(int* count) {
    return guarded([&] { *count = Devices::all().count(); });
}

template <typename Properties>
Result properties(int index, Properties* out) {
    return guarded([&] {
        const Device& device = Devices::all().at(index);
        *out = {};
        out->name = device.name.c_str();
        out->pci_path = device.pci_path.empty() ? nullptr : device.pci_path.c_str();
        out->guid = device.guid;
        out->pointer_support = abi::kHostPointers;  // so NCCL stages what lies on GPUs
        out->speed = device.speed;
        out->port = 1;
        out->max_comms = 1 << 16;
        out->max_receives = kMostReceives;
        if constexpr (requires { out->parts; }) {
            for (const int part : device.parts) {
                if (static_cast<std::size_t>(out->parts.count) < std::size(out->parts.devices)) {
                    out->parts.devices[out->parts.count++] = part;
                }
            }
            out->max_p2p_bytes = out->max_collective_bytes = abi::kLargestMessage;
        }
        if constexpr (requires { out->max_multi_request; }) {
            out->max_multi_request = 1;
        }
        if constexpr (requires { out->rail; }) {
            out->rail = out->plane = abi::kUnknownRail;
        }
    });
}

template <int kMost>
Result make_virtual(int* device, abi::VirtualDevice<kMost>* parts) {
    return guarded([&] {
        need(parts->count <= kMost, "a virtual device has too many parts");
        *device = Devices::all().join(parts->devices, parts->count);
    });
}

std::span<std::byte, abi::kHandleBytes> bytes_of(void* handle) {
    need(handle != nullptr, "the handle is NULL");
    return std::span<std::byte, abi::kHandleBytes>(static_cast<std::byte*>(handle),
                                                   abi::kHandleBytes);
}

Result listen(int device, void* handle, void** listener) {
    return guarded(
        [&] { *listener = std::make_unique<Listener>(device, bytes_of(handle)).release(); });
}

Result connect_to(int device, void* handle, void** comm) {
    *comm = nullptr;
    return guarded([&] { *comm = connect(device, bytes_of(handle)).release(); });
}

Result accept(void* listener, void** comm, void**) {
    *comm = nullptr;
    return guarded([&] { *comm = static_cast<Listener*>(listener)->accept().release(); });
}

Result register_memory(void*, void* data, std::size_t, int type, void** memory) {
    return guarded([&] {
        need(type == abi::kHostPointers,
             "only host memory can be registered (the properties say so): GPU memory is staged");
        *memory = data;  // nothing to remember: any byte of the host can be sent from
    });
}

Result register_dma_buf(void*, void*, std::size_t, int, std::uint64_t, int, void**) {
    return guarded([] { throw Error(WEFT_ERR_UNSUPPORTED, "DMA-BUF memory is not supported"); });
}

Result deregister_memory(void*, void*) {
    return Result::kSuccess;
}

Result iflush(void*, int, void**, int*, void**, void** request) {
    *request = nullptr;  // what has arrived in host memory is visible
    return Result::kSuccess;
}

Result test(void* request, int* done, int* sizes) {
    *done = 0;
    return guarded([&] {
        auto& pending = *static_cast<Request*>(request);
        *done = pending.comm.test(pending, sizes) ? 1 : 0;
    });
}

template <typename End>
Result close(void* end) {
    return guarded([&] {
        const std::unique_ptr<End> closed(static_cast<End*>(end));
        if constexpr (requires { closed->close(); }) {
            if (closed) {
                closed->close();
            }
        }
    });
}

Result device_memory(void*, void*, void**) {
    return guarded([] { throw Error(WEFT_ERR_UNSUPPORTED, "no device moves bytes here"); });
}

Result receive_consumed(void*, int, void*) {
    return Result::kSuccess;
}

constexpr abi::Registration kRegistration{accept, register_memory, register_dma_buf,
                                          deregister_memory};
constexpr abi::Completion kCompletion{
    iflush,          test,          close<SendComm>, close<ReceiveComm>,
    close<Listener>, device_memory, receive_consumed};

// ---------------------------------------------------------------- transfers

template <typename Size>
std::size_t checked(Size size) {
    need(size >= 0 && static_cast<std::uint64_t>(size) <= abi::kLargestMessage,
         "a message's size is out of range");
    return static_cast<std::size_t>(size);
}

template <typename Size>
Result isend(void* comm, void* data, Size size, int tag, void*, void** request) {
    *request = nullptr;
    return guarded(
        [&] { *request = static_cast<SendComm*>(comm)->isend(data, checked(size), tag); });
}

template <typename Size>
Result irecv(void* comm, int n, void** data, Size* sizes, int* tags, void**, void** request) {
    *request = nullptr;
    return guarded([&] {
        need(n >= 1 && n <= kMostReceives, "a request groups 1 to 8 receives");
        ReceiveComm::Buffer buffers[kMostReceives];
        for (int i = 0; i < n; ++i) {
            buffers[i] = {.data = data[i], .size = checked(sizes[i]), .tag = tags[i]};
        }
        *request = static_cast<ReceiveComm*>(comm)->irecv(
            std::span(buffers).first(static_cast<std::size_t>(n)));
    });
}

template <typename Size>
constexpr abi::TransfersPlain<Size> kPlain{isend<Size>, irecv<Size>};

Result isend_profiled(void* comm, void* data, std::size_t size, int tag, void* memory, void*,
                      void** request) {
    return isend(comm, data, size, tag, memory, request);
}

Result irecv_profiled(void* comm, int n, void** data, std::size_t* sizes, int* tags,
                      void** memories, void**, void** request) {
    return irecv(comm, n, data, sizes, tags, memories, request);
}

constexpr abi::TransfersProfiled kProfiled{isend_profiled, irecv_profiled};

// ---------------------------------------------------------------- what differs

Result init(abi::Logger logger) {
    return guarded([&] { begin(logger); });
}

Result init_profiled(abi::Logger logger, abi::Profiler) {
    return init(logger);
}

Result connect_plain(int device, void* handle, void** comm, void**) {
    return connect_to(device, handle, comm);
}

Result connect_configured(int device, abi::CommConfig*, void* handle, void** comm, void**) {
    return connect_to(device, handle, comm);
}

// Connections carry all that they need: what NCCL calls a context holds nothing.
Result init_context(void** context, std::uint64_t, abi::CommConfig*, abi::Logger logger,
                    abi::Profiler) {
    static char token;
    *context = &token;
    return init(logger);
}

Result listen_in(void*, int device, void* handle, void** listener) {
    return listen(device, handle, listener);
}

Result connect_in(void*, int device, void* handle, void** comm, void**) {
    return connect_to(device, handle, comm);
}

Result finalize(void*) {
    return Result::kSuccess;
}

Result set_hints(void*, abi::Hints*) {
    return Result::kSuccess;  // hints
}

template <typename Properties, int kMost>
constexpr abi::NetV11Base<Properties, kMost> kWithContext{
    "Weft",        init_context, devices,     properties<Properties>, listen_in, connect_in,
    kRegistration, kProfiled,    kCompletion, make_virtual<kMost>,    finalize,  set_hints};

}  // namespace
}  // namespace weft::nccl

#define WEFT_EXPORT extern "C" __attribute__((visibility("default"))) const

WEFT_EXPORT weft::nccl::abi::NetV8 ncclNetPlugin_v8{
    "Weft",
    weft::nccl::init,
    weft::nccl::devices,
    weft::nccl::properties<weft::nccl::abi::PropertiesV8>,
    weft::nccl::listen,
    weft::nccl::connect_plain,
    weft::nccl::kRegistration,
    weft::nccl::kPlain<int>,
    weft::nccl::kCompletion};

WEFT_EXPORT weft::nccl::abi::NetV9 ncclNetPlugin_v9{
    "Weft",
    weft::nccl::init,
    weft::nccl::devices,
    weft::nccl::properties<weft::nccl::abi::PropertiesV9>,
    weft::nccl::listen,
    weft::nccl::connect_plain,
    weft::nccl::kRegistration,
    weft::nccl::kPlain<std::size_t>,
    weft::nccl::kCompletion,
    weft::nccl::make_virtual<4>};

WEFT_EXPORT weft::nccl::abi::NetV10 ncclNetPlugin_v10{
    "Weft",
    weft::nccl::init_profiled,
    weft::nccl::devices,
    weft::nccl::properties<weft::nccl::abi::PropertiesV9>,
    weft::nccl::listen,
    weft::nccl::connect_configured,
    weft::nccl::kRegistration,
    weft::nccl::kProfiled,
    weft::nccl::kCompletion,
    weft::nccl::make_virtual<4>};

WEFT_EXPORT weft::nccl::abi::NetV11 ncclNetPlugin_v11 =
    weft::nccl::kWithContext<weft::nccl::abi::PropertiesV11, 4>;
WEFT_EXPORT weft::nccl::abi::NetV12 ncclNetPlugin_v12 =
    weft::nccl::kWithContext<weft::nccl::abi::PropertiesV12, 8>;
