"""Who may add what where: the jobs of an aggregation switch, as entries of its tables.

Everything goes to the switch as commands of simple_switch_CLI, so that a switch in this process, in
a lab, or behind bmv2's own command line is controlled alike.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from weft.p4.aggregation import wire

PROGRAM = Path(__file__).parents[1] / "programs" / "aggregation" / "allreduce.p4"
PROGRAM_256 = PROGRAM.with_name("allreduce_256.p4")
"""The same with 256 values per packet, for software switches."""
CELLS = 1024
_WHO_PARENT = 255
REFUSALS = ("version", "member", "quota", "stale", "damaged")

Run = Callable[[Sequence[str]], list[str]]
"""Carries out commands and returns what they print, a line per entry added."""


class NoRoom(RuntimeError):
    """The switch has not as many free slots as the job wants: use a ring."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker is: the switch's port towards it, and its addresses."""

    port: int
    mac: str
    ip: str
    udp: int = wire.PORT


@dataclass(frozen=True, slots=True)
class Grant:
    """What a job was given; equal for all its workers."""

    job: int
    epoch: int
    slots: int
    values: int


@dataclass(slots=True)
class _Job:
    base: int
    slots: int
    epoch: int
    entries: list[tuple[str, int]] = field(default_factory=list)
    nodes: list[int] = field(default_factory=list)


class Jobs:
    """The jobs of one switch. `own`: the switch's addresses, in what it sends.

    `values` and `cells` are those that the program was compiled with.
    """

    def __init__(
        self, run: Run, own: Place, *, values: int, cells: int = CELLS, seed: int | None = None
    ) -> None:
        self._run, self.own, self.values, self.cells = run, own, values, cells
        self._random = random.Random(seed) if seed is not None else random.SystemRandom()
        self._jobs: dict[int, _Job] = {}

    def add(
        self,
        job: int,
        workers: Mapping[int, Place],
        slots: int,
        *,
        may_close: bool = False,
        parent: tuple[Place, int] | None = None,
        epoch: int | None = None,
    ) -> Grant:
        """Admits a job, 1 to 65535, with a quota of `slots`: worker numbers 0..31 to places.

        `parent`: where the next switch of a tree is, and our number as a worker there; `epoch` is
        then the root's. `may_close` lets a worker end a slot without those who are late. Raises
        `NoRoom`.
        """
        if job in self._jobs:
            raise ValueError(f"job {job} runs already; remove it first")
        if not 1 <= job <= 0xFFFF:
            raise ValueError(f"jobs are numbered 1..65535, not {job}")
        if not workers or not set(workers) <= set(range(wire.MAX_WORKERS)):
            raise ValueError(f"workers are numbered 0..{wire.MAX_WORKERS - 1}, not {list(workers)}")
        if slots < 1:
            raise ValueError(f"a job has at least 1 slot, not {slots}")
        base = self._find(2 * slots)
        drawn = self._random.randrange(1, 1 << 32) if epoch is None else epoch
        made = self._jobs[job] = _Job(base, slots, drawn)
        # A set with round 0 begins anew at the first packet, whatever else is in it.
        self._run([f"register_write ingress.round.cells {base + i} 0" for i in range(2 * slots)])
        self._enter(job, made, workers, may_close, parent)
        return Grant(job, made.epoch, slots, self.values)

    def free_number(self) -> int:
        """A job number that is not in use."""
        return next(n for n in range(1, 0x10000) if n not in self._jobs)

    def _enter(self, job: int, made: _Job, workers: Mapping[int, Place], may_close: bool,
               parent: tuple[Place, int] | None) -> None:  # fmt: skip
        everybody = sum(1 << w for w in workers)
        tables, commands = [], []

        def insert(table: str, key: str, action: str, arguments: str) -> None:
            tables.append(table)
            commands.append(f"table_add {table} {action} {key} => {arguments}")

        def neighbour(who: int, place: Place, number: int) -> None:
            where = f"{place.mac} {place.ip} {place.udp} {self.own.mac} {self.own.ip} {number}"
            insert("egress.neighbours", f"{job} {who}", "egress.address", where)

        up_port = 0
        if parent is not None:
            place, number = parent
            up_port = place.port
            neighbour(_WHO_PARENT, place, number)
            insert(
                "ingress.parents", f"{job} {made.epoch} {up_port}", "ingress.pass_down", str(job)
            )
        for worker, place in workers.items():
            sums = f"{made.base} {made.slots} {1 << worker} {everybody} {job}"
            key = f"{job} {made.epoch} {worker} {place.port}"
            flags = f"{int(may_close)} {int(parent is not None)} {up_port}"
            insert("ingress.members", key, "ingress.member", f"{sums} {flags}")
            neighbour(worker + 1, place, worker)
        said = self._run(commands)
        handles = [int(line.rsplit(" ", 1)[1]) for line in said]
        made.entries = list(zip(tables, handles, strict=True))
        nodes = self._run([f"mc_node_create {w + 1} {p.port}" for w, p in workers.items()])
        made.nodes = [int(line.rsplit(" ", 1)[1]) for line in nodes]
        group = [f"mc_node_associate {job} {node}" for node in made.nodes]
        self._run([f"mc_mgrp_create {job}", *group])

    def remove(self, job: int) -> None:
        """Frees a job's slots; packets of it that are still under way are refused from now on."""
        made = self._jobs.pop(job, None)
        if made is not None:
            self._run([f"table_delete {table} {handle}" for table, handle in made.entries])
            self._run([f"mc_mgrp_destroy {job}"])

    def restart(self) -> None:
        """The switch loses all it knows of jobs, as after a power cut."""
        for job in list(self._jobs):
            self.remove(job)
        self._run(["register_reset ingress.round.cells"])

    def refused(self) -> dict[str, int]:
        """Packets dropped, by reason."""
        asked = [f"counter_read ingress.refused {i}" for i in range(len(REFUSALS))]
        found = [int(line.rsplit(", ", 1)[1].split()[0]) for line in self._run(asked)]
        return dict(zip(REFUSALS, found, strict=True))

    def _find(self, cells: int) -> int:
        at = 0
        for job in sorted(self._jobs.values(), key=lambda j: j.base):
            if job.base - at >= cells:
                return at
            at = job.base + 2 * job.slots
        if self.cells - at < cells:
            raise NoRoom(f"{cells // 2} slots are wanted, {(self.cells - at) // 2} are free")
        return at
