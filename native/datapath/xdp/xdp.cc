// The door: options from text, and a UDP core with another carrier.
#include "datapath/xdp/xdp.h"

#include <charconv>

#include "datapath/error.h"
#include "datapath/udp/core.h"
#include "datapath/xdp/carrier.h"

namespace weft::datapath {

XdpOptions XdpOptions::parse(const std::map<std::string, std::string>& pairs,
                             std::string_view interfaces) {
    const auto refuse = [](const std::string& key, const std::string& value, const char* wanted) {
        throw Error(WEFT_ERR_INVALID,
                    "transport option " + key + "=" + value + ": must be " + wanted);
    };
    XdpOptions options;
    for (const auto& [key, value] : pairs) {
        if (key == "xdp.mode") {
            if (value == "auto") {
                options.mode = Mode::kAuto;
            } else if (value == "zero_copy") {
                options.mode = Mode::kZeroCopy;
            } else if (value == "copy") {
                options.mode = Mode::kCopy;
            } else if (value == "generic") {
                options.mode = Mode::kGeneric;
            } else {
                refuse(key, value, "auto, zero_copy, copy or generic");
            }
        } else if (key == "xdp.queues") {
            const char* const end = value.data() + value.size();
            const auto [at, error] = std::from_chars(value.data(), end, options.queues);
            if (error != std::errc() || at != end || options.queues > 64) {
                refuse(key, value, "a whole number from 0 (all) to 64");
            }
        } else if (key.starts_with("xdp.")) {
            throw Error(WEFT_ERR_INVALID, "unknown transport option '" + key +
                                              "'; of xdp there are: xdp.mode, xdp.queues");
        }
    }
    options.udp = UdpOptions::parse(without(pairs), interfaces);
    return options;
}

std::map<std::string, std::string> XdpOptions::without(std::map<std::string, std::string> pairs) {
    std::erase_if(pairs, [](const auto& pair) { return pair.first.starts_with("xdp."); });
    return pairs;
}

XdpDatapath::XdpDatapath(const Identity& identity, Acceptor& acceptor, XdpOptions options)
    : UdpDatapath(std::make_shared<udp::Core>(
          identity, acceptor, options.udp, [&options](const UdpOptions&) {
              return std::make_unique<xdp::XdpCarrier>(
                  options, udp::usable_interfaces(options.udp.interfaces));
          })) {}

}  // namespace weft::datapath
