// The slot protocol against a switch written down a second time, in maps: sums are right under
// loss, copies and reordering, and nothing but the switch's silence or a disagreement ends a call
// early.
#include "innet/worker.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <random>
#include <set>

using namespace weft::innet;

namespace {

constexpr std::uint16_t kValues = 32;
using Bytes = std::vector<std::uint8_t>;

std::uint32_t seed() {
    const char* text = std::getenv("WEFT_TEST_SEED");
    return text != nullptr ? static_cast<std::uint32_t>(std::strtoul(text, nullptr, 10)) : 1;
}

// One job; every (slot, round) is kept for ever.
class Switch {
  public:
    explicit Switch(std::uint16_t workers) : workers_(workers) {}

    // Answers by worker.
    std::vector<std::pair<std::uint8_t, Bytes>> take(const Bytes& datagram) {
        Header header;
        std::span<const std::uint8_t> payload;
        REQUIRE(decode(datagram, header, payload) == DecodeStatus::kOk);
        Cell& cell = cells_[{header.slot, header.round}];
        const bool had_all = cell.arrived.size() == workers_;
        const bool again = !cell.arrived.insert(header.worker).second;
        if (!again) {
            cell.sums.resize(kValues);
            for (std::size_t i = 0; i < header.values; ++i) {
                cell.sums[i] += static_cast<std::int32_t>(load32(payload.data() + 4 * i));
            }
            cell.exponent = std::max(cell.exponent, header.exponent);
        }
        std::vector<std::pair<std::uint8_t, Bytes>> answers;
        if (cell.arrived.size() == workers_) {
            for (std::uint16_t worker = 0; worker < workers_; ++worker) {
                if (!had_all || worker == header.worker) {
                    answers.emplace_back(worker, result(header, cell, worker));
                }
            }
        } else if (again) {
            header.kind = Kind::kWait;
            Bytes wait(kHeaderSize);
            encode(header, wait);
            answers.emplace_back(header.worker, wait);
        }
        return answers;
    }

  private:
    struct Cell {
        std::set<std::uint8_t> arrived;
        std::vector<std::int64_t> sums;
        std::int8_t exponent = -128;
    };

    Bytes result(Header header, const Cell& cell, std::uint16_t worker) const {
        header.kind = Kind::kResult;
        header.worker = static_cast<std::uint8_t>(worker);
        header.exponent = cell.exponent;
        header.contributors = workers_;
        Bytes bytes(packet_size(header.values));
        encode(header, bytes);
        for (std::size_t i = 0; i < header.values; ++i) {
            const auto value = static_cast<std::int32_t>(cell.sums[i]);
            store32(bytes.data() + kHeaderSize + 4 * i, static_cast<std::uint32_t>(value));
        }
        return bytes;
    }

    std::uint16_t workers_;
    std::map<std::pair<std::uint16_t, std::uint32_t>, Cell> cells_;
};

// The next that a worker has to send; empty: nothing.
Bytes packet_of(Worker& worker, Time now) {
    Bytes datagram(packet_size(kValues));
    datagram.resize(worker.poll(now, datagram));
    return datagram;
}

// Workers and a switch joined by wires that lose, copy and reorder.
class Job {
  public:
    Job(std::uint16_t workers, std::uint16_t slots, double faults, std::uint32_t seed)
        : switch_(workers), faults_(faults), random_(seed) {
        for (std::uint16_t w = 0; w < workers; ++w) {
            members.emplace_back(Membership{.job = 1,
                                            .epoch = 9,
                                            .worker = static_cast<std::uint8_t>(w),
                                            .workers = workers,
                                            .slots = slots,
                                            .values = kValues},
                                 Timing{});
        }
    }

    bool over() const {
        for (const Worker& worker : members) {
            if (worker.state() == Worker::State::kWorking ||
                worker.state() == Worker::State::kComplete) {
                return false;
            }
        }
        return true;
    }

