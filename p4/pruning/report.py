"""`weft p4 pruning report`: every operator's query in the lab, with the switch and without.

Rows come from the Big Data benchmark's tables and TPC-H's. The network's times are those of real
packets between real processes on slowed links, given as if the links were not slowed, and with what
the workers take to make packets; what the master computes is measured by itself, and added.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from weft.p4.pruning import plan, workloads
from weft.p4.pruning.cluster import Wires
from weft.p4.pruning.connection import Connection, Pruned, connect
from weft.p4.pruning.costs import Costs, Linear, of_master
from weft.p4.pruning.engine import DuckDB, Engine
from weft.p4.pruning.optimizer import Choice

_REPEATS, _LONG_S = 21, 1.0
#: Without the switch packets are large and few: a lab slowed less carries them as faithfully.
_PLAIN_SHARE = 0.2
#: SQL, or a skyline's table and columns.
Asked = str | tuple[str, dict[str, bool]]
#: (title, tables, queries)
Workload = tuple[str, Mapping[str, pa.Table], Mapping[str, Asked]]


@dataclass(frozen=True, slots=True)
class Times:
    """Of one query one way, in milliseconds; `packing` is a part of `network`."""

    packing: float
    network: float
    master: float
    bytes: int

    @property
    def total(self) -> float:
        return self.network + self.master


@dataclass(frozen=True, slots=True)
class Outcome:
    """A query with one engine; where its optimizer pushes nothing, both ways are one.

    `expected` is how many times as fast the optimizer took the query to be with the switch, whether
    it pushed it or not; 0 if the switch could have had no part.
    """

    workload: str
    query: str
    gbps: float
    engine: str
    expected: float
    pushed: str
    rows: int
    survivors: int
    with_: Times
    without: Times
    same: bool
    faults: tuple[str, ...]

    @property
    def faster(self) -> float:
        return self.without.total / self.with_.total

    @property
    def name(self) -> tuple[str, str, float, str]:
        return self.workload, self.query, self.gbps, self.engine


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
    """What queries are measured with. Each engine's optimizer knows what that engine costs.

    `dilation` is how much slower the lab is at 10 Gbit/s; at another rate it is in proportion, so
    that the lab carries as many packets a second.
    """

    dilation: float
    engines: Mapping[str, Engine]
    workers: int = 5
    progress: Callable[[str], None] = lambda text: None
    _costs: dict[str, Mapping[type[plan.Push], Linear]] = field(default_factory=dict)

    def measure(
        self, given: Sequence[Workload], rates: Sequence[float], done: Sequence[Outcome] = ()
    ) -> Iterator[Outcome]:
        """Every query at every rate (Gbit/s, of every link) that is not among those done.

        Raises `LabError` where no lab can be.
        """
        known = {outcome.name for outcome in done}
        for title, tables, queries in given:
            for gbps in rates:
                left = [
                    (name, engine) for name in queries for engine in self.engines
                    if (title, name, gbps, engine) not in known
                ]  # fmt: skip
                if left:
                    yield from self._measure((title, tables, queries), gbps, left)

    def _measure(
        self, given: Workload, gbps: float, left: Sequence[tuple[str, str]]
    ) -> Iterator[Outcome]:
        """`left`: queries and engines."""
        title, tables, queries = given
        with ExitStack() as labs:
            slow = self.dilation * gbps / 10
            switched = labs.enter_context(self._lab(tables, gbps, slow, None))
            plain = labs.enter_context(
                self._lab(tables, gbps, max(1.0, slow * _PLAIN_SHARE), Costs())
            )
            by_engine = {name: switched.for_engine(e, self._cost(name, e))
                         for name, e in self.engines.items()}  # fmt: skip
            for name in dict.fromkeys(query for query, _ in left):
                masters = {e: by_engine[e] for query, e in left if query == name}
                for engine, choice, both in self._both_ways(name, queries[name], masters, plain):
                    self.progress(f"{name}: {engine}")
                    faults = (*switched.faults(), *plain.faults())
                    yield self._outcome((title, name, gbps, engine), choice, both, faults)

    def _both_ways(
        self, name: str, query: Asked, masters: Mapping[str, Connection], plain: Connection
    ) -> Iterator[tuple[str, Choice, tuple[Pruned, Pruned]]]:
        """What each engine's optimizer says, and what reaches its master, with the switch and
        without; once for all engines that push the same."""
        asked = query if isinstance(query, str) else plain.skyline_query(*query)
        self.progress(f"{name}, without the switch")
        [without] = plain.prune([asked], False)
        runs = {"": without}  # by what was pushed
        for engine, connection in masters.items():
            choice = connection.choice(asked)
            pushed = choice.job.title if choice.job else ""
            if pushed not in runs:
                self.progress(f"{name}: {pushed}")
                [runs[pushed]] = connection.prune([asked])
            yield engine, choice, (runs[pushed], without)

    def _lab(
        self, tables: Mapping[str, pa.Table], gbps: float, dilation: float, costs: Costs | None
    ) -> Connection:
        self.progress(f"{gbps:g} Gbit/s: a lab slowed {dilation:g} times comes up")
        wires = Wires(worker_gbps=gbps, master_gbps=gbps)
        return connect(tables, workers=self.workers, wires=wires, lab=dilation, costs=costs)

    def _cost(self, name: str, engine: Engine) -> Mapping[type[plan.Push], Linear]:
        if name not in self._costs:
            self.progress(f"what {name} takes for a query of each kind")
            self._costs[name] = of_master(engine)
        return self._costs[name]

    def _outcome(
        self, name: tuple[str, str, float, str], choice: Choice, both: tuple[Pruned, Pruned],
        faults: Sequence[str],
    ) -> Outcome:  # fmt: skip
        with_, without = both
        expected = choice.without_us / choice.with_us if choice.with_us else 0.0
        asked = _asked(self.engines[name[-1]], both if with_ is not without else (without,))
        (one, said), (other, plain) = asked[0], asked[-1]
        report = with_.report
        return Outcome(
            *name, expected, report.pushed,
            sum(report.rows.values()), sum(report.survivors.values()),
            _times(with_, one), _times(without, other), said == plain, tuple(sorted(set(faults))),
        )  # fmt: skip


def _asked(ask: Engine, given: Sequence[Pruned]) -> list[tuple[float, list[str]]]:
    """Of each the median of several runs in milliseconds, fewer if they are long, after a first one
    that does not count; and what it says. Runs take turns, because machines are not always alike.
    """
    answers = [workloads.values(ask(one.sql, one.tables)) for one in given]
    times: list[list[float]] = [[] for _ in given]
    while len(times[0]) < _REPEATS and sum(times[0]) < 1e3 * _LONG_S:
        for one, taken in zip(given, times, strict=True):
            began = time.perf_counter()
            ask(one.sql, one.tables)
            taken.append(1e3 * (time.perf_counter() - began))
    return list(zip(map(statistics.median, times), answers, strict=True))


def _times(pruned: Pruned, master: float) -> Times:
    r = pruned.report
    return Times(1e3 * r.prepare_s, 1e-3 * r.elapsed_us, master, r.bytes_to_master)


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
    lines = [
        "## Cheetah (Tirmazi et al.): queries through a pruning switch",
        "",
        "SIGMOD 2020 (arXiv 2004.05076). Five workers, a switch and a master as processes of a "
        "lab; the switch runs",
        f"`p4/programs/pruning/all.p4`. Every link has the given rate, slowed {dilation:g} times "
        "at 10 Gbit/s and in proportion at others,",
        f"and {_PLAIN_SHARE:g} of that without the switch. `network` is the lab's clock over that "
        "factor, from the first row that a worker",
        "packs to the last row at the master; `packing` is the CPU time of the slowest worker's "
        "codes and packets in it, which are made",
        "while others travel; `master` is the time of the master's own query (warm, median of up "
        f"to {_REPEATS}). Bytes are what the master's",
        "link carried, with all headers. Without the switch the workers send the needed columns of "
        "all rows that meet conditions on one",
        "table. The optimizer knows what the engine costs, measured beforehand, and pushes what it "
        "expects to end earlier; where it does",
        "not, the query runs as without the switch. `expected` is how many times as fast the "
        "optimizer takes the query to be with the switch:",
        "it reckons hosts with the switch as slow as they were ever seen, and without it as fast.",
        "",
        "| query | Gbit/s | engine | rows | left | MB with, without | packing, ms | network, ms "
        "| without | master, ms | without | expected | times as fast |",
        "|---|---:|---|" + "---:|" * 10,
    ]
    for o in outcomes:
        w, n = o.with_, o.without
        lines.append(
            f"| {o.query + ('' if o.pushed else ' (not pushed)')} | {o.gbps:g} | {o.engine} "
            f"| {o.rows:,} | {o.survivors:,} | {w.bytes / 1e6:.2f}, {n.bytes / 1e6:.2f} "
            f"| {w.packing:.1f} | {w.network:.2f} | {n.network:.2f} "
            f"| {w.master:.1f} | {n.master:.1f} | {o.expected:.2f} | {o.faster:.2f} |"
        )
    pushed = [o for o in outcomes if o.pushed]
    slower = [
        f"{sum(o.faster < 1 for o in pushed if o.engine == engine)} with {engine}"
        for engine in dict.fromkeys(o.engine for o in outcomes)
    ]
    lines += [
        "",
        f"The paper's queries end {PAPER} times as fast as with Spark alone, end to end: tables "
        "of 18 to 32 million rows, Spark as the",
        "master, packets made in C, a Tofino.",
        "Answers were the same with and without the switch in "
        f"{sum(o.same for o in outcomes)} of {len(outcomes)} cases; of {len(pushed)} that "
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
