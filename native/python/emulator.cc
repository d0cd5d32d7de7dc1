// The fabric by the wall clock, for the lab's fabric process. Calls may come from any thread; they
// are answered by the thread that is in run().
#include "emulator/emulator.h"

#include <pybind11/stl.h>

#include "emulator/tunnel.h"
#include "python/areas.h"

namespace weft::python {

namespace py = pybind11;
using emulator::EdgePort;
using emulator::Emulator;
using emulator::EmulatorOptions;
using emulator::EmulatorReport;

namespace {

py::dict as_dict(const EmulatorReport& report) {
    py::dict values;
    values["frames_in"] = report.frames_in;
    values["frames_out"] = report.frames_out;
    values["bytes_out"] = report.bytes_out;
    values["strangers"] = report.strangers;
    for (std::size_t reason = 0; reason < report.dropped.size(); ++reason) {
        const std::string name = to_string(static_cast<fabric::DropReason>(reason));
        values[("dropped_" + name).c_str()] = report.dropped[reason];
    }
    values["refused"] = report.refused;
    values["ring_drops"] = report.ring_drops;
    values["late_p50"] = report.late_p50;
    values["late_p99"] = report.late_p99;
    values["late_max"] = report.late_max;
    values["cpu"] = report.cpu;
    values["elapsed"] = report.elapsed;
    return values;
}

// A list, not an array: the fabric process does without NumPy, which takes long to load.
template <typename Value>
std::vector<Value> column(const std::vector<fabric::PortStats>& stats,
                          Value fabric::PortStats::* member) {
    std::vector<Value> values;
    for (const fabric::PortStats& port : stats) values.push_back(port.*member);
    return values;
}

py::dict port_stats(Emulator& self) {
    std::vector<fabric::PortStats> stats;
    {
        const py::gil_scoped_release release;
        self.call([&] {
            for (fabric::PortId port = 0; port < self.fabric().ports(); ++port)
                stats.push_back(self.fabric().stats(port));
        });
    }
    py::dict columns;
    columns["bytes"] = column(stats, &fabric::PortStats::bytes);
    columns["packets"] = column(stats, &fabric::PortStats::packets);
    columns["marks"] = column(stats, &fabric::PortStats::marks);
    columns["trims"] = column(stats, &fabric::PortStats::trims);
    columns["drops"] = column(stats, &fabric::PortStats::drops);
    columns["lost"] = column(stats, &fabric::PortStats::lost);
    columns["backlog"] = column(stats, &fabric::PortStats::backlog);
    columns["peak_backlog"] = column(stats, &fabric::PortStats::peak_backlog);
    return columns;
}

py::dict as_dict(const emulator::TunnelReport& report) {
    py::dict values;
    values["frames_out"] = report.frames_out;
    values["frames_in"] = report.frames_in;
    values["refused"] = report.refused;
    values["ring_drops"] = report.ring_drops;
    values["strangers"] = report.strangers;
    values["probes"] = report.probes;
    values["round_trip"] = report.round_trip;
    values["round_trip_last"] = report.round_trip_last;
    return values;
}

void bind_tunnel(py::module_& module) {
    using emulator::Tunnel;
    py::class_<Tunnel>(module, "Tunnel")
        .def(py::init<int, std::uint64_t, std::size_t>(), py::arg("udp"), py::arg("key"),
             py::arg("frame_size"))
        .def(
            "add",
            [](Tunnel& self, const std::vector<std::pair<std::uint32_t, int>>& edges,
               std::size_t ring_frames) {
                std::vector<Tunnel::Edge> made;
                for (const auto& [host, interface] : edges) made.push_back({host, interface});
                self.add(made, ring_frames);
            },
            py::arg("edges"), py::arg("ring_frames"),
            "Hosts and their interfaces (numbers) in this thread's network namespace.")
        .def("set_peer", &Tunnel::set_peer, py::arg("address"), py::arg("port"),
             "An IPv4 address in network byte order, a port in the host's.")
        .def("run", &Tunnel::run, py::call_guard<py::gil_scoped_release>())
        .def("stop", &Tunnel::stop)
        .def("report", [](const Tunnel& self) { return as_dict(self.report()); });
}

}  // namespace

void bind_emulator(py::module_& parent) {
    py::module_ module =
        parent.def_submodule("emulator", "The fabric by the wall clock. See native/emulator.");
    bind_tunnel(module);
    py::class_<EdgePort>(module, "EdgePort")
        .def(py::init([](int interface, emulator::Mac mac, std::uint32_t ipv4,
                         emulator::Ipv6 ipv6) { return EdgePort{interface, mac, ipv4, ipv6}; }),
             py::arg("interface"), py::arg("mac"), py::arg("ipv4"), py::arg("ipv6"));
    py::class_<EmulatorOptions>(module, "EmulatorOptions")
        .def(py::init<>())
        .def_readwrite("fabric", &EmulatorOptions::fabric)
        .def_readwrite("frame_size", &EmulatorOptions::frame_size)
        .def_readwrite("ring_frames", &EmulatorOptions::ring_frames)
        .def_readwrite("trimmed_bytes", &EmulatorOptions::trimmed_bytes)
        .def_readwrite("spin", &EmulatorOptions::spin);
    py::class_<Emulator>(module, "Emulator")
        .def(py::init<fabric::Topology, const EmulatorOptions&, const std::vector<EdgePort>&>(),
             py::arg("topology"), py::arg("options"), py::arg("ports"))
        .def("run", &Emulator::run, py::call_guard<py::gil_scoped_release>())
        .def("stop", &Emulator::stop)
        .def("report",
             [](Emulator& self) {
                 EmulatorReport report;
                 {
                     const py::gil_scoped_release release;
                     self.call([&] { report = self.report(); });
                 }
                 return as_dict(report);
             })
        .def("port_stats", &port_stats)
        .def(
            "schedule",
            [](Emulator& self, std::vector<fabric::Cue> cues) {
                const py::gil_scoped_release release;
                self.call([&] {
                    for (fabric::Cue& cue : cues) {
                        cue.at += self.fabric().now();
                        self.schedule(cue);
                    }
                });
            },
            py::arg("cues"), "Cues whose times count from now on.")
        .def(
            "run_program",
            [](Emulator& self, fabric::NodeId node, std::uintptr_t program, std::uintptr_t run,
               std::uintptr_t outputs) {
                // Addresses in the shared object of a compiled P4 program.
                const py::gil_scoped_release release;
                self.call([&] {
                    self.run_program(node, reinterpret_cast<wf_switch*>(program),
                                     reinterpret_cast<fabric::P4Program::Run>(run),
                                     reinterpret_cast<fabric::P4Program::Outputs>(outputs));
                });
            },
            py::arg("node"), py::arg("program"), py::arg("run"), py::arg("outputs"))
        .def(
            "capture",
            [](Emulator& self, const std::vector<fabric::PortId>& ports, const std::string& path,
               std::uint32_t snap) {
                const py::gil_scoped_release release;
                self.call([&] {
                    for (const fabric::PortId port : ports) self.capture(port, path, snap);
                });
            },
            py::arg("ports"), py::arg("path"), py::arg("snap"))
        .def(
            "end_capture",
            [](Emulator& self, const std::string& path) {
                const py::gil_scoped_release release;
                self.call([&] { self.end_capture(path); });
            },
            py::arg("path"));
}

}  // namespace weft::python
