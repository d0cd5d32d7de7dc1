"""Contexts, peers and registered memory: point to point without a group.

    >>> context = Context(secret="a job's secret")
    >>> peer = context.connect(address_of_the_other)      # there: other.accept()
    >>> peer.send(array, tag=1).wait()

All time-outs are in seconds; `None` takes the context's default (30 minutes unless given).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from weft.transport import _c
from weft.transport.buffers import buffer_of
from weft.transport.errors import DeadlineExceeded, WrongState


def _pairs(values: dict[str, Any]) -> str:
    return ",".join(f"{key}={value}" for key, value in values.items())


class Context:
    """One engine: its sockets, shared memory and progress thread. Use as a context manager, or
    `close()` it; what was made from it must have been closed before.

    Options left out come from the environment (WEFT_SECRET, WEFT_DATAPATHS, WEFT_INTERFACES,
    WEFT_TRANSPORT, WEFT_TIMEOUT_MS, WEFT_PEER_TIMEOUT_MS,
    WEFT_CONNECT_TIMEOUT_MS), then from defaults.

    Args:
        secret: shared by all peers; others are turned away.
        datapaths: in order of preference, e.g. `["shm", "verbs", "udp"]`.
        interfaces: addresses or interface names, for UDP and RDMA.
        transport: e.g. `{"paths": 8, "congestion": "swift"}`.
        timeout: default deadline of operations, seconds.
        peer_timeout: silence after which a peer counts as dead, seconds (1.5).
        spin: seconds that a waiter spins before it sleeps; None: adaptive.

    Raises InvalidArgument, OutOfResources, SystemFailure.
    """

    def __init__(
        self,
        *,
        secret: str | None = None,
        datapaths: list[str] | None = None,
        interfaces: list[str] | None = None,
        transport: dict[str, Any] | None = None,
        timeout: float | None = None,
        peer_timeout: float | None = None,
        spin: float | None = None,
    ) -> None:
        ffi, lib = _c.load()
        options = ffi.new("weft_context_options*")
        options.struct_size = ffi.sizeof("weft_context_options")
        keep = []  # cffi frees what nobody refers to

        def text(value: str | None) -> Any:
            if value is None:
                return ffi.NULL
            keep.append(ffi.new("char[]", value.encode()))
            return keep[-1]

        options.secret = text(secret)
        options.datapaths = text(None if datapaths is None else ",".join(datapaths))
        options.interfaces = text(None if interfaces is None else ",".join(interfaces))
        options.transport = text(None if transport is None else _pairs(transport))
        options.timeout_ns = _c.nanoseconds(timeout, 0)
        options.peer_timeout_ns = _c.nanoseconds(peer_timeout, 0)
        options.spin_ns = _c.nanoseconds(spin, -1)
        handle = ffi.new("weft_context**")
        _c.check(lib.weft_context_create(options, handle))
        self._handle = handle[0]

    @property
    def handle(self) -> Any:
        """The `weft_context*`; raises WrongState after `close()`."""
        if self._handle is None:
            raise WrongState("the context was closed")
        return self._handle

    @property
    def address(self) -> bytes:
        """What others need to reach this process: opaque, about 100 bytes."""
        _, lib = _c.load()
        return _c.text_of(lib.weft_context_address, self.handle)

    def stats(self) -> dict[str, Any]:
        """Everything countable: peers, datapaths, paths, windows, retransmissions, drops."""
        _, lib = _c.load()
        text = _c.text_of(lib.weft_stats, self.handle)
        return dict(json.loads(text.rstrip(b"\0")))

    def set_policies(self, policies: dict[str, Any]) -> None:
        """Exchanges policies of the transport while it runs, for all connections, living and to
        come: `{"scheduler": "reps", "scheduler.freeze_us": 500}`. What is not named stays; what is
        named starts anew. All or nothing.

        Raises InvalidArgument (a name or parameter that does not exist, with those that do),
        Unsupported (no datapath of the context has policies: shared memory has none).
        """
        _, lib = _c.load()
        _c.check(lib.weft_set_policies(self.handle, _pairs(policies).encode()))

    def connect(self, address: bytes, timeout: float | None = None) -> Peer:
        """Opens, or finds, the connection to the process with this address.

        Raises InvalidArgument (not an address), Unreachable, Unauthorized.
        """
        ffi, lib = _c.load()
        peer = ffi.new("weft_peer**")
        limit = _c.nanoseconds(timeout, -1)
        _c.check(lib.weft_connect(self.handle, address, len(address), limit, peer))
        return Peer(self, peer[0])

    def accept(self, timeout: float | None = None) -> Peer:
        """The next peer that connected to us. Raises DeadlineExceeded."""
        ffi, lib = _c.load()
        peer = ffi.new("weft_peer**")
        _c.check(lib.weft_accept(self.handle, _c.nanoseconds(timeout, -1), peer))
        return Peer(self, peer[0])

    def register(self, memory: Any) -> Region:
        """Lets peers read and write `memory` until the region is closed."""
        return Region(self, memory)

    def notification(self, timeout: float | None = None) -> Notification | None:
        """The next notification of a peer's read or write; None when none came in time."""
        ffi, lib = _c.load()
        found = ffi.new("weft_notification*")
        limit = _c.nanoseconds(timeout, -1)
        if _c.check(lib.weft_notification_wait(self.handle, limit, found)) == 1:
            return None
        return Notification(found.peer_id, found.value, found.offset, found.length)

    def close(self) -> None:
        """Says goodbye to all peers and frees everything. Raises WrongState while communicators,
        peers, regions or requests of the context are still open."""
        if self._handle is not None:
            _, lib = _c.load()
            _c.check(lib.weft_context_destroy(self._handle))
            self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class Work:
    """An operation under way. Its buffers belong to Weft until it is done."""

    def __init__(self, request: Any, result: Any, keep: object) -> None:
        self._request = request
        self._result = result
        self._keep = keep

    def done(self) -> bool:
        """Whether it has ended, well or badly. Makes progress."""
        _, lib = _c.load()
        return self._request is None or lib.weft_test(self._request) != 1

    def wait(self, timeout: float | None = None) -> Any:
        """The operation's output. Raises its error, or DeadlineExceeded when `timeout` seconds
        were not enough (the operation then goes on; wait again)."""
        if self._request is not None:
            _, lib = _c.load()
            status = lib.weft_wait(self._request, _c.nanoseconds(timeout, -1))
            if status == 1:
                raise DeadlineExceeded(f"not done within {timeout} s; the operation goes on")
            _c.check(status)
            self._free()
        return self._result

    def cancel(self) -> None:
        """Calls off a send or receive; a collective goes on, since the other ranks count on it."""
        if self._request is not None:
            _, lib = _c.load()
            lib.weft_request_free(self._request)
            self._request = None
            self._keep = None

    @property
    def source(self) -> int:
        """The rank whose message a receive got; -1 before it is done."""
        _, lib = _c.load()
        return int(
            self._source if self._request is None else lib.weft_request_source(self._request)
        )

    _source = -1

    def _free(self) -> None:
        _, lib = _c.load()
        self._source = lib.weft_request_source(self._request)
        lib.weft_request_free(self._request)
        self._request = None
        self._keep = None

    def __del__(self) -> None:
        if getattr(self, "_request", None) is not None:
            # Its buffers may be in use: whoever drops a handle must not free them under our feet.
            _, lib = _c.load()
            lib.weft_wait(self._request, -1)
            self._free()


