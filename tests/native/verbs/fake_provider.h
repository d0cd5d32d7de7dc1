// RDMA devices that exist only here: several hosts in one process, joined by a network
// (fake_fabric.h) that loses, delays and reorders from a seed, fails queue pairs and kills ports.
//
// It is stricter than hardware where that finds errors: a work request's memory is read when the
// message leaves, late, and only through a valid registration; a write lands only through a valid
// key, when it arrives; a queue pair that is gone, or connected elsewhere, takes nothing; a receive
// queue without buffers takes nothing. As on hardware, messages of one queue pair keep their order
// (unreliable datagrams need not), and an unreliable connection loses whole messages.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "datapath/error.h"
#include "datapath/verbs/provider.h"
#include "fake_fabric.h"

namespace weft::datapath::verbs::test {

class FakeMemory final : public Memory {
  public:
    FakeMemory(FakeDevice& device, std::uint64_t begin, std::size_t size, std::byte* bytes,
               bool remote_write);
    ~FakeMemory() override;
    std::uint32_t local_key() const noexcept override { return key_; }
    std::uint32_t remote_key() const noexcept override { return key_ + 1'000'000; }

  private:
    FakeDevice& device_;
    std::uint32_t key_;
};

class FakeAddress final : public AddressHandle {
  public:
    explicit FakeAddress(const Destination& to) : label(to.flow_label) {}
    const std::uint32_t label;
};

class FakeCompletions final : public CompletionQueue {
  public:
    FakeCompletions(Fabric& fabric, std::uint32_t depth)
        : fabric_(fabric), depth_(depth), fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {}
    ~FakeCompletions() override {
        fabric_.unpolled -= ready_.size();
        ::close(fd_);
    }
    std::size_t poll(std::span<Completion> out) noexcept override {
        fabric_.step();
        std::size_t count = 0;
        while (count < out.size() && !ready_.empty()) {
            out[count++] = ready_.front();
            ready_.pop_front();
        }
        fabric_.unpolled -= count;
        return count;
    }
    bool arm() noexcept override {
        armed_ = true;
        if (ready_.empty()) {
            fabric_.skip(clock_now() + kNap);  // who arms is about to sleep
        }
        return true;
    }
    void clear() noexcept override {
        std::uint64_t count = 0;
        static_cast<void>(::read(fd_, &count, sizeof count) == 0);
    }
    int fd() const noexcept override { return fd_; }
    void push(const Completion& done) {
        overrun = overrun || ready_.size() >= depth_;
        ready_.push_back(done);
        ++fabric_.unpolled;
        const std::uint64_t one = 1;
        if (std::exchange(armed_, false)) {
            static_cast<void>(::write(fd_, &one, sizeof one) == 0);
        }
    }
    bool overrun = false;

  private:
    static constexpr Time kNap = 5'000'000;
    Fabric& fabric_;
    std::size_t depth_;
    int fd_;
    bool armed_ = false;
    std::deque<Completion> ready_;
};

class FakeReceives final : public SharedReceiveQueue {
  public:
    bool post(std::span<const ReceiveWork> works) noexcept override {
        works_.insert(works_.end(), works.begin(), works.end());
        return true;
    }
    bool empty() const { return works_.empty(); }
    ReceiveWork take() {
        const ReceiveWork work = works_.front();
        works_.pop_front();
        return work;
    }

