// Little-endian integers in byte buffers, written out byte by byte: correct on any host, and a
// single move after optimisation on a little-endian one. Bounds are the caller's affair: Writer and
// Reader are used only after the size of the whole structure was checked once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace weft::wire {

class Writer {
  public:
    explicit Writer(std::uint8_t* at) : at_(at) {}

    template <typename Int>
    void put(Int value) {
        for (std::size_t i = 0; i < sizeof(Int); ++i) {
            at_[i] = static_cast<std::uint8_t>(value >> (8 * i));
        }
        at_ += sizeof(Int);
    }

    void put_bytes(std::span<const std::uint8_t> bytes) {
        std::memcpy(at_, bytes.data(), bytes.size());
        at_ += bytes.size();
    }

  private:
    std::uint8_t* at_;
};

class Reader {
  public:
    explicit Reader(const std::uint8_t* at) : at_(at) {}

    template <typename Int>
    void get(Int& value) {
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < sizeof(Int); ++i) {
            sum |= static_cast<std::uint64_t>(at_[i]) << (8 * i);
        }
        value = static_cast<Int>(sum);
        at_ += sizeof(Int);
    }

    void get_bytes(std::span<std::uint8_t> bytes) {
        std::memcpy(bytes.data(), at_, bytes.size());
        at_ += bytes.size();
    }

  private:
    const std::uint8_t* at_;
};

}  // namespace weft::wire
