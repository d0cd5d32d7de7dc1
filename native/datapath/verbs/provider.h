// All that is asked of RDMA devices, as an interface that can be injected: libibverbs behind dlopen
// (libibverbs.h), or a fake one in tests. It is the verbs of InfiniBand's specification (IBTA vol.
// 1, chapter 11) reduced to what the datapath uses: memory, completion and shared receive queues,
// queue pairs of three kinds, address handles.
//
// Invariants
//  - Everything is owned by whoever made it and must go in reverse order: queue pairs before their
//    queues, all before the device. Destructors do not throw and do not block.
//  - After error() or the destructor of a QueuePair nothing that came in through it changes memory
//    any more.
//  - Calls that make something throw Error (RESOURCES, SYSTEM, UNSUPPORTED), naming device, call
//  and
//    reason. Those of the data path return false where the device refuses.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace weft::datapath::verbs {

using Gid = std::array<std::uint8_t, 16>;

enum class GidKind : std::uint8_t { kInfiniBand, kRoceV1, kRoceV2 };

struct GidEntry {
    Gid gid{};
    GidKind kind = GidKind::kInfiniBand;
    std::uint8_t index = 0;    // in the port's table
    std::string interface;     // network interface of a RoCE GID; empty where not known
    bool is_ipv4() const;      // ::ffff:a.b.c.d
    bool link_local() const;   // fe80::/10: reaches the same subnet only
    std::string text() const;  // "10.0.0.1", "fd00::1"
};

struct PortInfo {
    std::uint8_t number = 1;
    bool active = false;
    bool ethernet = false;       // RoCE; else InfiniBand
    std::uint32_t mtu = 1024;    // active, bytes of payload per packet
    std::uint16_t lid = 0;       // InfiniBand
    double gbit = 0;             // speed; 0: not known
    std::vector<GidEntry> gids;  // those that are set
};

struct DeviceInfo {
    std::string name;    // "mlx5_0"
    std::string pci;     // "0000:3b:00.0", empty for a virtual device
    int numa_node = -1;  // -1: none, or not known
    std::string driver;  // kernel module, as far as known
    std::vector<PortInfo> ports;
};

struct DeviceLimits {
    std::uint32_t queue_pairs = 0;
    std::uint32_t work_requests = 0;  // per send queue
    std::uint32_t shared_receives = 0;
    std::uint32_t completions = 0;
    std::uint32_t message = 1 << 30;
    bool dmabuf = false;  // as far as the library goes; the driver may still refuse
};

enum class QpKind : std::uint8_t { kUc, kRc, kUd };
const char* to_string(QpKind kind);

// A registration. Access is local write, with `remote_write` also from outside.
class Memory {
  public:
    virtual ~Memory() = default;
    virtual std::uint32_t local_key() const noexcept = 0;
    virtual std::uint32_t remote_key() const noexcept = 0;
};

// Where to: of a packet of an unreliable-datagram pair, or of all packets of a connected one.
struct Destination {
    Gid gid{};
    std::uint16_t lid = 0;
    std::uint8_t gid_index = 0;  // of our own GID
    std::uint8_t traffic_class = 0;
    std::uint8_t hop_limit = 64;
    std::uint8_t service_level = 0;
    // 20 bits, which devices of hardware make the UDP source port of, as far as they do not take
    // the queue pairs' numbers (those of soft-RoCE always do). 0: the device's choice.
    std::uint32_t flow_label = 0;
    bool global = true;  // with a GRH: always on RoCE
};

class AddressHandle {
  public:
    virtual ~AddressHandle() = default;
};

enum class Operation : std::uint8_t { kSend, kWriteImm };

struct Piece {
    std::uint64_t address = 0;
    std::uint32_t length = 0;
    std::uint32_t key = 0;  // local
};

struct SendWork {
    std::uint64_t id = 0;
    Operation operation = Operation::kSend;
    bool signaled = false;
    std::uint8_t pieces = 0;
    std::array<Piece, 2> piece{};
    std::uint32_t immediate = 0;        // kWriteImm
    std::uint64_t remote_address = 0;   // kWriteImm
    std::uint32_t remote_key = 0;       // kWriteImm
    const AddressHandle* to = nullptr;  // unreliable datagram
    std::uint32_t remote_qp = 0;        // unreliable datagram
};

struct ReceiveWork {
    std::uint64_t id = 0;
    Piece piece;
};

enum class WorkStatus : std::uint8_t {
    kSuccess,
    kFlushed,      // the queue pair was in error
    kUnreachable,  // reliable connection: no answer, or never ready
    kRefused,      // the other side's memory or state did not allow it
    kBroken,       // anything else
};
const char* to_string(WorkStatus status);

