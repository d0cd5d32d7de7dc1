// The public interface between NCCL and its network plugins, versions 8 to 12, in our own words:
// the order and types of the members are NCCL's, and must never change here. A library exports one
// ncclNetPlugin_vN table per version that it serves; NCCL takes the highest that it knows.
#pragma once

#include <cstddef>
#include <cstdint>

namespace weft::nccl::abi {

enum class Result : int {
    kSuccess = 0,
    kCudaError = 1,
    kSystemError = 2,
    kInternalError = 3,
    kInvalidArgument = 4,
    kInvalidUsage = 5,
    kRemoteError = 6,
};

enum LogLevel : int { kLogWarn = 2, kLogInfo = 3 };
constexpr unsigned long kLogNet = 16;  // the subsystem
using Logger = void (*)(LogLevel level, unsigned long subsystem, const char* file, int line,
                        const char* format, ...);
using Profiler = Result (*)(void** event, int type, void* parent, std::int64_t plugin, void* data);

constexpr int kHostPointers = 1;
constexpr std::size_t kHandleBytes = 128;                      // of listen and connect
constexpr std::size_t kLargestMessage = std::size_t{1} << 40;  // that NCCL takes for an answer
constexpr std::int16_t kUnknownRail = -1;

template <int kMost>
struct VirtualDevice {
    int count;
    int devices[kMost];
};

struct PropertiesV8 {
    const char* name;
    const char* pci_path;
    std::uint64_t guid;
    int pointer_support;
    int registration_is_global;
    int speed;  // Mbit/s
    int port;
    float latency;  // microseconds
    int max_comms;
    int max_receives;
    int device_type;  // 0: the host moves the bytes
    int device_version;
};

template <int kMost>
struct PropertiesV9Base {
    const char* name;
    const char* pci_path;
    std::uint64_t guid;
    int pointer_support;
    int registration_is_global;
    int force_flush;
    int speed;
    int port;
    float latency;
    int max_comms;
    int max_receives;
    int device_type;
    int device_version;
    VirtualDevice<kMost> parts;
    std::size_t max_p2p_bytes;
    std::size_t max_collective_bytes;
};

struct PropertiesV9 : PropertiesV9Base<4> {};

struct PropertiesV11 : PropertiesV9Base<4> {
    int max_multi_request;
};

struct PropertiesV12 : PropertiesV9Base<8> {
    int max_multi_request;
    std::int16_t rail;
    std::int16_t plane;
};

// Inheritance keeps the layout of the flat structures that NCCL has.
static_assert(sizeof(PropertiesV8) == 64);
static_assert(sizeof(PropertiesV9) == 104);
static_assert(sizeof(PropertiesV11) == 112);
static_assert(sizeof(PropertiesV12) == 128);

struct CommConfig {
    int traffic_class;
};

struct PeerHints {
    std::int32_t most_peers, least_peers, most_flows, least_flows;
};

struct Hints {
    PeerHints send, receive;
    std::uint32_t operation, algorithm, protocol;
};

// From accept on, the versions differ in a few types only: how sizes are counted, and whether isend
// and irecv carry the profiler's handles.
template <typename Size>
struct TransfersPlain {
    Result (*isend)(void* comm, void* data, Size size, int tag, void* memory, void** request);
    Result (*irecv)(void* comm, int n, void** data, Size* sizes, int* tags, void** memories,
                    void** request);
};

struct TransfersProfiled {
    Result (*isend)(void* comm, void* data, std::size_t size, int tag, void* memory, void* profile,
                    void** request);
    Result (*irecv)(void* comm, int n, void** data, std::size_t* sizes, int* tags, void** memories,
                    void** profiles, void** request);
};

struct Registration {
    Result (*accept)(void* listener, void** comm, void** device_handle);
    Result (*register_memory)(void* comm, void* data, std::size_t size, int type, void** memory);
    Result (*register_dma_buf)(void* comm, void* data, std::size_t size, int type,
                               std::uint64_t offset, int fd, void** memory);
    Result (*deregister_memory)(void* comm, void* memory);
};

struct Completion {
    Result (*iflush)(void* comm, int n, void** data, int* sizes, void** memories, void** request);
    Result (*test)(void* request, int* done, int* sizes);
    Result (*close_send)(void* comm);
    Result (*close_receive)(void* comm);
    Result (*close_listen)(void* listener);
    Result (*device_memory)(void* comm, void* memory, void** device);
    Result (*receive_consumed)(void* comm, int n, void* request);
};

struct NetV8 {
    const char* name;
    Result (*init)(Logger logger);
    Result (*devices)(int* count);
    Result (*properties)(int device, PropertiesV8* properties);
    Result (*listen)(int device, void* handle, void** listener);
    Result (*connect)(int device, void* handle, void** comm, void** device_handle);
    Registration registration;
    TransfersPlain<int> transfers;
    Completion completion;
};

struct NetV9 {
    const char* name;
    Result (*init)(Logger logger);
    Result (*devices)(int* count);
    Result (*properties)(int device, PropertiesV9* properties);
    Result (*listen)(int device, void* handle, void** listener);
    Result (*connect)(int device, void* handle, void** comm, void** device_handle);
    Registration registration;
    TransfersPlain<std::size_t> transfers;
    Completion completion;
    Result (*make_virtual)(int* device, VirtualDevice<4>* parts);
};

struct NetV10 {
    const char* name;
    Result (*init)(Logger logger, Profiler profiler);
    Result (*devices)(int* count);
    Result (*properties)(int device, PropertiesV9* properties);
    Result (*listen)(int device, void* handle, void** listener);
    Result (*connect)(int device, CommConfig* config, void* handle, void** comm,
                      void** device_handle);
    Registration registration;
    TransfersProfiled transfers;
    Completion completion;
    Result (*make_virtual)(int* device, VirtualDevice<4>* parts);
};

template <typename Properties, int kMost>
struct NetV11Base {
    const char* name;
    Result (*init)(void** context, std::uint64_t comm, CommConfig* config, Logger logger,
                   Profiler profiler);
    Result (*devices)(int* count);
    Result (*properties)(int device, Properties* properties);
    Result (*listen)(void* context, int device, void* handle, void** listener);
    Result (*connect)(void* context, int device, void* handle, void** comm, void** device_handle);
    Registration registration;
    TransfersProfiled transfers;
    Completion completion;
    Result (*make_virtual)(int* device, VirtualDevice<kMost>* parts);
    Result (*finalize)(void* context);
    Result (*set_hints)(void* context, Hints* hints);
};

using NetV11 = NetV11Base<PropertiesV11, 4>;
using NetV12 = NetV11Base<PropertiesV12, 8>;

}  // namespace weft::nccl::abi
