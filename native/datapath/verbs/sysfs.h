// What the kernel says of RDMA devices in /sys/class/infiniband: names, ports, GIDs with their
// kinds, speed, MTU, NUMA node. Readable without libibverbs and without opening a device.
#pragma once

#include <string>
#include <vector>

#include "datapath/verbs/provider.h"

namespace weft::datapath::verbs {

inline constexpr const char* kSysfsInfiniBand = "/sys/class/infiniband";

// Devices in order of their names; empty when there are none. The MTU of a RoCE port is that of its
// network interface, rounded down to one that RDMA knows (256 .. 4096).
std::vector<DeviceInfo> sysfs_devices(const std::string& root = kSysfsInfiniBand);

// {"library":true,"reason":"","devices":[{"name":...,"ports":[{"gids":[...]}]}]}: what there is,
// and why it cannot be used if it cannot.
std::string devices_json();

}  // namespace weft::datapath::verbs
