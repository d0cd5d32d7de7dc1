// UdpOptions from text.
#include "datapath/error.h"
#include "datapath/option_text.h"
#include "datapath/policies.h"
#include "datapath/udp/udp.h"

namespace weft::datapath {

using namespace option_text;  // NOLINT(google-build-using-namespace)

namespace {

constexpr const char* kKnown =
    "paths, sockets, port, mtu, buffer, checksum, gso, gro, link_gbit, burst, window, ack_every, "
    "ack_delay_us, rto_initial_us, rto_min_us, rto_max_us, attempts, path_timeouts, "
    "probe_interval_us, scheduler, congestion, recovery, scheduler.KNOB, "
    "congestion.KNOB, recovery.KNOB";

// Options of every connection that are whole numbers; true if `key` is one.
bool read_count(UdpOptions& options, const std::string& key, const std::string& value) {
    struct Count {
        const char* key;
        std::uint32_t UdpOptions::* member;
        std::uint32_t low, high;
    };
    static constexpr Count kCounts[] = {
        {"burst", &UdpOptions::burst, 1024, 64'000},
        {"window", &UdpOptions::window, 64, 4096},
        {"ack_every", &UdpOptions::ack_every, 1, 1024},
        {"attempts", &UdpOptions::attempts, 1, 255},
        {"path_timeouts", &UdpOptions::path_timeouts, 1, 255},
    };
    for (const Count& count : kCounts) {
        if (key != count.key) continue;
        options.*count.member = integer<std::uint32_t>(key, value, count.low, count.high);
        return true;
    }
    return false;
}

// The same for times.
bool read_time(UdpOptions& options, const std::string& key, const std::string& value) {
    struct Duration {
        const char* key;
        Time UdpOptions::* member;
        Time high;  // us: what transport::Config takes
    };
    static constexpr Duration kDurations[] = {
        {"ack_delay_us", &UdpOptions::ack_delay, 1'000'000},
        {"rto_initial_us", &UdpOptions::rto_initial, 2'000'000},
        {"rto_min_us", &UdpOptions::rto_min, 1'000'000},
        {"rto_max_us", &UdpOptions::rto_max, 2'000'000},
        {"probe_interval_us", &UdpOptions::probe_interval, 10'000'000},
    };
    for (const Duration& duration : kDurations) {
        if (key != duration.key) continue;
        options.*duration.member = 1000 * integer<Time>(key, value, 1, duration.high);
        return true;
    }
    return false;
}

}  // namespace

UdpOptions UdpOptions::parse(const std::map<std::string, std::string>& pairs,
                             std::string_view interfaces) {
    UdpOptions options;
    options.interfaces = split(interfaces);
    transport::PolicyChange policies;
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
        } else if (!read_count(options, key, value) && !read_time(options, key, value) &&
                   !take_policy(policies, key, value)) {
            throw Error(WEFT_ERR_INVALID,
                        "unknown transport option '" + key + "'; known are: " + kKnown);
        }
    }
    choose(options, policies);
    return options;
}

}  // namespace weft::datapath
