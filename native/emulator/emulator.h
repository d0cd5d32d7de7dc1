// The fabric model between real hosts: frames in, through the model by the wall clock, frames out.
//
// The model's time is when things should happen. A frame enters at the time at which the kernel
// stamped it and leaves the model at the time that rates, queues and delays give it; the emulator
// then puts it out as soon as it can. The difference is its lateness: a delay that the
// model did not ask for, kept for every frame, so that no result has to be trusted blindly.
//
// One thread runs run(); every other call of another thread goes through call(). It sleeps until
// something may leave (horizon.h); shortly before that it spins, because timers are late
// (spin_window.h).
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "emulator/capture.h"
#include "emulator/frame_store.h"
#include "emulator/horizon.h"
#include "emulator/lateness.h"
#include "emulator/neighbours.h"
#include "emulator/packet_socket.h"
#include "emulator/spin_window.h"
#include "fabric/fabric.h"
#include "fabric/p4_program.h"

namespace weft::emulator {

// Where a host is joined to the fabric: an interface of the emulator's network namespace.
struct EdgePort {
    int interface = 0;
    Mac mac{};
    std::uint32_t ipv4 = 0;  // host byte order
    Ipv6 ipv6{};
};

struct EmulatorOptions {
    fabric::FabricOptions fabric;
    std::size_t frame_size = 1514;  // largest frame, bytes; with trains the largest train
    std::size_t ring_frames = 4096;
    std::uint16_t trimmed_bytes = 128;               // of a frame that is trimmed
    fabric::Time spin = 200 * fabric::kMicrosecond;  // before a departure, at most
};

// Counts since the start. Times in nanoseconds.
struct EmulatorReport {
    std::uint64_t frames_in = 0;
    std::uint64_t frames_out = 0;
    std::uint64_t bytes_out = 0;
    std::uint64_t strangers = 0;  // frames for nobody here: group addresses, unknown destinations
    std::array<std::uint64_t, 4> dropped{};  // by fabric::DropReason
    std::uint64_t refused = 0;               // by the kernel on the way out
    std::uint64_t ring_drops = 0;            // by the kernel on the way in: the ring was full
    std::uint64_t late_p50 = 0;
    std::uint64_t late_p99 = 0;
    std::uint64_t late_max = 0;
    std::uint64_t cpu = 0;      // of the thread
    std::uint64_t elapsed = 0;  // since run() began
};

class Emulator final : public fabric::Edge, public fabric::Frames {
  public:
    // `ports[h]` is where host h is. Opens its socket in the calling thread's network namespace.
    // Throws TopologyError, std::invalid_argument (an address twice) or std::system_error.
    Emulator(fabric::Topology topology, const EmulatorOptions& options,
             const std::vector<EdgePort>& ports);
    ~Emulator();
    Emulator(const Emulator&) = delete;
    Emulator& operator=(const Emulator&) = delete;

    // Runs the fabric until stop(). Once only.
    void run();
    void stop();

    // Does `work` on the thread of run(), between two events, and returns when it is done: waits
    // for run() to begin. Its exceptions come out here; std::runtime_error once run() has ended.
    void call(const std::function<void()>& work);

    // For work inside call().
    fabric::Fabric& fabric() { return fabric_; }
    void schedule(const fabric::Cue& cue);  // TopologyError: see Fabric::schedule()
    EmulatorReport report();
    // Records what crosses a port from now on; the same path for several ports is one file.
    void capture(fabric::PortId port, const std::string& path, std::uint32_t snap);
    void end_capture(const std::string& path);
    // From now on a compiled P4 program, which must outlive the emulator, decides at this switch.
    // From now on, too, frames for addresses that no host has enter the fabric.
    void run_program(fabric::NodeId node, wf_switch* program, fabric::P4Program::Run run,
                     fabric::P4Program::Outputs outputs);

    // Edge, called by the fabric.
    void deliver(fabric::HostId host, const fabric::Packet& packet, fabric::Time now) override;
    void dropped(const fabric::Packet& packet, fabric::DropReason reason,
                 fabric::Time now) override;
    void egress_ready(fabric::HostId, fabric::Time) override {}
    void wake(std::uint32_t, fabric::Time) override {}
    void transmitted(fabric::PortId port, const fabric::Packet& packet, fabric::Time now) override;
    bool duplicate(fabric::Packet& packet) override;

    // Frames, for P4 programs: what befell the packet so far is in the bytes that they see.
    std::span<const std::uint8_t> read(const fabric::Packet& packet) override;
    bool write(fabric::Packet& packet, std::span<const std::uint8_t> bytes,
               std::uint32_t copies) override;

  private:
    struct Work {
        const std::function<void()>* function;
        std::exception_ptr error;
        bool done = false;
    };

    std::int64_t wall() const;  // ns since run() began
    void learn_offset();
    fabric::Time model_time(std::int64_t stamp) const;
    bool drain();
    bool accept(const Received& received);  // whether its place in the ring is taken
    void answer(int interface, const std::vector<std::uint8_t>& reply);
    void put_out(int interface, std::uint32_t cargo, std::int64_t due);
    void flush();
    void mend(StoredFrame& frame, const fabric::Packet& packet);
    void run_work();  // under mutex_
    void rest();
    void enter(fabric::HostId source, const fabric::Packet& packet);
    void watch(std::int64_t since, std::int64_t due);
    void sleep(std::int64_t until);

    EmulatorOptions options_;
    Neighbours neighbours_;
    std::vector<int> interfaces_;               // [host]
    std::vector<fabric::HostId> at_interface_;  // [interface number]; kNobody
    PacketSocket socket_;
    FrameStore frames_;
    fabric::Fabric fabric_;
    fabric::Random random_;
    std::vector<std::unique_ptr<fabric::P4Program>> programs_;

    std::vector<std::uint32_t> sending_;  // cargo of the frames in the socket's batch
    std::vector<std::int64_t> due_;       // and when they should have left, ns; negative: any time
    Lateness lateness_;
    ShortestWays ways_;
    bool ways_hold_ = true;  // until links change, or programs decide where packets go
    Horizon horizon_;
    SpinWindow spin_window_;
    EmulatorReport counts_;
    std::map<std::string, Capture> captures_;
    std::map<fabric::PortId, Capture*> captured_;

    std::int64_t origin_ = 0;       // CLOCK_MONOTONIC when run() began, ns
    std::int64_t real_offset_ = 0;  // CLOCK_REALTIME - CLOCK_MONOTONIC, ns

    int doorbell_ = -1;  // eventfd
    std::atomic<bool> stopping_{false};
    std::atomic<bool> has_work_{false};
    std::mutex mutex_;  // protects work_, ended_ and what a Work holds
    std::condition_variable worked_;
    std::vector<Work*> work_;
    bool ended_ = false;
};

}  // namespace weft::emulator