    void run() {
        for (int step = 0; step < 2'000'000 && !over(); ++step) {
            for (std::size_t w = 0; w < members.size(); ++w) {
                for (Bytes sent; !(sent = packet_of(members[w], now)).empty();) {
                    put({members.size(), sent});
                }
            }
            if (wires_.empty()) {
                now += 5'000'000;
                continue;
            }
            const std::size_t place = random_() % std::min<std::size_t>(wires_.size(), 4);
            auto [to, datagram] = wires_[place];
            wires_.erase(wires_.begin() + static_cast<std::ptrdiff_t>(place));
            now += 1000;
            if (to < members.size()) {
                members[to].handle(now, datagram);
            } else if (!dead) {
                for (auto& [worker, answer] : switch_.take(datagram)) put({worker, answer});
            }
        }
        REQUIRE(over());
    }

    std::vector<Worker> members;
    bool dead = false;
    Time now = 0;

  private:
    void put(const std::pair<std::size_t, Bytes>& travelling) {
        std::uniform_real_distribution<double> chance;
        if (chance(random_) >= faults_) wires_.push_back(travelling);
        if (chance(random_) < faults_) wires_.push_back(travelling);
    }

    Switch switch_;
    double faults_;
    std::mt19937 random_;
    std::deque<std::pair<std::size_t, Bytes>> wires_;
};

template <typename T>
Call call_on(std::vector<T>& data, Type type, std::uint64_t signature) {
    auto* bytes = reinterpret_cast<std::byte*>(data.data());
    return {bytes, bytes, data.size(), type, signature};
}

}  // namespace

TEST_CASE("sums are right in place, call after call, on bad wires") {
    MESSAGE("seed " << seed());
    std::mt19937 random(seed());
    for (const std::uint16_t workers : std::initializer_list<std::uint16_t>{1, 2, 5, 32}) {
        Job job(workers, 3, 0.05, seed());
        for (std::uint64_t call = 1; call <= 4; ++call) {
            const std::size_t count = 1 + random() % 400;
            std::vector<std::vector<float>> data(workers, std::vector<float>(count));
            std::vector<double> exact(count);
            for (auto& mine : data) {
                for (std::size_t i = 0; i < count; ++i) {
                    mine[i] = std::normal_distribution<float>()(random);
                    exact[i] += static_cast<double>(mine[i]);
                }
            }
            for (std::size_t w = 0; w < workers; ++w) {
                job.members[w].start(call_on(data[w], Type::kFloat32, call), job.now);
            }
            job.run();
            for (std::size_t w = 0; w < workers; ++w) {
                CHECK(job.members[w].state() == Worker::State::kDone);
                CHECK(std::memcmp(data[w].data(), data[0].data(), 4 * count) == 0);
            }
            for (std::size_t i = 0; i < count; ++i) {
                CHECK(std::abs(static_cast<double>(data[0][i]) - exact[i]) < 1e-5);
            }
        }
    }
}

TEST_CASE("workers that call different things all hear of it") {
    for (int bit = 0; bit < 64; ++bit) {
        Job job(3, 2, 0.0, seed());
        std::vector<std::vector<std::int32_t>> data(3, std::vector<std::int32_t>(40, 1));
        for (std::size_t w = 0; w < 3; ++w) {
            const std::uint64_t signature = 0x123456789abcdefU ^ (w == 2 ? 1ULL << bit : 0);
            job.members[w].start(call_on(data[w], Type::kInt32, signature), job.now);
        }
        job.run();
        for (const Worker& worker : job.members) {
            CHECK(worker.state() == Worker::State::kMismatch);
        }
        CHECK(data[0][0] == 1);
    }
}

