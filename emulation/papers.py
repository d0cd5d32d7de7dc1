"""Published results as scenario files: the same fabric and workload once per variant of the
transport, a measure of each, and claims about ratios of measures that must hold.

A paper file is a scenario (docs/scenarios.md) with a table `[paper]` on top:

[paper]
title = "REPS: ..., figure 3"       # what is reproduced
reference = "arXiv 2407.21625"
setup = "128 hosts ..."             # in words, for the page
measure = "end"                     # one of MEASURES; `of` names a part of the workload
seeds = [1, 2, 3]                   # the median over them counts
differences = "..."                 # why ours is not theirs
short = { "workload.0.size" = "1MB" }   # changes that make it small enough for a test

[[paper.variant]]
name = "ECMP"
paper = 706                         # what the paper says, in the measure's unit
set = { "transport.scheduler" = "single" }

[[paper.claim]]
text = "spraying ends before ECMP"
of = "ECMP"
to = "spray"                        # the measure of ECMP over that of spray ...
paper = 1.9
least = 1.4                         # ... must lie in [least, most]
most = 3.0
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import weft
from weft.emulation.document import Document, ScenarioError, Table
from weft.emulation.scenario import Scenario
from weft.emulation.simulation import Result, Summary
from weft.emulation.sweep import sweep

FOLDER = Path(weft.__file__).resolve().parent.parent / "examples" / "papers"
"""Where a checkout keeps them."""


def _part(result: Result, name: str) -> Summary:
    """Of the messages of one part of the workload ("": of all)."""
    if not name:
        return result.completion
    work = result.scenario.workload
    group = work.names.index(name)
    mine = (np.asarray(work.group) == group) & result.is_message & ~np.isnan(result.received)
    return Summary.of((result.received - result.started)[mine])


def _end(result: Result, part: str) -> float:
    """When the last message was there; never for a run in which one did not get through."""
    return 1e6 * (result.end if not result.unfinished else float("inf"))


def _busiest(result: Result, part: str) -> float:
    """How long the busiest link between switches had to send."""
    topology = result.scenario.topology
    rates = np.asarray(topology.rates())
    above = np.array([topology.tier_of_link(link) > 0 for link in range(len(rates))])
    seconds = result.port_bytes.reshape(-1, 2).max(axis=1) * 8 / rates
    return 1e6 * float(seconds[above].max())


def _goodput(result: Result, part: str) -> float:
    """Payload of all messages over the time until the last was there, per sending host."""
    work = result.scenario.workload
    sent = np.asarray(work.size)[result.is_message].sum()
    hosts = len(set(np.asarray(work.source)[result.is_message].tolist()))
    return float(sent * 8 / result.end / hosts / 1e9) if not result.unfinished else 0.0


MEASURES: dict[str, tuple[str, Callable[[Result, str], float]]] = {
    "end": ("us", _end),
    "mean": ("us", lambda result, part: 1e6 * _part(result, part).mean),
    "p99": ("us", lambda result, part: 1e6 * _part(result, part).p99),
    "max": ("us", lambda result, part: 1e6 * _part(result, part).max),
    "busiest_link": ("us", _busiest),
    "goodput": ("Gbit/s a host", _goodput),
    "queue": ("kB", lambda result, part: float(result.port_stats["peak_backlog"].max()) / 1e3),
}
"""Measures by name: unit, and how they are taken from a result."""


@dataclass(frozen=True)
class Variant:
    """One column of the comparison: changes to the file, and what the paper measured."""

    name: str
    changes: dict[str, Any]
    paper: float | None


@dataclass(frozen=True)
class Claim:
    """The measure of `of` over that of `to` lies in [least, most]."""

    text: str
    of: str
    to: str
    paper: float | None
    least: float
    most: float


@dataclass
class Paper:
    """A published result. Raises ScenarioError when the file is wrong."""

    name: str
    title: str
    reference: str
    setup: str
    measure: str
    part: str
    seeds: list[int]
    differences: str
    short: dict[str, Any]
    variants: list[Variant]
    claims: list[Claim]
    source: Document = field(repr=False)
    folder: Path = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> Paper:
        """Read a file and check every variant. Raises ScenarioError."""
        source = Document.read(path)
        root = source.root()
        table = root.table("paper")
        paper = cls(
            name=path.stem,
            title=table.text("title"),
            reference=table.text("reference"),
            setup=table.text("setup"),
            measure=table.text("measure", "end", MEASURES),
            part=table.text("of", ""),
            seeds=table.integers("seeds", [1]),
            differences=table.text("differences"),
            short=_changes(table, "short"),
            variants=[_variant(row) for row in table.tables("variant")],
            claims=[_claim(row) for row in table.tables("claim")],
            source=source,
            folder=path.parent,
        )
        table.finish()
        del source.values["paper"]
        names = [variant.name for variant in paper.variants]
        if len(names) < 2 or len(set(names)) != len(names):
            raise table.error("variant", "at least two, each with a name of its own")
        for claim in paper.claims:
            for name in (claim.of, claim.to):
                if name not in names:
                    raise table.error("claim", f"names {name!r}; there is {', '.join(names)}")
        return paper

    def scenarios(self, short: bool) -> list[tuple[dict[str, Any], Scenario]]:
        """Every variant with every seed. Raises ScenarioError before anything runs."""
        points = []
        for variant in self.variants:
            for seed in self.seeds[:1] if short else self.seeds:
                varied = Document(
                    self.source.name, copy.deepcopy(self.source.values), self.source.lines
                )
                changes = {"seed": seed, **variant.changes, **(self.short if short else {})}
                for key, value in changes.items():
                    try:
                        varied.override(key, value)
                    except (KeyError, IndexError, ValueError, TypeError):
                        raise ScenarioError(f"{varied.name}: no such place: {key}") from None
                scenario = Scenario.of(varied, self.folder)
                if self.part and self.part not in scenario.workload.names:
                    raise ScenarioError(f"{varied.name}: paper.of: no workload {self.part!r}")
                points.append(({"variant": variant.name, "seed": seed}, scenario))
        return points


def _changes(table: Table, key: str) -> dict[str, Any]:
    value = table.raw(key)
    if value is not None and not isinstance(value, dict):
        raise table.error(key, 'must be a table like { "transport.paths" = 4 }')
    return dict(value or {})


def _number(table: Table, key: str) -> float | None:
    return table.number(key, low=0.0, high=1e12) if table.has(key) else None


def _variant(row: Table) -> Variant:
    variant = Variant(row.text("name"), _changes(row, "set"), _number(row, "paper"))
    row.finish()
    return variant


def _claim(row: Table) -> Claim:
    claim = Claim(
        text=row.text("text"),
        of=row.text("of"),
        to=row.text("to"),
        paper=_number(row, "paper"),
        least=row.number("least", 0.0, low=0.0, high=1e9),
        most=row.number("most", 1e9, low=0.0, high=1e9),
    )
    row.finish()
    return claim


@dataclass(frozen=True)
class Verdict:
    """A claim and what came of it."""

    claim: Claim
    ours: float

    @property
    def holds(self) -> bool:
        return self.claim.least <= self.ours <= self.claim.most


@dataclass(frozen=True)
class Reproduction:
    """What running a paper's variants gave."""

    paper: Paper
    short: bool
    ours: dict[str, float]
    """By variant: the median over the seeds, in the measure's unit."""
    spread: dict[str, tuple[float, float]]
    """By variant: least and most over the seeds."""
    verdicts: list[Verdict]
    seconds: float
    """Processor time of all runs."""

    @property
    def holds(self) -> bool:
        return all(verdict.holds for verdict in self.verdicts)

    def record(self) -> dict[str, Any]:
        """As plain values, for --json; what never ended is None."""

        def finite(value: float) -> float | None:
            return value if np.isfinite(value) else None

        return {
            "name": self.paper.name,
            "title": self.paper.title,
            "measure": self.paper.measure,
            "unit": MEASURES[self.paper.measure][0],
            "short": self.short,
            "variants": [
                {"name": v.name, "ours": finite(self.ours[v.name]), "paper": v.paper}
                for v in self.paper.variants
            ],
            "claims": [
                {
                    "text": v.claim.text,
                    "ours": finite(v.ours),
                    "paper": v.claim.paper,
                    "holds": v.holds,
                }
                for v in self.verdicts
            ],
            "seconds": self.seconds,
        }


