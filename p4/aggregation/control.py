"""The control plane of an aggregation switch: jobs with their members, slots and epochs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from weft.p4.aggregation import wire
from weft.p4.aggregation.worker import Membership
from weft.p4.switch import Output, Switch
from weft.p4.switch.tables import Entry, Table

PROGRAM = Path(__file__).parents[1] / "programs" / "aggregation" / "allreduce.p4"
CELLS = 1024
SWITCH_HOST = 254


class NoRoom(RuntimeError):
    """The switch has not as many free slots as the job wants: use a ring."""


@dataclass(slots=True)
class _Job:
    base: int
    slots: int
    epoch: int
    group: int
    entries: list[tuple[Table, Entry]] = field(default_factory=list)


class AggregationSwitch:
    """One switch. Jobs are numbered by the caller, 1 to 65535."""

    def __init__(self, seed: int = 1) -> None:
        self.switch = Switch.load(PROGRAM, defines={"CELLS": str(CELLS)}, seed=seed)
        self._jobs: dict[int, _Job] = {}
        self._epoch = 0

    def send(self, port: int, frame: bytes, now_us: int) -> list[Output]:
        return self.switch.send(port, frame, now_us=now_us)

    def add_job(
        self,
        job: int,
        ports: Mapping[int, int],
        slots: int,
        *,
        may_close: bool = False,
        parent: tuple[int, int] | None = None,
        epoch: int | None = None,
        total: int | None = None,
    ) -> list[Membership]:
        """Admits a job: `ports` maps worker numbers 0..31 to switch ports (and hosts, alike).

        `slots` is its quota. `parent`: (port, our number as a worker there), for a tree; its epoch
        is then that of the root, given as `epoch`, and `total` the number of workers in the whole
        tree. `may_close` lets a worker end a slot without those who are late. Raises `NoRoom`.
        """
        if job in self._jobs:
            raise ValueError(f"job {job} runs already; remove it first")
        if not ports or not set(ports) <= set(range(wire.MAX_WORKERS)):
            raise ValueError(f"workers are numbered 0..{wire.MAX_WORKERS - 1}, not {list(ports)}")
        base = self._find(2 * slots)
        self._epoch = self._epoch % 0xFFFF + 1 if epoch is None else epoch
        made = _Job(base, slots, self._epoch, job)
        self._jobs[job] = made
        for registers in self.switch.registers.values():
            registers.clear(base, 2 * slots)
        self._enter(job, made, ports, may_close, parent)
        workers = total or len(ports)
        return [
            Membership(job, made.epoch, worker, workers, slots, port)
            for worker, port in ports.items()
        ]

    def _enter(self, job: int, made: _Job, ports: Mapping[int, int], may_close: bool,
               parent: tuple[int, int] | None) -> None:  # fmt: skip
        everybody = sum(1 << w for w in ports)
        up_port, up_number = parent or (0, 0)

        def insert(table: str, key: list[int], action: str, arguments: list[object]) -> None:
            found = self.switch.table(table)
            made.entries.append((found, found.insert(key, action, arguments)))  # type: ignore[arg-type]

        neighbours = {port: (port, worker) for worker, port in ports.items()}
        if parent is not None:
            neighbours[up_port] = (SWITCH_HOST, up_number)
            insert("ingress.parents", [job, made.epoch, up_port], "ingress.pass_down", [job])
        own_mac, own_ip = wire.address(SWITCH_HOST)
        for worker, port in ports.items():
            flags = [int(may_close), int(parent is not None)]
            sums = [made.base, made.slots, 1 << worker, everybody]
            arguments: list[object] = [*sums, made.group, *flags, up_port]
            insert("ingress.members", [job, made.epoch, worker, port], "ingress.member", arguments)
        for port, (host, number) in neighbours.items():
            mac, ip = wire.address(host)
            arguments = [mac, ip, own_mac, own_ip, number]
            insert("egress.neighbours", [job, port], "egress.address", arguments)
        self.switch.multicast(made.group, [(port, 0) for port in ports.values()])

    def remove_job(self, job: int) -> None:
        """Frees a job's slots; packets of it that are still under way are refused from now on."""
        made = self._jobs.pop(job, None)
        if made is not None:
            for table, entry in made.entries:
                table.remove(entry)
            self.switch.multicast(made.group, [])

    def restart(self) -> None:
        """The switch loses all it knows, as after a power cut."""
        for job in list(self._jobs):
            self.remove_job(job)
        for register in self.switch.registers.values():
            register.reset()

    def refused(self) -> dict[str, int]:
        """Packets dropped, by reason."""
        counter = self.switch.counter("ingress.refused")
        reasons = ("version", "member", "quota", "stale")
        return {reason: counter.read(i)[0] for i, reason in enumerate(reasons)}

    def _find(self, cells: int) -> int:
        at = 0
        for job in sorted(self._jobs.values(), key=lambda j: j.base):
            if job.base - at >= cells:
                return at
            at = job.base + 2 * job.slots
        if CELLS - at < cells:
            raise NoRoom(f"{cells // 2} slots are wanted, {(CELLS - at) // 2} are free")
        return at

    def close(self) -> None:
        self.switch.close()
