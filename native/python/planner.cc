// The flow planner: sizes and weights in, pieces as columns out.
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "planner/plan.h"
#include "python/areas.h"

namespace weft::python {

namespace py = pybind11;
using namespace weft::planner;

namespace {

using Sizes = py::array_t<std::uint64_t, py::array::c_style | py::array::forcecast>;

std::span<const std::uint64_t> view(const Sizes& sizes) {
    return {sizes.data(), static_cast<std::size_t>(sizes.size())};
}

template <typename T>
py::array_t<T> column(const Plan& plan, T Piece::* field) {
    py::array_t<T> array(static_cast<py::ssize_t>(plan.pieces.size()));
    T* out = array.mutable_data();
    for (const Piece& piece : plan.pieces) *out++ = piece.*field;
    return array;
}

Plan make(const std::string& strategy, const Sizes& flows, const Sizes& weights,
          std::uint64_t minimum_piece, std::uint64_t granularity, std::uint32_t first_path) {
    return plan(parse_strategy(strategy),
                {view(flows), view(weights), minimum_piece, granularity, first_path});
}

}  // namespace

void bind_planner(py::module_& parent) {
    py::module_ module = parent.def_submodule("planner", "The flow planner. Sizes are bytes.");
    py::class_<Plan>(module, "Plan")
        .def_property_readonly("flow", [](const Plan& plan) { return column(plan, &Piece::flow); })
        .def_property_readonly("path", [](const Plan& plan) { return column(plan, &Piece::path); })
        .def_property_readonly("offset",
                               [](const Plan& plan) { return column(plan, &Piece::offset); })
        .def_property_readonly("size", [](const Plan& plan) { return column(plan, &Piece::size); })
        .def_property_readonly("load",
                               [](const Plan& plan) {
                                   return py::array_t<std::uint64_t>(
                                       static_cast<py::ssize_t>(plan.load.size()),
                                       plan.load.data());
                               })
        .def_readonly("ideal", &Plan::ideal)
        .def_readonly("worst", &Plan::worst)
        .def_property_readonly("ratio", &Plan::ratio);
    module.def("plan", &make, py::arg("strategy"), py::arg("flows"), py::arg("weights"),
               py::kw_only(), py::arg("minimum_piece"), py::arg("granularity"),
               py::arg("first_path"));
    module.def("strategies", [] {
        std::vector<std::string> names;
        for (const Strategy strategy : kStrategies) names.emplace_back(to_string(strategy));
        return names;
    });
}

}  // namespace weft::python
