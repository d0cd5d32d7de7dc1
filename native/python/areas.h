// What module.cc calls: each function adds the names of one area to the module.
#pragma once

#include <pybind11/pybind11.h>

namespace weft::python {

void bind_emulator(pybind11::module_& module);
void bind_fabric(pybind11::module_& module);
void bind_innet(pybind11::module_& module);    // _core.innet
void bind_planner(pybind11::module_& module);  // _core.planner
void bind_pruning(pybind11::module_& module);  // _core.pruning
void bind_schedule(
    pybind11::module_& module);  // _core.schedule: schedules, verifier, cost model, tuner
void bind_simulator(pybind11::module_& module);

}  // namespace weft::python
