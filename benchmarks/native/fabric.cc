// What the fabric costs by itself: the event queue's hold rate beside a binary heap's, and the time
// of one hop on a 1,024-host fat-tree under a permutation, without any transport.
#include "fabric/fabric.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <numeric>
#include <queue>
#include <utility>
#include <vector>

namespace {

using namespace weft::fabric;

double seconds_of(const std::function<void()>& body) {
    const auto start = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The classic "hold" model: pop the earliest, push one a random link delay later.
void hold(std::size_t pending) {
    constexpr std::uint32_t kRounds = 5'000'000;
    Random random(1);
    const auto increment = [&] { return static_cast<Time>(kMicrosecond + random.below(500'000)); };
    EventQueue wheel;
    for (std::uint32_t i = 0; i < pending; ++i) wheel.push(increment(), i);
    const double wheel_seconds = seconds_of([&] {
        Event event;
        for (std::uint32_t i = 0; i < kRounds && wheel.pop(kNever, event); ++i) {
            wheel.push(event.time + increment(), event.payload);
        }
    });
    using Entry = std::pair<Time, std::uint32_t>;
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> heap;
    for (std::uint32_t i = 0; i < pending; ++i) heap.emplace(increment(), i);
    const double heap_seconds = seconds_of([&] {
        for (std::uint32_t i = 0; i < kRounds; ++i) {
            const Entry top = heap.top();
            heap.pop();
            heap.emplace(top.first + increment(), top.second);
        }
    });
    std::printf("hold, %7zu pending: wheel %5.1f M/s, binary heap %5.1f M/s, ratio %.1f\n", pending,
                kRounds / wheel_seconds / 1e6, kRounds / heap_seconds / 1e6,
                heap_seconds / wheel_seconds);
}

// Hosts that send as fast as their link allows, each to one other, every packet by a random path.
class Sources final : public Edge {
  public:
    Sources(std::uint32_t hosts, std::uint32_t packets) : left_(hosts, packets), to_(hosts) {
        std::iota(to_.begin(), to_.end(), 0U);
        for (std::uint32_t i = hosts - 1; i > 0; --i) std::swap(to_[i], to_[random_.below(i)]);
    }
    void start(Fabric& fabric) {
        fabric_ = &fabric;
        for (HostId host = 0; host < left_.size(); ++host) egress_ready(host, 0);
    }
    void deliver(HostId, const Packet&, Time) override { ++delivered; }
    void dropped(const Packet&, DropReason, Time) override { ++dropped_count; }
    void wake(std::uint32_t, Time) override {}
    void egress_ready(HostId host, Time) override {
        if (left_[host] == 0) return;
        --left_[host];
        Packet packet;
        packet.destination = to_[host];
        packet.size = 4160;
        packet.entropy = static_cast<std::uint32_t>(random_.next());
        fabric_->inject(host, packet);
    }
    std::uint64_t delivered = 0;
    std::uint64_t dropped_count = 0;

  private:
    Fabric* fabric_ = nullptr;
    std::vector<std::uint32_t> left_;
    std::vector<HostId> to_;
    Random random_{7};
};

void hops(std::uint32_t pods) {
    FatTree shape{.pods = pods,
                  .pod_tors = 8,
                  .pod_aggregations = 8,
                  .tor_down = 8,
                  .tor_up = 8,
                  .aggregation_up = 8};
    FabricOptions options;
    options.queue.capacity = 1 << 30;
    Sources sources(pods * 64, 490);
    Fabric fabric(fat_tree(shape), options, sources);
    const double seconds = seconds_of([&] {
        sources.start(fabric);
        fabric.run_until(kNever);
    });
    std::uint64_t sent = 0;
    for (PortId port = 0; port < fabric.ports(); ++port) sent += fabric.stats(port).packets;
    std::printf(
        "%6u hosts: %llu packets, %llu hops, %.2f events a hop, %.3f s, %.0f ns a hop, peak %zu "
        "packets\n",
        pods * 64, static_cast<unsigned long long>(sources.delivered),
        static_cast<unsigned long long>(sent),
        static_cast<double>(fabric.events()) / static_cast<double>(sent), seconds,
        seconds * 1e9 / static_cast<double>(sent), fabric.peak_packets());
}

}  // namespace

int main() {
    for (const std::size_t pending : {1'000U, 16'000U, 128'000U}) hold(pending);
    for (const std::uint32_t pods : {1U, 4U, 16U}) hops(pods);
    return EXIT_SUCCESS;
}
