"""`weft bench innet`: sums in a P4 switch of a lab beside ring and halving-doubling.

Real processes, one per host, over Weft's UDP transport; the switch runs the compiled program in the
fabric's process. Links are slow on purpose: the lab's machine must not be what is measured.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from weft.bench.libraries import Unavailable
from weft.bench.processes import MeasurementError
from weft.bench.report import Figures

ALGORITHMS = ("innet", "ring", "halving_doubling")


@dataclass(frozen=True, slots=True)
class Row:
    """Medians of rank 0, in milliseconds. `faults`: why not to believe them, if anything."""

    workers: int
    innet_ms: float
    ring_ms: float
    halving_doubling_ms: float
    late_p99_us: float
    faults: list[str]


def measure(
    workers: Sequence[int],
    kilobytes: int,
    rate: str,
    delay: str,
    rounds: int,
    deadline: float,
    tell: Callable[[str], None],
) -> list[Row]:
    """Raises Unavailable where no lab can be, MeasurementError when a rank fails."""
    rows = []
    for n in workers:
        tell(f"{n} ranks")
        rows.append(_measure(n, kilobytes, rate, delay, rounds, deadline))
    return rows


def _measure(
    count: int, kilobytes: int, rate: str, delay: str, rounds: int, deadline: float
) -> Row:
    from weft.emulation import LinkSpec, Topology
    from weft.emulation.lab import Lab, LabError, innet

    links = [LinkSpec(f"h{h}", "s0", rate, delay) for h in range(count + 1)]
    star = Topology.graph(count + 1, ["s0"], links)
    try:
        lab = Lab(star, programs=[innet.program("s0")], name=f"innet {count}").start()
    except LabError as problem:
        raise Unavailable(str(problem)) from None
    processes: list[subprocess.Popen[str]] = []
    with lab, innet.controller(lab, "s0", f"h{count}", ["bench"]) as controller:
        try:
            for rank in range(count):
                env = {
                    "RANK": str(rank), "WORLD_SIZE": str(count), "WEFT_SECRET": "bench",
                    "WEFT_RENDEZVOUS": f"{lab['h0'].ip}:29500", "WEFT_DATAPATHS": "udp",
                    "WEFT_INNET": controller.address, "WEFT_INNET_TIMEOUT_MS": "5000",
                    # More ranks than cores: one may have to wait long for its turn.
                    "WEFT_PEER_TIMEOUT_MS": "20000",
                    "WEFT_COSTS": "default",
                }  # fmt: skip
                command = [sys.executable, "-m", "weft.bench.innet_rank", str(kilobytes * 256)]
                processes.append(
                    lab[f"h{rank}"].popen(
                        [*command, str(rounds), *ALGORITHMS], env=env, text=True,
                        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                    )
                )  # fmt: skip
            said = [_outcome(process, rank, deadline) for rank, process in enumerate(processes)]
        finally:
            for process in processes:
                process.kill()
                process.wait()
        fidelity = lab.fidelity()
    if said[0]["missed"]:
        raise MeasurementError(
            f"{count} workers: the switch missed {said[0]['missed']} sums ({said[0]['innet']})"
        )
    switch, ring, halving_doubling = (
        1e3 * statistics.median(said[0]["seconds"][name]) for name in ALGORITHMS
    )
    late = 1e6 * fidelity.late_p99
    return Row(count, switch, ring, halving_doubling, late, list(fidelity.faults))


def _outcome(process: subprocess.Popen[str], rank: int, deadline: float) -> dict[str, Any]:
    try:
        out, err = process.communicate(timeout=deadline)
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"rank {rank} was not done after {deadline:g} s") from None
    if process.returncode != 0:
        raise MeasurementError(f"rank {rank} failed: {err.strip()[-500:]}")
    return dict(json.loads(out)) if out else {}


def table(rows: Sequence[Row], kilobytes: int, rate: str) -> Figures:
    """Title, columns and cells, as `weft bench` shows and records them."""
    columns = ["ranks", "in the switch, ms", "ring, ms", "halving-doubling, ms", "ring / switch",
               "late p99, us", "valid"]  # fmt: skip
    cells = [
        [str(r.workers), f"{r.innet_ms:.1f}", f"{r.ring_ms:.1f}", f"{r.halving_doubling_ms:.1f}",
         f"{r.ring_ms / r.innet_ms:.2f}", f"{r.late_p99_us:.0f}", "; ".join(r.faults) or "yes"]
        for r in rows
    ]  # fmt: skip
    return f"all_reduce of {kilobytes} KiB of float32, star of {rate} links, lab", columns, cells
