// What NCCL may choose from: one device per network interface that Weft's UDP uses, or one in all
// where only shared memory is on; and the virtual ones that NCCL makes by joining some of them,
// whose connections are striped over all their interfaces.
//
// A device has two contexts, one that calls and one that is called, so that an edge has a
// direction and a process can be connected to itself (NCCL does that among the GPUs of one
// process). They exist as long as a listener, a connection or an attempt at one uses them.
#pragma once

#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/context.h"
#include "nccl/abi.h"

namespace weft::nccl {

constexpr int kMostDevices = 256;  // real and virtual
constexpr int kMostReceives = 8;   // grouped into one request

enum class Role { kCalls = 0, kCalled = 1 };

struct Device {
    std::string name;
    std::string interfaces;  // their addresses, comma-separated
    std::string pci_path;    // empty: not a PCI device
    std::uint64_t guid = 0;
    int speed = 0;           // Mbit/s
    std::vector<int> parts;  // of a virtual device; a real one has itself
    std::weak_ptr<engine::Context> contexts[2];
};

class Devices {
  public:
    static Devices& all();

    int count();
    // Throws Error(INVALID). The reference lives as long as the process.
    const Device& at(int index);
    // The index of the device that joins these; the same one for the same parts.
    int join(const int* parts, int count);
    std::shared_ptr<engine::Context> context(int index, Role role);

  private:
    Devices() = default;
    void find();  // once, under the lock
    Device& checked(int index);

    std::mutex lock_;
    std::deque<Device> devices_;  // whose elements stay where they are
};

}  // namespace weft::nccl
