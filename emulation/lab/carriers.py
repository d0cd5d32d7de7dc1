"""What carries a scenario's messages between real processes: weft's transport, or plain TCP."""

from __future__ import annotations

import queue
import socket
import struct
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol

CONNECT_DEADLINE = 30.0
NAP = 1e-3
"""Longest that the end of one message goes unseen while another is waited for, seconds."""


class Carrier(Protocol):
    """One process' end of all connections. Messages are zeros: only their size matters."""

    address: Any

    def connect(self, rank: int, addresses: Sequence[Any], peers: Sequence[int]) -> None:
        """Open the edges to the peers; every process calls it."""

    def send(self, message: int, peer: int, size: int) -> None: ...

    def expect(self, message: int, peer: int, size: int) -> None: ...

    def completions(self, timeout: float) -> list[int]:
        """Messages, sent or received, that have ended since; waits for one at most `timeout`."""

    def stats(self) -> dict[str, Any]: ...

    def close(self) -> None: ...


def ended_in(done: queue.SimpleQueue[int | Exception], timeout: float) -> list[int]:
    """Messages that threads say have ended, waiting for the first; raises what one failed with."""
    ended: list[int] = []
    try:
        item = done.get(timeout=timeout)
        while True:
            if isinstance(item, Exception):
                raise item
            ended.append(item)
            item = done.get_nowait()
    except queue.Empty:
        return ended


class WeftCarrier:
    """A weft group over one datapath. `options`: as of sockets.socket_options."""

    def __init__(
        self, group: int, address: str, options: dict[str, Any], datapath: str = "udp"
    ) -> None:
        from weft.transport import Context

        transport = dict(options)
        peer_timeout = transport.pop("peer_timeout")
        self._context = Context(
            secret=str(group), datapaths=[datapath], interfaces=[address], transport=transport,
            peer_timeout=peer_timeout, spin=0.0,
        )  # fmt: skip
        self._number = group
        self.address = self._context.address
        self._works: dict[int, Any] = {}
        self._zeros = bytes(0)

    def connect(self, rank: int, addresses: Sequence[Any], peers: Sequence[int]) -> None:
        from weft.collectives import Communicator

        self._group = Communicator.create(
            self._context, self._number, rank, addresses, connect_timeout=CONNECT_DEADLINE
        )
        hello, answers = bytes(1), {}
        for peer in peers:
            answers[peer] = self._group.recv(bytearray(1), peer, tag=0, wait=False)
        greetings = [self._group.send(hello, peer, tag=0, wait=False) for peer in peers]
        for work in [*answers.values(), *greetings]:
            work.wait(CONNECT_DEADLINE)

    def send(self, message: int, peer: int, size: int) -> None:
        if len(self._zeros) < size:
            self._zeros = bytes(size)
        memory = memoryview(self._zeros)[:size]
        self._works[message] = self._group.send(memory, peer, tag=message + 1, wait=False)

    def expect(self, message: int, peer: int, size: int) -> None:
        memory = bytearray(size)
        self._works[message] = self._group.recv(memory, peer, tag=message + 1, wait=False)

    def completions(self, timeout: float) -> list[int]:
        until = time.monotonic() + timeout
        while True:
            ended = [message for message, work in self._works.items() if work.done()]
            for message in ended:
                self._works.pop(message).wait(0)  # raises what went wrong
            if ended or time.monotonic() >= until:
                return ended
            # The engine's own thread drives: it sleeps sooner than one that waits for a result, and
            # all hosts share few cores.
            left = max(0.0, until - time.monotonic())
            time.sleep(min(NAP, left) if self._works else left)

    def stats(self) -> dict[str, Any]:
        return self._context.stats()

    def close(self) -> None:
        self._group.close()
        self._context.close()


class TcpCarrier:
    """One TCP connection per pair and direction, the kernel's congestion control."""

    HEAD = struct.Struct("!QQ")  # message, size

    def __init__(self, address: str) -> None:
        self._listener = socket.create_server((address, 0), backlog=1024)
        self.address = self._listener.getsockname()[:2]
        self._done: queue.SimpleQueue[int | Exception] = queue.SimpleQueue()
        self._out: dict[int, queue.SimpleQueue[tuple[int, int] | None]] = {}
        self._sockets: list[socket.socket] = []

    def connect(self, rank: int, addresses: Sequence[Any], peers: Sequence[int]) -> None:
        def dial() -> None:
            for peer in peers:
                made = socket.create_connection(tuple(addresses[peer]), CONNECT_DEADLINE)
                made.settimeout(None)
                made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.append(made)
                self._out[peer] = queue.SimpleQueue()
                self._start(self._sender, made, self._out[peer])

        dialer = threading.Thread(target=dial, daemon=True)
        dialer.start()
        self._listener.settimeout(CONNECT_DEADLINE)
        for _ in peers:
            accepted, _ = self._listener.accept()
            accepted.settimeout(None)
            self._sockets.append(accepted)
            self._start(self._receiver, accepted)
        dialer.join(CONNECT_DEADLINE)

    def _start(self, body: Any, *arguments: Any) -> None:
        def guarded() -> None:
            try:
                body(*arguments)
            except OSError as error:
                self._done.put(error)

        threading.Thread(target=guarded, daemon=True).start()

    def _sender(self, out: socket.socket, jobs: queue.SimpleQueue[tuple[int, int] | None]) -> None:
        block = memoryview(bytes(1 << 20))
        while (job := jobs.get()) is not None:
            message, size = job
            out.sendall(self.HEAD.pack(message, size))
            for at in range(0, size, len(block)):
                out.sendall(block[: min(len(block), size - at)])
            self._done.put(message)

    def _receiver(self, source: socket.socket) -> None:
        buffer = memoryview(bytearray(1 << 20))
        while True:
            head = b""
            while len(head) < self.HEAD.size:
                part = source.recv(self.HEAD.size - len(head))
                if not part:
                    return
                head += part
            message, left = self.HEAD.unpack(head)
            while left:
                got = source.recv_into(buffer[: min(left, len(buffer))])
                if not got:
                    raise ConnectionResetError(f"the connection ended within message {message}")
                left -= got
            self._done.put(message)

    def send(self, message: int, peer: int, size: int) -> None:
        self._out[peer].put((message, size))

    def expect(self, message: int, peer: int, size: int) -> None:
        """Nothing to do: messages bear their numbers."""

    def completions(self, timeout: float) -> list[int]:
        return ended_in(self._done, timeout)

    def stats(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        for jobs in self._out.values():
            jobs.put(None)
        for used in [*self._sockets, self._listener]:
            used.close()