class Peer:
    """The connection to one process."""

    def __init__(self, context: Context, handle: Any) -> None:
        self._context = context
        self._handle = handle

    @property
    def id(self) -> int:
        """The peer's stable 64-bit id."""
        _, lib = _c.load()
        return int(lib.weft_peer_id(self._handle))

    def send(self, memory: Any, tag: int = 0) -> Work:
        """Sends the bytes of `memory`. Messages with equal tag arrive in order."""
        ffi, lib = _c.load()
        buffer = buffer_of(memory, writable=False, name="memory")
        request = ffi.new("weft_request**")
        data = ffi.cast("void*", buffer.address)
        _c.check(lib.weft_send(self._handle, data, buffer.nbytes, tag, request))
        return Work(request[0], memory, buffer)

    def recv(self, memory: Any, tag: int = 0) -> Work:
        """Receives into `memory`; its length must be the message's (else Mismatch)."""
        ffi, lib = _c.load()
        buffer = buffer_of(memory, writable=True, name="memory")
        request = ffi.new("weft_request**")
        data = ffi.cast("void*", buffer.address)
        _c.check(lib.weft_recv(self._handle, data, buffer.nbytes, tag, request))
        return Work(request[0], memory, buffer)

    def write(self, memory: Any, region: bytes, offset: int = 0, notify: int = 0) -> Work:
        """Writes `memory` at `offset` bytes into the peer's region (its `descriptor`). With
        notify != 0 the owner's `Context.notification()` finds that value afterwards."""
        return self._access("weft_write", memory, region, offset, notify, writable=False)

    def read(self, memory: Any, region: bytes, offset: int = 0, notify: int = 0) -> Work:
        """Fills `memory` from `offset` bytes into the peer's region."""
        return self._access("weft_read", memory, region, offset, notify, writable=True)

    def set_policies(self, policies: dict[str, Any]) -> None:
        """As `Context.set_policies`, for the connection to this peer. Raises also WrongState (it
        is not open)."""
        _, lib = _c.load()
        _c.check(lib.weft_peer_set_policies(self._handle, _pairs(policies).encode()))

    def deny_path(self, path: int, denied: bool = True) -> None:
        """Takes a path of the connection out of use, or back into it (`denied=False`). Paths are
        numbered as in `Context.stats()`. Raises InvalidArgument: no such path, or the last good."""
        _, lib = _c.load()
        _c.check(lib.weft_peer_deny_path(self._handle, path, denied))

    def _access(
        self, call: str, memory: Any, region: bytes, offset: int, notify: int, *, writable: bool
    ) -> Work:
        ffi, lib = _c.load()
        buffer = buffer_of(memory, writable=writable, name="memory")
        request = ffi.new("weft_request**")
        data = ffi.cast("void*", buffer.address)
        function = getattr(lib, call)
        _c.check(function(self._handle, data, buffer.nbytes, region, offset, notify, request))
        return Work(request[0], memory, buffer)

    def close(self) -> None:
        """Lets go of the handle. The connection itself belongs to the context."""
        if self._handle is not None:
            _, lib = _c.load()
            _c.check(lib.weft_peer_close(self._handle))
            self._handle = None


class Region:
    """Memory that peers may read and write."""

    def __init__(self, context: Context, memory: Any) -> None:
        ffi, lib = _c.load()
        self._buffer = buffer_of(memory, writable=True, name="memory")
        region = ffi.new("weft_region**")
        data = ffi.cast("void*", self._buffer.address)
        _c.check(lib.weft_region_register(context.handle, data, self._buffer.nbytes, region))
        self._handle = region[0]

    @property
    def descriptor(self) -> bytes:
        """32 bytes that a peer needs for `Peer.read` and `Peer.write`."""
        ffi, lib = _c.load()
        descriptor = ffi.new("uint8_t[32]")
        lib.weft_region_descriptor(self._handle, descriptor)
        return bytes(descriptor)

    def close(self) -> None:
        """No peer reads or writes the memory afterwards."""
        if self._handle is not None:
            _, lib = _c.load()
            _c.check(lib.weft_region_release(self._handle))
            self._handle = None


@dataclass(frozen=True, slots=True)
class Notification:
    """A peer has read or written `length` bytes at `offset` of a region and said `value`."""

    peer_id: int
    value: int
    offset: int
    length: int
