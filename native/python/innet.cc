// All-reduce in the switch: the slot protocol of one member, for the control plane's tests, for
// virtual time, and for searching its states. Data goes in and out as bytes.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "communicator/innet_grant.h"
#include "innet/worker.h"
#include "python/areas.h"

namespace weft::python {

namespace py = pybind11;
using namespace weft::innet;

namespace {

std::span<const std::uint8_t> view(std::string_view bytes) {
    return {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
}
const std::byte* data(std::string_view bytes) {
    return reinterpret_cast<const std::byte*>(bytes.data());
}
py::bytes to_bytes(const std::vector<std::byte>& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A worker with the memory that its call works on.
struct Member {
    Member(const Membership& membership, const Timing& timing) : worker(membership, timing) {}

    void start(std::string_view input, Type type, std::uint64_t signature, Time now) {
        const std::size_t count = input.size() / size_of(type);
        if (count == 0) throw py::value_error("an all-reduce of nothing");
        buffer.assign(data(input), data(input) + input.size());
        worker.start({buffer.data(), buffer.data(), count, type, signature}, now);
    }
    py::object poll(Time now) {
        std::uint8_t datagram[packet_size(kMaxValues)];
        const std::size_t size = worker.poll(now, datagram);
        if (size == 0) return py::none();
        return py::bytes(reinterpret_cast<const char*>(datagram), size);
    }

    Worker worker;
    std::vector<std::byte> buffer;
};

std::unique_ptr<Member> make(std::uint16_t job, std::uint32_t epoch, std::uint8_t worker,
                             std::uint16_t workers, std::uint16_t slots, std::uint16_t values,
                             const Timing& timing) {
    if (slots == 0 || values < 16 || values > kMaxValues || workers == 0) {
        throw py::value_error("slots and workers are at least 1, values 16 to 256");
    }
    return std::make_unique<Member>(Membership{job, epoch, worker, workers, slots, values}, timing);
}

py::tuple decode_packet(std::string_view bytes) {
    Header header;
    std::span<const std::uint8_t> payload;
    if (decode(view(bytes), header, payload) != DecodeStatus::kOk) {
        throw py::value_error("no packet of this protocol");
    }
    return py::make_tuple(header,
                          py::bytes(reinterpret_cast<const char*>(payload.data()), payload.size()));
}

py::bytes encode_header(const Header& header) {
    std::uint8_t bytes[kHeaderSize];
    encode(header, bytes);
    return {reinterpret_cast<const char*>(bytes), sizeof bytes};
}

py::bytes block_to_wire(std::string_view block, Type type, std::int8_t exponent,
                        std::uint16_t workers) {
    const std::size_t count = block.size() / size_of(type);
    std::vector<std::uint8_t> wire(4 * count);
    to_wire(wire.data(), count, data(block), count, type, exponent, workers);
    return {reinterpret_cast<const char*>(wire.data()), wire.size()};
}

py::bytes block_from_wire(std::string_view wire, Type type, std::int8_t exponent,
                          std::uint16_t workers) {
    const std::size_t count = wire.size() / 4;
    std::vector<std::byte> block(count * size_of(type));
    from_wire(block.data(), count, type, view(wire).data(), exponent, workers);
    return to_bytes(block);
}

void bind_values(py::module_& module) {
    py::enum_<Type>(module, "Type")
        .value("int32", Type::kInt32)
        .value("float32", Type::kFloat32)
        .value("bfloat16", Type::kBfloat16);
    py::enum_<Kind>(module, "Kind")
        .value("ADD", Kind::kAdd)
        .value("RESULT", Kind::kResult)
        .value("CLOSE", Kind::kClose)
        .value("WAIT", Kind::kWait);
    py::class_<Header>(module, "Header")
        .def(py::init<>())
        .def_readwrite("kind", &Header::kind)
        .def_readwrite("job", &Header::job)
        .def_readwrite("epoch", &Header::epoch)
        .def_readwrite("worker", &Header::worker)
        .def_readwrite("exponent", &Header::exponent)
        .def_readwrite("slot", &Header::slot)
        .def_readwrite("contributors", &Header::contributors)
        .def_readwrite("values", &Header::values)
        .def_readwrite("round", &Header::round)
        .def_readwrite("arrived", &Header::arrived);
    py::class_<Timing>(module, "Timing", "Times in nanoseconds.")
        .def(py::init<>())
        .def_readwrite("first", &Timing::first)
        .def_readwrite("least", &Timing::least)
        .def_readwrite("most", &Timing::most)
        .def_readwrite("silence", &Timing::silence)
        .def_readwrite("straggler", &Timing::straggler);
    module.attr("PORT") = kPort;
    module.attr("VERSION") = kVersion;
    module.attr("HEADER_SIZE") = kHeaderSize;
    module.attr("MAX_WORKERS") = kMaxWorkers;
    module.attr("MAX_VALUES") = kMaxValues;
    module.attr("NOT_FINITE") = static_cast<int>(kNotFinite);
    module.attr("ALL_ZERO") = static_cast<int>(kAllZero);
    module.def("decode", &decode_packet, "Header and values' bytes; ValueError.");
    module.def("encode", &encode_header);
    module.def("fraction_bits", &fraction_bits);
    module.def("exponent_of", [](std::string_view block, Type type) {
        return static_cast<int>(exponent_of(data(block), block.size() / size_of(type), type));
    });
    module.def("proof", &communicator::innet_proof, py::arg("secret"), py::arg("speaker"),
               py::arg("controller_nonce"), py::arg("caller_nonce"), py::arg("line"),
               "What a controller and a group's rank 0 prove their lines with.");
    module.def("to_wire", &block_to_wire);
    module.def("from_wire", &block_from_wire);
}

}  // namespace

void bind_innet(py::module_& parent) {
    py::module_ module = parent.def_submodule("innet", "All-reduce in the switch: one member.");
    bind_values(module);
    py::class_<Member> member(module, "Member");
    py::enum_<Worker::State>(member, "State")
        .value("idle", Worker::State::kIdle)
        .value("working", Worker::State::kWorking)
        .value("complete", Worker::State::kComplete)
        .value("done", Worker::State::kDone)
        .value("mismatch", Worker::State::kMismatch)
        .value("silent", Worker::State::kSilent)
        .value("frozen", Worker::State::kFrozen);
    member
        .def(py::init(&make), py::kw_only(), py::arg("job"), py::arg("epoch"), py::arg("worker"),
             py::arg("workers"), py::arg("slots"), py::arg("values"), py::arg("timing") = Timing{})
        .def("start", &Member::start, py::arg("input"), py::arg("type"), py::arg("signature"),
             py::arg("now"))
        .def("poll", &Member::poll, "The next datagram due, or None.")
        .def("handle", [](Member& self, Time now,
                          std::string_view bytes) { self.worker.handle(now, view(bytes)); })
        .def("freeze", [](Member& self) { self.worker.freeze(); })
        .def("round",
             [](const Member& self, std::uint16_t slot) {
                 if (slot >= self.worker.membership().slots) throw py::index_error("no such slot");
                 return self.worker.round(slot);
             })
        .def_property_readonly("buffer", [](const Member& self) { return to_bytes(self.buffer); })
        .def_property_readonly("state", [](const Member& self) { return self.worker.state(); })
        .def_property_readonly("contributors",
                               [](const Member& self) { return self.worker.contributors(); })
        .def_property_readonly("late", [](const Member& self) { return self.worker.late(); })
        .def_property_readonly("next_timeout",
                               [](const Member& self) -> py::object {
                                   const Time next = self.worker.next_timeout();
                                   return next == kNever ? py::none() : py::object(py::int_(next));
                               })
        .def_property_readonly("sent", [](const Member& self) { return self.worker.counts().sent; })
        .def_property_readonly("resent",
                               [](const Member& self) { return self.worker.counts().resent; })
        .def_property_readonly("refused",
                               [](const Member& self) { return self.worker.counts().refused; })
        .def_property_readonly("waits",
                               [](const Member& self) { return self.worker.counts().waits; });
}

}  // namespace weft::python
