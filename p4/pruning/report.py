"""`weft p4 pruning report`: every operator's query in the lab, with the switch and without.

Rows come from the Big Data benchmark's tables and TPC-H's. The network's times are those of real
packets between real processes on slowed links, given as if the links were not slowed; what the
slowest worker and the master compute is measured apart, each by itself, and added.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from weft.p4.pruning import plan, workloads
from weft.p4.pruning.cluster import Wires
from weft.p4.pruning.connection import Connection, Pruned, connect
from weft.p4.pruning.engine import DuckDB, Engine

_REPEATS = 3
#: (title, tables, queries): SQL, or a skyline's table and columns.
Workload = tuple[str, Mapping[str, pa.Table], Mapping[str, str | tuple[str, dict[str, bool]]]]


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


def big_data(rows: int, seed: int = 1) -> Workload:
    tables = workloads.big_data(rows, seed)
    bound = workloads.having_bound(tables)
    queries: dict[str, str | tuple[str, dict[str, bool]]] = {
        name: text.format(bound=bound) for name, text in workloads.QUERIES.items()
    }
    return f"Big Data, {rows:,} visits", tables, {**queries, "SKYLINE": workloads.SKYLINE}


def tpch(scale: float) -> Workload:
    """Raises `workloads.GeneratorError` where tpchgen-cli cannot make the tables."""
    tables = workloads.tpch_at(scale)
    queries = {f"TPC-H {scale:g} {name}": sql for name, sql in workloads.TPCH.items()}
    return f"TPC-H {scale:g}", tables, queries


def measure(
    given: Sequence[Workload], rates: Sequence[float], dilation: float,
    engines: Mapping[str, Engine], workers: int = 5,
    progress: Callable[[str], None] = lambda text: None,
) -> Iterator[Outcome]:  # fmt: skip
    """Every query at every rate (Gbit/s, of every link). The planner weighs with the first engine.

    Raises `LabError` where no lab can be.
    """
    first = next(iter(engines.values()))
    for title, tables, queries in given:
        for gbps in rates:
            wires = Wires(worker_gbps=gbps, master_gbps=gbps)
            progress(f"{title}, {gbps:g} Gbit/s: the lab comes up")
            with connect(tables, workers=workers, wires=wires, lab=dilation, engine=first) as made:
                for name, query in queries.items():
                    progress(f"{name}, {gbps:g} Gbit/s")
                    yield _one(made, name, gbps, query, engines)


def _one(
    connection: Connection, name: str, gbps: float, query: str | tuple[str, dict[str, bool]],
    engines: Mapping[str, Engine],
) -> Outcome:  # fmt: skip
    asked = query if isinstance(query, str) else connection.skyline_query(*query)
    [with_], [without] = connection.prune([asked]), connection.prune([asked], push=False)
    masters: list[dict[str, float]] = [{}, {}]
    same = True
    for engine, ask in engines.items():
        answers = []
        for pruned, times in zip((with_, without), masters, strict=True):
            times[engine], answer = _timed(ask, pruned)
            answers.append(workloads.values(answer))
        same &= answers[0] == answers[1]
    report = with_.report
    return Outcome(
        name, gbps, report.pushed, sum(report.rows.values()), sum(report.survivors.values()),
        _times(with_, masters[0]), _times(without, masters[1]), same,
        tuple(connection.faults()),
    )  # fmt: skip


def _timed(ask: Engine, pruned: Pruned) -> tuple[float, pa.Table]:
    """The median of several runs after a first one that does not count, in milliseconds."""
    answer, times = ask(pruned.sql, pruned.tables), []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        ask(pruned.sql, pruned.tables)
        times.append(1e3 * (time.perf_counter() - began))
    return statistics.median(times), answer


def _times(pruned: Pruned, masters: Mapping[str, float]) -> Times:
    r = pruned.report
    return Times(1e3 * r.prepare_s, 1e-3 * r.elapsed_us, dict(masters), r.bytes_to_master)


#: The paper's abstract: completion times 40 % to 200 % better than Spark's.
PAPER = "1.4 to 3"


def page(outcomes: Sequence[Outcome], dilation: float, command: str) -> str:
    """The section of docs/reproduction.md."""
    engines = list(outcomes[0].without.masters)
    lines = [
        "## Cheetah (Tirmazi et al.): queries through a pruning switch",
        "",
        "SIGMOD 2020 (arXiv 2004.05076). Five workers, a switch and a master as processes of a "
        "lab, every link at the",
        f"given rate slowed {dilation:g} times; the switch runs `p4/programs/pruning/all.p4`. "
        "Network times are those of the lab's clock",
        "over that factor, from the first packet to the last row at the master; `prepare` is the "
        "CPU time of the slowest",
        "worker's codes and packets, `master` the time of the master's own query (median of three, "
        "warm). Bytes are what the",
        "master's link carried, with all headers. Without the switch the workers send the needed "
        "columns of all rows that meet",
        "conditions on one table.",
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
    slower = [o for o in outcomes if o.pushed and o.faster(engines[0]) < 1]
    lines += [
        "",
        f"The paper's queries end {PAPER} times as fast as with Spark alone, end to end: tables "
        "of 18 to 32 million rows, Spark as the",
        "master, packets made in C, a Tofino. Smaller tables leave less to gain from the network, "
        "and codes made in Python cost more.",
        "Answers were the same with and without the switch in "
        f"{sum(o.same for o in outcomes)} of {len(outcomes)} cases; where the planner pushed, "
        f"{len(slower)} of {sum(bool(o.pushed) for o in outcomes)} queries were slower end to end.",
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