TEST_CASE("a silent switch is given up, a late colleague is waited for") {
    Job job(2, 2, 0.0, seed());
    std::vector<std::vector<std::int32_t>> data(2, std::vector<std::int32_t>(200, 1));
    job.members[0].start(call_on(data[0], Type::kInt32, 5), job.now);
    Worker& early = job.members[0];
    Bytes datagram(packet_size(kValues));
    Switch other(2);
    for (Time now = 0; now < 20'000'000'000; now += 1'000'000) {  // 20 s, and "wait" all the time
        for (Bytes sent; !(sent = packet_of(early, now)).empty();) {
            for (auto& [to, answer] : other.take(sent)) {
                if (to == 0) early.handle(now, answer);
            }
        }
        REQUIRE(early.state() == Worker::State::kWorking);
    }
    CHECK(early.counts().resent > 100);
    CHECK(early.counts().waits == early.counts().resent);

    SUBCASE("a process that was away for an hour asks before it gives up") {
        const Time now = 3'600'000'000'000;
        CHECK(early.poll(now, datagram) > 0);
        CHECK(early.state() == Worker::State::kWorking);
    }
    SUBCASE("a second of silence, while it asks") {
        Time now = 20'000'000'000;
        while (early.state() == Worker::State::kWorking) {
            early.poll(now, datagram);
            now += 1'000'000;
        }
        CHECK(early.state() == Worker::State::kSilent);
        CHECK(now > 20'900'000'000);
        CHECK(now < 22'000'000'000);
        CHECK(early.next_timeout() == kNever);
    }
}

TEST_CASE("what was frozen neither sends nor takes") {
    Job job(1, 2, 0.0, seed());
    std::vector<std::int32_t> data(200, 1);
    job.members[0].start(call_on(data, Type::kInt32, 5), job.now);
    job.members[0].freeze();
    Bytes datagram(packet_size(kValues));
    CHECK(job.members[0].poll(1, datagram) == 0);
    CHECK(job.members[0].next_timeout() == kNever);
}

namespace {

constexpr Time kMillisecond = 1'000'000;

// A worker alone, whose link carries a packet in a millisecond, one after another. What it sent in
// all, by the packets' sizes; `lost` counts the packets until the one that the link loses.
std::map<std::size_t, int> sent_over_a_slow_link(Worker& worker, int lost) {
    Switch other(1);
    std::deque<Bytes> link;
    std::map<std::size_t, int> sizes;
    int number = 0;
    for (Time now = 0; worker.state() != Worker::State::kDone; now += kMillisecond) {
        REQUIRE(now < 10'000 * kMillisecond);
        for (Bytes sent; !(sent = packet_of(worker, now)).empty();) {
            ++sizes[sent.size()];
            if (++number != lost) link.push_back(sent);
        }
        if (link.empty()) continue;
        for (auto& [to, answer] : other.take(link.front())) worker.handle(now, answer);
        link.pop_front();
    }
    return sizes;
}

Worker alone(std::vector<std::int32_t>& data, std::uint16_t slots) {
    Worker worker(
        {.job = 1, .epoch = 9, .worker = 0, .workers = 1, .slots = slots, .values = kValues},
        {.least = 20 * kMillisecond});
    worker.start(call_on(data, Type::kInt32, 5), 0);
    return worker;
}

}  // namespace

TEST_CASE("only what sums need has values") {
    std::vector<std::int32_t> data(10 * kValues, 1);
    Worker worker = alone(data, 10);
    const auto sizes = sent_over_a_slow_link(worker, 0);
    CHECK(sizes.at(packet_size(kValues)) == 11);  // what the call is, and the data
    CHECK(sizes.at(packet_size(0)) == 10);        // the other slots' openings, and the commit
}

TEST_CASE("a packet that is in a queue is not taken for lost") {
    std::vector<std::int32_t> data(500 * kValues, 1);
    Worker worker = alone(data, 128);  // 128 ms in the queue, and 20 ms until a time-out
    sent_over_a_slow_link(worker, 0);
    CHECK(worker.counts().resent == 0);
}

TEST_CASE("a packet that was lost is sent again while others come") {
    std::vector<std::int32_t> data(2000 * kValues, 1);
    Worker worker = alone(data, 16);
    sent_over_a_slow_link(worker, 100);
    CHECK(worker.counts().resent == 1);
    CHECK(data == std::vector<std::int32_t>(2000 * kValues, 1));
}
