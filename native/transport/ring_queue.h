// A first-in first-out queue in one circular array: no allocation once it has grown to its working
// size.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace weft::transport {

template <typename T>
class RingQueue {
  public:
    bool empty() const { return head_ == tail_; }
    std::size_t size() const { return tail_ - head_; }
    T& front() { return slots_[head_ & mask()]; }

    void push(T value) {
        if (size() == slots_.size()) {
            grow();
        }
        slots_[tail_++ & mask()] = std::move(value);
    }

    void pop() { ++head_; }

  private:
    std::size_t mask() const { return slots_.size() - 1; }

    void grow() {
        std::vector<T> bigger(slots_.empty() ? 8 : 2 * slots_.size());
        for (std::size_t i = head_; i != tail_; ++i) {
            bigger[i - head_] = std::move(slots_[i & mask()]);
        }
        tail_ -= head_;
        head_ = 0;
        slots_ = std::move(bigger);
    }

    std::vector<T> slots_;  // size is a power of two, or zero
    std::size_t head_ = 0;
    std::size_t tail_ = 0;
};

}  // namespace weft::transport
