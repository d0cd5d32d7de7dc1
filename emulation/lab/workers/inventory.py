"""Which workers there are, and which hosts live on which."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from weft.emulation.document import Document, ScenarioError
from weft.emulation.topology import Topology

HERE = ("sh", "-c")


@dataclass(frozen=True)
class Worker:
    """A machine (or part of one) on which hosts live."""

    name: str
    command: tuple[str, ...] = HERE
    """Words that, with a line for a shell behind them, run it there: ("ssh", "node-a")."""
    address: str = "127.0.0.1"
    """At which the tunnel reaches it: IPv4, UDP, any port."""
    python: str = sys.executable
    """The interpreter there that has Weft, of this very version."""
    hosts: tuple[str, ...] = ()
    """Names of hosts; of no worker at all: hosts are dealt out evenly, in blocks."""
    rootless: bool | None = None


def load(path: Path) -> list[Worker]:
    """An inventory file. Raises ScenarioError, which names file, line and key."""
    root = Document.read(path).root()
    workers: list[Worker] = []
    for table in root.tables("workers"):
        worker = Worker(
            table.text("name"),
            tuple(table.texts("command", list(HERE))),
            table.text("address", "127.0.0.1"),
            table.text("python", sys.executable),
            tuple(table.texts("hosts", [])),
            table.flag("rootless") if table.has("rootless") else None,
        )
        try:
            ipaddress.IPv4Address(worker.address)
        except ValueError as error:
            raise table.error("address", str(error)) from None
        if not worker.command:
            raise table.error("command", 'is empty; of this machine it is ["sh", "-c"]')
        if worker.name in {other.name for other in workers}:
            raise table.error("name", f"there are two workers {worker.name!r}")
        table.finish()
        workers.append(worker)
    root.finish()
    if not workers:
        raise ScenarioError(f"{path}: workers: is missing: an inventory has at least one")
    return workers


def place(workers: Sequence[Worker], topology: Topology) -> dict[int, Worker]:
    """The worker of each host that lives on one.

    Raises ValueError for a host that does not exist or that two workers have.
    """
    if not workers:
        return {}
    if not any(worker.hosts for worker in workers):
        share = -(-topology.hosts // len(workers))
        return {host: workers[host // share] for host in range(topology.hosts)}
    placed: dict[int, Worker] = {}
    for worker in workers:
        for name in worker.hosts:
            host = topology.node(name)
            if host >= topology.hosts:
                raise ValueError(f"worker {worker.name}: {name!r} is a switch, part of the fabric")
            if host in placed:
                raise ValueError(f"{name} is on two workers, {placed[host].name} and {worker.name}")
            placed[host] = worker
    return placed
