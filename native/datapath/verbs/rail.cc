#include "datapath/verbs/rail.h"

#include <algorithm>
#include <utility>

#include "datapath/error.h"
#include "wire/packet.h"

namespace weft::datapath::verbs {
namespace {

constexpr std::uint32_t kHeaders = 1024;
constexpr std::size_t kCopyBytes = 4 << 20;  // of payloads that are sent from copies
constexpr std::uint32_t kSendsAtOnce = 4096;
constexpr std::size_t kPostAtOnce = 16;
constexpr std::uint32_t kControlBuffers = 512;
constexpr std::size_t kLargestControl = 1024;
constexpr std::size_t kAlign = 64;
constexpr std::uint32_t kLabelStep = 0x9E375;  // spreads few numbers over 20 bits

std::size_t aligned(std::size_t bytes) {
    return (bytes + kAlign - 1) / kAlign * kAlign;
}

std::size_t data_piece(const VerbsOptions& options, QpKind kind, std::uint32_t mtu) {
    return aligned(kPrefixSize + wire::kDataHeaderSize + chunk_size_for(options, kind, mtu));
}

}  // namespace

std::uint32_t chunk_size_for(const VerbsOptions& options, QpKind kind, std::uint32_t mtu) {
    const std::uint32_t bytes =
        kind == QpKind::kUd ? mtu - static_cast<std::uint32_t>(kPrefixSize + wire::kDataHeaderSize)
                            : options.chunk;
    return bytes / 64 * 64;
}

Arena::Arena(Device& device, std::size_t piece, std::uint32_t count)
    : piece_(piece),
      count_(count),
      bytes_(std::make_unique<std::byte[]>(piece * count)),
      memory_(device.register_memory(bytes_.get(), piece * count, true)) {
    for (std::uint32_t i = count; i > 0; --i) {
        free_.push_back(i - 1);
    }
}

std::uint32_t Arena::take() noexcept {
    if (free_.empty()) {
        return kNone;
    }
    const std::uint32_t index = free_.back();
    free_.pop_back();
    return index;
}

Rail::Rail(std::unique_ptr<Device> device, const PortInfo& port, const GidEntry& gid,
           const VerbsOptions& options, QpKind kind)
    : device_(std::move(device)),
      port_(port),
      gid_(gid),
      kind_(kind),
      traffic_class_(options.traffic_class),
      service_level_(options.service_level),
      hop_limit_(options.hop_limit),
      mtu_(options.mtu != 0 ? std::min(options.mtu, port.mtu) : port.mtu),
      headers_(*device_, kHeaderPiece, kHeaders),
      copies_(*device_, aligned(chunk_size_for(options, kind, mtu_)),
              static_cast<std::uint32_t>(kCopyBytes / chunk_size_for(options, kind, mtu_))) {
    const DeviceLimits& limits = device_->limits();
    const std::uint32_t buffers = std::min(options.buffers, limits.shared_receives);
    const std::uint32_t control_buffers =
        kind == QpKind::kUd ? 4 * buffers : std::min(kControlBuffers, limits.shared_receives);
    const std::uint32_t depth =
        std::min(kSendsAtOnce + buffers + control_buffers, limits.completions);
    if (depth <= buffers + control_buffers) {
        throw Error(WEFT_ERR_INVALID, "verbs: " + device_->info().name +
                                          " has completion queues of " +
                                          std::to_string(limits.completions) +
                                          " only: choose a smaller verbs.buffers");
    }
    sends_left = depth - buffers - control_buffers;
    completions_ = device_->make_completion_queue(depth);
    control_ = std::make_unique<Pool>(make_pool(
        aligned(kGrhSize + std::max(kLargestControl,
                                    kind == QpKind::kUd ? data_piece(options, kind, mtu_) : 0)),
        control_buffers));
    if (kind != QpKind::kUd) {
        data_ = std::make_unique<Pool>(make_pool(data_piece(options, kind, mtu_), buffers));
    }
    for (Pool* pool : {control_.get(), data_.get()}) {
        for (std::uint32_t i = 0; pool != nullptr && i < pool->buffers.count(); ++i) {
            Completion fresh;
            fresh.id = kReceiveBit | (pool == control_.get() ? kControlBit : 0) | i;
            recycle(fresh);
        }
    }
    post_recycled();
    for (std::size_t i = 0; i < options.controls; ++i) {
        controls_.push_back(make_control());
    }
}

Rail::~Rail() = default;

Rail::Pool Rail::make_pool(std::size_t piece, std::uint32_t count) {
    return {device_->make_receive_queue(count), Arena(*device_, piece, count), {}};
}

std::string Rail::text() const {
    return device_->info().name + ":" + std::to_string(port_.number) + " " + gid_.text();
}

RailCard Rail::card() const {
    RailCard card{
        .ethernet = port_.ethernet, .mtu = mtu_, .lid = port_.lid, .gid = gid_.gid, .controls = {}};
    for (const auto& control : controls_) {
        card.controls.push_back(control->number());
    }
    return card;
}

std::unique_ptr<QueuePair> Rail::make_lane() {
    return device_->make_queue_pair({.kind = kind_,
                                     .port = port_.number,
                                     .sends = kLaneSends,
                                     .key = 0,
                                     .completions = completions_.get(),
                                     .receives = data_->queue.get()});
}

std::unique_ptr<QueuePair> Rail::make_control() {
    auto pair = device_->make_queue_pair({.kind = QpKind::kUd,
                                          .port = port_.number,
                                          .sends = kControlSends,
                                          .key = kControlKey,
                                          .completions = completions_.get(),
                                          .receives = control_->queue.get()});
    pair->open();
    return pair;
}

Destination Rail::destination(const RailCard& remote, std::uint32_t flow_label) const {
    return {.gid = remote.gid,
            .lid = remote.lid,
            .gid_index = gid_.index,
            .traffic_class = traffic_class_,
            .hop_limit = hop_limit_,
            .service_level = service_level_,
            .flow_label = flow_label & 0xFFFFF,
            .global = true};
}

std::unique_ptr<AddressHandle> Rail::make_address(const RailCard& remote,
                                                  std::uint32_t flow_label) {
    return device_->make_address_handle(port_.number, destination(remote, flow_label));
}

const AddressHandle* Rail::address_of(const RailCard& remote, std::size_t control) {
    const std::size_t index = control % controls_.size();
    auto& handle = addresses_[{remote.gid, remote.lid, index}];
    if (handle == nullptr) {
        try {
            handle = make_address(remote, static_cast<std::uint32_t>(index + 1) * kLabelStep);
        } catch (const Error&) {
            return nullptr;
        }
    }
    return handle.get();
}

std::span<const std::uint8_t> Rail::received(const Completion& done) noexcept {
    Pool& pool = pool_of(done.id);
    const auto index = static_cast<std::uint32_t>(done.id);
    const std::size_t skip = &pool == control_.get() ? kGrhSize : 0;
    const std::size_t size = std::min<std::size_t>(done.bytes, pool.buffers.piece());
    if (size < skip) {
        return {};
    }
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(pool.buffers.at(index));
    return {bytes + skip, size - skip};
}

void Rail::recycle(const Completion& done) {
    Pool& pool = pool_of(done.id);
    const auto index = static_cast<std::uint32_t>(done.id);
    pool.recycled.push_back(
        {.id = done.id,
         .piece = {.address = reinterpret_cast<std::uintptr_t>(pool.buffers.at(index)),
                   .length = static_cast<std::uint32_t>(pool.buffers.piece()),
                   .key = pool.buffers.key()}});
    if (pool.recycled.size() >= kPostAtOnce) {
        pool.queue->post(std::exchange(pool.recycled, {}));
    }
}

void Rail::post_recycled() {
    for (Pool* pool : {control_.get(), data_.get()}) {
        if (pool != nullptr && !pool->recycled.empty()) {
            pool->queue->post(pool->recycled);
            pool->recycled.clear();
        }
    }
}

}  // namespace weft::datapath::verbs
