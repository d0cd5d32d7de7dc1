"""The calls of P4Runtime over gRPC: pipeline, writes and reads, arbitration, packets and digests.

The device config of a pipeline is the program's P4 source text. The packet I/O of section 16.1 uses
one CPU port: what the program sends there goes to the controller with the fields of its
`@controller_header("packet_in")` taken off as metadata; packets out enter there with theirs put on.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc  # type: ignore[import-untyped]

from weft.p4 import protos
from weft.p4.compiler import CompileError, compile_text
from weft.p4.compiler.p4info import p4info
from weft.p4.switch.build import CompilerError
from weft.p4.switch.codegen import CodegenError
from weft.p4.switch.names import AlreadyExists, ControlError, Full, NotFound
from weft.p4.switch.p4runtime.entities import Entities, Unimplemented
from weft.p4.switch.switch import Output, Switch

CPU_PORT = 510
_OK, _INVALID, _NOT_FOUND, _EXISTS, _FULL, _UNIMPLEMENTED = 0, 3, 5, 6, 8, 12  # google.rpc.Code
_VERIFY, _SAVE = 1, 2  # SetForwardingPipelineConfigRequest.Action
_COOKIE_ONLY, _P4INFO = 1, 2  # GetForwardingPipelineConfigRequest.ResponseType
_POLL_S = 0.05
#: Messages a slow controller may lag behind; more are dropped, as a switch does.
_BACKLOG = 1024


def _code(problem: ControlError) -> int:
    for kind, code in ((NotFound, _NOT_FOUND), (AlreadyExists, _EXISTS), (Full, _FULL),
                       (Unimplemented, _UNIMPLEMENTED)):  # fmt: skip
        if isinstance(problem, kind):
            return code
    return _INVALID


class _Stream:
    """One controller's stream channel."""

    def __init__(self) -> None:
        self.election: tuple[int, int] | None = None
        self.messages: queue.Queue[Any] = queue.Queue(_BACKLOG)

    def put(self, message: Any) -> None:
        try:
            self.messages.put_nowait(message)
        except queue.Full:
            return


