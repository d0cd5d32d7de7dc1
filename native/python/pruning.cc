// A worker's loops over rows: columns in as NumPy's arrays, keys and packets' rows out.
#include <pybind11/numpy.h>

#include <algorithm>
#include <numeric>

#include "pruning/keys.h"
#include "pruning/places.h"
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

template <typename T>
Array<std::uint32_t> places(const Array<T>& values, std::uint64_t low, std::uint32_t shift,
                            std::uint32_t top, bool turned) {
    if (shift > 63) throw py::value_error("a scale's steps are at most 2^63");
    const Scale scale{low, shift, top, turned};
    Array<std::uint32_t> found(values.size());
    std::ranges::transform(view(values), found.mutable_data(),
                           [&scale](T value) { return scale.code(value); });
    return found;
}

// Keys of 64 bits in a and b, c given.
Array<std::uint32_t> split(const Array<std::uint64_t>& keys, const Array<std::uint32_t>& values) {
    if (values.size() != 1 && values.size() != keys.size())
        throw py::value_error("there is one value for all keys, or one for each");
    Array<std::uint32_t> codes({keys.size(), py::ssize_t{kWords - 1}});
    std::uint32_t* out = codes.mutable_data();
    const std::uint32_t* value = values.data();
    for (const std::uint64_t key : view(keys)) {
        *out++ = static_cast<std::uint32_t>(key >> 32);
        *out++ = static_cast<std::uint32_t>(key);
        *out++ = *value;
        if (values.size() != 1) ++value;
    }
    return codes;
}

py::tuple laid_out(const Array<std::uint32_t>& ids, const Array<std::uint32_t>& codes,
                   const Array<std::uint8_t>& lanes, std::size_t stride) {
    const auto count = static_cast<std::size_t>(ids.size());
    if (count > 0 && (stride >= std::max<std::size_t>(count, 2) || std::gcd(stride, count) != 1))
        throw py::value_error("a stride is less than the number of rows, and prime to it");
    if (codes.ndim() != 2 || codes.shape(1) != kWords - 1 || codes.shape(0) != ids.size() ||
        lanes.size() != ids.size())
        throw py::value_error("each row has an id, three codes and a lane");
    if (std::ranges::any_of(view(lanes), [](std::uint8_t lane) { return lane >= kLanes; }))
        throw py::value_error("lanes are numbered from 0 to 7");
    const LaneCounts counts = count_lanes(view(lanes));
    const auto packets = static_cast<py::ssize_t>(std::ranges::max(counts));
    Array<std::uint32_t> rows({packets, py::ssize_t{kLanes}, py::ssize_t{kWords}});
    Array<std::uint8_t> masks(packets);
    lay_out(view(ids), view(codes), view(lanes), counts, writable(rows), writable(masks), stride);
    return py::make_tuple(std::move(rows), std::move(masks));
}

template <typename T>
void bind_places(py::module_& module) {
    module.def("places", &places<T>, py::arg("values").noconvert(), py::arg("low"),
               py::arg("shift"), py::arg("top"), py::arg("turned"));
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
    bind_places<std::int64_t>(module);
    bind_places<double>(module);
    bind_places<std::uint64_t>(module);
    module.def("split", &split, py::arg("keys"), py::arg("values"));
    module.def("first_alike", &alike, py::arg("codes"));
    module.def("lay_out", &laid_out, py::arg("ids"), py::arg("codes"), py::arg("lanes"),
               py::arg("stride"));
}

}  // namespace weft::python
