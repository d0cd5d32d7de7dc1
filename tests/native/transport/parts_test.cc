// The containers and counters inside a connection, against plain models of them.
#include <doctest/doctest.h>

#include <deque>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "transport/message_table.h"
#include "transport/one_way.h"
#include "transport/receive_window.h"
#include "transport/ring_queue.h"
#include "transport/rtt.h"
#include "transport/sent_ring.h"

namespace weft::transport::test {
namespace {

TEST_CASE("expand_sequence finds the nearest number, on both sides of a wrap") {
    const Sequence near = kFirstLap + 0xFFFFFFF0;
    CHECK(expand_sequence(0xFFFFFFF0, near) == near);
    CHECK(expand_sequence(5, near) == near + 21);
    CHECK(expand_sequence(0xFFFFFF00, near) == near - 0xF0);
    CHECK(expand_sequence(0, kFirstLap) == kFirstLap);
    CHECK(expand_sequence(0xFFFFFFFF, kFirstLap) == kFirstLap - 1);
    std::mt19937_64 random(1);
    for (int i = 0; i < 10000; ++i) {
        const Sequence base = kFirstLap + random() % (Sequence{1} << 40);
        const Sequence target = base + random() % (1u << 31) - (1u << 30);
        CHECK(expand_sequence(static_cast<std::uint32_t>(target), base) == target);
    }
}

TEST_CASE("RingQueue is a queue") {
    RingQueue<int> queue;
    std::deque<int> model;
    std::mt19937_64 random(2);
    for (int i = 0; i < 20000; ++i) {
        if (random() % 5 < 3) {
            queue.push(i);
            model.push_back(i);
        } else if (!model.empty()) {
            REQUIRE(queue.front() == model.front());
            queue.pop();
            model.pop_front();
        }
        REQUIRE(queue.size() == model.size());
    }
}

TEST_CASE("MessageTable is a map, whatever the numbers") {
    struct Record {
        MessageId id = kNoMessage;
        std::uint64_t value = 0;
    };
    for (const std::uint64_t stride :
         {std::uint64_t{1}, std::uint64_t{1} << 32, std::uint64_t{16}}) {
        MessageTable<Record> table;
        std::map<MessageId, std::uint64_t> model;
        std::mt19937_64 random(3);
        for (std::uint64_t i = 0; i < 20000; ++i) {
            const MessageId id = random() % 300 * stride;
            const std::uint32_t slot = table.find(id);
            REQUIRE((slot != MessageTable<Record>::kNone) == (model.count(id) == 1));
            if (model.count(id) == 0) {
                const std::uint32_t fresh = table.insert({id, i});
                model[id] = i;
                REQUIRE(table.at(fresh).value == i);
            } else {
                REQUIRE(table.at(slot).value == model[id]);
                table.erase(slot);
                model.erase(id);
                REQUIRE(table.find(id) == MessageTable<Record>::kNone);
                REQUIRE(table.find(kNoMessage) == MessageTable<Record>::kNone);
            }
            REQUIRE(table.size() == model.size());
        }
    }
}

TEST_CASE("ReceiveWindow is a set of numbers with a lower end") {
    for (const std::uint32_t window : {64u, 100u, 4096u}) {
        for (const Sequence first : {kFirstLap, kFirstLap + 63, kFirstLap + 0xFFFFFFF0}) {
            ReceiveWindow arrived(first, window);
            std::set<Sequence> model;
            Sequence cumulative = first;
            Sequence end = first;
            std::mt19937_64 random(window);
            for (int i = 0; i < 20000; ++i) {
                const Sequence sequence = cumulative + random() % (window + 20) - 10;
                const auto verdict = arrived.check(sequence);
                if (sequence < cumulative || model.count(sequence) == 1) {
                    REQUIRE(verdict == ReceiveWindow::Verdict::kDuplicate);
                } else if (sequence >= cumulative + window) {
                    REQUIRE(verdict == ReceiveWindow::Verdict::kOutside);
                } else {
                    REQUIRE(verdict == ReceiveWindow::Verdict::kNew);
                    arrived.mark(sequence);
                    model.insert(sequence);
                    end = std::max(end, sequence + 1);
                    while (model.count(cumulative) == 1) {
                        model.erase(cumulative++);
                    }
                }
                // Now and then the gap closes, as retransmissions close it.
                if (random() % 50 == 0 &&
                    arrived.check(cumulative) == ReceiveWindow::Verdict::kNew) {
                    arrived.mark(cumulative);
                    model.insert(cumulative);
                    end = std::max(end, cumulative + 1);
                    while (model.count(cumulative) == 1) {
                        model.erase(cumulative++);
                    }
                }
                REQUIRE(arrived.cumulative() == cumulative);
                REQUIRE(arrived.end() == end);
            }
            for (Sequence at = cumulative / 64 * 64; at < end; ++at) {
                const bool bit = (arrived.word(at / 64) >> (at % 64) & 1) != 0;
                if (at >= cumulative) {
                    CHECK(bit == (model.count(at) == 1));
                }
            }
        }
    }
}

TEST_CASE("SentRing keeps its lists while it grows and turns around") {
    for (const Sequence first : {kFirstLap + 5, kFirstLap + 0x7FFFFFE0, kFirstLap + 0xFFFFFFE0}) {
        SentRing ring(first, 1000);
        std::vector<ChunkList> lists(3);
        std::vector<std::deque<std::uint32_t>> models(3);
        std::map<Sequence, std::size_t> outstanding;
        std::mt19937_64 random(first);
        for (int i = 0; i < 20000; ++i) {
            if (random() % 2 == 0 && !ring.full()) {
                const Sequence sequence = ring.next();
                const std::uint32_t ticket = ring.push();
                const std::size_t list = random() % 3;
                ring.append(lists[list], ticket);
                models[list].push_back(ticket);
                outstanding[sequence] = list;
                REQUIRE(ring.sequence_of(ticket) == sequence);
            } else if (!outstanding.empty()) {
                auto chosen = outstanding.begin();
                std::advance(chosen,
                             static_cast<std::ptrdiff_t>(
                                 random() % std::min<std::size_t>(outstanding.size(), 400)));
                const auto [sequence, list] = *chosen;
                const std::uint32_t ticket = SentRing::ticket_of(sequence);
                const std::uint64_t bit = std::uint64_t{1} << (sequence % 64);
                REQUIRE(ring.newly_acked(sequence / 64, bit) == bit);
                ring.mark_acked(sequence / 64, bit);
                REQUIRE(ring.newly_acked(sequence / 64, bit) == 0);
                ring.remove(lists[list], ticket);
                std::erase(models[list], ticket);
                outstanding.erase(chosen);
                ring.advance();
            }
            const Sequence lowest = outstanding.empty() ? ring.next() : outstanding.begin()->first;
            REQUIRE(ring.base() == lowest);
        }
        for (std::size_t list = 0; list < 3; ++list) {
            std::deque<std::uint32_t> forward;
            for (std::uint32_t at = lists[list].first; at != SentChunk::kNil;
                 at = ring.at(at).next) {
                forward.push_back(at);
            }
            CHECK(forward == models[list]);
        }
    }
}

TEST_CASE("OneWayDelay finds queues by two clocks that do not agree") {
    // Any offset, one that makes the difference wrap in the middle of its samples among them.
    for (const std::uint32_t offset : {0U, 123'456U, 0xFFFFFF00U, 0x80000000U}) {
        CAPTURE(offset);
        OneWayDelay way;
        std::mt19937 random(11);
        std::uint32_t least = 1'000'000;
        for (int i = 0; i < 1000; ++i) {
            const auto took = static_cast<std::uint32_t>(200 + random() % 1000);
            least = std::min(least, took);
            CHECK(way.queueing(offset + took) == took - least);
        }
    }
}

TEST_CASE("OneWayDelay forgets a shortest way after one to two periods") {
    OneWayDelay way;
    CHECK(way.queueing(100) == 0);
    CHECK(way.queueing(150) == 50);
    way.age();
    CHECK(way.queueing(160) == 60);  // still known
    way.age();
    CHECK(way.queueing(170) == 10);  // 160 is the least of the last period
    way.age();
    way.age();
    CHECK(way.queueing(5000) == 0);  // after two silent ones nothing is known
}

TEST_CASE("RttEstimator follows RFC 6298") {
    RttEstimator rtt;
    CHECK_FALSE(rtt.known());
    rtt.add(8000);
    CHECK(rtt.smoothed() == 8000);
    CHECK(rtt.variation() == 4000);
    CHECK(rtt.timeout() == 24000);
    rtt.add(16000);  // variation 4000 + (8000 - 4000) / 4, smoothed 8000 + 8000 / 8
    CHECK(rtt.variation() == 5000);
    CHECK(rtt.smoothed() == 9000);
    rtt.add(1000);
    CHECK(rtt.minimum() == 1000);
    CHECK(rtt.latest() == 1000);
    CHECK(rtt.variation() == 5750);
    CHECK(rtt.smoothed() == 8000);
}

}  // namespace
}  // namespace weft::transport::test
