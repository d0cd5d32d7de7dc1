"""`weft demo innet`: all-reduce in the switch beside a ring, over the number of workers.

The switch's times are those of real packets through the program on modelled wires. The ring's are
the textbook's, 2 (n - 1) steps of 1/n of the message over the same wires, which flatters it: no
packet headers, no computation, no waiting.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from weft.p4.aggregation import wire
from weft.p4.aggregation.control import AggregationSwitch
from weft.p4.aggregation.run import all_reduce


@dataclass(frozen=True, slots=True)
class Measured:
    """Times in virtual microseconds; `goodput_gbps` is payload per worker's link and second."""

    workers: int
    innet_us: float
    ring_us: float
    halving_doubling_us: float
    goodput_gbps: float
    error: float  # largest absolute error of the float sums, by the largest sum


def ring_us(octets: int, workers: int, gbps: float, delay_us: float) -> float:
    """2 (n - 1) steps, each a 1/n part over two links of the star."""
    return 2 * (workers - 1) * (octets / workers * 8e-3 / gbps + 2 * delay_us)


def halving_doubling_us(octets: int, workers: int, gbps: float, delay_us: float) -> float:
    """2 log2 n steps, 2 (n - 1) / n of the message in all (n a power of two)."""
    steps = 2 * int(np.ceil(np.log2(workers)))
    return 2 * (workers - 1) / workers * octets * 8e-3 / gbps + steps * 2 * delay_us


def measure(
    kilobytes: int, counts: tuple[int, ...], gbps: float = 100.0, delay_us: float = 1.0
) -> list[Measured]:
    """Sums of float32 over each number of workers."""
    found = []
    with_switch = AggregationSwitch()
    try:
        for job, workers in enumerate(counts, 1):
            members = with_switch.add_job(job, {w: 1 + w for w in range(workers)}, slots=480)
            rng = np.random.default_rng(workers)
            size = kilobytes * 1024 // 4
            values = [rng.normal(size=size).astype(np.float32) for _ in range(workers)]
            outcome = all_reduce(
                with_switch.send, members, values, gbps=gbps, delay_us=delay_us, deadline_us=1e9
            )
            exact = np.sum(values, axis=0, dtype=np.float64)
            error = float(
                np.abs(np.asarray(outcome.results[0], np.float64) - exact).max()
                / np.abs(exact).max()
            )
            octets = 4 * size
            found.append(
                Measured(
                    workers,
                    outcome.elapsed_us,
                    ring_us(octets, workers, gbps, delay_us),
                    halving_doubling_us(octets, workers, gbps, delay_us),
                    octets * 8e-3 / outcome.elapsed_us,
                    error,
                )
            )
            with_switch.remove_job(job)
    finally:
        with_switch.close()
    return found


def show(found: list[Measured], console: Any) -> None:
    from rich.table import Table

    table = Table(title=f"All-reduce of float32, {wire.VALUES} values per packet (virtual time)")
    for column in ("workers", "in network us", "ring us", "halving-doubling us", "Gbit/s", "error"):
        table.add_column(column, justify="right")
    for m in found:
        table.add_row(
            str(m.workers), f"{m.innet_us:.0f}", f"{m.ring_us:.0f}",
            f"{m.halving_doubling_us:.0f}", f"{m.goodput_gbps:.1f}", f"{m.error:.1e}",
        )  # fmt: skip
    console.print(table)


def write(found: list[Measured], folder: Path) -> Path:
    """result.json and a picture; returns the picture's path."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "innet.json").write_text(json.dumps([asdict(m) for m in found], indent=2) + "\n")
    figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
    counts = [m.workers for m in found]
    lines = [("in the switch", "innet_us", "#2a6f97"), ("ring, ideal", "ring_us", "#b9bec6"),
             ("halving-doubling, ideal", "halving_doubling_us", "#d08c60")]  # fmt: skip
    for label, name, colour in lines:
        axes.plot(counts, [getattr(m, name) for m in found], marker="o", label=label, color=colour)
    axes.set_xscale("log", base=2)
    axes.set_xticks(counts, [str(c) for c in counts])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("workers")
    axes.set_ylabel("all-reduce, us (virtual)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    path = folder / "innet.png"
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return path
