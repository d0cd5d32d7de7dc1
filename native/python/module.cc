// The module weft._native._core: one bind_* function per area, each in a file of its own.
#include <exception>

#include "datapath/error.h"
#include "python/areas.h"

namespace py = pybind11;

namespace {

// weft::Error becomes the class of weft.transport.errors that belongs to its status.
void raise_in_python(const weft::ErrorInfo& info) {
    try {
        py::module_::import("weft.transport.errors")
            .attr("raise_for")(static_cast<int>(info.status), info.message, info.peer_rank,
                               info.peer_id);
    } catch (py::error_already_set& error) {
        error.restore();
    }
}

}  // namespace

PYBIND11_MODULE(_core, module) {
    module.doc() = "Weft's native values, for Python to look into.";
    // pybind11 wants the pointer by value. NOLINTNEXTLINE(performance-unnecessary-value-param)
    py::register_exception_translator([](std::exception_ptr thrown) {
        try {
            if (thrown) std::rethrow_exception(thrown);
        } catch (const weft::Error& error) {
            raise_in_python(*error.info());
        }
    });
    weft::python::bind_fabric(module);
    weft::python::bind_innet(module);
    weft::python::bind_planner(module);
    weft::python::bind_pruning(module);
    weft::python::bind_emulator(module);
    weft::python::bind_schedule(module);
    weft::python::bind_simulator(module);
}