struct Completion {
    enum class Kind : std::uint8_t { kSent, kReceived, kWritten };
    std::uint64_t id = 0;
    WorkStatus status = WorkStatus::kSuccess;
    Kind kind = Kind::kSent;       // valid with kSuccess
    std::uint32_t bytes = 0;       // received or written (UD: with the 40 bytes of the GRH)
    std::uint32_t immediate = 0;   // kWritten
    std::uint32_t queue_pair = 0;  // ours
    std::uint32_t vendor_error = 0;
};

// One of its own file descriptor, which is readable once an asked-for completion has come.
class CompletionQueue {
  public:
    virtual ~CompletionQueue() = default;
    // Up to out.size() completions; their number. Throws nothing; a broken queue gives none.
    virtual std::size_t poll(std::span<Completion> out) noexcept = 0;
    // The next completion shall make fd() readable. False where the device refuses.
    virtual bool arm() noexcept = 0;
    // Takes what made fd() readable.
    virtual void clear() noexcept = 0;
    virtual int fd() const noexcept = 0;
};

class SharedReceiveQueue {
  public:
    virtual ~SharedReceiveQueue() = default;
    virtual bool post(std::span<const ReceiveWork> works) noexcept = 0;
};

struct ConnectTo {
    Destination destination;
    std::uint32_t remote_qp = 0;
    std::uint32_t receive_psn = 0;
    std::uint32_t send_psn = 0;
    std::uint32_t mtu = 1024;  // bytes
    // RC: local ACK timeout as the exponent of 4.096 us, and retries.
    std::uint8_t timeout = 14;
    std::uint8_t retries = 5;
};

class QueuePair {
  public:
    virtual ~QueuePair() = default;
    virtual std::uint32_t number() const noexcept = 0;
    // Connected kinds: may be called once. Throws Error(SYSTEM) with the reason.
    virtual void connect(const ConnectTo& to) = 0;
    // Unreliable datagram: ready to send and receive.
    virtual void open() = 0;
    // Into the error state: outstanding work completes as flushed, nothing lands any more.
    virtual void error() noexcept = 0;
    // One doorbell for all of them. How many were taken: fewer when the device refused the next.
    virtual std::size_t post(std::span<const SendWork> works) noexcept = 0;
};

struct QueuePairWish {
    QpKind kind = QpKind::kUc;
    std::uint8_t port = 1;
    std::uint32_t sends = 64;  // outstanding at most
    std::uint32_t key = 0;     // unreliable datagram: Q_Key
    CompletionQueue* completions = nullptr;
    SharedReceiveQueue* receives = nullptr;
};

struct DeviceEvent {
    enum class Kind : std::uint8_t { kPortDown, kPortUp, kAddressChange, kQueuePair, kFatal };
    Kind kind = Kind::kFatal;
    std::uint8_t port = 0;
    std::uint32_t queue_pair = 0;
};

class Device {
  public:
    virtual ~Device() = default;
    virtual const DeviceInfo& info() const noexcept = 0;
    virtual const DeviceLimits& limits() const noexcept = 0;
    virtual std::unique_ptr<Memory> register_memory(const std::byte* data, std::size_t size,
                                                    bool remote_write) = 0;
    // Memory of another device (a GPU's) by the DMA-BUF that exports it: bytes [offset, + size) of
    // it are known as `address` to work requests.
    virtual std::unique_ptr<Memory> register_dmabuf(int fd, std::uint64_t offset, std::size_t size,
                                                    std::uint64_t address, bool remote_write) = 0;
    virtual std::unique_ptr<CompletionQueue> make_completion_queue(std::uint32_t depth) = 0;
    virtual std::unique_ptr<SharedReceiveQueue> make_receive_queue(std::uint32_t depth) = 0;
    virtual std::unique_ptr<QueuePair> make_queue_pair(const QueuePairWish& wish) = 0;
    virtual std::unique_ptr<AddressHandle> make_address_handle(std::uint8_t port,
                                                               const Destination& to) = 0;
    // What happened to the device itself; nullopt when nothing (more) did. Never blocks.
    virtual std::optional<DeviceEvent> next_event() noexcept = 0;
    virtual int event_fd() const noexcept = 0;
};

class Provider {
  public:
    virtual ~Provider() = default;
    virtual std::vector<DeviceInfo> devices() = 0;
    virtual std::unique_ptr<Device> open(const std::string& name) = 0;
};

}  // namespace weft::datapath::verbs
