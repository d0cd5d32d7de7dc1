#include "nccl/devices.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>

#include "datapath/udp/interfaces.h"
#include "datapath/udp/udp.h"
#include "datapath/xdp/xdp.h"
#include "nccl/log.h"
#include "wire/siphash.h"

namespace weft::nccl {
namespace {

constexpr int kUnknownSpeed = 10'000;  // Mbit/s; what NCCL itself assumes of sockets

std::uint64_t guid_of(const std::string& text) {
    constexpr std::array<std::uint8_t, 16> kKey{'w', 'e', 'f', 't', ' ', 'n', 'c', 'c', 'l'};
    return wire::siphash(kKey, {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

int speed_of(const std::string& interface) {
    int speed = 0;
    std::ifstream("/sys/class/net/" + interface + "/speed") >> speed;
    return speed > 0 ? speed : kUnknownSpeed;
}

// NCCL places a device in its topology by the PCI device's folder.
std::string pci_path_of(const std::string& interface) {
    std::error_code error;
    const auto path = std::filesystem::canonical("/sys/class/net/" + interface + "/device", error);
    return error || path.string().find("/pci") == std::string::npos ? "" : path.string();
}

std::string address_of(const datapath::udp::Interface& interface) {
    char text[INET6_ADDRSTRLEN] = "";
    inet_ntop(interface.address.family(), interface.address.ip().data(), text, sizeof text);
    return text;
}

bool is_loopback(const datapath::udp::Interface& interface) {
    return interface.address.is_loopback();
}

}  // namespace

// Never destroyed: NCCL's threads may still call when a process ends in the middle of something.
Devices& Devices::all() {
    static Devices* const devices = new Devices;
    return *devices;
}

void Devices::find() {
    if (!devices_.empty()) {
        return;
    }
    const auto options = engine::ContextOptions::from(nullptr);
    const std::string datapaths = "," + options.datapaths + ",";
    if (datapaths.find(",udp,") != std::string::npos ||
        datapaths.find(",xdp,") != std::string::npos) {
        const auto udp = datapath::UdpOptions::parse(
            datapath::XdpOptions::without(options.transport), options.interfaces);
        auto usable = datapath::udp::usable_interfaces(udp.interfaces);
        if (udp.interfaces.empty() && !std::ranges::all_of(usable, is_loopback)) {
            std::erase_if(usable, is_loopback);
        }
        for (const auto& interface : usable) {
            const auto known = std::ranges::find(devices_, "weft:" + interface.name, &Device::name);
            if (known != devices_.end()) {
                known->interfaces += "," + address_of(interface);
                continue;
            }
            devices_.push_back({.name = "weft:" + interface.name,
                                .interfaces = address_of(interface),
                                .pci_path = pci_path_of(interface.name),
                                .guid = guid_of(interface.name),
                                .speed = speed_of(interface.name),
                                .parts = {static_cast<int>(devices_.size())},
                                .contexts = {}});
        }
    }
    if (devices_.empty()) {
        devices_.push_back({.name = "weft:" + options.datapaths,
                            .interfaces = options.interfaces,
                            .pci_path = "",
                            .guid = guid_of(options.datapaths),
                            .speed = kUnknownSpeed,
                            .parts = {0},
                            .contexts = {}});
    }
}

Device& Devices::checked(int index) {
    find();
    if (index < 0 || static_cast<std::size_t>(index) >= devices_.size()) {
        throw Error(WEFT_ERR_INVALID, "there is no device " + std::to_string(index) +
                                          ", only 0 to " + std::to_string(devices_.size() - 1));
    }
    return devices_[static_cast<std::size_t>(index)];
}

int Devices::count() {
    const std::lock_guard guard(lock_);
    find();
    return static_cast<int>(devices_.size());
}

const Device& Devices::at(int index) {
    const std::lock_guard guard(lock_);
    return checked(index);
}

int Devices::join(const int* parts, int count) {
    const std::lock_guard guard(lock_);
    find();
    need(count > 0, "a virtual device needs at least one part");
    Device joined{.name = "weft", .interfaces = "", .pci_path = "", .parts = {}, .contexts = {}};
    for (int i = 0; i < count; ++i) {
        const Device& part = checked(parts[i]);
        need(part.parts == std::vector{parts[i]}, "a part of a virtual device is virtual itself");
        need(std::ranges::find(joined.parts, parts[i]) == joined.parts.end(),
             "a virtual device has the same part twice");
        joined.name += (i == 0 ? ":" : "+") + part.name.substr(part.name.find(':') + 1);
        joined.interfaces += (i == 0 ? "" : ",") + part.interfaces;
        joined.pci_path = i == 0 ? part.pci_path : joined.pci_path;
        joined.speed += part.speed;
        joined.parts.push_back(parts[i]);
    }
    joined.guid = guid_of(joined.name);
    const auto same = std::ranges::find_if(devices_, [&](const Device& device) {
        return device.parts == joined.parts && device.guid == joined.guid;
    });
    if (same != devices_.end()) {
        return static_cast<int>(same - devices_.begin());
    }
    if (devices_.size() >= kMostDevices) {
        throw Error(WEFT_ERR_RESOURCES, "too many virtual devices");
    }
    devices_.push_back(std::move(joined));
    return static_cast<int>(devices_.size()) - 1;
}

std::shared_ptr<engine::Context> Devices::context(int index, Role role) {
    const std::lock_guard guard(lock_);
    Device& device = checked(index);
    auto& slot = device.contexts[static_cast<std::size_t>(role)];
    auto context = slot.lock();
    if (context == nullptr || context->engine().abandoned()) {
        auto options = engine::ContextOptions::from(nullptr);
        options.interfaces = device.interfaces;
        context = std::make_shared<engine::Context>(std::move(options));
        slot = context;
    }
    return context;
}

}  // namespace weft::nccl
