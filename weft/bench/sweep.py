"""All libraries over all collectives, ranks and sizes, in turn: A B C, A B C, ... and medians.

A library that is slower or faster because the machine was busy for a while meets, in the next
round, the same machine as its peers; ratios of medians over rounds hold where single runs do not.
"""

from __future__ import annotations

import itertools
import json
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weft.bench import plain_copy
from weft.bench.libraries import NAMES, Library, Unavailable, prepare
from weft.bench.processes import MeasurementError, run_ranks

COLLECTIVES = ("all_reduce", "reduce_scatter", "all_to_all", "all_gather", "broadcast")
REDUCING = ("all_reduce", "reduce_scatter")


@dataclass(frozen=True)
class Plan:
    """What to measure. Sizes in bytes, `milliseconds` of measurement per size and round."""

    sizes: Sequence[int]
    ranks: Sequence[int] = (2, 4)
    collectives: Sequence[str] = COLLECTIVES[:3]
    libraries: Sequence[str] = NAMES
    rounds: int = 5
    milliseconds: float = 100
    idle_seconds: int = 5
    deadline: float = 120  # seconds for one library's run over all sizes

    @property
    def steps(self) -> int:
        """How many times libraries are started."""
        sweeps = len(self.ranks) * len(self.collectives) * self.rounds
        copies = self.rounds * len(self.ranks) * len(self.sizes)
        return len(self.libraries) * (sweeps + (self.idle_seconds > 0)) + (
            copies if "all_to_all" in self.collectives else 0
        )


Key = tuple[str, int, str, int]  # collective, ranks, library, size


@dataclass
class Results:
    """Medians over rounds, in nccl-tests' units, and what could not be measured."""

    rows: dict[Key, dict[str, Any]] = field(default_factory=dict)
    copies: dict[tuple[int, int], float] = field(default_factory=dict)  # (ranks, size): us
    idle: dict[str, float] = field(default_factory=dict)  # share of a core
    skipped: dict[str, str] = field(default_factory=dict)  # library: why
    failures: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        """How many elements were wrong in all runs together."""
        return sum(row["nwrong"] for row in self.rows.values())

    def time(self, collective: str, ranks: int, library: str, size: int) -> float | None:
        """Median time in microseconds, or None where it was not measured."""
        row = self.rows.get((collective, ranks, library, size))
        return None if row is None else float(row["time"])


def sweep(plan: Plan, tell: Callable[[str], None]) -> Results:
    """Measure; `tell(what)` is called before each start of a library."""
    results = Results()
    with tempfile.TemporaryDirectory(prefix="weft-bench-") as name:
        folder = Path(name)
        libraries = _prepare(plan, folder, results)
        samples: dict[Key, list[dict[str, Any]]] = defaultdict(list)
        copies: dict[tuple[int, int], list[float]] = defaultdict(list)
        for number in range(plan.rounds):
            for ranks in plan.ranks:
                for collective in plan.collectives:
                    for library in libraries:
                        tell(f"round {number + 1}: {collective}, {ranks} ranks, {library.name}")
                        sizes = ",".join(map(str, plan.sizes))
                        arguments = [collective, sizes, str(plan.milliseconds)]
                        for line in _run(library, arguments, ranks, folder, plan, results):
                            key = (collective, ranks, library.name, int(line["size"]))
                            samples[key].append(line)
            if "all_to_all" in plan.collectives:
                for ranks, size in itertools.product(plan.ranks, plan.sizes):
                    tell(f"round {number + 1}: plain copies, {ranks} ranks")
                    copies[ranks, size].append(plain_copy.measure(ranks, size, plan.milliseconds))
        results.rows = {key: _median(lines) for key, lines in samples.items()}
        results.copies = {key: statistics.median(times) for key, times in copies.items()}
        for library in libraries if plan.idle_seconds > 0 else ():
            tell(f"idle: {library.name}")
            arguments = ["idle", str(plan.idle_seconds)]
            for line in _run(library, arguments, min(plan.ranks), folder, plan, results):
                results.idle[library.name] = float(line["core_share"])
    return results


def _prepare(plan: Plan, folder: Path, results: Results) -> list[Library]:
    libraries = []
    for name in plan.libraries:
        try:
            libraries.append(prepare(name, folder))
        except Unavailable as why:
            results.skipped[name] = str(why)
    return libraries


def _run(
    library: Library,
    arguments: Sequence[str],
    ranks: int,
    folder: Path,
    plan: Plan,
    results: Results,
) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(dir=folder) as meeting:
        try:
            launches = library.start(arguments, ranks, Path(meeting))
            texts = run_ranks(launches, plan.deadline)
        except MeasurementError as error:
            results.failures.append(f"{library.name}, {arguments[0]}, {ranks} ranks: {error}")
            return []
    return [json.loads(line) for text in texts for line in text.splitlines()]


def _median(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """One row of many: medians of what was measured, the sum of what was wrong."""
    row = dict(lines[0])
    for key in ("time", "alg_bw", "bus_bw", "cpu_s_per_gb"):
        row[key] = statistics.median(line[key] for line in lines)
    row["nwrong"] = sum(line["nwrong"] for line in lines)
    row["redop"] = "sum" if row["collective"] in REDUCING else "none"
    row["rounds"] = len(lines)
    return row
