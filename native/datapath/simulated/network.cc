#include "datapath/simulated/network.h"

#include <algorithm>
#include <utility>

#include "wire/checksum.h"
#include "wire/packet.h"

namespace weft::datapath::simulated {
namespace {

bool later(const Datagram& a, const Datagram& b) {
    return a.at != b.at ? a.at > b.at : a.serial > b.serial;
}

}  // namespace

Network::Network(std::uint64_t seed, std::uint16_t paths, const Link& link)
    : random_(seed), links_(std::size_t{2} * paths, link) {}

Link& Network::link(Side from, PathId path) {
    const std::size_t paths = links_.size() / 2;
    return links_[static_cast<std::size_t>(from) * paths + path % paths];
}

bool Network::chance(double probability) {
    // 53 random bits as a fraction: std's distributions differ between libraries, this does not.
    return probability > 0 && static_cast<double>(random_() >> 11) * 0x1p-53 < probability;
}

void Network::send(Time now, Side from, PathId path, std::span<const std::uint8_t> header,
                   std::span<const std::uint8_t> payload) {
    Link& way = link(from, path);
    ++counters_.sent;
    Time waited = 0;
    Time at = now;
    if (way.rate > 0) {
        waited = std::max<Time>(way.busy_until - now, 0);
        const auto size = static_cast<double>(header.size() + payload.size());
        at = now + waited +
             static_cast<Time>(size / way.rate * static_cast<double>(transport::kSecond));
    }
    if (way.down || waited > way.queue_limit || chance(way.loss)) {
        ++counters_.lost;
        return;
    }
    way.busy_until = at;
    const bool marked = waited > way.mark_above || chance(way.mark);
    const bool trimmed = !payload.empty() && chance(way.trim);
    counters_.trimmed += trimmed ? 1 : 0;
    const auto carried = trimmed ? std::span<const std::uint8_t>{} : payload;
    const int copies = chance(way.duplicate) ? 2 : 1;
    counters_.duplicated += copies == 2 ? 1 : 0;
    for (int copy = 0; copy < copies; ++copy) {
        const Time extra =
            way.jitter > 0
                ? static_cast<Time>(random_() % static_cast<std::uint64_t>(way.jitter + 1))
                : 0;
        deliver(at + way.delay + extra, other(from), marked, trimmed, header, carried,
                chance(way.corrupt));
    }
}

void Network::deliver(Time at, Side to, bool marked, bool trimmed,
                      std::span<const std::uint8_t> header, std::span<const std::uint8_t> payload,
                      bool corrupt) {
    Datagram datagram;
    datagram.at = at;
    datagram.serial = serial_++;
    datagram.to = to;
    datagram.marked = marked;
    datagram.trimmed = trimmed;
    if (!buffers_.empty()) {
        datagram.bytes = std::move(buffers_.back());
        buffers_.pop_back();
    }
    datagram.bytes.assign(header.begin(), header.end());
    datagram.bytes.insert(datagram.bytes.end(), payload.begin(), payload.end());
    if (corrupt) {
        ++counters_.corrupted;
        const std::uint64_t bit = random_() % (8 * datagram.bytes.size());
        datagram.bytes[bit / 8] =
            static_cast<std::uint8_t>(datagram.bytes[bit / 8] ^ (1u << bit % 8));
    }
    on_the_way_.push_back(std::move(datagram));
    std::push_heap(on_the_way_.begin(), on_the_way_.end(), later);
}

Time Network::next_arrival() const {
    return on_the_way_.empty() ? transport::kNever : on_the_way_.front().at;
}

Datagram Network::receive() {
    std::pop_heap(on_the_way_.begin(), on_the_way_.end(), later);
    Datagram datagram = std::move(on_the_way_.back());
    on_the_way_.pop_back();
    ++counters_.delivered;
    const std::uint64_t seen =
        wire::crc32c(static_cast<std::uint32_t>(trace_hash_), datagram.bytes);
    trace_hash_ = (trace_hash_ ^ static_cast<std::uint64_t>(datagram.at) ^
                   (static_cast<std::uint64_t>(datagram.to) << 63) ^ (seen << 32 | seen)) *
                  0x9E3779B97F4A7C15;
    return datagram;
}

}  // namespace weft::datapath::simulated
