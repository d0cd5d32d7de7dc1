"""A P4Runtime client: what a control plane needs to program a switch that runs elsewhere.

    with Client("10.0.0.9:9559") as client:
        client.load(source, cookie=7)
        entry = client.insert("ingress.routes", [(0x0A000001, 32)], "ingress.forward", [1])

Names are those of the P4Info that the switch tells. Every call has a deadline; what the switch
refuses, or a switch that does not answer, is a `ControlError` that names the call. A switch that
comes back is joined again by the next call.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc  # type: ignore[import-untyped]

from weft.p4 import protos
from weft.p4.switch.names import ControlError

Match = int | tuple[int, int]
"""Of a key's field, in the order of the keys: a value, or (value, prefix length or mask)."""
DEADLINE = 10.0
_INSERT, _MODIFY, _DELETE = 1, 2, 3  # Update.Type
_LOAD = 5  # SetForwardingPipelineConfigRequest.Action.RECONCILE_AND_COMMIT
_COOKIE_ONLY = 1  # GetForwardingPipelineConfigRequest.ResponseType


class Client:
    """The primary controller of one device, as long as nobody has a higher election id."""

    def __init__(self, address: str, device: int = 1, election: int = 1) -> None:
        self.address, self._device, self._election = address, device, election
        self._over = threading.Event()
        self._names: dict[tuple[str, str], Any] = {}
        self._join()

    def _join(self) -> None:
        """Opens the stream that makes us primary, of a switch that may have restarted."""
        # A pool of its own, lest an earlier connection's back-off counts for this one.
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.insecure_channel(self.address, options=options)
        self._said: queue.Queue[Any] = queue.Queue()
        heard: queue.Queue[bool] = queue.Queue()
        stream = self._channel.stream_stream(
            "/p4.v1.P4Runtime/StreamChannel", lambda m: m.SerializeToString(),
            protos.message("p4.v1.StreamMessageResponse").FromString,
        )  # fmt: skip
        hello = protos.message("p4.v1.StreamMessageRequest")()
        hello.arbitration.device_id = self._device
        hello.arbitration.election_id.low = self._election
        self._said.put(hello)
        self._over.clear()
        answers = stream(iter(self._said.get, None))
        self._listener = threading.Thread(target=self._listen, args=(answers, heard), daemon=True)
        self._listener.start()
        try:
            primary = heard.get(timeout=DEADLINE)
        except queue.Empty:
            primary = False
        if not primary:
            self.close()
            raise ControlError(
                f"P4Runtime at {self.address} did not make us device {self._device}'s primary "
                "controller; does it run, and has another a higher election id?"
            )
        self._names = self._learn()

    def close(self) -> None:
        self._said.put(None)
        self._channel.close()
        self._listener.join(DEADLINE)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _listen(self, answers: Any, heard: queue.Queue[bool]) -> None:
        try:
            for answer in answers:
                if answer.WhichOneof("update") == "arbitration":
                    heard.put(answer.arbitration.status.code == 0)
        except grpc.RpcError:
            pass  # closed, or the switch is gone
        self._over.set()
        heard.put(False)

    # ---------------------------------------------------------------------------- pipeline

    def load(self, source: str, cookie: int) -> None:
        """Replaces the program, and with it all entries and registers."""
        request = self._request("SetForwardingPipelineConfigRequest")
        request.action = _LOAD
        request.config.p4_device_config = source.encode()
        request.config.cookie.cookie = cookie
        self._call("SetForwardingPipelineConfig", request)
        self._names = self._learn()

    def cookie(self) -> int:
        """Of the pipeline that was loaded; 0 in a switch that nobody has loaded one into."""
        request = protos.message("p4.v1.GetForwardingPipelineConfigRequest")()
        request.device_id, request.response_type = self._device, _COOKIE_ONLY
        return int(self._call("GetForwardingPipelineConfig", request).config.cookie.cookie)

    def _learn(self) -> dict[tuple[str, str], Any]:
        request = protos.message("p4.v1.GetForwardingPipelineConfigRequest")()
        request.device_id = self._device
        info = self._call("GetForwardingPipelineConfig", request).config.p4info
        return {
            (kind, item.preamble.name): item
            for kind in ("tables", "actions", "counters", "registers")
            for item in getattr(info, kind)
        }

    def _find(self, kind: str, name: str) -> Any:
        if (kind, name) not in self._names:
            raise ControlError(f"P4Runtime at {self.address}: its program has no {name} in {kind}")
        return self._names[kind, name]

    # -------------------------------------------------------------------------------- entities

    def insert(
        self, table: str, key: Sequence[Match], action: str, arguments: Sequence[int]
    ) -> Any:
        """The entry, for `remove`."""
        entity = protos.message("p4.v1.Entity")()
        entry, info = entity.table_entry, self._find("tables", table)
        entry.table_id = info.preamble.id
        for field, match in zip(info.match_fields, key, strict=True):
            made = entry.match.add()
            made.field_id = field.id
            kind = protos.enum("p4.config.v1.MatchField.MatchType")
            value, other = match if isinstance(match, tuple) else (match, 0)
            if field.match_type == kind["EXACT"]:
                made.exact.value = _binary(value)
            elif field.match_type == kind["LPM"]:
                made.lpm.value, made.lpm.prefix_len = _binary(value), other
            else:
                made.ternary.value, made.ternary.mask = _binary(value), _binary(other)
        chosen = self._find("actions", action)
        entry.action.action.action_id = chosen.preamble.id
        for parameter, argument in zip(chosen.params, arguments, strict=True):
            given = entry.action.action.params.add()
            given.param_id, given.value = parameter.id, _binary(argument)
        self._write(_INSERT, [entity])
        return entity

    def remove(self, entities: Sequence[Any]) -> None:
        """What `insert` and `multicast` gave."""
        self._write(_DELETE, entities)

    def multicast(self, group: int, copies: Mapping[int, int]) -> Any:
        """Copies by instance (egress_rid): the port of each."""
        entity = protos.message("p4.v1.Entity")()
        made = entity.packet_replication_engine_entry.multicast_group_entry
        made.multicast_group_id = group
        for instance, port in copies.items():
            replica = made.replicas.add()
            replica.instance, replica.egress_port = instance, port
        self._write(_INSERT, [entity])
        return entity

    def write_register(self, name: str, values: Mapping[int, int]) -> None:
        """Values by cell."""
        number = self._find("registers", name).preamble.id
        entities = []
        for cell, value in values.items():
            entity = protos.message("p4.v1.Entity")()
            entity.register_entry.register_id = number
            entity.register_entry.index.index = cell
            entity.register_entry.data.bitstring = _binary(value)
            entities.append(entity)
        self._write(_MODIFY, entities)

    def read_counter(self, name: str) -> list[int]:
        """Packets, by cell."""
        request = protos.message("p4.v1.ReadRequest")()
        request.device_id = self._device
        request.entities.add().counter_entry.counter_id = self._find("counters", name).preamble.id
        kind = protos.message("p4.v1.ReadResponse")

        def read() -> list[Any]:
            made = self._channel.unary_stream(
                "/p4.v1.P4Runtime/Read", lambda m: m.SerializeToString(), kind.FromString
            )
            return list(made(request, timeout=DEADLINE))

        found = self._answered("Read", read)
        return [e.counter_entry.data.packet_count for part in found for e in part.entities]

    # --------------------------------------------------------------------------------- calls

    def _request(self, kind: str) -> Any:
        request = protos.message(f"p4.v1.{kind}")()
        request.device_id, request.election_id.low = self._device, self._election
        return request

    def _write(self, kind: int, entities: Sequence[Any]) -> None:
        request = self._request("WriteRequest")
        for entity in entities:
            update = request.updates.add()
            update.type = kind
            update.entity.CopyFrom(entity)
        self._call("Write", request)

    def _call(self, method: str, request: Any) -> Any:
        kind = protos.message(f"p4.v1.{method}Response")

        def call() -> Any:
            made = self._channel.unary_unary(
                f"/p4.v1.P4Runtime/{method}", lambda m: m.SerializeToString(), kind.FromString
            )
            return made(request, timeout=DEADLINE)

        return self._answered(method, call)

    def _answered(self, method: str, call: Callable[[], Any]) -> Any:
        if self._over.is_set():
            self._channel.close()
            self._join()
        try:
            return call()
        except grpc.RpcError as problem:
            raise ControlError(
                f"P4Runtime at {self.address}: {method}: {problem.details() or problem.code().name}"
            ) from None


def _binary(value: int) -> bytes:
    """The shortest binary string (section 8.4)."""
    return value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big")
