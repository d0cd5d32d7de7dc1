// What is done to the devices of a fabric from outside: ports, hostile bytes, deafness.
#include "fake_fabric.h"

#include "fake_provider.h"

namespace weft::datapath::verbs::test {

void Fabric::inject_immediate(std::uint32_t immediate, std::size_t which) {
    std::vector<FakePair*> lanes;
    for (const auto& [number, pair] : pairs) {
        if (pair->kind() != QpKind::kUd) {
            lanes.push_back(pair);
        }
    }
    if (!lanes.empty()) {
        SendWork work;
        work.operation = Operation::kWriteImm;
        work.immediate = immediate;
        lanes[which % lanes.size()]->receive(work, {});
    }
}

void Fabric::deafen(std::size_t count) {
    for (const auto& [number, pair] : pairs) {
        if (pair->kind() != QpKind::kUd && count > 0) {
            pair->deaf = true;
            --count;
        }
    }
}

std::size_t Fabric::deaf() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(pairs, [](const auto& entry) { return entry.second->deaf; }));
}

void Fabric::inject_datagram(const std::vector<std::byte>& bytes) {
    for (const auto& [number, pair] : pairs) {
        if (pair->kind() == QpKind::kUd) {
            pair->receive({}, bytes);
        }
    }
}

void Fabric::set_port(const std::string& device, bool up) {
    devices.at(device)->up = up;
    devices.at(device)->tell(
        {up ? DeviceEvent::Kind::kPortUp : DeviceEvent::Kind::kPortDown, 1, 0});
}

}  // namespace weft::datapath::verbs::test
