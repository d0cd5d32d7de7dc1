// A built-in algorithm: a function that writes one rank's program for the collectives it knows. One
// file each in this folder; registry.cc lists them. A rank builds only its own part, so groups of
// thousands cost nothing extra.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "collectives/schedule.h"

namespace weft::collectives {

// How the number of steps on the critical path grows with the group; the tuner extrapolates with
// it.
enum class Growth : std::uint8_t { kLogarithmic, kLinear };

struct Algorithm {
    std::string_view name;       // what options and messages call it, e.g. "ring"
    std::string_view reference;  // where it was published
    Growth growth = Growth::kLinear;
    std::uint32_t collectives = 0;  // bit 1 << Collective for each that it can do
    // Chunks per block for a wanted pipeline depth `slices` >= 1 (algorithms that cannot be cut
    // ignore it).
    std::int32_t (*chunks)(Collective collective, std::int32_t size, std::int32_t slices) = nullptr;
    // Appends the program of builder.rank(); only called for groups of two or more.
    void (*write)(ProgramBuilder& builder) = nullptr;

    bool supports(Collective collective) const noexcept {
        return (collectives >> static_cast<unsigned>(collective) & 1U) != 0;
    }
};

// All of them, in alphabetical order.
std::span<const Algorithm* const> algorithms() noexcept;
std::vector<const Algorithm*> algorithms_for(Collective collective);
// Throws Error(INVALID) that lists what exists for this collective.
const Algorithm& find_algorithm(std::string_view name, Collective collective);

constexpr std::int32_t kMaxSlices = 64;

// Throws Error(INVALID) if size, root or slices (1..kMaxSlices) are out of range or the algorithm
// cannot do this collective.
Spec make_spec(const Algorithm& algorithm, Collective collective, std::int32_t size,
               std::int32_t root = 0, std::int32_t slices = 1);
Program build_program(const Algorithm& algorithm, const Spec& spec, std::int32_t rank);
Schedule build_schedule(const Algorithm& algorithm, const Spec& spec);

// What the algorithms' files share: how to name slices, and ranks on a ring.

template <typename... Collectives>
constexpr std::uint32_t collective_set(Collectives... collectives) noexcept {
    return ((1U << static_cast<unsigned>(collectives)) | ...);
}

constexpr Slice input(std::int32_t first, std::int32_t count = 1) noexcept {
    return {Buffer::kInput, first, count};
}
constexpr Slice output(std::int32_t first, std::int32_t count = 1) noexcept {
    return {Buffer::kOutput, first, count};
}
constexpr Slice scratch(std::int32_t first, std::int32_t count = 1) noexcept {
    return {Buffer::kScratch, first, count};
}

// index modulo size, for index >= -size
constexpr std::int32_t wrap(std::int32_t index, std::int32_t size) noexcept {
    return (index + size) % size;
}

constexpr std::uint8_t lane_of(std::int32_t slice) noexcept {
    return static_cast<std::uint8_t>(slice % kMaxLanes);
}

extern const Algorithm kBinomialTree;
extern const Algorithm kBruck;
extern const Algorithm kDirect;
extern const Algorithm kDissemination;
extern const Algorithm kDoubleBinaryTree;
extern const Algorithm kFlat;
extern const Algorithm kHalvingDoubling;
extern const Algorithm kPairwise;
extern const Algorithm kRing;

}  // namespace weft::collectives
