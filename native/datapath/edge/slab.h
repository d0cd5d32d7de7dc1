// Records with stable addresses and 64-bit handles that go stale with their record: a handle that
// somebody still holds (the transport, in an event not yet read) is safely looked up after the
// record is gone.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

namespace weft::datapath {

// Record is default-constructible and has members reset() and `std::uint64_t handle` (0 while the
// record is free).
template <typename Record>
class Slab {
  public:
    Record& take() {
        if (free_.empty()) {
            free_.push_back(static_cast<std::uint32_t>(records_.size()));
            records_.emplace_back();
        }
        const std::uint32_t slot = free_.back();
        free_.pop_back();
        records_[slot].handle = ++generation_ << 32 | slot;
        return records_[slot];
    }

    void give_back(Record& record) {
        free_.push_back(static_cast<std::uint32_t>(record.handle));
        record.reset();
        record.handle = 0;
    }

    // nullptr for a handle that is 0, foreign or stale.
    Record* find(std::uint64_t handle) {
        const auto slot = static_cast<std::uint32_t>(handle);
        return handle != 0 && slot < records_.size() && records_[slot].handle == handle
                   ? &records_[slot]
                   : nullptr;
    }

    template <typename F>
    void for_each(F&& f) {
        for (std::size_t i = 0; i < records_.size(); ++i) {  // f may take further records
            if (records_[i].handle != 0) {
                f(records_[i]);
            }
        }
    }

  private:
    std::deque<Record> records_;
    std::vector<std::uint32_t> free_;
    std::uint64_t generation_ = 0;
};

}  // namespace weft::datapath
