"""Where the fabric's thread runs, and with which right of way.

The fabric is the clock of all that is measured: where it may, it has a CPU on which it goes before
everybody (SCHED_RR), and what its frames cost their receivers (protocols, wake-ups, the
acknowledgements that follow) is done on other CPUs, or a sender's burst would hold up the clock. It
sleeps whenever nothing is due, and the kernel keeps a share of the CPU for all others.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

PRIORITY = 1
NICE = -15


@dataclass(frozen=True)
class Place:
    """`cpu` None: any. `others`: bits of the CPUs for the receivers, 0 where they may be any."""

    cpu: int | None
    others: int
    text: str

    @classmethod
    def find(cls) -> Place:
        """The best that this process is allowed."""
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))
        except PermissionError:
            return cls(None, 0, "ordinary priority")
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))  # building may wait its turn
        cpus = sorted(os.sched_getaffinity(0))
        if len(cpus) == 1:
            return cls(None, 0, "real-time")
        others = sum(1 << cpu for cpu in cpus[:-1])
        return cls(cpus[-1], others, f"real-time on CPU {cpus[-1]}")

    def take(self) -> None:
        """Put the calling thread there."""
        with suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, NICE)
        if self.cpu is not None:
            os.sched_setaffinity(0, {self.cpu})
        if self.text.startswith("real-time"):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))
