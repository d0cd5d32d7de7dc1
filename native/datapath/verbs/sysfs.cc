#include "datapath/verbs/sysfs.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "datapath/error.h"
#include "datapath/verbs/libibverbs.h"

namespace weft::datapath::verbs {
namespace {

namespace fs = std::filesystem;

// RoCE packets carry up to this much besides the payload: GRH or IPv6 header, UDP, BTH, RETH,
// immediate, ICRC.
constexpr std::uint32_t kRoceOverhead = 40 + 8 + 12 + 16 + 4 + 4;

std::string first_line(const fs::path& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

long number(const std::string& text, long otherwise, int base = 10) {
    const std::size_t skip = base == 16 && text.starts_with("0x") ? 2 : 0;
    long value = 0;
    const auto [end, status] =
        std::from_chars(text.data() + skip, text.data() + text.size(), value, base);
    return status == std::errc() && end != text.data() + skip ? value : otherwise;
}

std::vector<fs::path> entries(const fs::path& folder) {
    std::vector<fs::path> paths;
    std::error_code error;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
        paths.push_back(it->path());
    }
    std::ranges::sort(paths, {}, [](const fs::path& path) {
        const std::string name = path.filename().string();
        return std::pair{number(name, 0), name};
    });
    return paths;
}

std::string link_name(const fs::path& link) {
    std::error_code error;
    const fs::path target = fs::read_symlink(link, error);
    return error ? "" : target.filename().string();
}

GidKind kind_of(const std::string& text, bool ethernet) {
    return text == "RoCE v2" ? GidKind::kRoceV2
           : ethernet        ? GidKind::kRoceV1
                             : GidKind::kInfiniBand;
}

std::vector<GidEntry> read_gids(const fs::path& port, bool ethernet) {
    std::vector<GidEntry> gids;
    for (const fs::path& file : entries(port / "gids")) {
        const std::string index = file.filename().string();
        GidEntry entry;
        if (number(index, -1) < 0 || number(index, -1) > 255 ||
            inet_pton(AF_INET6, first_line(file).c_str(), entry.gid.data()) != 1 ||
            std::ranges::all_of(entry.gid, [](std::uint8_t byte) { return byte == 0; })) {
            continue;
        }
        entry.index = static_cast<std::uint8_t>(number(index, 0));
        entry.kind = kind_of(first_line(port / "gid_attrs" / "types" / index), ethernet);
        entry.interface = first_line(port / "gid_attrs" / "ndevs" / index);
        gids.push_back(std::move(entry));
    }
    return gids;
}

std::uint32_t roce_mtu(const std::vector<GidEntry>& gids) {
    std::uint32_t mtu = 1024;
    for (const GidEntry& entry : gids) {
        if (!entry.interface.empty()) {
            const long bytes =
                number(first_line(fs::path("/sys/class/net") / entry.interface / "mtu"), 1500);
            mtu = 256;
            while (mtu < 4096 && 2 * mtu + kRoceOverhead <= static_cast<std::uint32_t>(bytes)) {
                mtu *= 2;
            }
            break;
        }
    }
    return mtu;
}

PortInfo read_port(const fs::path& folder) {
    PortInfo port;
    port.number = static_cast<std::uint8_t>(number(folder.filename().string(), 1));
    port.active = first_line(folder / "state").starts_with("4:");
    port.ethernet = first_line(folder / "link_layer") == "Ethernet";
    port.lid = static_cast<std::uint16_t>(number(first_line(folder / "lid"), 0, 16));
    port.gbit = std::strtod(first_line(folder / "rate").c_str(), nullptr);  // "100 Gb/sec (4X EDR)"
    port.gids = read_gids(folder, port.ethernet);
    port.mtu = port.ethernet ? roce_mtu(port.gids) : 2048;
    return port;
}

std::string escaped(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
        }
        out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
    return out;
}

std::string as_json(const std::string& text) {
    return "\"" + escaped(text) + "\"";
}

std::string json_of(const PortInfo& port) {
    std::string json = "{\"number\":" + std::to_string(port.number) +
                       ",\"active\":" + (port.active ? "true" : "false") +
                       ",\"link_layer\":" + (port.ethernet ? "\"Ethernet\"" : "\"InfiniBand\"") +
                       ",\"gbit\":" + std::to_string(port.gbit) +
                       ",\"mtu\":" + std::to_string(port.mtu) +
                       ",\"lid\":" + std::to_string(port.lid) + ",\"gids\":[";
    static constexpr const char* kKinds[] = {"IB", "RoCE v1", "RoCE v2"};
    for (const GidEntry& entry : port.gids) {
        json += json.back() == '[' ? "" : ",";
        json += "{\"index\":" + std::to_string(entry.index) + ",\"gid\":" + as_json(entry.text()) +
                ",\"type\":\"" + kKinds[static_cast<std::size_t>(entry.kind)] +
                "\",\"interface\":" + as_json(entry.interface) + "}";
    }
    return json + "]}";
}

}  // namespace

bool GidEntry::is_ipv4() const {
    return std::all_of(gid.begin(), gid.begin() + 10, [](std::uint8_t b) { return b == 0; }) &&
           gid[10] == 0xff && gid[11] == 0xff;
}

bool GidEntry::link_local() const {
    return gid[0] == 0xfe && (gid[1] & 0xc0) == 0x80;
}

std::string GidEntry::text() const {
    std::array<char, INET6_ADDRSTRLEN> text{};
    const bool v4 = is_ipv4();
    inet_ntop(v4 ? AF_INET : AF_INET6, gid.data() + (v4 ? 12 : 0), text.data(), text.size());
    return text.data();
}

const char* to_string(QpKind kind) {
    static constexpr const char* kNames[] = {"uc", "rc", "ud"};
    return kNames[static_cast<std::size_t>(kind)];
}

const char* to_string(WorkStatus status) {
    static constexpr const char* kNames[] = {"success", "flushed", "unreachable", "refused",
                                             "broken"};
    return kNames[static_cast<std::size_t>(status)];
}

std::vector<DeviceInfo> sysfs_devices(const std::string& root) {
    std::vector<DeviceInfo> devices;
    for (const fs::path& folder : entries(root)) {
        DeviceInfo device;
        device.name = folder.filename().string();
        device.driver = link_name(folder / "device" / "driver");
        device.pci = device.driver.empty() ? "" : link_name(folder / "device");
        device.numa_node =
            static_cast<int>(number(first_line(folder / "device" / "numa_node"), -1));
        for (const fs::path& port : entries(folder / "ports")) {
            device.ports.push_back(read_port(port));
        }
        devices.push_back(std::move(device));
    }
    return devices;
}

std::string devices_json() {
    std::string reason;
    try {
        load_libibverbs();
    } catch (const Error& error) {
        reason = error.info()->message;
    }
    std::string json = std::string("{\"library\":") + (reason.empty() ? "true" : "false") +
                       ",\"reason\":" + as_json(reason) + ",\"devices\":[";
    for (const DeviceInfo& device : sysfs_devices()) {
        json += json.back() == '[' ? "" : ",";
        json += "{\"name\":" + as_json(device.name) + ",\"driver\":" + as_json(device.driver) +
                ",\"pci\":" + as_json(device.pci) +
                ",\"numa_node\":" + std::to_string(device.numa_node) + ",\"ports\":[";
        for (const PortInfo& port : device.ports) {
            json += (json.back() == '[' ? "" : ",") + json_of(port);
        }
        json += "]}";
    }
    return json + "]}";
}

}  // namespace weft::datapath::verbs
