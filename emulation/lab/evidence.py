"""Gathers the evidence of a run: what fabric, kernel and workers counted since it began."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from weft.emulation.lab.fabric import cpu_times, softnet_drops
from weft.emulation.lab.fidelity import OFFLOADS, Fidelity, kernel_facts
from weft.emulation.lab.kernel import HONEST_RATE

if TYPE_CHECKING:
    from weft.emulation.lab.lab import Lab


class Watch:
    """What the machine's counters said when a lab came up."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._idle, self._total = cpu_times()
        self._softnet = softnet_drops()

    def evidence(self, lab: Lab) -> Fidelity:
        """How well the fabric has kept its schedule since."""
        counts, facts = lab.counts(), lab.fabric.facts
        idle, total = cpu_times()
        kernel, congestion = kernel_facts()
        remotes = lab.remotes
        return Fidelity(
            fabric=facts["fabric"],
            seed=lab.seed,
            dilation=lab.dilation,
            rootless=lab.fabric.rootless,
            scheduling=facts["scheduling"],
            segmentation="trains" if lab.trains else "exact",
            offloads=OFFLOADS["trains" if lab.trains else "exact"],
            kernel=kernel,
            tcp_congestion=congestion,
            elapsed=time.monotonic() - self._began,
            frames=counts["frames_out"],
            late_p50=counts["late_p50"] * 1e-9,
            late_p99=counts["late_p99"] * 1e-9,
            late_max=counts["late_max"] * 1e-9,
            ring_drops=counts["ring_drops"],
            softnet_drops=softnet_drops() - self._softnet,
            refused=counts["refused"],
            socket_drops=lab.fabric.ask("socket_drops"),
            fabric_cpu=counts["cpu"] * 1e-9,
            cpu_idle=(idle - self._idle) / max(total - self._total, 1e-9),
            tolerance=lab.tolerance,
            machines=len(lab.spec.machines),
            kernel_fabric=lab.spec.kernel,
            hidden_congestion=lab.spec.kernel
            and "elsewhere" not in facts["scheduling"]
            and max(link.rate for link in lab.spec.links) > HONEST_RATE,
            tunnels={} if remotes is None else remotes.round_trips(),
            tunnel_drops=0 if remotes is None else remotes.drops(),
        )
