// Numbers for things under way that both ends speak of: an index for speed, a generation so that a
// late or invented number finds nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace weft::datapath::shm {

template <typename Value>
class SlotTable {
  public:
    std::uint64_t add(Value value) {
        if (free_.empty()) {
            free_.push_back(static_cast<std::uint32_t>(entries_.size()));
            entries_.emplace_back();
        }
        const std::uint32_t index = free_.back();
        free_.pop_back();
        entries_[index].value = std::move(value);
        return std::uint64_t{entries_[index].generation} << 32 | index;
    }

    // Null for an id that is not (or no longer) in use. Valid until the next add().
    Value* find(std::uint64_t id) noexcept {
        const std::size_t index = id & 0xffffffffu;
        if (index >= entries_.size() || entries_[index].generation != id >> 32 ||
            !entries_[index].value) {
            return nullptr;
        }
        return &*entries_[index].value;
    }

    void remove(std::uint64_t id) noexcept {
        if (find(id) != nullptr) {
            const auto index = static_cast<std::uint32_t>(id & 0xffffffffu);
            entries_[index].value.reset();
            ++entries_[index].generation;
            free_.push_back(index);
        }
    }

    // visit(id, value) for each; it must not add or remove.
    template <typename Visit>
    void each(Visit visit) {
        for (std::size_t index = 0; index < entries_.size(); ++index) {
            if (entries_[index].value) {
                visit(std::uint64_t{entries_[index].generation} << 32 | index,
                      *entries_[index].value);
            }
        }
    }

    std::size_t size() const noexcept { return entries_.size() - free_.size(); }
    void clear() noexcept {
        entries_.clear();
        free_.clear();
    }

  private:
    struct Entry {
        std::optional<Value> value;
        std::uint32_t generation = 1;
    };
    std::vector<Entry> entries_;
    std::vector<std::uint32_t> free_;
};

}  // namespace weft::datapath::shm
