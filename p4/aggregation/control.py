"""An aggregation switch in this process, on the star of `weft.p4.star`: host h is at `ports[h]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from weft.p4.aggregation import wire
from weft.p4.aggregation.chip import CommandChip
from weft.p4.aggregation.jobs import CELLS, PROGRAM, Jobs, Place
from weft.p4.aggregation.worker import Membership
from weft.p4.switch import Output, Switch
from weft.p4.switch.commands import CommandLine


def place(port: int, host: int) -> Place:
    mac, ip = wire.address(host)
    return Place(port, mac, ip)


class AggregationSwitch:
    """One switch and the control plane of its jobs. `values` per packet: 16, 32, 64, 128, 256."""

    def __init__(self, seed: int = 1, values: int = wire.VALUES) -> None:
        defines = {"CELLS": str(CELLS), "VALUES": str(values)}
        self.switch = Switch.load(PROGRAM, defines=defines, seed=seed)
        self._line = CommandLine(self.switch)
        own = place(0, wire.SWITCH_HOST)
        self.jobs = Jobs(CommandChip(self._run), own, values=values, seed=seed)

    def _run(self, commands: Sequence[str]) -> list[str]:
        return [text for command in commands for text in self._line.run(command)]

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
        """`Jobs.add` for hosts with the numbers of their ports.

        `parent`: (port, our number as a worker there), for a tree; its epoch is then that of the
        root, given as `epoch`, and `total` the number of workers in the whole tree.
        """
        above = parent and (place(parent[0], wire.SWITCH_HOST), parent[1])
        workers = {worker: place(port, port) for worker, port in ports.items()}
        grant = self.jobs.add(job, workers, slots, may_close=may_close, parent=above, epoch=epoch)
        return [
            Membership(job, grant.epoch, worker, total or len(ports), slots, grant.values, port)
            for worker, port in ports.items()
        ]

    def remove_job(self, job: int) -> None:
        """Frees a job's slots; packets of it that are still under way are refused from now on."""
        self.jobs.remove(job)

    def restart(self) -> None:
        """The switch loses all it knows, as after a power cut."""
        self.jobs.restart()
        for register in self.switch.registers.values():
            register.reset()

    def refused(self) -> dict[str, int]:
        """Packets dropped, by reason."""
        return self.jobs.refused()

    def close(self) -> None:
        self.switch.close()
