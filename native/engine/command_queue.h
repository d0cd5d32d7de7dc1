// Lock-free queue of commands for the driver: many threads push, whoever holds the driver lock
// drains.
//
// A Treiber stack whose drain takes everything in one exchange and reverses it, so commands of one
// thread run in the order in which it pushed them, and push never waits for the driver.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

namespace weft::engine {

class CommandQueue {
  public:
    CommandQueue() = default;
    CommandQueue(const CommandQueue&) = delete;
    CommandQueue& operator=(const CommandQueue&) = delete;
    ~CommandQueue() { take_all(); }

    void push(std::function<void()> run) {
        auto node = std::make_unique<Node>(Node{std::move(run), nullptr});
        Node* head = head_.load(std::memory_order_relaxed);
        do {
            node->next = head;
        } while (!head_.compare_exchange_weak(head, node.get(), std::memory_order_release,
                                              std::memory_order_relaxed));
        static_cast<void>(node.release());  // the stack owns it now
    }

    bool empty() const noexcept { return head_.load(std::memory_order_acquire) == nullptr; }

    void run_all() {
        for (std::unique_ptr<Node> node = take_all(); node; node.reset(node->next)) {
            node->run();
        }
    }

  private:
    struct Node {
        std::function<void()> run;
        Node* next;
    };

    std::unique_ptr<Node> take_all() noexcept {
        Node* node = head_.exchange(nullptr, std::memory_order_acquire);
        Node* reversed = nullptr;
        while (node != nullptr) {
            Node* next = node->next;
            node->next = reversed;
            reversed = node;
            node = next;
        }
        return std::unique_ptr<Node>(reversed);
    }

    std::atomic<Node*> head_{nullptr};
};

}  // namespace weft::engine