  private:
    std::deque<ReceiveWork> works_;
};

class FakeDevice final : public Device {
  public:
    FakeDevice(Fabric& fabric, DeviceInfo info)
        : fabric(fabric), info_(std::move(info)), fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
        fabric.devices[info_.name] = this;
    }
    ~FakeDevice() override {
        fabric.devices.erase(info_.name);
        ::close(fd_);
    }
    const DeviceInfo& info() const noexcept override { return info_; }
    const DeviceLimits& limits() const noexcept override { return limits_; }
    std::unique_ptr<Memory> register_memory(const std::byte* data, std::size_t size,
                                            bool remote_write) override {
        if (refuses_memory) {
            throw Error(WEFT_ERR_RESOURCES, "fake: no more memory can be registered");
        }
        return std::make_unique<FakeMemory>(*this, reinterpret_cast<std::uintptr_t>(data), size,
                                            const_cast<std::byte*>(data), remote_write);
    }
    std::unique_ptr<Memory> register_dmabuf(int fd, std::uint64_t offset, std::size_t size,
                                            std::uint64_t address, bool remote_write) override {
        const auto found = fabric.dmabufs.find(fd);
        if (found == fabric.dmabufs.end()) {
            throw Error(WEFT_ERR_UNSUPPORTED, "fake: not a DMA-BUF");
        }
        return std::make_unique<FakeMemory>(*this, address, size, found->second->data() + offset,
                                            remote_write);
    }
    std::unique_ptr<CompletionQueue> make_completion_queue(std::uint32_t depth) override {
        return std::make_unique<FakeCompletions>(fabric, depth);
    }
    std::unique_ptr<SharedReceiveQueue> make_receive_queue(std::uint32_t) override {
        return std::make_unique<FakeReceives>();
    }
    std::unique_ptr<QueuePair> make_queue_pair(const QueuePairWish& wish) override;
    std::unique_ptr<AddressHandle> make_address_handle(std::uint8_t,
                                                       const Destination& to) override {
        return std::make_unique<FakeAddress>(to);
    }
    std::optional<DeviceEvent> next_event() noexcept override {
        if (events_.empty()) {
            std::uint64_t count = 0;
            static_cast<void>(::read(fd_, &count, sizeof count) == 0);
            return std::nullopt;
        }
        const DeviceEvent event = events_.front();
        events_.pop_front();
        return event;
    }
    int event_fd() const noexcept override { return fd_; }
    void tell(const DeviceEvent& event) {
        events_.push_back(event);
        const std::uint64_t one = 1;
        static_cast<void>(::write(fd_, &one, sizeof one) == 0);
    }

    struct Range {
        std::uint64_t begin = 0, end = 0;
        std::byte* bytes = nullptr;
        bool remote_write = false;
    };
    // Where these bytes lie, if the key permits it.
    std::byte* find(std::uint32_t key, std::uint64_t address, std::size_t size, bool remote) {
        const auto found = ranges.find(remote ? key - 1'000'000 : key);
        if (found == ranges.end() || address < found->second.begin ||
            address + size > found->second.end || (remote && !found->second.remote_write)) {
            return nullptr;
        }
        return found->second.bytes + (address - found->second.begin);
    }

    Fabric& fabric;
    std::map<std::uint32_t, Range> ranges;
    bool up = true;
    bool refuses_memory = false;

  private:
    DeviceInfo info_;
    int fd_;
    std::deque<DeviceEvent> events_;
    DeviceLimits limits_{.queue_pairs = 4096,
                         .work_requests = 4096,
                         .shared_receives = 16384,
                         .completions = 65536,
                         .dmabuf = true};
};

inline FakeMemory::FakeMemory(FakeDevice& device, std::uint64_t begin, std::size_t size,
                              std::byte* bytes, bool remote_write)
    : device_(device), key_(device.fabric.number()) {
    device_.ranges[key_] = {begin, begin + size, bytes, remote_write};
}
inline FakeMemory::~FakeMemory() {
    device_.ranges.erase(key_);
}

class FakePair final : public QueuePair {
  public:
    FakePair(FakeDevice& device, const QueuePairWish& wish)
        : device_(device), wish_(wish), number_(device.fabric.number()) {
        device.fabric.pairs[number_] = this;
    }
    ~FakePair() override { device_.fabric.pairs.erase(number_); }
    std::uint32_t number() const noexcept override { return number_; }
    void connect(const ConnectTo& to) override {
        if (remote_ != 0) {
            throw Error(WEFT_ERR_SYSTEM, "fake: connected twice");
        }
        remote_ = to.remote_qp;
        label_ = to.destination.flow_label;
        live_ = true;
    }
    void open() override {
        live_ = true;
        failed_ = false;
    }
    void error() noexcept override { fail(); }

    std::size_t post(std::span<const SendWork> works) noexcept override {
        Fabric& fabric = device_.fabric;
        for (std::size_t i = 0; i < works.size(); ++i) {
            if (outstanding_.size() >= wish_.sends) {
                return i;
            }
            outstanding_.push_back(works[i]);
            if (!live_ || failed_) {
                flush();
                continue;
            }
            if (fabric.chance(fabric.weather.pair_failure)) {
                ++fabric.failed_pairs;
                fail();
                continue;
            }
            leave_at_ = std::max(leave_at_, fabric.now()) + fabric.up_to(fabric.weather.delay);
            fabric.at(leave_at_, [&fabric, number = number_] {
                if (const auto self = fabric.pairs.find(number); self != fabric.pairs.end()) {
                    self->second->leave();
                }
            });
        }
        return works.size();
    }