def reproduce(
    paper: Paper,
    short: bool = False,
    on_done: Callable[[int], None] = lambda _: None,
    jobs: int | None = None,
) -> Reproduction:
    """Run all variants of a paper, `jobs` at a time (default: one per core)."""
    points = sweep(paper.scenarios(short), on_done, jobs)
    measure = MEASURES[paper.measure][1]
    values: dict[str, list[float]] = {}
    for point in points:
        values.setdefault(point.values["variant"], []).append(measure(point.result, paper.part))
    ours = {name: statistics.median(measured) for name, measured in values.items()}
    return Reproduction(
        paper=paper,
        short=short,
        ours=ours,
        spread={name: (min(measured), max(measured)) for name, measured in values.items()},
        verdicts=[Verdict(claim, _ratio(ours[claim.of], ours[claim.to])) for claim in paper.claims],
        seconds=sum(point.result.evidence["cpu_seconds"] for point in points),
    )


def _ratio(a: float, b: float) -> float:
    """Infinite where only the denominator is finite, 1 where neither is."""
    if np.isinf(a) and np.isinf(b):
        return 1.0
    return a / b if b else float("inf")


def papers(names: Sequence[str] = (), folder: Path = FOLDER) -> list[Paper]:
    """The papers of a folder, all or those named. Raises ScenarioError for an unknown name or a
    wrong file."""
    files = {path.stem: path for path in sorted(folder.glob("*.toml"))}
    if not files:
        raise ScenarioError(f"{folder}: holds no paper (an installed wheel has none: --folder)")
    for name in names:
        if name not in files:
            raise ScenarioError(f"there is no paper {name!r}; there is {', '.join(files)}")
    return [Paper.load(files[name]) for name in (names or files)]
