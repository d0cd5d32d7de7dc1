// Matching of messages to receives by tag: oldest first for equal tags.
//
// Posted receives are linked through Transfer itself and cost no allocation. With the usual few
// outstanding, a look-up is one multiplication and one comparison.
//
// Invariant: for one tag there are never both posted receives and unmatched messages.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "datapath/channel.h"
#include "datapath/shm/ring.h"

namespace weft::datapath::shm {

// Doubly linked through Transfer::next and previous.
class TransferList {
  public:
    bool empty() const noexcept { return head_ == nullptr; }
    Transfer* front() const noexcept { return head_; }
    Transfer* back() const noexcept { return tail_; }

    void push_back(Transfer& t) noexcept { insert_after(tail_, t); }
    // Null: at the front.
    void insert_after(Transfer* before, Transfer& t) noexcept {
        t.previous = before;
        t.next = before != nullptr ? before->next : head_;
        (before != nullptr ? before->next : head_) = &t;
        (t.next != nullptr ? t.next->previous : tail_) = &t;
    }
    void remove(Transfer& t) noexcept {
        (t.previous != nullptr ? t.previous->next : head_) = t.next;
        (t.next != nullptr ? t.next->previous : tail_) = t.previous;
        t.next = t.previous = nullptr;
    }

  private:
    Transfer* head_ = nullptr;
    Transfer* tail_ = nullptr;
};

struct Unmatched {
    Message message;
    std::unique_ptr<std::byte[]> payload;  // eager messages beyond the inline size
};

class MatchTable {
  public:
    void post(Transfer& t) noexcept { posted_[bucket(t.tag)].push_back(t); }
    void withdraw(Transfer& t) noexcept { posted_[bucket(t.tag)].remove(t); }

    // Takes the oldest posted receive with this tag; null when there is none.
    Transfer* match(const Tag& tag) noexcept {
        TransferList& list = posted_[bucket(tag)];
        for (Transfer* t = list.front(); t != nullptr; t = t->next) {
            if (t->tag == tag) {
                list.remove(*t);
                return t;
            }
        }
        return nullptr;
    }

    void keep(Unmatched message) {
        unmatched_[bucket(message.message.tag)].push_back(std::move(message));
        ++unmatched_count_;
    }

    // Takes the oldest unmatched message with this tag into `found`.
    bool take(const Tag& tag, Unmatched& found) noexcept {
        return unmatched_count_ > 0 && take_if(tag, found, [](const Message&) { return true; });
    }

    // Takes an unmatched offer that its sender withdraws.
    bool take_offer(const Tag& tag, std::uint64_t id, Unmatched& found) noexcept {
        return take_if(tag, found,
                       [&](const Message& m) { return m.kind == Kind::kOffer && m.link.id == id; });
    }

    // Takes all for which condition(message) holds.
    template <typename Condition>
    std::vector<Unmatched> take_all(Condition condition) {
        std::vector<Unmatched> taken;
        for (auto& list : unmatched_) {
            for (auto it = list.begin(); it != list.end();) {
                if (condition(it->message)) {
                    taken.push_back(std::move(*it));
                    it = list.erase(it);
                    --unmatched_count_;
                } else {
                    ++it;
                }
            }
        }
        return taken;
    }

    // Moves all posted receives over.
    void drain_posted(TransferList& into) noexcept {
        for (TransferList& list : posted_) {
            while (Transfer* t = list.front()) {
                list.remove(*t);
                into.push_back(*t);
            }
        }
    }

    std::size_t unmatched_count() const noexcept { return unmatched_count_; }

  private:
    static constexpr std::size_t kBuckets = 64;

    static std::size_t bucket(const Tag& tag) noexcept {
        return static_cast<std::size_t>((tag.group ^ tag.message) * 0x9e3779b97f4a7c15u >>
                                        58);  // Fibonacci hashing
    }

    template <typename Condition>
    bool take_if(const Tag& tag, Unmatched& found, Condition condition) noexcept {
        auto& list = unmatched_[bucket(tag)];
        for (auto it = list.begin(); it != list.end(); ++it) {
            if (it->message.tag == tag && condition(it->message)) {
                found = std::move(*it);
                list.erase(it);
                --unmatched_count_;
                return true;
            }
        }
        return false;
    }

    std::array<TransferList, kBuckets> posted_{};
    std::array<std::list<Unmatched>, kBuckets> unmatched_{};
    std::size_t unmatched_count_ = 0;
};

}  // namespace weft::datapath::shm