    FakeDevice& device() noexcept { return device_; }
    QpKind kind() const noexcept { return wish_.kind; }
    bool deaf = false;
    void receive(SendWork work, std::vector<std::byte> bytes) {
        if (live_ && !failed_ && !static_cast<FakeReceives*>(wish_.receives)->empty()) {
            land({work, std::move(bytes), 0}, false);
        }
    }
    bool takes_from(std::uint32_t pair) const {
        return live_ && !failed_ && !deaf && (wish_.kind == QpKind::kUd || remote_ == pair);
    }
    void fail() {
        failed_ = true;
        flush();
    }

  private:
    struct Message {
        SendWork work;
        std::vector<std::byte> bytes;
        std::uint32_t from = 0;
    };

    void complete(Completion done) {
        done.queue_pair = number_;
        auto* queue = static_cast<FakeCompletions*>(wish_.completions);
        complete_at_ = std::max(complete_at_, device_.fabric.now()) +
                       device_.fabric.up_to(device_.fabric.weather.hold);
        Fabric& fabric = device_.fabric;
        fabric.at(complete_at_, [queue, done, &fabric, name = device_.info().name] {
            if (fabric.devices.contains(name)) {
                queue->push(done);
            }
        });
    }

    bool passes(const SendWork& work) const {
        const auto* to = static_cast<const FakeAddress*>(work.to);
        return device_.fabric.passes(number_, to != nullptr ? to->label : label_);
    }

    void flush() {
        for (const SendWork& work : std::exchange(outstanding_, {})) {
            complete({.id = work.id, .status = WorkStatus::kFlushed});
        }
    }

    // The oldest work request leaves the device: its memory is read now.
    void leave() {
        if (outstanding_.empty() || failed_) {
            return;
        }
        Message message{outstanding_.front(), {}, number_};
        outstanding_.pop_front();
        for (std::size_t i = 0; i < message.work.pieces; ++i) {
            const Piece& piece = message.work.piece[i];
            const std::byte* bytes = device_.find(piece.key, piece.address, piece.length, false);
            if (bytes == nullptr) {
                ++device_.fabric.unread;
                complete({.id = message.work.id, .status = WorkStatus::kBroken});
                fail();
                return;
            }
            message.bytes.insert(message.bytes.end(), bytes, bytes + piece.length);
        }
        if (wish_.kind != QpKind::kRc && message.work.signaled) {
            complete({.id = message.work.id});
        }
        Fabric& fabric = device_.fabric;
        const bool reliable = wish_.kind == QpKind::kRc;
        if (!reliable &&
            (!device_.up || !passes(message.work) || fabric.chance(fabric.weather.loss))) {
            ++fabric.lost;
            return;
        }
        const std::uint64_t delay = fabric.up_to(fabric.weather.delay);
        arrive_at_ = wish_.kind == QpKind::kUd ? fabric.now() + delay
                                               : std::max(arrive_at_, fabric.now()) + delay;
        const std::uint32_t to = wish_.kind == QpKind::kUd ? message.work.remote_qp : remote_;
        fabric.at(arrive_at_, [&fabric, to, reliable, message = std::move(message)]() mutable {
            arrive(fabric, to, reliable, std::move(message), 0, false);
        });
    }

    // A reliable connection sends again until it is answered, and lands once.
    static void arrive(Fabric& fabric, std::uint32_t to, bool reliable, Message message,
                       int attempts, bool landed) {
        const auto source = fabric.pairs.find(message.from);
        const auto target = fabric.pairs.find(to);
        const bool reachable =
            target != fabric.pairs.end() && target->second->device_.up &&
            target->second->takes_from(message.from) &&
            (source == fabric.pairs.end() || source->second->device_.up) &&
            (source == fabric.pairs.end() || source->second->passes(message.work));
        auto* receives =
            reachable ? static_cast<FakeReceives*>(target->second->wish_.receives) : nullptr;
        const bool arrives = reachable && !receives->empty();
        const bool good = !arrives || landed || target->second->land(message);
        if (!reliable || source == fabric.pairs.end() || source->second->failed_) {
            fabric.lost += arrives ? 0 : 1;
        } else if (!good) {
            source->second->complete({.id = message.work.id, .status = WorkStatus::kRefused});
            source->second->fail();
        } else if (arrives && target->second->passes({})) {
            if (message.work.signaled) {
                source->second->complete({.id = message.work.id});
            }
        } else if (attempts < 50) {
            landed = landed || arrives;
            fabric.at(fabric.now() + 20,
                      [&fabric, to, message = std::move(message), attempts, landed]() mutable {
                          arrive(fabric, to, true, std::move(message), attempts + 1, landed);
                      });
        } else {
            ++fabric.lost;
            source->second->complete({.id = message.work.id, .status = WorkStatus::kUnreachable});
            source->second->fail();
        }
    }

