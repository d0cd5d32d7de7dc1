// The list of built-in algorithms and the way from a name to a schedule.
#include <array>
#include <string>

#include "collectives/algorithms/algorithm.h"
#include "datapath/error.h"

namespace weft::collectives {

namespace {

constexpr std::array kAll = {
    &kBinomialTree, &kBruck,           &kDirect,   &kDissemination, &kDoubleBinaryTree,
    &kFlat,         &kHalvingDoubling, &kPairwise, &kRing};

}  // namespace

std::span<const Algorithm* const> algorithms() noexcept {
    return kAll;
}

std::vector<const Algorithm*> algorithms_for(Collective collective) {
    std::vector<const Algorithm*> result;
    for (const Algorithm* algorithm : kAll) {
        if (algorithm->supports(collective)) result.push_back(algorithm);
    }
    return result;
}

const Algorithm& find_algorithm(std::string_view name, Collective collective) {
    std::string known;
    for (const Algorithm* algorithm : algorithms_for(collective)) {
        if (algorithm->name == name) return *algorithm;
        known += " " + std::string(algorithm->name);
    }
    throw Error(WEFT_ERR_INVALID, "no algorithm \"" + std::string(name) + "\" for " +
                                      std::string(collective_name(collective)) +
                                      "; there are:" + known);
}

Spec make_spec(const Algorithm& algorithm, Collective collective, std::int32_t size,
               std::int32_t root, std::int32_t slices) {
    if (!algorithm.supports(collective))
        find_algorithm(algorithm.name, collective);  // throws the list
    if (slices < 1 || slices > kMaxSlices) {
        throw Error(WEFT_ERR_INVALID, std::string(algorithm.name) + ": " + std::to_string(slices) +
                                          " slices asked for; 1.." + std::to_string(kMaxSlices) +
                                          " are possible");
    }
    check(Spec{.collective = collective, .size = size, .root = root, .chunks = 1});
    const Spec spec{.collective = collective,
                    .size = size,
                    .root = root,
                    .chunks = size == 1 ? 1 : algorithm.chunks(collective, size, slices)};
    check(spec);
    return spec;
}

Program build_program(const Algorithm& algorithm, const Spec& spec, std::int32_t rank) {
    ProgramBuilder builder(spec, rank);
    if (spec.size == 1) {
        builder.copy(output(0, spec.chunks), input(0, spec.chunks));
    } else {
        algorithm.write(builder);
    }
    return builder.finish();
}

Schedule build_schedule(const Algorithm& algorithm, const Spec& spec) {
    Schedule schedule{.name = std::string(algorithm.name), .spec = spec, .programs = {}};
    schedule.programs.reserve(static_cast<std::size_t>(spec.size));
    for (std::int32_t rank = 0; rank < spec.size; ++rank) {
        schedule.programs.push_back(build_program(algorithm, spec, rank));
    }
    return schedule;
}

}  // namespace weft::collectives
