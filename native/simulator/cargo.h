// The transport packets that are under way, by number: the fabric carries the number.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#include "wire/packet.h"

namespace weft::simulator {

// Only the part of a wire::Packet that its kind uses is kept: two cache lines for nearly all of
// them instead of ten.
class CargoPool {
  public:
    std::uint32_t add(const wire::Packet& packet, std::uint32_t receiver) {
        const std::size_t bytes = used_bytes(packet);
        const bool is_long = bytes > sizeof(Short::bytes);
        const std::uint32_t index = is_long ? long_.take() | kLongBit : short_.take();
        if (is_long) {
            store(long_[index & ~kLongBit], packet, bytes, receiver);
        } else {
            store(short_[index], packet, bytes, receiver);
        }
        return index;
    }

    void prefetch(std::uint32_t index) const {
        if ((index & kLongBit) != 0) return;
        const auto* block = reinterpret_cast<const std::byte*>(&short_[index]);
        __builtin_prefetch(block);
        __builtin_prefetch(block + 64);
    }

    // Whom the packet is for.
    std::uint32_t receiver(std::uint32_t index) const {
        return (index & kLongBit) != 0 ? long_[index & ~kLongBit].receiver : short_[index].receiver;
    }

    // The same, and the packet leaves the pool. `packet` is overwritten as far as the cargo goes.
    std::uint32_t remove(std::uint32_t index, wire::Packet& packet) {
        if ((index & kLongBit) != 0) return fetch(long_, index & ~kLongBit, packet);
        return fetch(short_, index, packet);
    }

    std::size_t bytes() const {
        return short_.size() * sizeof(Short) + long_.size() * sizeof(Long);
    }

  private:
    static_assert(std::is_trivially_copyable_v<wire::Packet>);
    static constexpr std::uint32_t kLongBit = 1U << 31;

    template <std::size_t kSize>
    struct alignas(64) Block {
        std::uint32_t receiver;
        std::uint32_t used;
        std::array<std::byte, kSize> bytes;
    };
    using Short = Block<120>;
    using Long = Block<sizeof(wire::Packet)>;

    template <typename T>
    class Pool {
      public:
        std::uint32_t take() {
            if (free_.empty()) {
                blocks_.emplace_back();
                return static_cast<std::uint32_t>(blocks_.size() - 1);
            }
            const std::uint32_t index = free_.back();
            free_.pop_back();
            return index;
        }
        void give(std::uint32_t index) { free_.push_back(index); }
        T& operator[](std::uint32_t index) { return blocks_[index]; }
        const T& operator[](std::uint32_t index) const { return blocks_[index]; }
        std::size_t size() const { return blocks_.size(); }

      private:
        std::vector<T> blocks_;
        std::vector<std::uint32_t> free_;
    };

    static std::size_t used_bytes(const wire::Packet& packet) {
        if (packet.kind == wire::PacketKind::kAck) {
            return offsetof(wire::Packet, ack) + offsetof(wire::Ack, words) +
                   8 * std::size_t{packet.ack.word_count};
        }
        return offsetof(wire::Packet, data) + sizeof(wire::Handshake) + sizeof(std::uint64_t);
    }

    template <typename T>
    static void store(T& block, const wire::Packet& packet, std::size_t bytes,
                      std::uint32_t receiver) {
        block.receiver = receiver;
        block.used = static_cast<std::uint32_t>(bytes);
        std::memcpy(block.bytes.data(), &packet, bytes);
    }

    template <typename T>
    static std::uint32_t fetch(Pool<T>& pool, std::uint32_t index, wire::Packet& packet) {
        const T& block = pool[index];
        std::memcpy(static_cast<void*>(&packet), block.bytes.data(), block.used);
        const std::uint32_t receiver = block.receiver;
        pool.give(index);
        return receiver;
    }

    static_assert(sizeof(wire::Handshake) + sizeof(std::uint64_t) >= sizeof(wire::Data));
    Pool<Short> short_;
    Pool<Long> long_;
};

}  // namespace weft::simulator