    bool land(const Message& message, bool through_memory = true) {
        Fabric& fabric = device_.fabric;
        std::byte* place = nullptr;
        const bool write = message.work.operation == Operation::kWriteImm;
        if (write && through_memory) {
            place = device_.find(message.work.remote_key, message.work.remote_address,
                                 message.bytes.size(), true);
            if (place == nullptr) {
                ++fabric.refused_writes;
                return false;
            }
            std::memcpy(place, message.bytes.data(), message.bytes.size());
        }
        const ReceiveWork work = static_cast<FakeReceives*>(wish_.receives)->take();
        Completion done{.id = work.id};
        done.bytes = static_cast<std::uint32_t>(message.bytes.size());
        if (write) {
            done.kind = Completion::Kind::kWritten;
            done.immediate = message.work.immediate;
        } else {
            const std::size_t skip = wish_.kind == QpKind::kUd ? 40 : 0;
            if (message.bytes.size() + skip > work.piece.length) {
                complete({.id = work.id, .status = WorkStatus::kBroken});
                return false;
            }
            place = device_.find(work.piece.key, work.piece.address, work.piece.length, false);
            std::copy(message.bytes.begin(), message.bytes.end(), place + skip);
            done.kind = Completion::Kind::kReceived;
            done.bytes += static_cast<std::uint32_t>(skip);
        }
        ++fabric.landed;
        complete(done);
        return true;
    }

    FakeDevice& device_;
    const QueuePairWish wish_;
    const std::uint32_t number_;
    std::uint32_t remote_ = 0, label_ = 0;
    bool live_ = false, failed_ = false;
    std::deque<SendWork> outstanding_;
    std::uint64_t leave_at_ = 0, arrive_at_ = 0, complete_at_ = 0;
};

inline std::unique_ptr<QueuePair> FakeDevice::make_queue_pair(const QueuePairWish& wish) {
    if ((wish.kind == QpKind::kUc && !fabric.weather.uc) ||
        (wish.kind == QpKind::kRc && !fabric.weather.rc)) {
        throw Error(WEFT_ERR_UNSUPPORTED, "fake: no such queue pairs");
    }
    return std::make_unique<FakePair>(*this, wish);
}

// One host: devices "hN_0", "hN_1", ... with IPv4 GIDs.
class FakeHost final : public Provider {
  public:
    FakeHost(Fabric& fabric, int host, int rails = 1) : fabric_(fabric) {
        for (int i = 0; i < rails; ++i) {
            GidEntry gid;
            gid.gid = {0,    0,
                       0,    0,
                       0,    0,
                       0,    0,
                       0,    0,
                       0xff, 0xff,
                       10,   static_cast<std::uint8_t>(i),
                       0,    static_cast<std::uint8_t>(host)};
            gid.kind = GidKind::kRoceV2;
            gid.index = 1;
            DeviceInfo info;
            info.name = "h" + std::to_string(host) + "_" + std::to_string(i);
            info.ports.push_back({.number = 1,
                                  .active = true,
                                  .ethernet = true,
                                  .mtu = 4096,
                                  .lid = 0,
                                  .gbit = 100,
                                  .gids = {gid}});
            infos_.push_back(std::move(info));
        }
    }
    std::vector<DeviceInfo> devices() override { return infos_; }
    std::unique_ptr<Device> open(const std::string& name) override {
        for (const DeviceInfo& info : infos_) {
            if (info.name == name) {
                return std::make_unique<FakeDevice>(fabric_, info);
            }
        }
        throw Error(WEFT_ERR_INVALID, "fake: no device " + name);
    }

  private:
    Fabric& fabric_;
    std::vector<DeviceInfo> infos_;
};

}  // namespace weft::datapath::verbs::test
