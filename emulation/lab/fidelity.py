"""The evidence that comes with every result: how well the fabric kept its schedule, what was
dropped outside the model, and under which conditions.

A run is valid when its frames left on time and nothing vanished that the model did not drop.
"""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from weft.emulation.units import show_time

LATE_TOLERANCE = 1e-3
"""Seconds that a departure may be late at the 99th percentile before a run counts as overloaded."""


@dataclass(frozen=True)
class Fidelity:
    """Times in seconds (of the wall clock, whatever the dilation), counts since the lab began."""

    fabric: str
    seed: int
    dilation: float
    rootless: bool
    scheduling: str
    """Of the fabric's thread: real-time where it was permitted."""
    segmentation: str
    """"exact": one packet is one packet; "trains": super-packets stay whole."""
    offloads: str
    """What the hosts' interfaces leave to others."""
    kernel: str
    tcp_congestion: str
    elapsed: float
    frames: int
    """That left the fabric."""
    late_p50: float
    late_p99: float
    late_max: float
    ring_drops: int
    """Frames that came faster than the fabric took them."""
    softnet_drops: int
    """By the kernel between devices, on the whole machine."""
    refused: int
    """By the kernel on the way out of the fabric."""
    socket_drops: int
    """By the hosts' own sockets, whose programs did not read in time: no fault of the fabric."""
    fabric_cpu: float
    """CPU seconds of the fabric's thread."""
    cpu_idle: float
    """Share of the whole machine's CPU time that was idle, 0 .. 1."""
    tolerance: float = LATE_TOLERANCE
    machines: int = 0
    """Hosts that are virtual machines: their emulated CPUs are part of every time measured."""

    @property
    def faults(self) -> list[str]:
        """Why the run cannot be trusted; empty: it can."""
        found = []
        if self.late_p99 > self.tolerance:
            found.append(
                f"the fabric was overloaded: departures were {show_time(self.late_p99)} late at "
                f"the 99th percentile, {show_time(self.tolerance)} are tolerated"
            )
        for count, what in (
            (self.ring_drops, "on their way into the fabric, which could not keep up"),
            (self.refused, "on their way out of the fabric"),
            (self.softnet_drops, "by the kernel between devices (net.core.netdev_max_backlog)"),
        ):
            if count:
                found.append(f"{count} frames were dropped {what}")
        return found

    @property
    def valid(self) -> bool:
        return not self.faults

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self) | {"valid": self.valid, "faults": self.faults}


OFFLOADS = {
    "exact": "checksums left to the receiver; super-packets end at the sender (gso_max_segs 1); "
    "no coalescing (GRO off)",
    "trains": "checksums left to the receiver; super-packets of up to 56 kB cross whole; "
    "no coalescing (GRO off)",
}


def kernel_facts() -> tuple[str, str]:
    """Release of the kernel, and its TCP congestion control."""
    path = Path("/proc/sys/net/ipv4/tcp_congestion_control")
    control = path.read_text(encoding="ascii").strip() if path.exists() else "unknown"
    return platform.release(), control
