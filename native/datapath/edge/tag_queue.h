// What waits for its counterpart, by tag: posted receives for messages, messages for receives.
// First in, first out per tag; nodes are linked through themselves (members tag, next, previous),
// so that nothing is allocated.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "datapath/channel.h"

namespace weft::datapath {

template <typename Node>
class TagQueue {
  public:
    bool empty() const noexcept { return size_ == 0; }
    std::size_t size() const noexcept { return size_; }

    void push(Node& node) noexcept {
        List& list = lists_[bucket(node.tag)];
        node.next = nullptr;
        node.previous = list.last;
        (list.last != nullptr ? list.last->next : list.first) = &node;
        list.last = &node;
        ++size_;
    }

    void remove(Node& node) noexcept {
        List& list = lists_[bucket(node.tag)];
        (node.previous != nullptr ? node.previous->next : list.first) = node.next;
        (node.next != nullptr ? node.next->previous : list.last) = node.previous;
        node.next = node.previous = nullptr;
        --size_;
    }

    // Takes out the oldest node with this tag; nullptr when there is none.
    Node* take(const Tag& tag) noexcept {
        for (Node* node = size_ == 0 ? nullptr : lists_[bucket(tag)].first; node != nullptr;
             node = node->next) {
            if (node->tag == tag) {
                remove(*node);
                return node;
            }
        }
        return nullptr;
    }

    // Takes out any node; nullptr when empty.
    Node* take_any() noexcept {
        return take_if([](const Node&) { return true; });
    }

    template <typename Condition>
    Node* take_if(Condition condition) noexcept {
        for (List& list : lists_) {
            for (Node* node = list.first; node != nullptr; node = node->next) {
                if (condition(*node)) {
                    remove(*node);
                    return node;
                }
            }
        }
        return nullptr;
    }

  private:
    struct List {
        Node* first = nullptr;
        Node* last = nullptr;
    };
    static constexpr unsigned kBucketBits = 6;

    // Fibonacci hashing (Knuth vol. 3, 6.4): consecutive message numbers spread evenly.
    static std::size_t bucket(const Tag& tag) noexcept {
        return static_cast<std::size_t>((tag.group ^ tag.message) * 0x9E3779B97F4A7C15u >>
                                        (64 - kBucketBits));
    }

    std::array<List, std::size_t{1} << kBucketBits> lists_{};
    std::size_t size_ = 0;
};

}  // namespace weft::datapath
