// Reusable scratch memory: fresh pages cost more than the copy that fills them, so buffers are kept
// for the next operation.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

namespace weft::communicator {

class ScratchPool {
  public:
    struct Free {
        void operator()(std::byte* memory) const noexcept { std::free(memory); }
    };
    struct Buffer {
        std::unique_ptr<std::byte, Free> memory;
        std::size_t size = 0;
    };

    // At least `size` bytes on a cache-line boundary, contents undefined. Throws std::bad_alloc.
    Buffer take(std::size_t size) {
        if (size == 0) {
            return {};
        }
        for (auto it = idle_.begin(); it != idle_.end(); ++it) {
            if (it->size >= size && it->size / 4 <= size) {
                Buffer buffer = std::move(*it);
                idle_.erase(it);
                idle_bytes_ -= buffer.size;
                return buffer;
            }
        }
        const std::size_t rounded = (size + kAlignment - 1) / kAlignment * kAlignment;
        Buffer buffer{std::unique_ptr<std::byte, Free>(
                          static_cast<std::byte*>(std::aligned_alloc(kAlignment, rounded))),
                      rounded};
        if (!buffer.memory) {
            throw std::bad_alloc();
        }
        return buffer;
    }

    void give_back(Buffer buffer) {
        if (buffer.size > 0 && idle_bytes_ + buffer.size <= kMostIdle) {
            idle_bytes_ += buffer.size;
            idle_.push_back(std::move(buffer));
        }
    }

  private:
    static constexpr std::size_t kAlignment = 4096;
    static constexpr std::size_t kMostIdle = std::size_t{64} << 20;
    std::vector<Buffer> idle_;
    std::size_t idle_bytes_ = 0;
};

}  // namespace weft::communicator
