// What Python sees: the options, and the function that makes a backend. Everything else arrives
// through c10d::Backend.
#include <pybind11/chrono.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include "torch/backend.h"
#include "torch/stream_gate.h"

#define WEFT_STRINGIFY(text) #text
#define WEFT_TO_STRING(text) WEFT_STRINGIFY(text)

namespace py = pybind11;

namespace weft::torch_backend {
namespace {

c10::intrusive_ptr<GroupOptions> make_options(std::string secret, std::string datapaths,
                                              std::string interfaces, std::string transport,
                                              std::string algorithms,
                                              std::chrono::milliseconds peer_timeout) {
    auto options = c10::make_intrusive<GroupOptions>();
    options->context = {std::move(secret), std::move(datapaths), std::move(interfaces),
                        std::move(transport), peer_timeout};
    options->algorithms = std::move(algorithms);
    return options;
}

// Torch keeps name and time-out of a group outside of its options, so the user's options are copied
// and completed.
c10::intrusive_ptr<Backend> make_backend(const c10::intrusive_ptr<c10d::Store>& store, int rank,
                                         int size, std::chrono::milliseconds timeout,
                                         const std::string& group_name,
                                         const std::vector<uint64_t>& global_ranks,
                                         const c10::intrusive_ptr<GroupOptions>& user_options) {
    auto options = user_options ? c10::make_intrusive<GroupOptions>(*user_options)
                                : c10::make_intrusive<GroupOptions>();
    options->timeout = timeout;
    options->group_name = group_name;
    options->global_ranks_in_group = global_ranks;
    return c10::make_intrusive<Backend>(store, rank, size, std::move(options));
}

}  // namespace

PYBIND11_MODULE(WEFT_TORCH_MODULE, module) {
    module.doc() = "Weft's torch.distributed backend, compiled for torch " WEFT_TO_STRING(
        TORCH_VERSION_MAJOR) "." WEFT_TO_STRING(TORCH_VERSION_MINOR);
    py::module_::import("torch.distributed");  // registers the base classes

    py::class_<GroupOptions, c10d::Backend::Options, c10::intrusive_ptr<GroupOptions>>(module,
                                                                                       "Options")
        .def(py::init(&make_options), py::kw_only(), py::arg("secret") = "",
             py::arg("datapaths") = "", py::arg("interfaces") = "", py::arg("transport") = "",
             py::arg("algorithms") = "", py::arg("peer_timeout") = std::chrono::milliseconds(0))
        .def_property_readonly(
            "datapaths", [](const GroupOptions& options) { return options.context.datapaths; })
        .def_property_readonly(
            "interfaces", [](const GroupOptions& options) { return options.context.interfaces; })
        .def_property_readonly(
            "transport", [](const GroupOptions& options) { return options.context.transport; })
        .def_property_readonly(
            "peer_timeout",
            [](const GroupOptions& options) { return options.context.peer_timeout; })
        .def_readonly("algorithms", &GroupOptions::algorithms)
        .def("__copy__",
             [](const GroupOptions& options) { return c10::make_intrusive<GroupOptions>(options); })
        .def("__deepcopy__", [](const GroupOptions& options, const py::dict&) {
            return c10::make_intrusive<GroupOptions>(options);
        });

    py::class_<Backend, c10d::Backend, c10::intrusive_ptr<Backend>>(module, "Backend")
        .def_property_readonly("options", &Backend::getBackendOptions)
        .def("_set_default_timeout", &Backend::setTimeout, py::arg("timeout"))
        .def("get_error", &Backend::getError, py::call_guard<py::gil_scoped_release>());

    module.def("make_backend", &make_backend, py::arg("store"), py::arg("rank"), py::arg("size"),
               py::arg("timeout"), py::arg("group_name"), py::arg("global_ranks"),
               py::arg("options").none(true), py::call_guard<py::gil_scoped_release>());

    module.def(
        "offer_stream_wait",
        [](const std::string& device_type, uintptr_t function) {
            offer_stream_wait(c10::Device(device_type).type(),
                              reinterpret_cast<StreamWait>(function));
        },
        py::arg("device_type"), py::arg("function"));
}

}  // namespace weft::torch_backend
