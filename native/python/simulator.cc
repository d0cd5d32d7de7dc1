// The simulator: workloads, options, one call that runs, results as arrays. Times are picoseconds.
#include <pybind11/functional.h>
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "python/areas.h"
#include "simulator/flow_level.h"
#include "simulator/ideal.h"
#include "simulator/planned.h"
#include "simulator/simulation.h"
#include "transport/congestion/congestion.h"
#include "transport/paths/scheduler.h"
#include "transport/recovery/recovery.h"

namespace weft::python {

namespace py = pybind11;
using namespace weft::simulator;

namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

// One column of a vector of structures, as an array of its own.
template <typename T, typename Row, typename Field>
py::array_t<T> column(const std::vector<Row>& rows, Field Row::* field) {
    py::array_t<T> array(static_cast<py::ssize_t>(rows.size()));
    T* out = array.mutable_data();
    for (const Row& row : rows) *out++ = static_cast<T>(row.*field);
    return array;
}

template <typename T>
py::array_t<T> copy(const std::vector<T>& values) {
    return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

template <typename T>
py::array_t<T> matrix(const std::vector<T>& values, std::size_t rows) {
    const auto columns = static_cast<py::ssize_t>(rows == 0 ? 0 : values.size() / rows);
    return py::array_t<T>(std::vector<py::ssize_t>{static_cast<py::ssize_t>(rows), columns},
                          values.data());
}

Workload make_workload(const Array<std::uint32_t>& source, const Array<std::uint32_t>& destination,
                       const Array<std::uint64_t>& size, const Array<std::int64_t>& start,
                       const Array<std::int64_t>& delay, const Array<std::uint8_t>& priority,
                       const std::vector<std::uint32_t>& dependency_begin,
                       const std::vector<std::uint32_t>& dependencies) {
    Workload workload;
    const py::ssize_t count = source.size();
    if (destination.size() != count || size.size() != count || start.size() != count ||
        delay.size() != count || priority.size() != count) {
        throw WorkloadError("workload: its columns have different lengths");
    }
    workload.messages.reserve(static_cast<std::size_t>(count));
    for (py::ssize_t m = 0; m < count; ++m) {
        workload.messages.push_back({source.at(m), destination.at(m), size.at(m), start.at(m),
                                     delay.at(m), priority.at(m)});
    }
    workload.dependency_begin = dependency_begin;
    workload.dependencies = dependencies;
    return workload;
}

void bind_transport_config(py::module_& module) {
    using transport::Config;
    using transport::PolicyChoice;
    py::class_<PolicyChoice>(module, "PolicyChoice", py::module_local())
        .def(py::init([](std::string name, std::vector<std::pair<std::string, double>> parameters) {
                 return PolicyChoice{std::move(name), std::move(parameters)};
             }),
             py::arg("name"), py::arg("parameters"));
    py::class_<Config>(module, "TransportConfig", py::module_local())
        .def_readwrite("paths", &Config::paths)
        .def_readwrite("chunk_size", &Config::chunk_size)
        .def_readwrite("window", &Config::window)
        .def_readwrite("max_burst", &Config::max_burst)
        .def_readwrite("spread_bursts", &Config::spread_bursts)
        .def_readwrite("scheduler", &Config::scheduler)
        .def_readwrite("congestion", &Config::congestion)
        .def_readwrite("recovery", &Config::recovery)
        .def_readwrite("ack_every", &Config::ack_every)
        .def_readwrite("ack_disorder", &Config::ack_disorder)
        .def_readwrite("ack_delay", &Config::ack_delay)
        .def_readwrite("rto_initial", &Config::rto_initial)
        .def_readwrite("rto_min", &Config::rto_min)
        .def_readwrite("rto_max", &Config::rto_max)
        .def_readwrite("max_attempts", &Config::max_attempts)
        .def_readwrite("path_timeouts", &Config::path_timeouts)
        .def_readwrite("probe_interval", &Config::probe_interval)
        .def_readwrite("peer_timeout", &Config::peer_timeout);
    module.def("path_schedulers", &transport::path_schedulers);
    module.def("congestion_controls", &transport::congestion_controls);
    module.def("loss_recoveries", &transport::loss_recoveries);
}

py::dict ports(const Results& results) {
    using fabric::PortStats;
    py::dict columns;
    columns["bytes"] = column<std::uint64_t>(results.ports, &PortStats::bytes);
    columns["packets"] = column<std::uint64_t>(results.ports, &PortStats::packets);
    columns["marks"] = column<std::uint32_t>(results.ports, &PortStats::marks);
    columns["trims"] = column<std::uint32_t>(results.ports, &PortStats::trims);
    columns["drops"] = column<std::uint32_t>(results.ports, &PortStats::drops);
    columns["lost"] = column<std::uint32_t>(results.ports, &PortStats::lost);
    columns["peak_backlog"] = column<std::uint32_t>(results.ports, &PortStats::peak_backlog);
    return columns;
}

py::dict totals(const Results& results) {
    const TransportTotals& sums = results.transport;
    py::dict table;
    table["connections"] = sums.connections;
    table["bytes_received"] = sums.bytes_received;
    table["chunks_sent"] = sums.chunks_sent;
    table["retransmitted"] = sums.retransmitted;
    table["fast_retransmits"] = sums.fast_retransmits;
    table["timeouts"] = sums.timeouts;
    table["trims"] = sums.trims;
    table["tail_probes"] = sums.tail_probes;
    table["spurious"] = sums.spurious;
    table["acks_sent"] = sums.acks_sent;
    table["marks"] = sums.marks;
    table["probes_sent"] = sums.probes_sent;
    py::dict drops;
    for (std::size_t d = 0; d < sums.drops.size(); ++d)
        drops[transport::to_string(static_cast<transport::Drop>(d))] = sums.drops[d];
    table["drops"] = drops;
    return table;
}

py::dict dropped(const Results& results) {
    py::dict table;
    for (std::size_t r = 0; r < results.dropped.size(); ++r)
        table[fabric::to_string(static_cast<fabric::DropReason>(r))] = results.dropped[r];
    return table;
}

py::list failures(const Results& results) {
    py::list rows;
    for (const ConnectionFailure& failure : results.failures)
        rows.append(py::make_tuple(failure.host, failure.peer, failure.at, failure.reason));
    return rows;
}

// (time, host, peer, kind, path, value, bytes)
py::list trace(const Results& results) {
    py::list rows;
    for (const TracedEvent& traced : results.trace) {
        rows.append(py::make_tuple(traced.at, traced.host, traced.peer,
                                   transport::to_string(traced.event.kind), traced.event.path,
                                   traced.event.value, traced.event.bytes));
    }
    return rows;
}

void bind_results(py::module_& module) {
    py::class_<Results>(module, "Results")
        .def_property_readonly("started",
                               [](const Results& results) {
                                   return column<std::int64_t>(results.messages,
                                                               &MessageTimes::started);
                               })
        .def_property_readonly("received",
                               [](const Results& results) {
                                   return column<std::int64_t>(results.messages,
                                                               &MessageTimes::received);
                               })
        .def_property_readonly("acknowledged",
                               [](const Results& results) {
                                   return column<std::int64_t>(results.messages,
                                                               &MessageTimes::acknowledged);
                               })
        .def_property_readonly("ports", &ports)
        .def_property_readonly("transport", &totals)
        .def_property_readonly("dropped", &dropped)
        .def_property_readonly("failures", &failures)
        .def_property_readonly("trace", &trace)
        .def_property_readonly("sample_times",
                               [](const Results& results) { return copy(results.samples.times); })
        .def_property_readonly("sample_backlog",
                               [](const Results& results) {
                                   return matrix(results.samples.backlog,
                                                 results.samples.times.size());
                               })
        .def_property_readonly("sample_bytes",
                               [](const Results& results) {
                                   return matrix(results.samples.bytes,
                                                 results.samples.times.size());
                               })
        .def_readonly("end", &Results::end)
        .def_readonly("unfinished", &Results::unfinished)
        .def_readonly("events", &Results::events)
        .def_readonly("packets", &Results::packets)
        .def_readonly("peak_packets", &Results::peak_packets)
        .def_readonly("wall_seconds", &Results::wall_seconds);
    py::class_<Ideal>(module, "Ideal")
        .def_property_readonly("messages", [](const Ideal& ideal) { return copy(ideal.messages); })
        .def_readonly("critical_path", &Ideal::critical_path)
        .def_readonly("load", &Ideal::load)
        .def_property_readonly("bound", &Ideal::bound);
}

Results run_packets(const fabric::Topology& topology, const Workload& workload,
                    const SimulationOptions& options, const py::object& progress) {
    Progress report;
    if (!progress.is_none()) {
        report = [&progress](std::uint64_t finished, fabric::Time now) {
            const py::gil_scoped_acquire lock;
            if (PyErr_CheckSignals() != 0) throw py::error_already_set();
            return progress(finished, now).cast<bool>();
        };
    }
    const py::gil_scoped_release unlocked;
    return simulate(topology, workload, options, report);
}

}  // namespace

void bind_simulator(py::module_& parent) {
    py::module_ module =
        parent.def_submodule("simulator", "Simulated runs. Times are picoseconds, sizes bytes.");
    bind_transport_config(module);
    py::class_<Workload>(module, "Workload")
        .def(py::init(&make_workload), py::kw_only(), py::arg("source"), py::arg("destination"),
             py::arg("size"), py::arg("start"), py::arg("delay"), py::arg("priority"),
             py::arg("dependency_begin"), py::arg("dependencies"));
    py::enum_<Pinning>(module, "Pinning")
        .value("none", Pinning::kNone)
        .value("source_route", Pinning::kSourceRoute)
        .value("hash", Pinning::kHash);
    py::class_<SimulationOptions>(module, "SimulationOptions")
        .def(py::init<>())
        .def_readwrite("fabric", &SimulationOptions::fabric)
        .def_readwrite("transport", &SimulationOptions::transport)
        .def_readwrite("cues", &SimulationOptions::cues)
        .def(
            "add_program",
            [](SimulationOptions& options, fabric::NodeId node, std::uintptr_t program,
               std::uintptr_t run, std::uintptr_t outputs) {
                // Addresses in the shared object of a compiled P4 program.
                options.programs.push_back({node, reinterpret_cast<wf_switch*>(program),
                                            reinterpret_cast<fabric::P4Program::Run>(run),
                                            reinterpret_cast<fabric::P4Program::Outputs>(outputs)});
            },
            py::arg("node"), py::arg("program"), py::arg("run"), py::arg("outputs"))
        .def_readwrite("overhead", &SimulationOptions::overhead)
        .def_readwrite("warm", &SimulationOptions::warm)
        .def_readwrite("host_queue", &SimulationOptions::host_queue)
        .def_readwrite("port", &SimulationOptions::port)
        .def_readwrite("control_first", &SimulationOptions::control_first)
        .def_readwrite("pinning", &SimulationOptions::pinning)
        .def_property(
            "plan", [](const SimulationOptions& o) { return o.plan ? to_string(*o.plan) : ""; },
            [](SimulationOptions& o, const std::string& name) {
                o.plan = planner::parse_strategy(name);
            })
        .def_readwrite("plan_minimum", &SimulationOptions::plan_minimum)
        .def_readwrite("limit", &SimulationOptions::limit)
        .def_readwrite("sample_interval", &SimulationOptions::sample_interval)
        .def_readwrite("traced_connections", &SimulationOptions::traced_connections);
    bind_results(module);
    module.def("simulate", &run_packets, py::arg("topology"), py::arg("workload"),
               py::arg("options"), py::arg("progress") = py::none());
    module.def(
        "ideal",
        [](const fabric::Topology& topology, const Workload& workload, std::uint32_t chunk_size,
           std::uint32_t overhead) { return ideal(topology, workload, {chunk_size, overhead}); },
        py::arg("topology"), py::arg("workload"), py::arg("chunk_size"), py::arg("overhead"),
        py::call_guard<py::gil_scoped_release>());
    py::class_<PlannedMessages>(module, "PlannedMessages")
        .def_property_readonly("port_bytes",
                               [](const PlannedMessages& made) { return copy(made.port_bytes); })
        .def_readonly("pieces", &PlannedMessages::pieces)
        .def_readonly("messages", &PlannedMessages::messages)
        .def_readonly("ratio", &PlannedMessages::ratio);
    module.def(
        "plan_messages",
        [](const fabric::Topology& topology, const Workload& workload, const std::string& strategy,
           std::uint64_t minimum_piece, std::uint64_t seed, std::vector<bool> failed_links) {
            PlanOptions options{planner::parse_strategy(strategy), minimum_piece, seed};
            options.failed_links = std::move(failed_links);
            return plan_messages(topology, workload, options);
        },
        py::arg("topology"), py::arg("workload"), py::arg("strategy"), py::kw_only(),
        py::arg("minimum_piece"), py::arg("seed"), py::arg("failed_links"),
        py::call_guard<py::gil_scoped_release>());
    module.def(
        "flow_level",
        [](const fabric::Topology& topology, const Workload& workload, std::uint32_t chunk_size,
           std::uint32_t overhead, std::uint32_t paths, bool spray, std::uint64_t seed) {
            FlowOptions options;
            options.framing = {chunk_size, overhead};
            options.paths = paths;
            options.spray = spray;
            options.seed = seed;
            return flow_level(topology, workload, options);
        },
        py::kw_only(), py::arg("topology"), py::arg("workload"), py::arg("chunk_size"),
        py::arg("overhead"), py::arg("paths"), py::arg("spray"), py::arg("seed"),
        py::call_guard<py::gil_scoped_release>());
    py::class_<FlowResults>(module, "FlowResults")
        .def_property_readonly("started",
                               [](const FlowResults& results) {
                                   return column<std::int64_t>(results.messages,
                                                               &MessageTimes::started);
                               })
        .def_property_readonly("received",
                               [](const FlowResults& results) {
                                   return column<std::int64_t>(results.messages,
                                                               &MessageTimes::received);
                               })
        .def_property_readonly("port_bytes",
                               [](const FlowResults& results) { return copy(results.port_bytes); })
        .def_readonly("steps", &FlowResults::steps)
        .def_readonly("wall_seconds", &FlowResults::wall_seconds);
}

}  // namespace weft::python
