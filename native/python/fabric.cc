// Topologies, queues and cues of the fabric model. Times are integers of picoseconds, rates bit/s,
// sizes bytes, as in native/fabric.
#include "fabric/fabric.h"

#include <pybind11/stl.h>

#include "python/areas.h"

namespace weft::python {

namespace py = pybind11;
using namespace weft::fabric;

namespace {

void bind_topology(py::module_& module) {
    py::class_<Link>(module, "Link")
        .def_readwrite("a", &Link::a)
        .def_readwrite("b", &Link::b)
        .def_readwrite("rate", &Link::rate)
        .def_readwrite("delay", &Link::delay)
        .def_readwrite("loss", &Link::loss)
        .def_readwrite("corruption", &Link::corruption)
        .def_readwrite("duplication", &Link::duplication)
        .def_readwrite("jitter", &Link::jitter)
        .def_readwrite("weight", &Link::weight);
    py::class_<Switch>(module, "Switch")
        .def_readonly("name", &Switch::name)
        .def_readonly("tier", &Switch::tier);
    py::class_<Topology>(module, "Topology")
        .def(py::init<>())
        .def(py::init<const Topology&>())
        .def_readwrite("hosts", &Topology::hosts)
        .def_readonly("switches", &Topology::switches)
        .def_property_readonly("nodes", &Topology::nodes)
        .def_property_readonly("link_count",
                               [](const Topology& topology) { return topology.links.size(); })
        .def(
            "link",
            [](Topology& topology, std::size_t index) -> Link& { return topology.links.at(index); },
            py::return_value_policy::reference_internal)
        .def("node_name", &Topology::node_name)
        .def("add_switch", &Topology::add_switch, py::arg("name"), py::arg("tier"))
        .def("add_link", &Topology::add_link, py::arg("a"), py::arg("b"), py::arg("rate"),
             py::arg("delay"))
        .def("check", &Topology::check);
}

void bind_shapes(py::module_& module) {
    py::class_<Cable>(module, "Cable")
        .def(py::init([](double rate, Time delay) { return Cable{rate, delay}; }), py::arg("rate"),
             py::arg("delay"))
        .def_readonly("rate", &Cable::rate)
        .def_readonly("delay", &Cable::delay);
    using U = std::uint32_t;
    module.def(
        "leaf_spine",
        [](U leaves, U spines, U hosts_per_leaf, U bundle, U planes, Cable down, Cable up) {
            return multi_plane({leaves, spines, hosts_per_leaf, bundle, down, up}, planes);
        },
        py::kw_only(), py::arg("leaves"), py::arg("spines"), py::arg("hosts_per_leaf"),
        py::arg("bundle"), py::arg("planes"), py::arg("down"), py::arg("up"));
    module.def(
        "fat_tree",
        [](U pods, U pod_tors, U pod_aggregations, U tor_down, U tor_up, U aggregation_up,
           U core_bundle, Cable down, Cable up, Cable core) {
            return fat_tree({pods, pod_tors, pod_aggregations, tor_down, tor_up, aggregation_up,
                             core_bundle, down, up, core});
        },
        py::kw_only(), py::arg("pods"), py::arg("pod_tors"), py::arg("pod_aggregations"),
        py::arg("tor_down"), py::arg("tor_up"), py::arg("aggregation_up"), py::arg("core_bundle"),
        py::arg("down"), py::arg("up"), py::arg("core"));
    module.def(
        "rail_optimised",
        [](U servers, U rails, U group_servers, U spines, Cable down, Cable up) {
            return rail_optimised({servers, rails, group_servers, spines, down, up});
        },
        py::kw_only(), py::arg("servers"), py::arg("rails"), py::arg("group_servers"),
        py::arg("spines"), py::arg("down"), py::arg("up"));
    module.def(
        "dumbbell",
        [](U left, U right, Cable down, Cable neck) { return dumbbell({left, right, down, neck}); },
        py::kw_only(), py::arg("left"), py::arg("right"), py::arg("down"), py::arg("neck"));
    module.def(
        "torus",
        [](std::vector<U> extents, Cable down, Cable side) {
            return torus({std::move(extents), down, side});
        },
        py::kw_only(), py::arg("extents"), py::arg("down"), py::arg("side"));
}

void bind_options(py::module_& module) {
    py::class_<QueueOptions>(module, "QueueOptions")
        .def_readwrite("capacity", &QueueOptions::capacity)
        .def_readwrite("ecn_min", &QueueOptions::ecn_min)
        .def_readwrite("ecn_max", &QueueOptions::ecn_max)
        .def_readwrite("ecn_probability", &QueueOptions::ecn_probability)
        .def_readwrite("trimming", &QueueOptions::trimming)
        .def_readwrite("header_capacity", &QueueOptions::header_capacity)
        .def_readwrite("shared_buffer", &QueueOptions::shared_buffer)
        .def_readwrite("shared_alpha", &QueueOptions::shared_alpha)
        .def_readwrite("pfc_xoff", &QueueOptions::pfc_xoff)
        .def_readwrite("pfc_xon", &QueueOptions::pfc_xon);
    py::enum_<Forwarding>(module, "Forwarding")
        .value("hash", Forwarding::kHash)
        .value("spray", Forwarding::kSpray);
    py::class_<FabricOptions>(module, "FabricOptions")
        .def_readwrite("seed", &FabricOptions::seed)
        .def_readwrite("forwarding", &FabricOptions::forwarding)
        .def_readwrite("queue", &FabricOptions::queue)
        .def_readwrite("host_queue_capacity", &FabricOptions::host_queue_capacity)
        .def_readwrite("reroute_after", &FabricOptions::reroute_after);
    py::enum_<CueKind> kinds(module, "CueKind");
    for (int kind = 0; kind <= static_cast<int>(CueKind::kHostResume); ++kind) {
        kinds.value(to_string(static_cast<CueKind>(kind)), static_cast<CueKind>(kind));
    }
    py::enum_<Side>(module, "Side")
        .value("both", Side::kBoth)
        .value("forward", Side::kForward)
        .value("backward", Side::kBackward);
    py::class_<Cue>(module, "Cue")
        .def(py::init([](Time at, CueKind kind, std::uint32_t target, double value, Side side) {
                 return Cue{at, kind, target, value, side};
             }),
             py::arg("at"), py::arg("kind"), py::arg("target"), py::arg("value") = 0.0,
             py::arg("side") = Side::kBoth)
        .def_readonly("at", &Cue::at)
        .def_property_readonly("kind", [](const Cue& cue) { return to_string(cue.kind); })
        .def_readonly("target", &Cue::target)
        .def_readonly("value", &Cue::value)
        .def_property_readonly("side", [](const Cue& cue) {
            constexpr const char* kNames[] = {"both", "forward", "backward"};
            return kNames[static_cast<std::size_t>(cue.side)];
        });
}

}  // namespace

void bind_fabric(py::module_& parent) {
    py::module_ module = parent.def_submodule(
        "fabric", "The fabric model. Times are picoseconds, rates bit/s, sizes bytes.");
    bind_topology(module);
    bind_shapes(module);
    bind_options(module);
}

}  // namespace weft::python
