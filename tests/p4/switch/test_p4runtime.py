# ruff: noqa: E501 - P4 source in text
"""The P4Runtime server: by a plain gRPC client, and by p4runtime-shell, unchanged."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

grpc = pytest.importorskip("grpc")

from weft.p4 import protos  # noqa: E402
from weft.p4.switch import Switch  # noqa: E402
from weft.p4.switch.p4runtime import Server  # noqa: E402

ROUTER = Path(__file__).parents[3] / "p4" / "programs" / "router.p4"

CPU = """
#include <core.p4>
#include <v1model.p4>
@controller_header("packet_in") header packet_in_t { bit<9> port; bit<7> pad; }
@controller_header("packet_out") header packet_out_t { bit<9> port; bit<7> pad; }
header body_t { bit<16> kind; }
struct note_t { bit<16> kind; }
struct headers_t { packet_out_t out_; packet_in_t in_; body_t body; }
struct meta_t { }
parser P(packet_in p, out headers_t h, inout meta_t m, inout standard_metadata_t s) {
    state start { transition select(s.ingress_port) { 510: controller; default: body; } }
    state controller { p.extract(h.out_); transition body; }
    state body { p.extract(h.body); transition accept; } }
control V(inout headers_t h, inout meta_t m) { apply { } }
control I(inout headers_t h, inout meta_t m, inout standard_metadata_t s) {
    counter(4, CounterType.packets) seen; register<bit<32>>(4) cells;
    action to(bit<9> port) { s.egress_spec = port; }
    table t { key = { h.body.kind: ternary; s.ingress_port: range; } actions = { to; } size = 2; }
    apply { seen.count(1);
        if (h.out_.isValid()) { s.egress_spec = h.out_.port; h.out_.setInvalid(); }
        else if (!t.apply().hit) { h.in_.setValid(); h.in_.port = s.ingress_port; s.egress_spec = 510;
            digest<note_t>(1, { h.body.kind }); } } }
