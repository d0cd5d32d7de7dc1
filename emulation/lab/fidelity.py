"""The evidence that comes with every result: how well the fabric kept its schedule, what was
dropped outside the model, and under which conditions.

A run is valid when its frames left on time and nothing vanished that the model did not drop.
"""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from weft.emulation.units import show_time

LATE_TOLERANCE = 1e-3
"""Seconds that a departure may be late at the 99th percentile before a run counts as overloaded."""


MOST_WAITING = 0.3
"""Share of a run that a host's threads together may wait for a CPU. At ten times dilation ends
were then within 8 % of the simulator's; with no CPU for most of the time up to 50 % late."""
LEAST_IDLE = 0.05
"""Share of the machine's CPU time below which a fabric without a clock proves nothing."""


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
    kernel_fabric: bool = False
    """No clock of ours says how late frames were: only idle time proves that they were not."""
    hidden_congestion: bool = False
    """Links so fast, and so few CPUs, that shapers slow their senders instead of queueing."""
    hosts_waited: float = 0.0
    """Share of the run in which the hosts' programs (of `weft lab run`) could have run, but had no
    CPU: of the worst host."""
    tunnels: dict[str, float] = field(default_factory=dict)
    """The shortest round trip to each worker, seconds: half of it comes on top of every delay."""
    tunnel_drops: int = 0
    """Frames lost on their way to workers or back, as far as either end knows."""
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
        if self.kernel_fabric and self.cpu_idle < LEAST_IDLE:
            found.append(
                f"the machine was {100 * self.cpu_idle:.0f} % idle: a kernel fabric without CPU "
                "time slows all links together, and nothing else shows it"
            )
        if self.hidden_congestion:
            found.append(
                "links above 200 Mbit/s whose switches run in their senders' softirq hide "
                "congestion: slower links, or as root on two CPUs or more"
            )
        for name, round_trip in self.tunnels.items():
            if round_trip / 2 > self.tolerance:
                found.append(
                    f"worker {name} is {show_time(round_trip / 2)} away, "
                    f"{show_time(self.tolerance)} are tolerated"
                )
        for count, what in (
            (self.ring_drops, "on their way into the fabric, which could not keep up"),
            (self.refused, "on their way out of the fabric"),
            (self.tunnel_drops, "on their way to or from workers"),
            (self.softnet_drops, "by the kernel between devices (net.core.netdev_max_backlog)"),
        ):
            if count:
                found.append(f"{count} frames were dropped {what}")
        return found

    @property
    def valid(self) -> bool:
        return not self.faults

    @property
    def doubts(self) -> list[str]:
        """Why times of this run may be longer than the fabric made them, though it was right."""
        if self.hosts_waited <= MOST_WAITING:
            return []
        return [
            f"a host's program waited {100 * self.hosts_waited:.0f} % of the run for a CPU: "
            "dilation, or fewer programs beside the lab, would help"
        ]

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self) | {
            "valid": self.valid, "faults": self.faults, "doubts": self.doubts,
        }  # fmt: skip


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
