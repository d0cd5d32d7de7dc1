// One of the four rings between an AF_XDP socket and the kernel (Linux, networking/af_xdp.rst): one
// side produces, the other consumes, and each publishes how far it is.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace weft::datapath::xdp {

// Where the parts of a ring lie: struct xdp_ring_offset.
struct RingShape {
    std::size_t producer, consumer, flags, entries;
    std::uint32_t size;  // entries, a power of two
};

// A mapping with an owner.
class Mapping {
  public:
    Mapping() = default;
    Mapping(void* at, std::size_t size) noexcept : at_(at), size_(size) {}
    Mapping(Mapping&& other) noexcept
        : at_(std::exchange(other.at_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    Mapping& operator=(Mapping&& other) noexcept {
        std::swap(at_, other.at_);
        std::swap(size_, other.size_);
        return *this;
    }
    ~Mapping() {
        if (at_ != nullptr) {
            munmap(at_, size_);
        }
    }
    std::uint8_t* data() const noexcept { return static_cast<std::uint8_t*>(at_); }

  private:
    void* at_ = nullptr;
    std::size_t size_ = 0;
};

template <typename Entry>
class Ring {
  public:
    Ring() = default;
    Ring(Mapping memory, const RingShape& shape)
        : memory_(std::move(memory)),
          producer_(word(shape.producer)),
          consumer_(word(shape.consumer)),
          flags_(word(shape.flags)),
          entries_(reinterpret_cast<Entry*>(memory_.data() + shape.entries)),
          mask_(shape.size - 1) {}

    std::uint32_t size() const noexcept { return mask_ + 1; }
    Entry& operator[](std::uint32_t at) noexcept { return entries_[at & mask_]; }

    // --- As producer: entries from produced() on are written, then published up to `end`.
    std::uint32_t produced() const noexcept { return *producer_; }
    void publish(std::uint32_t end) noexcept {
        std::atomic_ref(*producer_).store(end, std::memory_order_release);
    }
    // How far the other side has come.
    std::uint32_t consumed_there() const noexcept {
        return std::atomic_ref(*consumer_).load(std::memory_order_acquire);
    }
    bool needs_wakeup() const noexcept {
        constexpr std::uint32_t kNeedWakeup = 1;  // XDP_RING_NEED_WAKEUP
        return (std::atomic_ref(*flags_).load(std::memory_order_relaxed) & kNeedWakeup) != 0;
    }

    // --- As consumer: entries from consumed() up to produced_there() are read, then released.
    std::uint32_t consumed() const noexcept { return *consumer_; }
    std::uint32_t produced_there() const noexcept {
        return std::atomic_ref(*producer_).load(std::memory_order_acquire);
    }
    void release(std::uint32_t end) noexcept {
        std::atomic_ref(*consumer_).store(end, std::memory_order_release);
    }

  private:
    std::uint32_t* word(std::size_t at) noexcept {
        return reinterpret_cast<std::uint32_t*>(memory_.data() + at);
    }

    Mapping memory_;
    std::uint32_t* producer_ = nullptr;
    std::uint32_t* consumer_ = nullptr;
    std::uint32_t* flags_ = nullptr;
    Entry* entries_ = nullptr;
    std::uint32_t mask_ = 0;
};

}  // namespace weft::datapath::xdp
