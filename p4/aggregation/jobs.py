"""Who may add what where: the jobs of an aggregation switch, as entries of its tables."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from weft.p4.aggregation import wire
from weft.p4.aggregation.chip import REFUSALS, Chip, Row

PROGRAM = Path(__file__).parents[1] / "programs" / "aggregation" / "allreduce.p4"
PROGRAM_256 = PROGRAM.with_name("allreduce_256.p4")
"""The same with 256 values per packet, for software switches."""
CELLS = 1024
_WHO_PARENT = 255


def _number(address: str) -> int:
    """A MAC or IPv4 address as tables take it."""
    if ":" in address:
        return int(address.replace(":", ""), 16)
    return int(IPv4Address(address))


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
    entries: list[Any] = field(default_factory=list)


class Jobs:
    """The jobs of one switch. `own`: the switch's addresses, in what it sends.

    `values` and `cells` are those that the program was compiled with. `fixed`: entries that belong
    to no job, such as routes.
    """

    def __init__(
        self,
        chip: Chip,
        own: Place,
        *,
        values: int,
        cells: int = CELLS,
        seed: int | None = None,
        fixed: Sequence[Row] = (),
    ) -> None:
        self._chip, self.own, self.values, self.cells = chip, own, values, cells
        self._random = random.Random(seed) if seed is not None else random.SystemRandom()
        self._jobs: dict[int, _Job] = {}
        self._fixed = tuple(fixed)
        self._chip.insert(self._fixed)

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
        if self._chip.restarted():  # and knows nothing of what we told it
            self._jobs.clear()
            self._chip.insert(self._fixed)
        base = self._find(2 * slots)
        drawn = self._random.randrange(1, 1 << 32) if epoch is None else epoch
        made = self._jobs[job] = _Job(base, slots, drawn)
        # A set with round 0 begins anew at the first packet, whatever else is in it.
        self._chip.clear(range(base, base + 2 * slots))
        self._enter(job, made, workers, may_close, parent)
        return Grant(job, made.epoch, slots, self.values)

    def free_number(self) -> int:
        """A job number that is not in use."""
        return next(n for n in range(1, 0x10000) if n not in self._jobs)

    def _enter(self, job: int, made: _Job, workers: Mapping[int, Place], may_close: bool,
               parent: tuple[Place, int] | None) -> None:  # fmt: skip
        everybody = sum(1 << w for w in workers)
        own = (_number(self.own.mac), _number(self.own.ip))
        rows = []

        def neighbour(who: int, place: Place, number: int) -> None:
            where = (_number(place.mac), _number(place.ip), place.udp, *own, number)
            rows.append(Row("egress.neighbours", (job, who), "egress.address", where))

        up_port = 0
        if parent is not None:
            place, number = parent
            up_port = place.port
            neighbour(_WHO_PARENT, place, number)
            key = (job, made.epoch, up_port)
            rows.append(Row("ingress.parents", key, "ingress.pass_down", (job,)))
        for worker, place in workers.items():
            sums = (made.base, made.slots, 1 << worker, everybody, job)
            flags = (int(may_close), int(parent is not None), up_port)
            member = (job, made.epoch, worker, place.port)
            rows.append(Row("ingress.members", member, "ingress.member", (*sums, *flags)))
            neighbour(worker + 1, place, worker)
        made.entries += self._chip.insert(rows)
        made.entries += self._chip.copy(job, {w + 1: p.port for w, p in workers.items()})

    def remove(self, job: int) -> None:
        """Frees a job's slots; packets of it that are still under way are refused from now on."""
        made = self._jobs.pop(job, None)
        if made is not None:
            self._chip.remove(made.entries)

    def restart(self) -> None:
        """The switch loses all it knows of jobs, as after a power cut."""
        for job in list(self._jobs):
            self.remove(job)
        self._chip.clear(range(self.cells))

    def refused(self) -> dict[str, int]:
        """Packets dropped, by reason."""
        return dict(zip(REFUSALS, self._chip.refused(), strict=True))

    def _find(self, cells: int) -> int:
        at = 0
        for job in sorted(self._jobs.values(), key=lambda j: j.base):
            if job.base - at >= cells:
                return at
            at = job.base + 2 * job.slots
        if self.cells - at < cells:
            raise NoRoom(f"{cells // 2} slots are wanted, {(self.cells - at) // 2} are free")
        return at
