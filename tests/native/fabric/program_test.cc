// Switches with programs of their own: copies, drops, ports, and the bytes that a P4 program sees.
#include "fabric/program.h"

#include <doctest/doctest.h>

#include "fabric/fabric.h"
#include "recorder.h"

using namespace weft::fabric;

namespace {

constexpr Cable kCable{.rate = 100e9, .delay = kMicrosecond};

// Sends what comes in out by every port of a list, under new cargo numbers.
class Copier final : public SwitchProgram {
  public:
    explicit Copier(std::vector<std::uint32_t> ports) : ports_(std::move(ports)) {}
    void process(std::uint32_t port, const Packet& packet, Time,
                 std::vector<Departure>& out) override {
        came_by.push_back(port);
        for (const std::uint32_t to : ports_) {
            Packet copy = packet;
            copy.cargo = 100 * packet.cargo + to;
            out.push_back({to, copy});
        }
    }
    std::vector<std::uint32_t> came_by;

  private:
    std::vector<std::uint32_t> ports_;
};

// Three hosts on one switch, whose ports are 0, 1, 2 to them and 3 to the other switch.
Topology star() {
    return dumbbell({.left = 3, .right = 1, .down = kCable, .neck = kCable});
}

}  // namespace

TEST_CASE("a program's copies leave by the ports it names") {
    Recorder edge;
    Fabric fabric(star(), {}, edge);
    Copier copier({1, 2});
    fabric.run_program(4, copier);
    fabric.inject(0, packet_to(3, 7));
    fabric.run_until(kNever);
    CHECK(copier.came_by == std::vector<std::uint32_t>{0});
    REQUIRE(edge.delivered.size() == 2);
    CHECK(edge.delivered[0].packet.cargo == 701);
    CHECK(edge.delivered[0].host == 1);
    CHECK(edge.delivered[1].packet.cargo == 702);
    CHECK(edge.delivered[1].host == 2);
    CHECK(edge.delivered[0].time == 2 * (kMicrosecond + 1000 * 80 * kPicosecond));
    CHECK(fabric.packets_in_flight() == 0);
}

TEST_CASE("a program drops by naming no port, or one that is not there") {
    Recorder edge;
    Fabric fabric(star(), {}, edge);
    Copier none({});
    Copier beyond({9});
    fabric.run_program(4, none);
    fabric.inject(0, packet_to(3, 1));
    fabric.run_until(kNever);
    fabric.run_program(4, beyond);
    fabric.inject(1, packet_to(3, 2));
    fabric.run_until(kNever);
    CHECK(edge.delivered.empty());
    REQUIRE(edge.reasons.size() == 2);
    CHECK(edge.reasons[0] == DropReason::kNoRoute);
    CHECK(edge.reasons[1] == DropReason::kNoRoute);
    CHECK(edge.drops[0].packet.cargo == 1);
    CHECK(edge.drops[1].packet.cargo == 209);
    CHECK(fabric.packets_in_flight() == 0);
}

TEST_CASE("other switches route as before, and hosts run no programs") {
    Recorder edge;
    Fabric fabric(star(), {}, edge);
    Copier to_neck({3});
    fabric.run_program(4, to_neck);
    fabric.inject(0, packet_to(3, 7));
    fabric.run_until(kNever);
    REQUIRE(edge.delivered.size() == 1);
    CHECK(edge.delivered[0].host == 3);
    CHECK_THROWS_AS(fabric.run_program(0, to_neck), TopologyError);
    CHECK_THROWS_AS(fabric.run_program(6, to_neck), TopologyError);
}
