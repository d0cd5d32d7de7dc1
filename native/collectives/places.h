// Numbers the chunks of one rank's memory: equal numbers are the same memory, with input and output
// apart or in place.
#pragma once

#include <cstddef>
#include <cstdint>

#include "collectives/schedule.h"

namespace weft::collectives {

class Places {
  public:
    Places(const Spec& spec, std::int32_t rank, std::int32_t scratch_chunks, bool in_place) noexcept
        : alias_(own_alias(spec, rank)),
          output_(std::size_t(blocks(spec, rank, Buffer::kInput)) * std::size_t(spec.chunks)),
          scratch_(output_ +
                   std::size_t(blocks(spec, rank, Buffer::kOutput)) * std::size_t(spec.chunks)),
          count_(scratch_ + std::size_t(scratch_chunks)) {
        if (!in_place) alias_.count = 0;
    }

    // All numbers are below.
    std::size_t count() const noexcept { return count_; }

    std::size_t of(Buffer buffer, std::int32_t chunk) const noexcept {
        const auto index = static_cast<std::size_t>(chunk);
        switch (buffer) {
            case Buffer::kInput: {
                const std::int32_t own = chunk - alias_.input_first;
                if (own < 0 || own >= alias_.count) return index;
                return output_ + static_cast<std::size_t>(alias_.output_first) +
                       static_cast<std::size_t>(own);
            }
            case Buffer::kOutput:
                return output_ + index;
            case Buffer::kScratch:
                return scratch_ + index;
        }
        return count_;
    }

  private:
    Alias alias_;
    std::size_t output_;   // number of output's first chunk
    std::size_t scratch_;  // and of scratch's
    std::size_t count_;
};

}  // namespace weft::collectives
