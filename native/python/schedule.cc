// _core.schedule: the native schedule value, the verifier and the tuner. weft.collectives.schedule
// is its typed face, which documents everything; nothing here is meant to be called by users.
#include "collectives/schedule.h"

#include <pybind11/stl.h>

#include <memory>
#include <string>

#include "capi/handles.h"
#include "collectives/algorithms/algorithm.h"
#include "collectives/cost.h"
#include "collectives/cost_file.h"
#include "collectives/tuner.h"
#include "collectives/verify.h"
#include "datapath/error.h"
#include "python/areas.h"

namespace py = pybind11;

namespace weft::python {

namespace {

using namespace weft::collectives;  // this file is about nothing else

Buffer buffer_from_name(const std::string& name) {
    for (const Buffer buffer : {Buffer::kInput, Buffer::kOutput, Buffer::kScratch}) {
        if (buffer_name(buffer) == name) return buffer;
    }
    throw Error(WEFT_ERR_INVALID,
                "unknown buffer \"" + name + "\"; there are: input output scratch");
}

py::object slice_or_none(const Slice& slice) {
    return slice.count == 0 ? py::none() : py::cast(slice);
}

void bind_values(py::module_& m) {
    py::class_<Slice>(m, "Slice")
        .def(py::init([](const std::string& buffer, std::int32_t first, std::int32_t count) {
                 return Slice{buffer_from_name(buffer), first, count};
             }),
             py::arg("buffer"), py::arg("first"), py::arg("count"))
        .def_property_readonly(
            "buffer", [](const Slice& self) { return std::string(buffer_name(self.buffer)); })
        .def_readonly("first", &Slice::first)
        .def_readonly("count", &Slice::count)
        .def("__eq__", [](const Slice& self, const Slice& other) { return self == other; });

    py::class_<Step>(m, "Step")
        .def_property_readonly(
            "kind", [](const Step& self) { return std::string(step_kind_name(self.kind)); })
        .def_readonly("lane", &Step::lane)
        .def_readonly("peer", &Step::peer)
        .def_property_readonly("source",
                               [](const Step& self) { return slice_or_none(self.source); })
        .def_property_readonly("target",
                               [](const Step& self) { return slice_or_none(self.target); })
        .def_readonly("after", &Step::after)
        .def("__eq__", [](const Step& self, const Step& other) { return self == other; })
        .def("__repr__", [](const Step& self) { return describe(self); });

    py::class_<Spec>(m, "Spec")
        .def(py::init([](const std::string& collective, std::int32_t size, std::int32_t root,
                         std::int32_t chunks) {
                 const Spec spec{collective_from_name(collective), size, root, chunks};
                 check(spec);
                 return spec;
             }),
             py::arg("collective"), py::arg("size"), py::arg("root"), py::arg("chunks"))
        .def_property_readonly(
            "collective",
            [](const Spec& self) { return std::string(collective_name(self.collective)); })
        .def_readonly("size", &Spec::size)
        .def_readonly("root", &Spec::root)
        .def_readonly("chunks", &Spec::chunks)
        .def("blocks", [](const Spec& self, std::int32_t rank, const std::string& buffer) {
            return blocks(self, rank, buffer_from_name(buffer));
        });

    py::class_<Program>(m, "Program")
        .def_readonly("rank", &Program::rank)
        .def_readonly("steps", &Program::steps)
        .def_readonly("scratch_chunks", &Program::scratch_chunks)
        .def_readonly("scratch_like", &Program::scratch_like);

    // Dependencies for tools that draw schedules: for each step, which steps wait for it.
    m.def("successors", [](const Spec& spec, const Program& program) {
        const Plan plan = make_plan(spec, program);
        std::vector<std::vector<std::uint32_t>> result;
        for (std::uint32_t step = 0; step < plan.steps.size(); ++step) {
            const auto waiting = plan.successors_of(step);
            result.emplace_back(waiting.begin(), waiting.end());
        }
        return result;
    });
}

void bind_builder(py::module_& m) {
    py::class_<ProgramBuilder>(m, "ProgramBuilder")
        .def(py::init<const Spec&, std::int32_t>(), py::arg("spec"), py::arg("rank"))
        .def("lane",
             [](ProgramBuilder& self, std::int32_t lane) {
                 if (lane < 0 || lane >= kMaxLanes) {
                     throw Error(WEFT_ERR_INVALID, "lane " + std::to_string(lane) +
                                                       " is outside 0.." +
                                                       std::to_string(kMaxLanes - 1));
                 }
                 self.lane(lane);
             })
        .def("send", &ProgramBuilder::send)
        .def("recv", &ProgramBuilder::recv)
        .def("recv_reduce", &ProgramBuilder::recv_reduce)
        .def("copy", &ProgramBuilder::copy)
        .def("reduce", &ProgramBuilder::reduce)
        .def("add_scratch_blocks", &ProgramBuilder::add_scratch_blocks)
        .def("add_scratch_block_like", &ProgramBuilder::add_scratch_block_like)
        .def("finish", &ProgramBuilder::finish);
}

void bind_schedule_class(py::module_& m) {
    py::class_<Schedule>(m, "Schedule")
        .def(py::init<std::string, Spec, std::vector<Program>>(), py::arg("name"), py::arg("spec"),
             py::arg("programs"))
        .def_readonly("name", &Schedule::name)
        .def_readonly("spec", &Schedule::spec)
        .def_readonly("programs", &Schedule::programs)
        .def("fingerprint", [](const Schedule& self) { return fingerprint(self); })
        .def(
            "verify",
            [](const Schedule& self, std::int32_t buffered_messages) {
                verify(self, {.buffered_messages = buffered_messages});
            },
            py::call_guard<py::gil_scoped_release>())
        .def("estimate",
             [](const Schedule& self, std::size_t bytes, const CostModel& model,
                const Hosts& hosts) {
                 const Estimate result = estimate(self, bytes, model, hosts);
                 return py::make_tuple(result.seconds, result.messages, result.sent_bytes);
             })
        // The address of a new weft_schedule of the C API, to be released by weft_schedule_free.
        .def("to_c", [](const Schedule& self) {
            return reinterpret_cast<std::uintptr_t>(
                std::make_unique<weft_schedule>(weft_schedule{self}).release());
        });

    m.def("builtin", [](const std::string& algorithm, const std::string& collective,
                        std::int32_t size, std::int32_t root, std::int32_t slices) {
        const Collective kind = collective_from_name(collective);
        const Algorithm& found = find_algorithm(algorithm, kind);
        return build_schedule(found, make_spec(found, kind, size, root, slices));
    });
    m.def("algorithms", [](const std::string& collective) {
        std::vector<std::pair<std::string, std::string>> result;
        for (const Algorithm* each : algorithms_for(collective_from_name(collective))) {
            result.emplace_back(each->name, each->reference);
        }
        return result;
    });
    m.def("collectives", [] {
        std::vector<std::string> result;
        for (int i = 0; i < kCollectives; ++i)
            result.emplace_back(collective_name(static_cast<Collective>(i)));
        return result;
    });
}

void bind_tuner(py::module_& m) {
    py::class_<EdgeCost>(m, "EdgeCost")
        .def_readwrite("latency", &EdgeCost::latency)
        .def_readwrite("overhead", &EdgeCost::overhead)
        .def_readwrite("per_byte", &EdgeCost::per_byte)
        .def_readwrite("uses_processor", &EdgeCost::uses_processor)
        .def_readwrite("eager_bytes", &EdgeCost::eager_bytes);
    py::class_<SwitchCost>(m, "SwitchCost")
        .def(py::init<>())
        .def_readwrite("slots", &SwitchCost::slots)
        .def_readwrite("values", &SwitchCost::values)
        .def_readwrite("round_trip", &SwitchCost::round_trip)
        .def_readwrite("per_packet", &SwitchCost::per_packet);
    py::class_<CostModel>(m, "CostModel")
        .def(py::init<>())
        .def_readwrite("local", &CostModel::local)
        .def_readwrite("remote", &CostModel::remote)
        .def_readwrite("step", &CostModel::step)
        .def_readwrite("copy_per_byte", &CostModel::copy_per_byte)
        .def_readwrite("reduce_per_byte", &CostModel::reduce_per_byte)
        .def_readwrite("context_switch", &CostModel::context_switch)
        .def_readwrite("innet", &CostModel::innet)
        .def_readwrite("processors", &CostModel::processors);
    m.def("host_costs", [] {
        CostModel model;
        const auto file = CostFile::open();
        file.apply(model);
        return std::pair(model, file.source());
    });
    m.def("explain", [](const std::string& collective, std::size_t bytes, const CostModel& model,
                        const Hosts& hosts, const std::map<std::string, std::string>& overrides) {
        std::map<Collective, std::string> wanted;
        for (const auto& [name, algorithm] : overrides)
            wanted[collective_from_name(name)] = algorithm;
        return to_json(Tuner(model, hosts, std::move(wanted))
                           .explain(collective_from_name(collective), bytes));
    });
}

}  // namespace

void bind_schedule(py::module_& module) {
    py::module_ m = module.def_submodule("schedule");
    bind_values(m);
    bind_builder(m);
    bind_schedule_class(m);
    bind_tuner(m);
}

}  // namespace weft::python
