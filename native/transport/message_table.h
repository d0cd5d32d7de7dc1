// Messages by number: records in a slab of stable slot numbers, found through an open-addressed
// index. Invariants: at most half of the index is used; a slot number stays valid until erase() of
// its record; a reference only until the next insert().
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "transport/types.h"

namespace weft::transport {

template <typename Record>  // has a member `MessageId id`
class MessageTable {
  public:
    static constexpr std::uint32_t kNone = 0xFFFFFFFF;

    std::size_t size() const { return size_; }
    Record& at(std::uint32_t slot) { return slab_[slot]; }
    const Record& at(std::uint32_t slot) const { return slab_[slot]; }

    std::uint32_t find(MessageId id) const {
        // Chunks come in runs of one message. (Erased records bear kNoMessage, which nobody may
        // find.)
        if (last_ < slab_.size() && slab_[last_].id == id && id != kNoMessage) {
            return last_;
        }
        if (index_.empty()) {
            return kNone;
        }
        for (std::size_t i = home(id);; i = (i + 1) & mask()) {
            const std::uint32_t slot = index_[i];
            if (slot == kNone) {
                return kNone;
            }
            if (slab_[slot].id == id) {
                last_ = slot;
                return slot;
            }
        }
    }

    // `record.id` must not be in the table.
    std::uint32_t insert(Record record) {
        if (2 * (size_ + 1) > index_.size()) {
            grow();
        }
        std::uint32_t slot = 0;
        if (free_.empty()) {
            slot = static_cast<std::uint32_t>(slab_.size());
            slab_.push_back(std::move(record));
        } else {
            slot = free_.back();
            free_.pop_back();
            slab_[slot] = std::move(record);
        }
        ++size_;
        place(slot);
        return slot;
    }

    void erase(std::uint32_t slot) {
        std::size_t hole = home(slab_[slot].id);
        while (index_[hole] != slot) {
            hole = (hole + 1) & mask();
        }
        // Deletion by shifting back (Knuth vol. 3, algorithm 6.4R): no tombstones to clean up
        // later.
        for (std::size_t i = (hole + 1) & mask(); index_[i] != kNone; i = (i + 1) & mask()) {
            const std::size_t want = home(slab_[index_[i]].id);
            if (((i - want) & mask()) >= ((i - hole) & mask())) {
                index_[hole] = index_[i];
                hole = i;
            }
        }
        index_[hole] = kNone;
        slab_[slot].id = kNoMessage;
        free_.push_back(slot);
        --size_;
    }

    // Calls visit(slot, record) for every record; erase() of the visited one is permitted.
    template <typename Visit>
    void for_each(Visit visit) {
        for (std::uint32_t slot = 0; slot < slab_.size(); ++slot) {
            if (slab_[slot].id != kNoMessage) {
                visit(slot, slab_[slot]);
            }
        }
    }

  private:
    std::size_t mask() const { return index_.size() - 1; }

    // Numbers are consecutive at an honest peer; the multiplication (Knuth's, by the golden ratio)
    // keeps dishonest ones from clustering by accident.
    std::size_t home(MessageId id) const {
        return static_cast<std::size_t>((id * 0x9E3779B97F4A7C15) >> 32) & mask();
    }

    void place(std::uint32_t slot) {
        std::size_t i = home(slab_[slot].id);
        while (index_[i] != kNone) {
            i = (i + 1) & mask();
        }
        index_[i] = slot;
    }

    void grow() {
        index_.assign(index_.empty() ? 16 : 2 * index_.size(), kNone);
        for (std::uint32_t slot = 0; slot < slab_.size(); ++slot) {
            if (slab_[slot].id != kNoMessage) {
                place(slot);
            }
        }
    }

    std::vector<Record> slab_;
    std::vector<std::uint32_t> free_;
    std::vector<std::uint32_t> index_;  // size is a power of two, or zero
    std::size_t size_ = 0;
    mutable std::uint32_t last_ = kNone;
};

}  // namespace weft::transport
