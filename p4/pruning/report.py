"""`weft p4 pruning report`: every operator's query in the lab, with the switch and without.

Rows come from the Big Data benchmark's tables and TPC-H's. The network's times are those of real
packets between real processes on slowed links, given as if the links were not slowed; what the
slowest worker and the master compute is measured apart, each by itself, and added.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from weft.p4.pruning import plan, workloads
from weft.p4.pruning.cluster import Wires
from weft.p4.pruning.connection import Connection, Pruned, connect
from weft.p4.pruning.costs import Costs
from weft.p4.pruning.engine import DuckDB, Engine

_REPEATS, _LONG_S = 3, 1.0
#: Without the switch packets are large and few: a lab slowed less carries them as faithfully.
_PLAIN_SHARE = 0.2
#: SQL, or a skyline's table and columns.
Asked = str | tuple[str, dict[str, bool]]
#: (title, tables, queries)
Workload = tuple[str, Mapping[str, pa.Table], Mapping[str, Asked]]


@dataclass(frozen=True, slots=True)
class Times:
    """Of one query one way, in milliseconds; `masters` by engine."""

    prepare: float
    network: float
    masters: Mapping[str, float]
    bytes: int

    def total(self, engine: str) -> float:
        return self.prepare + self.network + self.masters[engine]


@dataclass(frozen=True, slots=True)
class Outcome:
    workload: str
    query: str
    gbps: float
    pushed: str
    rows: int
    survivors: int
    with_: Times
    without: Times
    same: bool
    faults: tuple[str, ...]

    def faster(self, engine: str) -> float:
        return self.without.total(engine) / self.with_.total(engine)

    @property
    def name(self) -> tuple[str, str, float]:
        return self.workload, self.query, self.gbps


def big_data(rows: int, seed: int = 1) -> Workload:
    tables = workloads.big_data(rows, seed)
    bound = workloads.having_bound(tables)
    queries: dict[str, Asked] = {
        name: text.format(bound=bound) for name, text in workloads.QUERIES.items()
    }
    return f"Big Data, {rows:,} visits", tables, {**queries, "SKYLINE": workloads.SKYLINE}


def tpch(scale: float) -> Workload:
    """Raises `workloads.GeneratorError` where tpchgen-cli cannot make the tables."""
    queries: dict[str, Asked] = {
        f"TPC-H {scale:g} {name}": sql for name, sql in workloads.TPCH.items()
    }
    return f"TPC-H {scale:g}", workloads.tpch_at(scale), queries


@dataclass(slots=True)
class Bench:
    """What queries are measured with. The optimizer weighs with the first engine.

    `dilation` is how much slower the lab is at 10 Gbit/s; at another rate it is in proportion, so
    that the lab carries as many packets a second.
    """

    dilation: float
    engines: Mapping[str, Engine]
    workers: int = 5
    progress: Callable[[str], None] = lambda text: None

    def measure(
        self, given: Sequence[Workload], rates: Sequence[float], done: Sequence[Outcome] = ()
    ) -> Iterator[Outcome]:
        """Every query at every rate (Gbit/s, of every link) that is not among those done.

        Raises `LabError` where no lab can be.
        """
        known = {outcome.name for outcome in done}
        for title, tables, queries in given:
            plain: dict[str, dict[str, tuple[float, list[str]]]] = {}  # the masters' part
            for gbps in rates:
                left = {n: q for n, q in queries.items() if (title, n, gbps) not in known}
                if left:
                    yield from self._both(title, tables, left, gbps, plain)

    def _both(
        self, title: str, tables: Mapping[str, pa.Table], queries: Mapping[str, Asked], gbps: float,
        plain: dict[str, dict[str, tuple[float, list[str]]]],
    ) -> Iterator[Outcome]:  # fmt: skip
        wires = Wires(worker_gbps=gbps, master_gbps=gbps)
        slow, faults, ways = self.dilation * gbps / 10, set(), []
        for push, dilation in ((None, slow), (False, max(1.0, slow * _PLAIN_SHARE))):
            self.progress(f"{title}, {gbps:g} Gbit/s: a lab slowed {dilation:g} times comes up")
            costs = None if push is None else Costs()
            engine = next(iter(self.engines.values()))
            with connect(
                tables, workers=self.workers, wires=wires, lab=dilation, engine=engine, costs=costs
            ) as made:
                ways.append({n: self._pruned(made, n, q, push) for n, q in queries.items()})
                faults.update(made.faults())
        for name in queries:
            with_, without = ways[0][name], ways[1][name]
            self.progress(f"{name}: the master")
            if name not in plain:
                plain[name] = self._asked(without)
            yield _outcome(
                (title, name, gbps), with_, without, self._asked(with_), plain[name], sorted(faults)
            )

    def _pruned(self, connection: Connection, name: str, query: Asked, push: bool | None) -> Pruned:
        self.progress(name if push is None else f"{name}, without the switch")
        asked = query if isinstance(query, str) else connection.skyline_query(*query)
        return connection.prune([asked], push)[0]

    def _asked(self, pruned: Pruned) -> dict[str, tuple[float, list[str]]]:
        """Milliseconds and rows of the answer, by engine."""
        return {name: _timed(ask, pruned) for name, ask in self.engines.items()}


def _timed(ask: Engine, pruned: Pruned) -> tuple[float, list[str]]:
    """The median of several runs, fewer if they are long, after a first one that does not count;
    and what it says."""
    answer, times = ask(pruned.sql, pruned.tables), list[float]()
    while len(times) < _REPEATS and (not times or sum(times) < 1e3 * _LONG_S):
        began = time.perf_counter()
        ask(pruned.sql, pruned.tables)
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times), workloads.values(answer)


def _outcome(
    name: tuple[str, str, float], with_: Pruned, without: Pruned,
    masters: Mapping[str, tuple[float, list[str]]], plain: Mapping[str, tuple[float, list[str]]],
    faults: Sequence[str],
) -> Outcome:  # fmt: skip
    report = with_.report
    return Outcome(
        *name, report.pushed, sum(report.rows.values()), sum(report.survivors.values()),
        _times(with_, masters), _times(without, plain),
        all(masters[engine][1] == plain[engine][1] for engine in masters), tuple(faults),
    )  # fmt: skip


def _times(pruned: Pruned, masters: Mapping[str, tuple[float, list[str]]]) -> Times:
    r, ms = pruned.report, {engine: found for engine, (found, _) in masters.items()}
    return Times(1e3 * r.prepare_s, 1e-3 * r.elapsed_us, ms, r.bytes_to_master)


class Record:
    """Outcomes in a file, one JSON object a line, so that a report that was cut short goes on.

    `setting` is what must be equal for that; outcomes of another setting are passed over.
    """

    def __init__(self, path: Path, setting: str) -> None:
        self._path, self._setting = path, setting

    def read(self) -> list[Outcome]:
        if not self._path.exists():
            return []
        lines = [json.loads(line) for line in self._path.read_text().splitlines()]
        return [_from_json(one["outcome"]) for one in lines if one["setting"] == self._setting]

    def add(self, outcome: Outcome) -> None:
        line = json.dumps({"setting": self._setting, "outcome": asdict(outcome)})
        with self._path.open("a") as file:
            file.write(line + "\n")


def _from_json(given: dict[str, Any]) -> Outcome:
    times = {side: Times(**given[side]) for side in ("with_", "without")}
    return Outcome(**{**given, **times, "faults": tuple(given["faults"])})


#: The paper's abstract: completion times 40 % to 200 % better than Spark's.
PAPER = "1.4 to 3"


def page(outcomes: Sequence[Outcome], dilation: float, command: str) -> str:
    """The section of docs/reproduction.md."""
    engines = list(outcomes[0].without.masters)
    lines = [
        "## Cheetah (Tirmazi et al.): queries through a pruning switch",
        "",
        "SIGMOD 2020 (arXiv 2004.05076). Five workers, a switch and a master as processes of a "
        "lab; the switch runs",
        f"`p4/programs/pruning/all.p4`. Every link has the given rate, slowed {dilation:g} times "
        "at 10 Gbit/s and in proportion at others,",
        f"and {_PLAIN_SHARE:g} of that without the switch. Network times are those of the lab's "
        "clock over that factor, from the first",
        "packet to the last row at the master; `prepare` is the CPU time of the slowest worker's "
        "codes and packets, `master` the",
        "time of the master's own query (warm, median of up to three). Bytes are what the master's "
        "link carried, with all headers.",
        "Without the switch the workers send the needed columns of all rows that meet conditions "
        "on one table. The optimizer knows",
        f"what {engines[0]} costs, measured beforehand, and pushes what it expects to end earlier.",
        "",
        "| query | Gbit/s | rows | left | MB with, without | prepare, ms | network, ms | without |"
        + "".join(f" master: {e}, ms | without | times as fast |" for e in engines),
        "|---|" + "---:|" * (7 + 3 * len(engines)),
    ]
    for o in outcomes:
        w, n = o.with_, o.without
        cells = [
            o.query + ("" if o.pushed else " (not pushed)"), f"{o.gbps:g}", f"{o.rows:,}",
            f"{o.survivors:,}", f"{w.bytes / 1e6:.2f}, {n.bytes / 1e6:.2f}", f"{w.prepare:.1f}",
            f"{w.network:.2f}", f"{n.network:.2f}",
        ]  # fmt: skip
        for e in engines:
            cells += [f"{w.masters[e]:.1f}", f"{n.masters[e]:.1f}", f"{o.faster(e):.1f}"]
        lines.append("| " + " | ".join(cells) + " |")
    pushed = [o for o in outcomes if o.pushed]
    slower = [f"{sum(o.faster(e) < 1 for o in pushed)} with {e}" for e in engines]
    lines += [
        "",
        f"The paper's queries end {PAPER} times as fast as with Spark alone, end to end: tables "
        "of 18 to 32 million rows, Spark as the",
        "master, packets made in C, a Tofino.",
        "Answers were the same with and without the switch in "
        f"{sum(o.same for o in outcomes)} of {len(outcomes)} cases; of {len(pushed)} queries that "
        f"were pushed, slower end to end were {', '.join(slower)}.",
    ]
    faults = sorted({fault for o in outcomes for fault in o.faults})
    if faults:
        lines += ["", "The lab could not keep its schedule: " + "; ".join(faults) + "."]
    return "\n".join([*lines, "", f"Made by `{command}`."])


def engine_of(name: str) -> Engine:
    """`duckdb`, or `spark` with two executors on this machine."""
    if name == "duckdb":
        return DuckDB()
    if name == "spark":
        from weft.p4.pruning.spark import SparkMaster, local_cluster

        return SparkMaster(local_cluster(executors=2, memory_mb=1024))
    raise plan.QueryError(f"engines are duckdb and spark, not {name}")
