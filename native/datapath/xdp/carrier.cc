#include "datapath/xdp/carrier.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <ctime>

#include "datapath/error.h"
#include "datapath/json.h"

namespace weft::datapath::xdp {
namespace {

constexpr std::uint32_t kMostQueues = 8;        // unless more are asked for
constexpr std::size_t kPacketsPerRound = 64;    // read from one queue
constexpr std::int64_t kLookInterval = 50'000;  // at the kernel's sockets while nothing comes there
constexpr std::int64_t kRouteLife = 1'000'000'000;
constexpr std::int64_t kFirstPatience = 500'000;
constexpr std::int64_t kMostPatience = 100'000'000;
constexpr std::int64_t kLongestWait = 1'000'000'000;  // older stamps are not stamps
constexpr std::size_t kMostRoutes = 65'536;

std::int64_t clock_now() noexcept {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

std::uint32_t frames_for(std::uint32_t buffer) {
    return std::clamp(std::bit_floor(buffer / kFrameSize), 64u, 1u << 15);
}

}  // namespace

XdpCarrier::XdpCarrier(const XdpOptions& options, const std::vector<udp::Interface>& interfaces)
    : Carrier(options.udp, interfaces), verify_(!options.udp.checksum) {
    const auto& ours = local();
    for (std::size_t i = 0; i < ours.size(); ++i) {
        if (ours[i].address.is_loopback()) {
            continue;
        }
        auto device = std::ranges::find(devices_, interfaces[i].index, &Device::interface);
        if (device == devices_.end()) {
            devices_.push_back({});
            device = devices_.end() - 1;
            device->name = interfaces[i].name;
            device->interface = interfaces[i].index;
            device->mtu = interfaces[i].mtu;
        }
        for (std::size_t k = 0; k < sockets_per_address(); ++k) {
            device->sockets.push_back(&socket(i, k));
        }
    }
    if (devices_.empty()) {
        throw Error(WEFT_ERR_UNSUPPORTED,
                    "xdp: no network device but loopback has an address here, and AF_XDP has "
                    "nothing to do on loopback: take the shm or udp datapath");
    }
    for (Device& device : devices_) {
        std::vector<udp::LocalAddress> addresses;
        std::uint8_t number = 0;
        for (std::size_t i = 0; i < ours.size(); ++i) {
            if (interfaces[i].index == device.interface) {
                addresses.push_back(ours[i]);
                number = ours[i].device;
            }
        }
        open(device, options, addresses);
        limit_mtu(number, device.mtu);
        for (const auto& queue : device.queues) {
            watch(queue->fd());
        }
    }
}

// Tries the modes that are asked for, best first. A mode is the program's place and a way to bind.
void XdpCarrier::open(Device& device, const XdpOptions& options,
                      std::span<const udp::LocalAddress> addresses) {
    using Mode = XdpOptions::Mode;
    const auto address = hardware_address(device.name);
    if (!address) {
        throw Error(WEFT_ERR_UNSUPPORTED,
                    "xdp: device " + device.name +
                        " is no Ethernet device; name others with the `interfaces` option");
    }
    device.address = *address;
    const std::uint32_t there = queue_count(device.name);
    const std::uint32_t count =
        options.queues == 0 ? std::min(there, kMostQueues) : std::uint32_t{options.queues};
    if (count > there) {
        throw Error(WEFT_ERR_INVALID, "transport option xdp.queues=" + std::to_string(count) +
                                          ": device " + device.name + " has " +
                                          std::to_string(there));
    }
    QueueSettings settings{.device = device.name,
                           .interface = device.interface,
                           .queue = 0,
                           .frames = frames_for(options.udp.buffer)};
    // Refused early where AF_XDP is not to be had at all, whatever the mode.
    device.program = std::make_unique<Program>(device.name, addresses, count);
    device.native =
        options.mode != Mode::kGeneric && device.program->attach(device.interface, true);
    if (!device.native) {
        if (options.mode == Mode::kZeroCopy || options.mode == Mode::kCopy) {
            throw Error(WEFT_ERR_UNSUPPORTED,
                        "xdp: the driver of device " + device.name +
                            " runs no XDP programs (or not with these settings of the device: "
                            "MTU, queues, offloads); take xdp.mode=auto or generic");
        }
        if (!device.program->attach(device.interface, false)) {
            throw Error(WEFT_ERR_UNSUPPORTED, "xdp: device " + device.name +
                                                  " takes no XDP program: name others with the "
                                                  "`interfaces` option");
        }
    }
    const std::uint32_t wanted =
        std::min(device.mtu, options.udp.mtu != 0 ? options.udp.mtu : device.mtu);
    const bool jumbo = wanted + kEthernetHeader > kReceiveRoom;
    struct Try {
        bool zero_copy, several;
    };
    std::vector<Try> tries;
    if (device.native && (options.mode == Mode::kAuto || options.mode == Mode::kZeroCopy)) {
        tries.push_back({true, jumbo});
        if (jumbo) {
            tries.push_back({true, false});
        }
    }
    if (options.mode != Mode::kZeroCopy) {
        tries.push_back({false, jumbo});
        if (jumbo) {
            tries.push_back({false, false});
        }
    }
    for (std::size_t i = 0; i < tries.size(); ++i) {
        try {
            settings.zero_copy = tries[i].zero_copy;
            settings.several = tries[i].several;
            device.queues.clear();
            for (settings.queue = 0; settings.queue < count; ++settings.queue) {
                device.queues.push_back(std::make_unique<Queue>(settings));
            }
            break;
        } catch (const Error& error) {
            if (i + 1 == tries.size() || error.info()->status != WEFT_ERR_UNSUPPORTED) {
                throw;
            }
        }
    }
    device.zero_copy = settings.zero_copy;
    device.several = settings.several;
    if (!device.several) {
        device.mtu = std::min<std::uint32_t>(device.mtu, kReceiveRoom - kEthernetHeader);
    }
    for (std::uint32_t i = 0; i < count; ++i) {
        device.program->steer(i, device.queues[i]->fd());
    }
}

void XdpCarrier::close() noexcept {
    last_route_ = nullptr;
    routes_.clear();
    crowded_ = rings_wait_ = false;
    devices_.clear();
    Carrier::close();
}

// One queue may get all that comes, and a frame holds one packet, however small.
std::uint64_t XdpCarrier::window_bytes() const noexcept {
    std::uint64_t least = Carrier::window_bytes();
    for (std::size_t i = 0; i < devices_.size(); ++i) {
        const std::uint64_t packet = devices_[i].mtu + kEthernetHeader;
        const std::uint64_t pieces = (packet + kReceiveRoom - 1) / kReceiveRoom;
        least = std::min(least, devices_[i].queues.front()->frames() / pieces * packet);
    }
    return least;
}

// ---------------------------------------------------------------- routes

std::size_t XdpCarrier::Hash::operator()(const Key& key) const noexcept {
    std::size_t mixed = reinterpret_cast<std::uintptr_t>(key.socket) ^
                        (std::size_t{key.to.port()} * 0x9E3779B97F4A7C15u);
    for (const std::uint8_t byte : key.to.ip()) {
        mixed = (mixed ^ byte) * 0x100000001B3u;  // FNV-1a
    }
    return mixed;
}

XdpCarrier::Route& XdpCarrier::route(const udp::Socket& socket, const Endpoint& to) noexcept {
    if (last_route_ == nullptr || last_key_.socket != &socket || !(last_key_.to == to)) {
        if (routes_.size() >= kMostRoutes) {
            routes_.clear();  // whoever is still there is found again
        }
        last_key_ = {&socket, to};
        last_route_ = &routes_[last_key_];
    }
    return *last_route_;
}

void XdpCarrier::resolve(Route& route, const Key& key) noexcept {
    route.queue = nullptr;
    const auto hop = key.to.is_loopback() ? std::nullopt : table_.find(key.socket->local(), key.to);
    const auto device =
        hop ? std::ranges::find(devices_, hop->interface, &Device::interface) : devices_.end();
    if (device == devices_.end()) {
        route.patience = std::clamp(2 * route.patience, kFirstPatience, kMostPatience);
        route.good_until = now_ + route.patience;
        return;
    }
    // Sockets are dealt out over the queues, so that an edge's paths use them all.
    const auto mine = std::ranges::find(device->sockets, key.socket) - device->sockets.begin();
    route.queue = device->queues[static_cast<std::size_t>(mine) % device->queues.size()].get();
    route.queue->retry();
    route.envelope = Envelope(device->address, hop->address, key.socket->local(), key.to);
    route.room = device->mtu + kEthernetHeader - route.envelope.size();
    route.patience = 0;
    route.good_until = now_ + kRouteLife;
}

// ---------------------------------------------------------------- sending

std::span<std::uint8_t> XdpCarrier::header() noexcept {
    scratch_ = crowded_ ? std::span<std::uint8_t>{} : Carrier::header();
    return scratch_;
}

void XdpCarrier::add(udp::Socket& socket, const Endpoint& to, std::size_t header_size,
                     std::span<const std::byte> payload) noexcept {
    Route& way = route(socket, to);
    if (now_ >= way.good_until) {
        // By the kernel this once: it looks after the neighbour's address while it has use for it.
        Carrier::add(socket, to, header_size, payload);
        resolve(way, last_key_);
        return;
    }
    if (way.queue == nullptr || header_size + payload.size() > way.room ||
        !way.queue->send(way.envelope, scratch_.first(header_size), payload)) {
        Carrier::add(socket, to, header_size, payload);
        return;
    }
    ++ring_sent_;
    crowded_ = !way.queue->has_room();
}

bool XdpCarrier::flush() noexcept {
    rings_wait_ = crowded_ = false;
    for (Device& device : devices_) {
        for (const auto& queue : device.queues) {
            rings_wait_ = !queue->kick() || rings_wait_;
            crowded_ = !queue->has_room() || crowded_;
        }
    }
    rings_wait_ = rings_wait_ || crowded_;
    return Carrier::flush() && !rings_wait_;
}

void XdpCarrier::send_now(udp::Socket& socket, const Endpoint& to,
                          std::span<const std::uint8_t> bytes) noexcept {
    Route& way = route(socket, to);
    if (now_ >= way.good_until) {
        Carrier::send_now(socket, to, bytes);
        resolve(way, last_key_);
    } else if (way.queue != nullptr && bytes.size() <= way.room &&
               way.queue->send(way.envelope, {}, std::as_bytes(bytes))) {
        ++ring_sent_;
        way.queue->kick();
    } else {
        Carrier::send_now(socket, to, bytes);
    }
}

// ---------------------------------------------------------------- receiving

udp::Carrier::Harvest XdpCarrier::receive(std::int64_t now, udp::Sink& sink) {
    now_ = now;
    Harvest harvest;
    harvest.moved = read_rings(sink, harvest.more);
    if (now >= look_at_) {
        const Harvest kernels = Carrier::receive(now, sink);
        look_at_ = kernels.moved ? now : now + kLookInterval;
        forget_gone(now);
        harvest.moved = harvest.moved || kernels.moved;
        harvest.more = harvest.more || kernels.more;
    }
    return harvest;
}

// A device that goes (a container's, a virtual function) leaves sockets that are always ready.
void XdpCarrier::forget_gone(std::int64_t now) noexcept {
    if (now < check_at_) {
        return;
    }
    check_at_ = now + kRouteLife / 10;
    for (Device& device : devices_) {
        for (const auto& queue : device.queues) {
            if (queue->gone()) {
                unwatch(queue->fd());
            }
        }
    }
}

bool XdpCarrier::read_rings(udp::Sink& sink, bool& more) {
    bool moved = false;
    for (Device& device : devices_) {
        for (const auto& queue : device.queues) {
            std::int64_t read_at = 0;
            const std::size_t packets = queue->receive(
                kPacketsPerRound, [&](std::span<const std::uint8_t> frame, std::int64_t stamp) {
                    read_at = read_at == 0 ? clock_now() : read_at;
                    take(device, frame, stamp, read_at, sink);
                });
            ring_received_ += packets;
            moved = moved || packets > 0;
            more = more || packets == kPacketsPerRound;
        }
    }
    return moved;
}

void XdpCarrier::take(Device& device, std::span<const std::uint8_t> frame, std::int64_t stamp,
                      std::int64_t now, udp::Sink& sink) {
    Datagram datagram;
    const Verdict verdict = parse(frame, verify_, datagram);
    if (verdict != Verdict::kOk) {
        ++(verdict == Verdict::kCorrupt ? corrupt_ : foreign_);
        return;
    }
    const auto socket = std::ranges::find_if(device.sockets, [&](const udp::Socket* candidate) {
        return candidate->local() == datagram.to;
    });
    if (socket == device.sockets.end()) {
        ++foreign_;
        return;
    }
    const bool dated = stamp > now - kLongestWait && stamp <= now;
    sink.arrived(**socket, {datagram.payload, datagram.from, datagram.marked, dated ? stamp : now});
}

// ---------------------------------------------------------------- words

std::string XdpCarrier::stats_json() const {
    std::string json = Carrier::stats_json();
    add_number(json, "ring_sent", ring_sent_);
    add_number(json, "ring_received", ring_received_);
    add_number(json, "foreign", foreign_);
    add_number(json, "corrupt", corrupt_);
    json += ",\"devices\":[";
    for (const Device& device : devices_) {
        json += std::string(json.back() == '[' ? "" : ",") + "{\"device\":\"" + device.name +
                "\",\"mode\":\"" +
                (device.zero_copy ? "zero_copy"
                 : device.native  ? "copy"
                                  : "generic") +
                "\",\"jumbo\":" + (device.several ? "true" : "false");
        add_number(json, "mtu", device.mtu);
        add_number(json, "queues", device.queues.size());
        QueueDrops drops;
        for (const auto& queue : device.queues) {
            const QueueDrops more = queue->drops();
            drops.rx_dropped += more.rx_dropped;
            drops.rx_ring_full += more.rx_ring_full;
            drops.rx_fill_ring_empty += more.rx_fill_ring_empty;
            drops.tx_invalid += more.tx_invalid;
        }
        add_number(json, "rx_dropped", drops.rx_dropped);
        add_number(json, "rx_ring_full", drops.rx_ring_full);
        add_number(json, "rx_fill_ring_empty", drops.rx_fill_ring_empty);
        add_number(json, "tx_invalid", drops.tx_invalid);
        json += "}";
    }
    return json + "]";
}

}  // namespace weft::datapath::xdp
