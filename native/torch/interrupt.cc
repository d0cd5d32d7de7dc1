#include "torch/interrupt.h"

#include <pybind11/pybind11.h>

namespace weft::torch_backend {

void check_interrupts() {
    if (Py_IsInitialized() == 0 || PyGILState_GetThisThreadState() == nullptr) {
        return;
    }
    const pybind11::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) {
        throw pybind11::error_already_set();
    }
}

}  // namespace weft::torch_backend
