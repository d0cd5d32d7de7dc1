// An independent, obviously right oracle: runs a schedule on numbers, one step at a time, in random
// order among those that may run. It shares nothing with Plan or the verifier; conflicts are found
// by comparing the chunks of every two steps.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "collectives/schedule.h"

namespace weft::collectives::test {

using Number = std::uint64_t;  // sums wrap around, so a random input makes every wrong set of
                               // contributions visible

// Per chunk one vector of numbers; a chunk's length is free, so wrong positions show as wrong
// lengths or values.
struct RankState {
    std::vector<std::vector<Number>> buffers[kBuffers];
};

class Interpreter {
  public:
    Interpreter(const Schedule& schedule, bool in_place, std::uint64_t seed)
        : schedule_(schedule), in_place_(in_place), random_(seed) {}

    // An explanation if the schedule gets stuck or an output is wrong.
    std::optional<std::string> run();

  private:
    using Place = std::pair<int, std::int32_t>;  // memory (buffer), chunk
    struct Message {
        std::vector<std::vector<Number>> chunks;
    };

    Place place(std::int32_t rank, Buffer buffer, std::int32_t chunk) const;
    bool conflict(std::int32_t rank, const Step& earlier, const Step& later) const;
    bool may_run(std::int32_t rank, std::size_t step) const;
    bool execute(std::int32_t rank, std::size_t step);
    std::vector<Number>& at(std::int32_t rank, Buffer buffer, std::int32_t chunk);
    std::size_t length(std::int32_t rank, Buffer buffer, std::int32_t chunk) const;
    void fill();
    std::optional<std::string> check() const;
    std::vector<Number> expected(std::int32_t rank, std::int32_t chunk) const;

    const Schedule& schedule_;
    bool in_place_;
    std::mt19937_64 random_;
    std::vector<RankState> memory_;
    std::vector<std::vector<std::vector<Number>>> inputs_;  // [rank][chunk], never changed
    std::vector<std::vector<bool>> done_;
    std::map<std::tuple<int, int, int, int>, Message> messages_;  // from, to, lane, number
};

}  // namespace weft::collectives::test
