// Unguessable numbers from the kernel, a system call for many of them.
#pragma once

#include <sys/random.h>
#include <sys/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace weft::datapath {

class RandomWords {
  public:
    std::uint64_t next() noexcept {
        if (left_ == 0) {
            std::size_t got = 0;
            while (got < sizeof words_) {
                const ssize_t more = getrandom(reinterpret_cast<std::uint8_t*>(words_.data()) + got,
                                               sizeof words_ - got, 0);
                got += more > 0 ? static_cast<std::size_t>(more) : 0;
            }
            left_ = words_.size();
        }
        return std::exchange(words_[--left_], 0);
    }

  private:
    std::array<std::uint64_t, 32> words_{};
    std::size_t left_ = 0;
};

}  // namespace weft::datapath