class Server:
    """Serves one device. Packets go through `send`, which keeps the CPU port's for controllers."""

    def __init__(
        self,
        switch: Switch,
        *,
        device: int = 1,
        cpu_port: int = CPU_PORT,
        transmit: Callable[[Output], None] | None = None,
    ) -> None:
        """`transmit` sends what a controller's packets become; without it they are lost."""
        self.switch = switch
        self._device, self._cpu_port, self._transmit = device, cpu_port, transmit
        self._lock = threading.RLock()
        self._streams: list[_Stream] = []
        self._cookie = 0
        self._config = b""
        self._stopped = threading.Event()
        self._digest_lists = 0
        self._adopt(switch)

    def _adopt(self, switch: Switch) -> None:
        self.switch = switch
        self._info = p4info(switch.program)
        self._entities = Entities(switch, self._info)
        self._noticed: set[tuple[int, int, int]] = set()
        headers = {h.preamble.name: h.metadata for h in self._info.controller_packet_metadata}
        self._packet_in = list(headers.get("packet_in", ()))
        self._packet_out = list(headers.get("packet_out", ()))

    # --------------------------------------------------------------------------- lifetime

    def start(self, address: str) -> int:
        """Listens; returns the port. Raises `ControlError` when the address cannot be had."""
        self._server = grpc.server(futures.ThreadPoolExecutor(16))
        self._server.add_generic_rpc_handlers((_handlers(self),))
        try:
            port = self._server.add_insecure_port(address)
        except RuntimeError:
            port = 0
        if port == 0:
            raise ControlError(f"cannot listen on {address}")
        self._server.start()
        self._notices = threading.Thread(target=self._send_notices, daemon=True)
        self._notices.start()
        return int(port)

    def stop(self) -> None:
        self._stopped.set()
        with self._lock:
            for stream in self._streams:
                stream.put(None)
        self._server.stop(1).wait(5)
        self._notices.join(5)

    # ----------------------------------------------------------------------------- packets

    def send(self, port: int, data: bytes) -> list[Output]:
        """Runs a packet; what leaves on the CPU port goes to the primary controller."""
        switch = self.switch
        try:
            outputs = switch.send(port, data)
        except ControlError:
            if switch is self.switch:
                raise
            return []  # the program was replaced meanwhile
        rest = [o for o in outputs if o.port != self._cpu_port]
        for output in outputs:
            if output.port == self._cpu_port:
                self._to_primary(self._packet_in_message(output.data))
        return rest

    def _packet_in_message(self, data: bytes) -> Any:
        message = protos.message("p4.v1.StreamMessageResponse")()
        bits = sum(m.bitwidth for m in self._packet_in)
        value = int.from_bytes(data[: bits // 8], "big")
        message.packet.payload = data[bits // 8 :]
        for field in self._packet_in:
            bits -= field.bitwidth
            number = value >> bits & ((1 << field.bitwidth) - 1)
            item = message.packet.metadata.add()
            item.metadata_id = field.id
            item.value = number.to_bytes(max(1, (number.bit_length() + 7) // 8), "big")
        return message

    def _packet_from(self, packet: Any) -> bytes:
        given = {m.metadata_id: int.from_bytes(m.value, "big") for m in packet.metadata}
        value = bits = 0
        for field in self._packet_out:
            number = given.get(field.id, 0)
            if number >> field.bitwidth:
                raise ControlError(f"packet_out.{field.name} does not fit")
            value, bits = value << field.bitwidth | number, bits + field.bitwidth
        return value.to_bytes(bits // 8, "big") + bytes(packet.payload)

    def _primary(self) -> _Stream | None:
        known = [s for s in self._streams if s.election is not None]
        return max(known, key=lambda s: s.election or (0, 0), default=None)

    def _to_primary(self, message: Any) -> None:
        with self._lock:
            primary = self._primary()
            if primary is not None:
                primary.put(message)

    def _send_notices(self) -> None:
        """Digests and idle entries, as they come up."""
        while not self._stopped.wait(_POLL_S):
            with self._lock:
                self._send_digests()
                self._send_idle()

    def _send_digests(self) -> None:
        names = {d.preamble.name: d.preamble.id for d in self._info.digests}
        for digest in self.switch.digests():
            self._digest_lists += 1
            message = protos.message("p4.v1.StreamMessageResponse")()
            message.digest.digest_id = names.get(digest.name, 0)
            message.digest.list_id = self._digest_lists
            data = message.digest.data.add()
            for value in digest.values:
                member = data.struct.members.add()
                size = max(1, (value.bit_length() + 8) // 8 if value < 0 else
                           (value.bit_length() + 7) // 8)  # fmt: skip
                member.bitstring = value.to_bytes(size, "big", signed=value < 0)
            self._to_primary(message)

    def _send_idle(self) -> None:
        """One notice per entry and idle time: a hit makes it due again (P4Runtime, 9.1.7)."""
        idle = dict(self._entities.idle())
        fresh = idle.keys() - self._noticed
        self._noticed = set(idle)
        if fresh:
            message = protos.message("p4.v1.StreamMessageResponse")()
            notice = message.idle_timeout_notification
            notice.timestamp = time.time_ns()
            for key in sorted(fresh):
                notice.table_entry.add().CopyFrom(idle[key])
            self._to_primary(message)

    # ------------------------------------------------------------------------------- calls

    def _check(self, request: Any, context: Any, *, write: bool) -> None:
        if request.device_id != self._device:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no device {request.device_id}")
        if write:
            primary = self._primary()
            election = (request.election_id.high, request.election_id.low)
            if primary is None or primary.election != election:
                context.abort(grpc.StatusCode.PERMISSION_DENIED, "not the primary controller")

    def write(self, request: Any, context: Any) -> Any:
        with self._lock:
            self._check(request, context, write=True)
            results = [self._one(update) for update in request.updates]
        if any(code for code, _ in results):
            status = protos.message("google.rpc.Status")()
            status.code = grpc.StatusCode.UNKNOWN.value[0]
            status.message = "; ".join(text for code, text in results if code)
            for code, text in results:
                error = protos.message("p4.v1.Error")()
                error.canonical_code, error.message = code, text
                status.details.add().Pack(error)
            context.set_trailing_metadata(
                (("grpc-status-details-bin", status.SerializeToString()),)
            )
            context.abort(grpc.StatusCode.UNKNOWN, status.message)
        return protos.message("p4.v1.WriteResponse")()

    def _one(self, update: Any) -> tuple[int, str]:
        try:
            if update.type not in (1, 2, 3):
                raise ControlError("an update that is no INSERT, MODIFY or DELETE")
            self._entities.write(update)
        except ControlError as problem:
            return _code(problem), str(problem)
        return _OK, ""

    def read(self, request: Any, context: Any) -> Iterator[Any]:
        with self._lock:
            self._check(request, context, write=False)
            response = protos.message("p4.v1.ReadResponse")()
            try:
                for entity in request.entities:
                    response.entities.extend(self._entities.read(entity))
            except ControlError as problem:
                code = next(c for c in grpc.StatusCode if c.value[0] == _code(problem))
                context.abort(code, str(problem))
        yield response

    def set_pipeline(self, request: Any, context: Any) -> Any:
        response = protos.message("p4.v1.SetForwardingPipelineConfigResponse")()
        with self._lock:
            self._check(request, context, write=True)
            source = request.config.p4_device_config
            if source:
                try:
                    made = Switch(compile_text(source.decode(), "device config"))
                except (CompileError, CodegenError, CompilerError, UnicodeDecodeError) as problem:
                    context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(problem))
                if request.action == _VERIFY:
                    made.close()
                    return response
                old = self.switch
                self._adopt(made)
                old.close()
            elif request.config.p4info != self._info:
                context.abort(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    "this is not the running program's P4Info; to load another program, send its "
                    "P4 source as the device config",
                )
            self._cookie = request.config.cookie.cookie
            self._config = bytes(source)
        return response

    def get_pipeline(self, request: Any, context: Any) -> Any:
        with self._lock:
            self._check(request, context, write=False)
            response = protos.message("p4.v1.GetForwardingPipelineConfigResponse")()
            config = response.config
            config.cookie.cookie = self._cookie
            if request.response_type not in (_COOKIE_ONLY, 3):
                config.p4info.CopyFrom(self._info)
            if request.response_type not in (_COOKIE_ONLY, _P4INFO):
                config.p4_device_config = self._config
            return response

    def capabilities(self, request: Any, context: Any) -> Any:
        response = protos.message("p4.v1.CapabilitiesResponse")()
        response.p4runtime_api_version = "1.4.0"
        return response

    # ------------------------------------------------------------------------------ stream

    def stream(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        mine = _Stream()
        with self._lock:
            self._streams.append(mine)
        context.add_callback(lambda: self._leave(mine))
        threading.Thread(target=self._listen, args=(mine, requests), daemon=True).start()
        while (message := mine.messages.get()) is not None:
            yield message

    def _listen(self, mine: _Stream, requests: Iterator[Any]) -> None:
        try:
            for request in requests:
                self._receive(mine, request)
        except (grpc.RpcError, ValueError):  # the controller went away
            pass
        finally:
            mine.put(None)

    def _leave(self, mine: _Stream) -> None:
        with self._lock:
            if mine in self._streams:
                self._streams.remove(mine)
                mine.put(None)
                self._announce()

    def _receive(self, mine: _Stream, request: Any) -> None:
        kind = request.WhichOneof("update")
        if kind == "arbitration":
            with self._lock:
                election = request.arbitration.election_id
                mine.election = (election.high, election.low)
                self._announce()
        elif kind == "packet":
            try:
                with self._lock:
                    if self._primary() is not mine:
                        return
                    data = self._packet_from(request.packet)
                for output in self.send(self._cpu_port, data):
                    if self._transmit is not None:
                        self._transmit(output)
            except ControlError as problem:
                message = protos.message("p4.v1.StreamMessageResponse")()
                message.error.canonical_code = _code(problem)
                message.error.message = str(problem)
                mine.put(message)

    def _announce(self) -> None:
        """Tells every controller who is primary (section 5.3)."""
        primary = self._primary()
        for stream in self._streams:
            if stream.election is None:
                continue
            message = protos.message("p4.v1.StreamMessageResponse")()
            arbitration = message.arbitration
            arbitration.device_id = self._device
            if primary is not None and primary.election is not None:
                arbitration.election_id.high, arbitration.election_id.low = primary.election
            arbitration.status.code = _OK if stream is primary else _EXISTS
            stream.put(message)


def _handlers(server: Server) -> Any:
    """The service as gRPC wants it, without generated code."""

    def unary(function: Any, request: str) -> Any:
        kind = protos.message(f"p4.v1.{request}")
        return grpc.unary_unary_rpc_method_handler(
            function, kind.FromString, lambda m: m.SerializeToString()
        )

    read, message = (
        protos.message("p4.v1.ReadRequest"),
        protos.message("p4.v1.StreamMessageRequest"),
    )
    return grpc.method_handlers_generic_handler(
        "p4.v1.P4Runtime",
        {
            "Write": unary(server.write, "WriteRequest"),
            "Read": grpc.unary_stream_rpc_method_handler(
                server.read, read.FromString, lambda m: m.SerializeToString()
            ),
            "SetForwardingPipelineConfig": unary(
                server.set_pipeline, "SetForwardingPipelineConfigRequest"
            ),
            "GetForwardingPipelineConfig": unary(
                server.get_pipeline, "GetForwardingPipelineConfigRequest"
            ),
            "Capabilities": unary(server.capabilities, "CapabilitiesRequest"),
            "StreamChannel": grpc.stream_stream_rpc_method_handler(
                server.stream, message.FromString, lambda m: m.SerializeToString()
            ),
        },
    )