control E(inout headers_t h, inout meta_t m, inout standard_metadata_t s) { apply { } }
control C(inout headers_t h, inout meta_t m) { apply { } }
control D(packet_out p, in headers_t h) { apply { p.emit(h); } }
V1Switch(P(), V(), I(), E(), C(), D()) main;
"""


#: What controllers' packets became.
SENT: queue.Queue[Any] = queue.Queue()


class Client:
    """Calls and one stream channel, over messages made from the protos."""

    def __init__(self, port: int, election: int = 1) -> None:
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.election = election
        self._out: queue.Queue[Any] = queue.Queue()
        self.received: queue.Queue[Any] = queue.Queue()
        call = self.channel.stream_stream(
            "/p4.v1.P4Runtime/StreamChannel", lambda m: m.SerializeToString(),
            protos.message("p4.v1.StreamMessageResponse").FromString,
        )  # fmt: skip
        self._stream = call(iter(self._out.get, None))
        threading.Thread(target=self._listen, daemon=True).start()
        hello = protos.message("p4.v1.StreamMessageRequest")()
        hello.arbitration.device_id = 1
        hello.arbitration.election_id.low = election
        self._out.put(hello)

    def _listen(self) -> None:
        try:
            for message in self._stream:
                self.received.put(message)
        except grpc.RpcError:
            pass

    def next(self, kind: str) -> Any:
        while True:
            message = self.received.get(timeout=20)
            if message.WhichOneof("update") == kind:
                return getattr(message, kind)

    def packet_out(self, payload: bytes, port: int) -> None:
        message = protos.message("p4.v1.StreamMessageRequest")()
        message.packet.payload = payload
        item = message.packet.metadata.add()
        item.metadata_id, item.value = 1, bytes([port])
        self._out.put(message)

    def call(self, method: str, request: Any, response: str) -> Any:
        kind = protos.message(f"p4.v1.{response}")
        made = self.channel.unary_unary(
            f"/p4.v1.P4Runtime/{method}", lambda m: m.SerializeToString(), kind.FromString
        )
        return made(request, timeout=20)

    def write(self, kind: int, fill: Any) -> Any:
        request = protos.message("p4.v1.WriteRequest")()
        request.device_id, request.election_id.low = 1, self.election
        update = request.updates.add()
        update.type = kind
        fill(update.entity)
        return self.call("Write", request, "WriteResponse")

    def read(self, fill: Any) -> list[Any]:
        request = protos.message("p4.v1.ReadRequest")()
        request.device_id = 1
        fill(request.entities.add())
        call = self.channel.unary_stream(
            "/p4.v1.P4Runtime/Read", lambda m: m.SerializeToString(),
            protos.message("p4.v1.ReadResponse").FromString,
        )  # fmt: skip
        return [e for part in call(request, timeout=20) for e in part.entities]

    def info(self) -> Any:
        request = protos.message("p4.v1.GetForwardingPipelineConfigRequest")()
        request.device_id = 1
        name = "GetForwardingPipelineConfig"
        return self.call(name, request, f"{name}Response").config.p4info

    def close(self) -> None:
        self._out.put(None)
        self.channel.close()


@pytest.fixture
def served() -> Iterator[tuple[Server, Client, int]]:
    with Switch.from_text(CPU) as switch:
        server = Server(switch, transmit=SENT.put)
        port = server.start("127.0.0.1:0")
        client = Client(port)
        try:
            assert client.next("arbitration").status.code == 0
            yield server, client, port
        finally:
            client.close()
            server.stop()


def entry(client: Client, kind: bytes, to: int, priority: int = 5) -> Any:
    info = client.info()

    def fill(entity: Any) -> None:
        e = entity.table_entry
        e.table_id, e.priority = info.tables[0].preamble.id, priority
        match = e.match.add()
        match.field_id, match.ternary.value, match.ternary.mask = 1, kind, b"\xff\xff"
        e.action.action.action_id = next(
            a.preamble.id for a in info.actions if a.preamble.name == "I.to"
        )
        parameter = e.action.action.params.add()
        parameter.param_id, parameter.value = 1, bytes([to])

    return fill


def test_tables_by_writes_and_reads(served: tuple[Server, Client, int]) -> None:
    server, client, _ = served
    client.write(1, entry(client, b"\x12\x34", 3))
    assert server.send(1, b"\x12\x34") == [(3, b"\x12\x34")]
    client.write(2, entry(client, b"\x12\x34", 4))
    assert server.send(1, b"\x12\x34") == [(4, b"\x12\x34")]
    (got,) = client.read(lambda e: setattr(e.table_entry, "table_id", 0))
    assert got.table_entry.priority == 5
    assert got.table_entry.action.action.params[0].value == b"\x04"
    assert [m.field_id for m in got.table_entry.match] == [1]  # the range matches all: left out
    client.write(3, entry(client, b"\x12\x34", 4))
    assert client.read(lambda e: setattr(e.table_entry, "table_id", 0)) == []


def code_of(problem: Any) -> tuple[int, str]:
    details = next(v for k, v in problem.trailing_metadata() if k == "grpc-status-details-bin")
    status = protos.message("google.rpc.Status").FromString(details)
    error = protos.message("p4.v1.Error")()
    assert status.details[0].Unpack(error)
    return error.canonical_code, error.message


def test_errors_carry_their_codes(served: tuple[Server, Client, int]) -> None:
    _, client, _ = served
    client.write(1, entry(client, b"\x00\x01", 3))
    cases = [
        (1, entry(client, b"\x00\x01", 3), 6, "has this entry"),
        (3, entry(client, b"\x00\x02", 3), 5, "no such entry"),
        (1, entry(client, b"\x00\x02", 3, priority=0), 3, "needs a priority"),
        (1, entry(client, b"\x01\x00\x02", 3), 3, "does not fit into 16 bits"),
        (1, lambda e: setattr(e.table_entry, "table_id", 77), 5, "no table with id"),
        (1, lambda e: e.extern_entry.SetInParent(), 12, "extern_entry"),
    ]
    for kind, fill, code, text in cases:
        with pytest.raises(grpc.RpcError) as caught:
            client.write(kind, fill)
        assert caught.value.code() is grpc.StatusCode.UNKNOWN
        found, message = code_of(caught.value)
        assert (found, text in message) == (code, True), message
    client.write(1, entry(client, b"\x00\x02", 3))
    with pytest.raises(grpc.RpcError) as caught:
        client.write(1, entry(client, b"\x00\x03", 3))
    assert code_of(caught.value)[0] == 8  # its size is 2


def test_packets_to_and_from_the_controller(served: tuple[Server, Client, int]) -> None:
    server, client, _ = served
    assert server.send(7, b"\xab\xcdxyz") == []
    packet = client.next("packet")
    assert packet.payload == b"\xab\xcdxyz"
    assert [(m.metadata_id, m.value) for m in packet.metadata] == [(1, b"\x07"), (2, b"\x00")]
    client.packet_out(b"\x11\x22", 9)
    assert SENT.get(timeout=20) == (9, b"\x11\x22")


def test_digests(served: tuple[Server, Client, int]) -> None:
    server, client, _ = served
    server.send(7, b"\xab\xcd")
    digest = client.next("digest")
    assert digest.data[0].struct.members[0].bitstring == b"\xab\xcd"


def test_idle_entries_are_noticed_once(served: tuple[Server, Client, int]) -> None:
    server, client, _ = served

    def timed(entity: Any) -> None:
        entry(client, b"\x12\x34", 3)(entity)
        entity.table_entry.idle_timeout_ns = 1_000_000

    client.write(1, timed)
    (noticed,) = client.next("idle_timeout_notification").table_entry
    assert noticed.match[0].ternary.value == b"\x12\x34"
    assert noticed.idle_timeout_ns == 1_000_000
    server.send(1, b"\x12\x34")  # a hit: it becomes idle anew
    assert len(client.next("idle_timeout_notification").table_entry) == 1


def test_only_the_primary_writes(served: tuple[Server, Client, int]) -> None:
    _, client, port = served
    second = Client(port, election=9)
    try:
        assert second.next("arbitration").status.code == 0
        assert client.next("arbitration").status.code == 6
        with pytest.raises(grpc.RpcError) as caught:
            client.write(1, entry(client, b"\x00\x01", 3))
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        second.write(1, entry(second, b"\x00\x01", 3))
    finally:
        second.close()
    assert client.next("arbitration").status.code == 0  # the next best takes over


def test_state_and_replication(served: tuple[Server, Client, int]) -> None:
    server, client, _ = served
    info = client.info()
    server.send(1, b"\0\0")

    def counter(entity: Any) -> None:
        entity.counter_entry.counter_id = info.counters[0].preamble.id
        entity.counter_entry.index.index = 1

    assert client.read(counter)[0].counter_entry.data.packet_count == 1

    def register(entity: Any) -> None:
        entity.register_entry.register_id = info.registers[0].preamble.id
        entity.register_entry.index.index = 2
        entity.register_entry.data.bitstring = b"\x01\x00"

    client.write(2, register)
    assert server.switch.register("cells").read(2) == 256
    assert client.read(register)[0].register_entry.data.bitstring == b"\x01\x00"

    def group(entity: Any) -> None:
        target = entity.packet_replication_engine_entry.multicast_group_entry
        target.multicast_group_id = 3
        target.replicas.add(egress_port=4, instance=1)

    client.write(1, group)
    assert (
        client.read(group)[0]
        .packet_replication_engine_entry.multicast_group_entry.replicas[0]
        .egress_port
        == 4
    )
    client.write(3, group)
    assert client.read(group) == []


def test_another_program_can_be_loaded(served: tuple[Server, Client, int]) -> None:
    server, client, _ = served
    request = protos.message("p4.v1.SetForwardingPipelineConfigRequest")()
    request.device_id, request.election_id.low, request.action = 1, 1, 3
    request.config.p4_device_config = CPU.replace(
        "s.egress_spec = 510;", "s.egress_spec = 5;"
    ).encode()
    request.config.cookie.cookie = 99
    client.call("SetForwardingPipelineConfig", request, "SetForwardingPipelineConfigResponse")
    assert [o.port for o in server.send(1, b"\0\0")] == [5]
    request.config.p4_device_config = b"parser {"
    with pytest.raises(grpc.RpcError, match="syntax error"):
        client.call("SetForwardingPipelineConfig", request, "SetForwardingPipelineConfigResponse")
    server.switch.close()


SHELL = """
import sys
import p4runtime_sh.shell as sh
sh.setup(device_id=1, grpc_addr="127.0.0.1:" + sys.argv[1], election_id=(0, 1))
route = sh.TableEntry("ingress.ipv4_lpm")(action="ingress.route")
route.match["hdr.ipv4.dst"] = "10.0.0.0/8"
route.action["next_hop"] = "7"
route.insert()
hop = sh.TableEntry("ingress.next_hops")(action="ingress.forward")
hop.match["meta.next_hop"] = "7"
hop.action["src"], hop.action["dst"], hop.action["port"] = "00:00:00:00:00:01", "00:00:00:00:00:02", "3"
hop.insert()
found = list(sh.TableEntry("ingress.ipv4_lpm").read())
print("routes", len(found), found[0].action["next_hop"])
try:
    hop.insert()
