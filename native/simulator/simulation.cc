#include "simulator/simulation.h"

#include <string>

#include "simulator/run.h"

namespace weft::simulator {

Results simulate(const fabric::Topology& topology, const Workload& workload,
                 const SimulationOptions& options, const Progress& progress) {
    topology.check();
    workload.check(topology.hosts);
    options.transport.validate();
    constexpr std::uint32_t kLargestPacket = 65'535;
    if (options.overhead > 1000) {
        throw OptionError("simulation: overhead must lie in 0 .. 1000 bytes, not " +
                          std::to_string(options.overhead));
    }
    if (options.transport.chunk_size + wire::kDataHeaderSize + options.overhead > kLargestPacket) {
        throw OptionError(
            "simulation: chunk_size " + std::to_string(options.transport.chunk_size) +
            " makes packets larger than 65,535 bytes, the most that the fabric carries");
    }
    if (options.plan && options.pinning == Pinning::kNone)
        throw OptionError("simulation: a plan needs pinned paths: by source routes or by hash");
    if (options.limit <= 0) throw OptionError("simulation: limit must be a positive time");
    if (options.sample_interval < 0)
        throw OptionError("simulation: sample_interval must not be negative");
    return Run(topology, workload, options, progress).execute();
}

}  // namespace weft::simulator
