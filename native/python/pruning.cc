// A worker's loops over rows: columns in as NumPy's arrays, keys and packets' rows out.
#include <pybind11/numpy.h>

#include <algorithm>

#include "pruning/keys.h"
#include "pruning/rows.h"
#include "python/areas.h"

namespace weft::python {

namespace py = pybind11;
using namespace weft::pruning;

namespace {

template <typename T>
using Array = py::array_t<T, py::array::c_style>;

template <typename T>
std::span<const T> view(const Array<T>& array) {
    return {array.data(), static_cast<std::size_t>(array.size())};
}

template <typename T>
std::span<T> writable(Array<T>& array) {
    return {array.mutable_data(), static_cast<std::size_t>(array.size())};
}

template <typename Edge>
Array<std::uint64_t> hashes(const Array<Edge>& edges, const Array<std::uint8_t>& octets,
                            std::uint64_t salt) {
    Array<std::uint64_t> found(std::max<py::ssize_t>(edges.size() - 1, 0));
    if (edges.size() > 0 && !hash_texts(view(edges), view(octets), salt, writable(found)))
        throw py::value_error("the edges of texts lie outside of their octets");
    return found;
}

Array<std::uint64_t> mixed(const Array<std::uint64_t>& values) {
    Array<std::uint64_t> found(values.size());
    std::ranges::transform(view(values), found.mutable_data(), mix);
    return found;
}

Array<std::uint8_t> lanes_of(const Array<std::uint64_t>& keys, std::uint32_t lanes) {
    if (lanes < 1 || lanes > 256) throw py::value_error("there are 1 to 256 lanes");
    Array<std::uint8_t> found(keys.size());
    std::ranges::transform(view(keys), found.mutable_data(),
                           [lanes](std::uint64_t key) { return lane_of(key, lanes); });
    return found;
}

Array<std::uint32_t> alike(const Array<std::uint32_t>& codes) {
    if (codes.ndim() != 2 || codes.shape(1) != kWords - 1)
        throw py::value_error("each row has three codes");
    Array<std::uint32_t> first(codes.shape(0));
    first_alike(view(codes), writable(first));
    return first;
}

py::tuple laid_out(const Array<std::uint32_t>& ids, const Array<std::uint32_t>& codes,
                   const Array<std::uint8_t>& lanes) {
    if (codes.ndim() != 2 || codes.shape(1) != kWords - 1 || codes.shape(0) != ids.size() ||
        lanes.size() != ids.size())
        throw py::value_error("each row has an id, three codes and a lane");
    if (std::ranges::any_of(view(lanes), [](std::uint8_t lane) { return lane >= kLanes; }))
        throw py::value_error("lanes are numbered from 0 to 7");
    const LaneCounts counts = count_lanes(view(lanes));
    const auto packets = static_cast<py::ssize_t>(std::ranges::max(counts));
    Array<std::uint32_t> rows({packets, py::ssize_t{kLanes}, py::ssize_t{kWords}});
    Array<std::uint8_t> masks(packets);
    lay_out(view(ids), view(codes), view(lanes), counts, writable(rows), writable(masks));
    return py::make_tuple(std::move(rows), std::move(masks));
}

}  // namespace

void bind_pruning(py::module_& parent) {
    py::module_ module = parent.def_submodule("pruning", "A worker's loops over its rows.");
    module.def("hash_texts", &hashes<std::int32_t>, py::arg("edges").noconvert(), py::arg("octets"),
               py::arg("salt"));
    module.def("hash_texts", &hashes<std::int64_t>, py::arg("edges").noconvert(), py::arg("octets"),
               py::arg("salt"));
    module.def("mix", &mixed, py::arg("values"));
    module.def("lanes", &lanes_of, py::arg("keys"), py::arg("count"));
    module.def("first_alike", &alike, py::arg("codes"));
    module.def("lay_out", &laid_out, py::arg("ids"), py::arg("codes"), py::arg("lanes"));
}

}  // namespace weft::python
