"""The process of a worker or of the master on a host of the lab.

`python -m weft.p4.pruning.agent FD`, where FD is one end of a socket pair to the connection, which
sends a `Setup` and then requests, (name, arguments) each; answers are ("ok", value) or ("error",
text). Packets of the protocol are UDP datagrams of the host's own sockets; rows are fetched by
Arrow Flight. Times on the wire are microseconds as if the links were not slowed.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from weft.p4.pruning import costs, plan, wire
from weft.p4.pruning.fetch import Request, Shelf, Taker
from weft.p4.pruning.parts import Flow, Listen, Setup, read, write
from weft.p4.pruning.sending import AT_ONCE, Sending
from weft.p4.pruning.worker import Worker

_SEND_DEADLINE_S = 5
_SOCKET_BYTES = 1 << 22


def _datagrams(ip: str) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        made.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BYTES)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", _SEND_DEADLINE_S, 0))
    made.bind((ip, wire.PORT))
    return made


@dataclass(slots=True)
class WorkerAgent:
    setup: Setup
    connection: Connection
    _worker: Worker = field(init=False)
    _sending: Sending = field(init=False)
    _shelf: Shelf = field(init=False)

    def __post_init__(self) -> None:
        self._worker = Worker({n: read(p) for n, p in self.setup.fragments.items()})
        packets = _datagrams(str(self.setup.own))
        # The switch answers in the master's name: the kernel drops whatever has another.
        packets.connect((str(self.setup.master), wire.PORT))
        self._sending = Sending(packets, self.connection, self.setup.dilation)
        self._shelf = Shelf(str(self.setup.own), self._worker, self.setup.token)

    def requests(self) -> dict[str, Callable[..., Any]]:
        return {
            "choose": self._worker.choose, "pack": self.pack, "send": self._sending.run,
            "size": self.size, "forget": self._worker.forget, "probe": costs.of_worker,
        }  # fmt: skip

    def size(self, run: int, uses: Sequence[plan.Use]) -> int:
        """Octets of all rows of a run."""
        return sum(self._worker.take(run, u.table, u.columns, None).nbytes for u in uses)

    def pack(self, flows: Sequence[Flow]) -> None:
        self._sending.pack(self._worker, flows, self.setup.timeout_us, self.setup.go_back_n)


@dataclass(slots=True)
class MasterAgent:
    setup: Setup
    connection: Connection
    refused: int = 0
    _listening: list[Listen] = field(default_factory=list)
    _survivors: dict[tuple[int, str], list[Any]] = field(default_factory=dict)
    _takers: list[Taker] = field(default_factory=list)
    _socket: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self._socket = _datagrams(str(self.setup.own))
        self._takers = [Taker(str(w)) for w in self.setup.workers]

    def requests(self) -> dict[str, Callable[..., Any]]:
        return {
            "listen": self.listen, "restarted": self.restarted, "collect": self.collect,
            "fetch": self.fetch, "restrict": self.restrict, "forget": self.forget,
        }  # fmt: skip

    def listen(self, listening: Sequence[Listen]) -> None:
        self._listening = list(listening)

    def restarted(self, epochs: Mapping[int, int]) -> None:
        for one in self._listening:
            one.receiver.new_epoch(epochs[one.receiver.query])

    def collect(self) -> int:
        """Ends a transfer: keeps what survived, and says how many packets were refused."""
        for one in self._listening:
            receiver = one.receiver
            self.refused += receiver.refused
            if not one.consume:
                self._survivors[one.run, one.table] = [
                    np.array(sorted(receiver.survivors.get(flow, ())), np.int64)
                    for flow in receiver.flows
                ]
        self._listening = []
        return self.refused

    def hear(self) -> None:
        """Takes datagrams that wait, and sends their receipts."""
        by_query = {one.receiver.query: one.receiver for one in self._listening}
        for _ in range(AT_ONCE):
            try:
                message, (ip, port) = self._socket.recvfrom(2048, socket.MSG_DONTWAIT)
            except (BlockingIOError, ConnectionRefusedError):
                return
            host = ip.removeprefix("10.0.0.")
            try:
                packet = wire.decode_message(message)
                receiver = by_query[packet.query]
                source = wire.Address(int(host))
            except (wire.WireError, KeyError, ValueError):
                self.refused += 1
                continue
            receipt = receiver.on_packet(source, packet)
            if receipt is not None and port == wire.PORT:
                self._socket.sendto(receipt[wire.BELOW :], (ip, wire.PORT))

    def restrict(self, run: int, table: str) -> float:
        """Tells every worker what survived; seconds."""
        began = time.monotonic()
        with ThreadPoolExecutor(len(self._takers)) as pool:
            self._take(pool, run, table, (), self._survivors[run, table], "restrict")
        return time.monotonic() - began

    def fetch(
        self, run: int, uses: Sequence[plan.Use], recount: tuple[str, tuple[str, ...]] | None
    ) -> tuple[float, dict[str, str]]:
        """Seconds, and IPC files by table, with the rows of all workers."""
        began = time.monotonic()
        found = {}
        with ThreadPoolExecutor(len(self._takers)) as pool:
            for use in uses:
                survivors = self._survivors.get((run, use.table))
                if recount is not None and recount[0] == use.table:
                    keys = self._take(pool, run, use.table, recount[1], survivors)
                    found[use.table] = self._take(pool, run, use.table, use.columns, keys)
                else:
                    found[use.table] = self._take(pool, run, use.table, use.columns, survivors)
        seconds = time.monotonic() - began
        folder = Path(self.setup.folder)
        files = {
            name: write(table, folder / f"run{run}.{number}.arrow")
            for number, (name, table) in enumerate(found.items())
        }
        return seconds, files

    def _take(
        self, pool: ThreadPoolExecutor, run: int, table: str, columns: Sequence[str],
        given: pa.Table | list[Any] | None, how: str = "",
    ) -> pa.Table:  # fmt: skip
        """Of all workers at once: rows by number (a list, by worker), by key (a table), or all."""
        if not how:
            how = (
                "all" if given is None else "keyed" if isinstance(given, pa.Table) else "survivors"
            )
        request = Request(self.setup.token, run, table, tuple(columns), how)

        def one(number: int) -> pa.Table:
            asked = given[number] if isinstance(given, list) else () if given is None else given
            return self._takers[number].take(request, asked)

        return pa.concat_tables(pool.map(one, range(len(self._takers))))

    def forget(self, run: int) -> None:
        for key in [k for k in self._survivors if k[0] == run]:
            del self._survivors[key]


def main() -> int:
    connection = Connection(int(sys.argv[1]))
    try:
        setup: Setup = connection.recv()
        agent: WorkerAgent | MasterAgent
        is_master = setup.own == setup.master
        agent = (MasterAgent if is_master else WorkerAgent)(setup, connection)
        connection.send(("ok", None))
        requests = agent.requests()
        while True:
            if isinstance(agent, MasterAgent):
                _wait(connection, agent)
            name, arguments = connection.recv()
            if name == "restarted" and not is_master:
                continue  # too late to concern anybody; it wants no answer
            try:
                connection.send(("ok", requests[name](*arguments)))
            except (EOFError, ConnectionError):
                raise
            except Exception as problem:
                connection.send(("error", f"{type(problem).__name__}: {problem}"))
    except (EOFError, ConnectionError):
        return 0  # the connection has closed


def _wait(connection: Connection, master: MasterAgent) -> None:
    """Serves the master's socket until a request comes."""
    poller = select.poll()
    poller.register(master._socket, select.POLLIN)
    poller.register(connection.fileno(), select.POLLIN)
    while True:
        ready = [fd for fd, _ in poller.poll()]
        if connection.fileno() in ready:
            return
        master.hear()


if __name__ == "__main__":
    sys.exit(main())
