"""What a connection asks of workers, switch and master, wherever they are.

`network.py` has them in this process, on modelled links in virtual time; `lab.py` has them as
processes of their own, in network namespaces around a real switch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from weft.p4.pruning import plan, wire
from weft.p4.pruning.control import Installed, PruningSwitch
from weft.p4.pruning.execute import Pass
from weft.p4.pruning.reliability import Receiver


@dataclass(frozen=True, slots=True)
class Wires:
    """Rates in Gbit/s, delays in microseconds, probabilities per packet and link."""

    worker_gbps: float = 10.0
    master_gbps: float = 10.0
    delay_us: float = 2.0
    loss: float = 0.0
    duplicate: float = 0.0
    jitter_us: float = 0.0  # extra delay, uniform: reorders
    seed: int = 1
    deadline_us: float = 600e6

    def bulk_us(self, bytes_by_worker: Sequence[float]) -> float:
        """How long an ordinary transfer to the master takes: the slower of its two links."""
        slowest = max(bytes_by_worker, default=0) * 8e-3 / self.worker_gbps
        total = sum(bytes_by_worker) * 8e-3 / self.master_gbps
        return max(slowest, total) + 2 * self.delay_us

    def timeout_us(self, workers: int) -> float:
        """Until a packet is sent again: twice what full windows of all workers take on their links
        and the master's, and some. The switch lets a packet pass whole that it met before, so that
        one sent again too early is one not pruned."""
        window = wire.WINDOW * wire.FULL_BYTES * 8e-3
        links = window / self.worker_gbps + workers * window / self.master_gbps
        return 50 + 2 * links + 20 * self.delay_us + 4 * self.jitter_us


@dataclass(frozen=True, slots=True)
class Task:
    """One pass of one run, for all workers at once."""

    run: int
    installed: Installed
    one: Pass
    consumed: frozenset[int]  # phases whose rows serve the switch only

    @property
    def flows(self) -> tuple[int, ...]:
        """By worker."""
        return self.installed.flows[self.one.number]

    def stream(self, switch: PruningSwitch, worker: int) -> wire.Stream:
        """What a worker's packets share."""
        return wire.Stream(
            switch.workers[worker].address, switch.master.address, self.installed.query,
            self.installed.epoch, self.one.number, self.flows[worker],
        )  # fmt: skip

    def receiver(self, switch: PruningSwitch) -> Receiver:
        """The master's end."""
        sources = (station.address for station in switch.workers)
        return Receiver(
            switch.master.address, self.installed.query, self.installed.epoch,
            dict(zip(self.flows, sources, strict=True)), self.consumed,
        )  # fmt: skip


@dataclass(slots=True)
class Traffic:
    """What the passes of several runs did, in microseconds from the first row packed to the last
    packet acknowledged."""

    elapsed_us: float
    bytes_to_master: int
    packets: dict[int, int] = field(default_factory=dict)  # by run
    packed: dict[int, int] = field(default_factory=dict)  # rows made into packets
    resent: dict[int, int] = field(default_factory=dict)
    prepare_s: dict[int, float] = field(default_factory=dict)  # the slowest worker's CPU time


@dataclass(frozen=True, slots=True)
class Fetched:
    """What has reached the master."""

    tables: Mapping[str, pa.Table]
    bytes: int
    elapsed_us: float


class Cluster(Protocol):
    """Workers, a pruning switch, a master."""

    switch: PruningSwitch

    def choose(self, run: int, table: str, where: str | None) -> int:
        """Every worker decides a condition; how many rows meet it."""

    def transfer(self, tasks: Sequence[Task], restart_at_us: float | None) -> Traffic:
        """Passes side by side, to their end; survivors stay with the master.

        `restart_at_us`: when the switch loses power, after the first packet. Raises
        `TransferError` when a flow has no end in time.
        """

    def restrict(self, run: int, table: str) -> float:
        """The master tells every worker which of its rows survived, so that the run's next passes
        are over those only; how many microseconds of the network that took."""

    def fetch(
        self, run: int, uses: Sequence[plan.Use], recount: tuple[str, tuple[str, ...]] | None
    ) -> Fetched:
        """The master gets the needed columns of what survived; of the table in `recount` all rows
        whose keys survived."""

    def without(self, run: int, uses: Sequence[plan.Use]) -> tuple[int, float]:
        """Bytes and microseconds that all rows of a run would take, by the links' rates alone."""

    def forget(self, run: int) -> None:
        """A run has ended."""

    def faults(self) -> list[str]:
        """Reasons not to believe the times so far."""

    def close(self) -> None: ...