except Exception as problem:
    print("twice", "ALREADY_EXISTS" in str(problem))
group = sh.MulticastGroupEntry(1)
group.add(2, 1)
group.insert()
print("done")
sys.stdin.readline()
print("counted", [e.data.packet_count for e in sh.DirectCounterEntry("ingress.route_counter").read()])
sh.teardown()
"""


def test_p4runtime_shell() -> None:
    """The shell pins an old protobuf, so it runs in the interpreter that make installs it into."""
    installed = Path(__file__).parents[3] / "build" / "p4runtime-shell" / "bin" / "python"
    default = installed if installed.exists() else sys.executable
    python = os.environ.get("WEFT_P4RUNTIME_SHELL", str(default))
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python"}
    environment.pop("PYTHONPATH", None)
    probe = subprocess.run(
        [python, "-P", "-c", "import p4runtime_sh.shell"], env=environment, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    if probe.returncode:
        last = (probe.stderr.strip().splitlines() or ["unknown"])[-1]
        pytest.skip(f"p4runtime-shell cannot be imported by {python} ({last}); "
                    "make build/p4runtime-shell/.installed installs it, "
                    "or WEFT_P4RUNTIME_SHELL names a Python that has it")  # fmt: skip
    with Switch.load(ROUTER) as switch:
        server = Server(switch)
        port = server.start("127.0.0.1:0")
        shell = subprocess.Popen(
            [python, "-P", "-c", SHELL, str(port)], env=environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert shell.stdout is not None
            lines = []
            for line in shell.stdout:
                lines.append(line.strip())
                if line.strip() == "done":
                    break
            assert lines and lines[-1] == "done", shell.communicate(timeout=30)
            assert any(line.startswith("routes 1") for line in lines)
            assert "twice True" in lines
            packet = bytes.fromhex(
                "000000000000" * 2 + "080045000014000000004011" + "0000" + "01010101" + "0a010203"
            )
            total = sum(int.from_bytes(packet[i : i + 2], "big") for i in range(14, 34, 2))
            checksum = 0xFFFF - (total % 0xFFFF)
            packet = packet[:24] + checksum.to_bytes(2, "big") + packet[26:]
            assert [o.port for o in server.send(0, packet)] == [3]
            out, problems = shell.communicate("\n", timeout=30)
            assert "counted [1]" in out, (out, problems)
        finally:
            shell.kill()
            server.stop()
