"""`weft demo innet`: sums in the switch beside ring and halving-doubling, and what they cost in
accuracy.

All times are virtual, on the same star of links: the switch's are those of real packets through the
compiled program, the others' those of weft's transport on the simulated fabric.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from weft.emulation import LinkSpec, Scenario, Topology, Transport, Workload, simulate
from weft.emulation import workload as patterns
from weft.p4.aggregation import wire
from weft.p4.aggregation.accuracy import Curves
from weft.p4.aggregation.control import AggregationSwitch
from weft.p4.aggregation.run import all_reduce

ALGORITHMS = ("ring", "halving_doubling")


@dataclass(frozen=True, slots=True)
class Measured:
    """Times in virtual microseconds; `goodput_gbps` is payload per worker's link and second."""

    workers: int
    octets: int
    innet_us: float
    ring_us: float
    halving_doubling_us: float
    goodput_gbps: float
    error: float  # largest absolute error of the float sums, by the largest sum


def simulated_us(algorithm: str, octets: int, workers: int, gbps: float, delay_us: float) -> float:
    """A schedule of `weft.collectives`, by weft's transport, on the simulated star."""
    links = [LinkSpec(f"h{h}", "s0", gbps * 1e9, delay_us * 1e-6) for h in range(workers)]
    work = Workload()
    patterns.collective(work, "all_reduce", algorithm, range(workers), octets)
    result = simulate(
        Scenario(Topology.graph(workers, ["s0"], links), work, Transport(paths=1), limit=10.0)
    )
    return float(np.nanmax(result.received)) * 1e6


def measure(
    kilobytes: int, counts: tuple[int, ...], gbps: float = 100.0, delay_us: float = 1.0
) -> list[Measured]:
    """Sums of float32 over each number of workers."""
    found = []
    with_switch = AggregationSwitch()
    try:
        for job, workers in enumerate(counts, 1):
            members = with_switch.add_job(job, {w: 1 + w for w in range(workers)}, slots=128)
            rng = np.random.default_rng(workers)
            size = kilobytes * 1024 // 4
            values = [rng.standard_normal(size, np.float32) for _ in range(workers)]
            outcome = all_reduce(
                with_switch.send, members, values, gbps=gbps, delay_us=delay_us, deadline_us=1e9
            )
            exact = np.sum(values, axis=0, dtype=np.float64)
            error = float(
                np.abs(np.asarray(outcome.results[0], np.float64) - exact).max()
                / np.abs(exact).max()
            )
            octets = 4 * size
            ring, halving_doubling = (
                simulated_us(a, octets, workers, gbps, delay_us) for a in ALGORITHMS
            )
            found.append(
                Measured(
                    workers, octets, outcome.elapsed_us, ring, halving_doubling,
                    octets * 8e-3 / outcome.elapsed_us, error,
                )
            )  # fmt: skip
            with_switch.remove_job(job)
    finally:
        with_switch.close()
    return found


def show(found: list[Measured], curves: Curves, console: Any) -> None:
    from rich.table import Table

    table = Table(
        title=f"All-reduce of {found[0].octets >> 10} KiB of float32 in virtual time; "
        f"{wire.VALUES} values per packet of the switch"
    )
    for column in ("workers", "in network us", "ring us", "halving-doubling us", "Gbit/s", "error"):
        table.add_column(column, justify="right")
    for m in found:
        table.add_row(
            str(m.workers), f"{m.innet_us:.0f}", f"{m.ring_us:.0f}",
            f"{m.halving_doubling_us:.0f}", f"{m.goodput_gbps:.1f}", f"{m.error:.1e}",
        )  # fmt: skip
    console.print(table)
    console.print(
        f"digits, {curves.workers} workers, {len(curves.exact)} steps: loss {curves.exact[-1]:.6f} "
        f"with float32 sums, {curves.blocks[-1]:.6f} with the switch's; largest difference on the "
        f"way {curves.difference:.1e}; accuracy {curves.exact_accuracy:.3f} and "
        f"{curves.blocks_accuracy:.3f}"
    )


def write(found: list[Measured], curves: Curves, folder: Path) -> Path:
    """innet.json and a picture; returns the picture's path."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    record = {"times": [asdict(m) for m in found], "training": asdict(curves)}
    (folder / "innet.json").write_text(json.dumps(record, indent=2) + "\n")
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    counts = [m.workers for m in found]
    lines = [("in the switch", "innet_us", "#2a6f97"), ("ring", "ring_us", "#8d949e"),
             ("halving-doubling", "halving_doubling_us", "#d08c60")]  # fmt: skip
    for label, name, colour in lines:
        left.plot(counts, [getattr(m, name) for m in found], marker="o", label=label, color=colour)
    left.set_xscale("log", base=2)
    left.set_xticks(counts, [str(c) for c in counts])
    left.set_ylim(bottom=0)
    left.set_xlabel("workers")
    left.set_ylabel("virtual us")
    left.set_title(f"All-reduce of {found[0].octets >> 10} KiB", loc="left", fontsize=10)
    left.legend(frameon=False)
    steps = range(1, len(curves.exact) + 1)
    right.plot(steps, curves.exact, color="#8d949e", linewidth=4, label="float32 sums")
    right.plot(steps, curves.blocks, color="#2a6f97", linewidth=1.2, label="the switch's sums")
    right.set_yscale("log")
    right.set_xlabel("step")
    right.set_ylabel("loss")
    right.set_title(f"Digits, {curves.workers} workers", loc="left", fontsize=10)
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    path = folder / "innet.png"
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return path
