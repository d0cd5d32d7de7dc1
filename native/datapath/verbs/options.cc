// VerbsOptions from text, and what is out of range.
#include <algorithm>

#include "datapath/option_text.h"
#include "datapath/udp/udp.h"
#include "datapath/verbs/verbs.h"

namespace weft::datapath {

using namespace option_text;  // NOLINT(google-build-using-namespace)

namespace {

constexpr std::string_view kOurs = "verbs.";
constexpr const char* kKnown =
    "verbs.mode, verbs.devices, verbs.gid, verbs.traffic_class, verbs.service_level, "
    "verbs.hop_limit, verbs.mtu, verbs.chunk, verbs.buffers, verbs.controls, verbs.mr_cache, "
    "verbs.rc_timeout, verbs.rc_retries";

std::string one_of(const std::string& key, const std::string& value,
                   std::initializer_list<const char*> choices) {
    std::string all;
    for (const char* choice : choices) {
        if (value == choice) {
            return value;
        }
        all += (all.empty() ? "" : ", ") + std::string(choice);
    }
    refuse(key, value, "one of " + all);
}

std::string gid_of(const std::string& key, const std::string& value) {
    const bool index =
        !value.empty() && std::ranges::all_of(value, [](char c) { return c >= '0' && c <= '9'; });
    return index ? std::to_string(integer<std::uint16_t>(key, value, 0, 255))
                 : one_of(key, value, {"auto", "ipv4", "ipv6"});
}

void take_ours(VerbsOptions& options, const std::string& key, const std::string& value) {
    const std::string_view name = std::string_view(key).substr(kOurs.size());
    if (name == "mode") {
        options.mode = one_of(key, value, {"auto", "uc", "rc", "ud"});
    } else if (name == "devices") {
        options.devices = split(value, '+');
    } else if (name == "gid") {
        options.gid = gid_of(key, value);
    } else if (name == "traffic_class") {
        options.traffic_class =
            static_cast<std::uint8_t>(integer<std::uint16_t>(key, value, 0, 255));
    } else if (name == "service_level") {
        options.service_level =
            static_cast<std::uint8_t>(integer<std::uint16_t>(key, value, 0, 15));
    } else if (name == "hop_limit") {
        options.hop_limit = static_cast<std::uint8_t>(integer<std::uint16_t>(key, value, 1, 255));
    } else if (name == "mtu") {
        one_of(key, value, {"1024", "2048", "4096"});
        options.mtu = integer<std::uint32_t>(key, value, 1024, 4096);
    } else if (name == "chunk") {
        options.chunk = integer<std::uint32_t>(key, value, 1024, 1 << 20);
    } else if (name == "buffers") {
        options.buffers = integer<std::uint32_t>(key, value, 64, 16384);
    } else if (name == "controls") {
        options.controls = integer<std::uint16_t>(key, value, 1, 8);
    } else if (name == "mr_cache") {
        options.mr_cache =
            static_cast<std::size_t>(integer<std::int64_t>(key, value, 0, std::int64_t{1} << 42));
    } else if (name == "rc_timeout") {
        options.rc_timeout = integer<std::uint32_t>(key, value, 1, 31);
    } else if (name == "rc_retries") {
        options.rc_retries = integer<std::uint32_t>(key, value, 0, 7);
    } else {
        throw Error(WEFT_ERR_INVALID,
                    "unknown transport option '" + key + "'; known are: " + kKnown);
    }
}

}  // namespace

VerbsOptions VerbsOptions::parse(const std::map<std::string, std::string>& pairs,
                                 std::string_view interfaces) {
    VerbsOptions options;
    options.interfaces = split(interfaces);
    std::map<std::string, std::string> others;
    for (const auto& [key, value] : pairs) {
        if (key.starts_with(kOurs)) {
            take_ours(options, key, value);
        } else if (key == "paths") {
            options.paths = integer<std::uint16_t>(key, value, 1, 256);
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
        } else if (const auto scheduler = knob(key, "scheduler"); !scheduler.empty()) {
            options.scheduler_parameters.emplace_back(scheduler, real(key, value));
        } else if (const auto congestion = knob(key, "congestion"); !congestion.empty()) {
            options.congestion_parameters.emplace_back(congestion, real(key, value));
        } else if (const auto recovery = knob(key, "recovery"); !recovery.empty()) {
            options.recovery_parameters.emplace_back(recovery, real(key, value));
        } else if (key.find('.') == std::string::npos) {
            others.emplace(key, value);
        }
    }
    UdpOptions::parse(others);  // keys that are not ours are UDP's, or nobody's
    return options;
}

std::map<std::string, std::string> VerbsOptions::without(std::map<std::string, std::string> pairs) {
    std::erase_if(pairs, [](const auto& pair) { return pair.first.starts_with(kOurs); });
    return pairs;
}

}  // namespace weft::datapath
