// The network between fake devices (fake_provider.h): its weather, its ways and what dies of them,
// all chance from a seed, and the queue of what is to happen when. What becomes of a message is
// decided by the queue pair that sends it.
//
// Time is counted in polls (virtual_time.h): every poll of any completion queue is one tick.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "virtual_time.h"

namespace weft::datapath::verbs::test {

struct Weather {
    double loss = 0;            // of messages on uc and ud
    std::uint32_t delay = 4;    // most ticks from sending to landing
    std::uint32_t hold = 4;     // most ticks from landing, or leaving, to completion
    double pair_failure = 0;    // of a queue pair, per message posted
    bool uc = true, rc = true;  // what devices offer
    std::uint32_t spines = 0;   // ways through the network; 0: one that never dies
    bool labels = false;        // decide about the way, as with NICs; else as with soft-RoCE
};

class FakeDevice;
class FakePair;

class Fabric {
  public:
    explicit Fabric(std::uint64_t seed, Weather weather = {}) : weather(weather), random_(seed) {}

    Weather weather;
    std::uint64_t lost = 0, landed = 0, failed_pairs = 0, refused_writes = 0, unread = 0;
    std::size_t unpolled = 0;  // completions

    std::uint64_t now() const { return static_cast<std::uint64_t>(clock_now() / kTick); }
    std::uint32_t up_to(std::uint32_t most) { return most == 0 ? 0 : draw() % (most + 1); }
    bool chance(double probability) {
        return probability > 0 && static_cast<double>(draw()) < probability * 4294967296.0;
    }
    std::uint32_t number() { return ++numbers_; }
    // The sender's number, or the flow label, is what a device makes the source port of, and ECMP
    // the way.
    bool passes(std::uint32_t sender, std::uint32_t label) const {
        const std::uint32_t entropy = weather.labels && label != 0 ? label : sender;
        const auto spine =
            static_cast<std::uint32_t>(std::uint64_t{entropy * 2654435761u} * weather.spines >> 32);
        return !dead_spines.contains(spine);
    }
    void at(std::uint64_t when, std::function<void()> what) {
        events_.emplace(std::max(when, now() + 1), std::move(what));
    }
    void step() {
        pass_until(clock_now() + kTick);
        while (!events_.empty() && events_.begin()->first <= now()) {
            auto event = std::move(events_.begin()->second);
            events_.erase(events_.begin());
            event();
        }
    }
    // Nobody who polls has anything to do before this time.
    void rest(Time until) {
        if (unpolled == 0) {
            skip(until);
        }
    }
    // To this time, or the next event before it.
    void skip(Time until) {
        const Time next =
            events_.empty() ? until : static_cast<Time>(events_.begin()->first) * kTick;
        pass_until(std::min(until, next));
    }
    void set_port(const std::string& device, bool up);
    // What only a broken or hostile peer does: a write of nothing with this immediate, on one of
    // the connected queue pairs; a datagram of these bytes to every control queue pair.
    void inject_immediate(std::uint32_t immediate, std::size_t which);
    void inject_datagram(const std::vector<std::byte>& bytes);
    // So many connected queue pairs lose all that comes from now on.
    void deafen(std::size_t count);
    std::size_t deaf() const;  // that are left of those

    std::set<std::uint32_t> dead_spines;  // black holes
    std::map<std::uint32_t, FakePair*> pairs;
    std::map<std::string, FakeDevice*> devices;
    std::map<int, std::vector<std::byte>*> dmabufs;  // by file descriptor

  private:
    std::uint32_t draw() { return static_cast<std::uint32_t>(random_() >> 32); }
    std::mt19937_64 random_;
    std::uint32_t numbers_ = 100;
    std::multimap<std::uint64_t, std::function<void()>> events_;
};

}  // namespace weft::datapath::verbs::test
