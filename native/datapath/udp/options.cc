// UdpOptions from text.
#include "datapath/error.h"
#include "datapath/option_text.h"
#include "datapath/udp/udp.h"

namespace weft::datapath {
namespace {

constexpr const char* kKnown =
    "paths, sockets, port, mtu, buffer, checksum, gso, gro, link_gbit, scheduler, congestion, "
    "recovery, "
    "scheduler.KNOB, "
    "congestion.KNOB, recovery.KNOB";

}  // namespace

using namespace option_text;  // NOLINT(google-build-using-namespace)

UdpOptions UdpOptions::parse(const std::map<std::string, std::string>& pairs,
                             std::string_view interfaces) {
    UdpOptions options;
    options.interfaces = split(interfaces);
    for (const auto& [key, value] : pairs) {
        if (key == "paths") {
            options.paths = integer<std::uint16_t>(key, value, 1, 256);
        } else if (key == "sockets") {
            options.sockets = integer<std::uint16_t>(key, value, 0, 64);
        } else if (key == "port") {
            options.port = integer<std::uint16_t>(key, value, 0, 65535);
        } else if (key == "mtu") {
            options.mtu = integer<std::uint32_t>(key, value, 1280, 65535);
        } else if (key == "buffer") {
            options.buffer = integer<std::uint32_t>(key, value, 1 << 16, 1 << 30);
        } else if (key == "checksum") {
            options.checksum = choice(key, value, "none", "crc32c");
        } else if (key == "gso") {
            options.gso = choice(key, value, "off", "on");
        } else if (key == "gro") {
            options.gro = choice(key, value, "off", "on");
        } else if (key == "link_gbit") {
            options.link_gbit = real(key, value);
            if (options.link_gbit < 0 || options.link_gbit > 1e5) {
                refuse(key, value, "a rate from 0 (not known) to 100000 Gbit/s");
            }
        } else if (key == "scheduler") {
            options.scheduler = value;
        } else if (key == "congestion") {
            options.congestion = value;
        } else if (key == "recovery") {
            options.recovery = value;
        } else if (const auto name = knob(key, "scheduler"); !name.empty()) {
            options.scheduler_parameters.emplace_back(name, real(key, value));
        } else if (const auto name = knob(key, "congestion"); !name.empty()) {
            options.congestion_parameters.emplace_back(name, real(key, value));
        } else if (const auto name = knob(key, "recovery"); !name.empty()) {
            options.recovery_parameters.emplace_back(name, real(key, value));
        } else {
            throw Error(WEFT_ERR_INVALID,
                        "unknown transport option '" + key + "'; known are: " + kKnown);
        }
    }
    return options;
}

}  // namespace weft::datapath
