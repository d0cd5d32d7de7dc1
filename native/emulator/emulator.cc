#include "emulator/emulator.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace weft::emulator {

using fabric::HostId;
using fabric::Packet;
using fabric::Time;

namespace {

constexpr HostId kNobody = 0xFFFFFFFF;
constexpr std::int64_t kAnyTime = -1;
constexpr std::size_t kDrainAtOnce = 256;
constexpr std::size_t kDrainBytes = 1 << 20;  // what is due waits while trains are copied
// Between switches, whose links carry what a tunnel adds to the largest frames of hosts: the usual
// largest MTU of switches.
constexpr std::size_t kLargestInside = 9216 + kEthernetHeader;
constexpr unsigned kBefell = fabric::kMarked | fabric::kTrimmed | fabric::kCorrupted;

std::int64_t clock_ns(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// Bytes on the wire. A train counts the headers that each of its packets will bear.
std::uint32_t wire_size(const Received& received) {
    const auto length = static_cast<std::uint32_t>(received.frame.size());
    std::uint32_t size = std::max(length, kMinFrame) + kWireOverhead;
    const std::uint32_t segment = received.offload.segment_size;
    if (received.offload.segmentation != 0 && segment > 0) {
        const std::uint32_t headers =
            std::min<std::uint32_t>(received.offload.header_length, length);
        const std::uint32_t packets = (length - headers + segment - 1) / segment;
        if (packets > 1) size += (packets - 1) * (headers + kWireOverhead);
    }
    return std::min<std::uint32_t>(size, 0xFFFF);
}

}  // namespace

Emulator::Emulator(fabric::Topology topology, const EmulatorOptions& options,
                   const std::vector<EdgePort>& ports)
    : options_(options),
      socket_(options.frame_size, options.ring_frames),
      frames_(socket_),
      fabric_(std::move(topology), options.fabric, *this),
      random_(fabric::mix(options.fabric.seed ^ 0xF11B)),
      ways_(fabric_.topology()),
      spin_window_(options.spin / fabric::kNanosecond) {
    if (ports.size() != fabric_.topology().hosts)
        throw std::invalid_argument("there must be one edge port per host");
    for (HostId host = 0; host < ports.size(); ++host) {
        const EdgePort& port = ports[host];
        if (port.interface <= 0) throw std::invalid_argument("interface numbers begin at 1");
        neighbours_.add(host, port.mac, port.ipv4, port.ipv6);
        interfaces_.push_back(port.interface);
        const auto index = static_cast<std::size_t>(port.interface);
        if (at_interface_.size() <= index) at_interface_.resize(index + 1, kNobody);
        at_interface_[index] = host;
    }
    doorbell_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (doorbell_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
    sending_.reserve(PacketSocket::kBatch);
    due_.reserve(PacketSocket::kBatch);
}

Emulator::~Emulator() {
    close(doorbell_);
}

std::int64_t Emulator::wall() const {
    return clock_ns(CLOCK_MONOTONIC) - origin_;
}

// Frames bear CLOCK_REALTIME, which may be stepped: its distance to our clock is learned anew every
// time the thread has slept.
void Emulator::learn_offset() {
    real_offset_ = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
}

Time Emulator::model_time(std::int64_t stamp) const {
    return (stamp - real_offset_ - origin_) * fabric::kNanosecond;
}

void Emulator::run() {
    {
        const std::scoped_lock lock(mutex_);
        if (origin_ != 0) throw std::logic_error("a fabric runs once");
        origin_ = clock_ns(CLOCK_MONOTONIC);
    }
    prctl(PR_SET_TIMERSLACK, 1UL);
    learn_offset();
    while (!stopping_.load(std::memory_order_acquire)) {
        const bool more = drain();
        // While frames wait in the ring, the model may not overtake the first of them.
        Time limit = wall() * fabric::kNanosecond;
        Received waiting;
        if (more && socket_.receive(waiting)) limit = std::min(limit, model_time(waiting.stamp));
        fabric_.run_until(std::max(limit, fabric_.now()));
        if (has_work_.load(std::memory_order_acquire)) {
            const std::scoped_lock lock(mutex_);
            run_work();
        }
        flush();
        if (!more) rest();
    }
    const std::scoped_lock lock(mutex_);
    run_work();
    ended_ = true;
}

void Emulator::stop() {
    stopping_.store(true, std::memory_order_release);
    eventfd_write(doorbell_, 1);
}

void Emulator::call(const std::function<void()>& function) {
    Work work{&function, nullptr};
    std::unique_lock lock(mutex_);
    if (ended_) throw std::runtime_error("the fabric has ended");
    work_.push_back(&work);
    has_work_.store(true, std::memory_order_release);
    eventfd_write(doorbell_, 1);
    worked_.wait(lock, [&work] { return work.done; });
    if (work.error) std::rethrow_exception(work.error);
}

void Emulator::run_work() {
    has_work_.store(false, std::memory_order_relaxed);
    for (Work* const work : std::exchange(work_, {})) {
        try {
            (*work->function)();
        } catch (...) {
            work->error = std::current_exception();
        }
        work->done = true;
    }
    worked_.notify_all();
}

// Nothing to take in: waits until a frame comes, somebody rings, or one may leave.
void Emulator::rest() {
    const Time next = horizon_.next(wall() * fabric::kNanosecond, fabric_.next_event());
    if (next == fabric::kNever) {
        sleep(kAnyTime);
        return;
    }
    const std::int64_t now = wall();
    const std::int64_t due = next / fabric::kNanosecond;
    const std::int64_t window = spin_window_.width(now);
    if (due - now <= window) {
        watch(now, due);
    } else {
        sleep(due - window);
    }
}

// Spins until `due`, or until a frame comes or somebody rings.
void Emulator::watch(std::int64_t since, std::int64_t due) {
    Received received;
    std::int64_t now = since;
    do {
        // A softirq that ran too long is left to a kernel thread, which waits for this very CPU:
        // spinning would hold back the frames that we have just sent. This call runs it.
        socket_.ring_drops();
        now = wall();
    } while (now < due && !socket_.receive(received) && !has_work_.load(std::memory_order_acquire));
    spin_window_.spun(now - since);
}

void Emulator::sleep(std::int64_t until) {
    frames_.before_sleep();
    timespec timeout{};
    if (until != kAnyTime) {
        const std::int64_t pause = std::max<std::int64_t>(until - wall(), 0);
        timeout = {static_cast<time_t>(pause / 1'000'000'000), pause % 1'000'000'000};
    }
    pollfd sources[] = {{socket_.fd(), POLLIN, 0}, {doorbell_, POLLIN, 0}};
    const int ready = ppoll(sources, 2, until == kAnyTime ? nullptr : &timeout, nullptr);
    if ((sources[1].revents & POLLIN) != 0) {
        eventfd_t rung = 0;
        eventfd_read(doorbell_, &rung);
    }
    if (ready == 0) spin_window_.woke(wall() - until);
    learn_offset();
}

// Takes frames from the ring into the model, each at its own time; true if some are left.
bool Emulator::drain() {
    Received received;
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < kDrainAtOnce && bytes < kDrainBytes; ++i) {
        if (!socket_.receive(received)) return false;
        bytes += received.frame.size();
        socket_.pass();
        if (!accept(received)) socket_.release(received.place);
        frames_.passed(received.place);
    }
    return socket_.receive(received);
}

bool Emulator::accept(const Received& received) {
    const auto index = static_cast<std::size_t>(received.interface);
    const HostId source = index < at_interface_.size() ? at_interface_[index] : kNobody;
    if (source == kNobody) return false;  // lo, or a device that is no port
    ++counts_.frames_in;
    const FrameView view = parse(received.frame);
    if (view.kind == FrameKind::kArp || view.kind == FrameKind::kNeighbourSolicitation) {
        answer(received.interface, neighbours_.answer(received.frame, view));
        if (view.kind == FrameKind::kArp) return false;
    }
    auto destination = neighbours_.destination(view);
    // A program may know what to do with an address that no host has; it then says whose it is.
    if (!destination && !programs_.empty() && view.kind == FrameKind::kIpv4) destination = source;
    if (!destination || (*destination == source && programs_.empty())) {
        ++counts_.strangers;
        return false;
    }
    const Time now = std::min(model_time(received.stamp), wall() * fabric::kNanosecond);
    if (now > fabric_.now()) fabric_.run_until(now);
    Packet packet;
    packet.entropy = view.entropy;
    packet.destination = *destination;
    packet.size = static_cast<std::uint16_t>(wire_size(received));
    packet.trimmed_size = static_cast<std::uint16_t>(options_.trimmed_bytes + kWireOverhead);
    if (view.ecn_capable) packet.flags |= fabric::kMarkable;
    if (view.trimmable && received.frame.size() > options_.trimmed_bytes)
        packet.flags |= fabric::kTrimmable;
    packet.cargo = frames_.keep(received, source);
    enter(source, packet);
    fabric_.inject(source, packet);
    return true;
}

void Emulator::enter(HostId source, const Packet& packet) {
    const bool shrinks = (packet.flags & fabric::kTrimmable) != 0;
    const std::uint32_t bytes = shrinks ? std::min(packet.size, packet.trimmed_size) : packet.size;
    const Time least = ways_hold_ ? ways_.least(source, packet.destination, bytes) : 0;
    horizon_.entered(packet.cargo, fabric_.now() + least);
}

void Emulator::schedule(const fabric::Cue& cue) {
    fabric_.schedule(cue);
    if (cue.kind != fabric::CueKind::kLinkRate && cue.kind != fabric::CueKind::kLinkDelay) return;
    ways_hold_ = false;
    horizon_.doubt();
}

void Emulator::answer(int interface, const std::vector<std::uint8_t>& reply) {
    if (!reply.empty()) put_out(interface, frames_.add(reply, {}, kNobody), kAnyTime);
}

void Emulator::deliver(HostId host, const Packet& packet, Time now) {
    horizon_.left(packet.cargo);
    StoredFrame& frame = frames_[packet.cargo];
    mend(frame, packet);
    const Mac& mac = neighbours_.mac(host);
    std::copy(mac.begin(), mac.end(), frame.bytes.begin());
    put_out(interfaces_[host], packet.cargo, now / fabric::kNanosecond);
}

// Does to the bytes what befell the packet.
void Emulator::mend(StoredFrame& frame, const Packet& packet) {
    if ((packet.flags & kBefell) == 0) return;
    const FrameView view = parse(frame.bytes);
    if ((packet.flags & fabric::kMarked) != 0) mark_congestion(frame.bytes, view);
    if ((packet.flags & fabric::kTrimmed) != 0) {
        frame.bytes = frame.bytes.first(trim(frame.bytes, view, options_.trimmed_bytes));
        frame.offload = {};
    }
    if ((packet.flags & fabric::kCorrupted) != 0) {
        // The receiver must have a checksum to find it by.
        complete_checksum(frame.bytes, frame.offload);
        frame.offload = {};
        damage(frame.bytes, view, random_.next());
    }
}

void Emulator::put_out(int interface, std::uint32_t cargo, std::int64_t due) {
    if (socket_.full()) flush();
    const StoredFrame& frame = frames_[cargo];
    frames_.pin(cargo);
    socket_.queue(interface, frame.offload, frame.bytes);
    sending_.push_back(cargo);
    due_.push_back(due);
}

void Emulator::flush() {
    if (sending_.empty()) return;
    const std::int64_t before = wall();
    counts_.refused += socket_.flush();
    const std::int64_t after = wall();
    const auto count = static_cast<std::int64_t>(sending_.size());
    for (std::int64_t i = 0; i < count; ++i) {
        const auto at = static_cast<std::size_t>(i);
        // The batch goes out frame by frame between `before` and `after`.
        if (due_[at] != kAnyTime)
            lateness_.add(before + (after - before) * (i + 1) / count - due_[at]);
        counts_.bytes_out += frames_[sending_[at]].bytes.size();
        frames_.remove(sending_[at]);
    }
    counts_.frames_out += sending_.size();
    sending_.clear();
    due_.clear();
}

void Emulator::dropped(const Packet& packet, fabric::DropReason reason, Time) {
    ++counts_.dropped[static_cast<std::size_t>(reason)];
    horizon_.left(packet.cargo);
    frames_.remove(packet.cargo);
}

bool Emulator::duplicate(Packet& packet) {
    packet.cargo = frames_.duplicate(packet.cargo);
    horizon_.entered(packet.cargo, fabric_.now());
    return true;
}

void Emulator::run_program(fabric::NodeId node, wf_switch* program, fabric::P4Program::Run run,
                           fabric::P4Program::Outputs outputs) {
    auto made = std::make_unique<fabric::P4Program>(program, run, outputs, *this);
    fabric_.run_program(node, *made);
    programs_.push_back(std::move(made));
    ways_hold_ = false;
    horizon_.doubt();
}

std::span<const std::uint8_t> Emulator::read(const Packet& packet) {
    StoredFrame& frame = frames_[packet.cargo];
    complete_checksum(frame.bytes, frame.offload);
    frame.offload = {};
    mend(frame, packet);
    return frame.bytes;
}

bool Emulator::write(Packet& packet, std::span<const std::uint8_t> bytes, std::uint32_t copies) {
    if (bytes.size() < kEthernetHeader || bytes.size() > kLargestInside) return false;
    if (copies == 0) {
        frames_.rewrite(packet.cargo, bytes);
    } else {
        const HostId source = frames_[packet.cargo].source;
        packet.cargo = frames_.add(bytes, {}, source);
        horizon_.entered(packet.cargo, fabric_.now());
    }
    const FrameView view = parse(bytes);
    packet.size =
        static_cast<std::uint16_t>(std::max<std::size_t>(bytes.size(), kMinFrame) + kWireOverhead);
    packet.destination = neighbours_.destination(view).value_or(packet.destination);
    packet.entropy = view.entropy;
    packet.flags = static_cast<std::uint8_t>(packet.flags & ~kBefell);
    return true;
}

EmulatorReport Emulator::report() {
    EmulatorReport report = counts_;
    report.ring_drops = socket_.ring_drops();
    report.late_p50 = static_cast<std::uint64_t>(lateness_.quantile(0.50));
    report.late_p99 = static_cast<std::uint64_t>(lateness_.quantile(0.99));
    report.late_max = static_cast<std::uint64_t>(lateness_.max());
    report.cpu = static_cast<std::uint64_t>(clock_ns(CLOCK_THREAD_CPUTIME_ID));
    report.elapsed = static_cast<std::uint64_t>(wall());
    return report;
}

void Emulator::capture(fabric::PortId port, const std::string& path, std::uint32_t snap) {
    if (port >= fabric_.ports())
        throw std::invalid_argument("there is no port " + std::to_string(port));
    auto at = captures_.find(path);
    if (at == captures_.end()) at = captures_.emplace(path, Capture(path, snap)).first;
    captured_[port] = &at->second;
    fabric_.tap(port, true);
}

void Emulator::end_capture(const std::string& path) {
    const auto at = captures_.find(path);
    if (at == captures_.end()) return;
    for (auto port = captured_.begin(); port != captured_.end();) {
        if (port->second == &at->second) {
            fabric_.tap(port->first, false);
            port = captured_.erase(port);
        } else {
            ++port;
        }
    }
    captures_.erase(at);
}

// What is recorded is what a tap on the wire would see: checksums complete, marks and cuts made.
void Emulator::transmitted(fabric::PortId port, const Packet& packet, Time now) {
    const auto at = captured_.find(port);
    if (at == captured_.end()) return;
    const std::uint32_t copy = frames_.duplicate(packet.cargo);
    mend(frames_[copy], packet);
    complete_checksum(frames_[copy].bytes, frames_[copy].offload);
    at->second->write(frames_[copy].bytes, now / fabric::kNanosecond + origin_ + real_offset_);
    frames_.remove(copy);
}

}  // namespace weft::emulator
