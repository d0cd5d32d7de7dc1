"""Queries over workers, a pruning switch and a master: what `weft.p4.pruning.connect` gives.

    connection = connect({"visits": "visits.parquet"}, workers=5)
    answer = connection.sql("SELECT DISTINCT agent FROM visits")
    answer.table, answer.report.saved

Workers hold the tables in fragments and decide conditions on one table themselves. Where the
planner expects to gain, the columns that an operator needs go through the switch as codes; the
master then fetches the needed columns of the surviving rows, and runs the query's own text over
them in DuckDB (or another engine).
"""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any

import pyarrow as pa

from weft.p4.pruning import plan, tables
from weft.p4.pruning.cluster import Cluster, Task, Wires
from weft.p4.pruning.control import Installed, NoRoom
from weft.p4.pruning.costs import Costs, Linear, of_master
from weft.p4.pruning.engine import DuckDB, Engine
from weft.p4.pruning.execute import Job
from weft.p4.pruning.network import VirtualCluster
from weft.p4.pruning.optimizer import Choice, Optimizer
from weft.p4.pruning.worker import Worker


@dataclass(slots=True)
class Report:
    """What a query cost, and what its transfer would have cost without the switch.

    `rows` counts rows that meet the workers' conditions, by table. `elapsed_us` are microseconds
    from the first row that a worker makes a packet of to the last that the master has fetched;
    `prepare_s` is what the slowest worker took of them to make packets, while others travelled, in
    seconds of CPU time. `elapsed_without_us` is what the links' rates alone would take.
    """

    pushed: str = ""  # the operator in the switch; empty: none, and `reason` says why
    reason: str = ""
    delta: float = 0.0
    rows: dict[str, int] = field(default_factory=dict)
    survivors: dict[str, int] = field(default_factory=dict)
    passes: int = 0  # through the switch
    packed: int = 0  # rows that workers made packets of
    packets: int = 0
    resent: int = 0
    bytes_to_master: int = 0
    bytes_without: int = 0
    elapsed_us: float = 0.0
    elapsed_without_us: float = 0.0
    prepare_s: float = 0.0
    master_s: float = 0.0  # wall time of the master's query

    @property
    def total_s(self) -> float:
        """From the workers' first row to the answer."""
        return self.elapsed_us * 1e-6 + self.master_s

    @property
    def saved(self) -> float:
        """Share of the bytes to the master that the switch saved."""
        return 1 - self.bytes_to_master / self.bytes_without if self.bytes_without else 0.0

    @property
    def speedup(self) -> float:
        return self.elapsed_without_us / self.elapsed_us if self.elapsed_us else 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    table: pa.Table
    report: Report


@dataclass(frozen=True, slots=True)
class Pruned:
    """A query and what survived of its tables: all that it needs for its answer."""

    sql: str
    tables: Mapping[str, pa.Table]
    report: Report


@dataclass(slots=True)
class _Run:
    """One query on its way."""

    number: int
    query: plan.Query
    report: Report
    job: Job | None = None
    installed: Installed | None = None


class Connection:
    """Open tables. Not for several threads at once: calls wait for one another."""

    def __init__(
        self,
        opened: Mapping[str, tables.Table],
        cluster: Cluster,
        wires: Wires,
        *,
        delta: float = 1e-4,
        engine: Engine | None = None,
        seed: int = 1,
        costs: Costs | None = None,
    ) -> None:
        """Of tables whose fragments the cluster's workers have. `connect` is the way in."""
        self.wires = wires
        self._engine, self._delta, self._seed = engine or DuckDB(), delta, seed
        self._tables, self.cluster, self._switch = dict(opened), cluster, cluster.switch
        self._workers = len(cluster.switch.workers)
        self._schemas = {
            name: {f.name: str(f.type) for f in t.schema} for name, t in self._tables.items()
        }
        salt = int.from_bytes(hashlib.blake2b(b"%d" % seed, digest_size=8).digest(), "big")
        self.costs = costs or Costs()
        self._optimizer = Optimizer(self._tables, self._switch, wires, self.costs, delta, salt)
        self._runs = itertools.count(1)
        self._lock = threading.Lock()

    @property
    def schemas(self) -> Mapping[str, Mapping[str, str]]:
        """Types of columns by table."""
        return self._schemas

    def for_engine(self, engine: Engine, master: Mapping[type[plan.Push], Linear]) -> Connection:
        """The same tables, workers and switch for another master, whose queries cost that much. Use
        one connection at a time."""
        return Connection(
            self._tables, self.cluster, self.wires, delta=self._delta, engine=engine,
            seed=self._seed, costs=replace(self.costs, master=master),
        )  # fmt: skip

    def whole(self, table: str) -> pa.Table:
        """A table as it was opened."""
        return pa.concat_tables(self._tables[table].fragments)

    # ------------------------------------------------------------------------------ queries

    def sql(
        self, query: str, *, push: bool | None = None, restart_at_us: float | None = None
    ) -> Answer:
        """Runs one query. `push`: True always uses the switch if it can, False never does.

        EXPLAIN before a query gives the lines of `explain` as a table.
        `restart_at_us` lets the switch lose power that long after the first packet: for tests.
        Raises `plan.QueryError` for what cannot be read, `TransferError` when the network ends
        nothing in time.
        """
        word, _, rest = query.strip().partition(" ")
        if word.upper() == "EXPLAIN":
            return Answer(pa.table({"plan": self.explain(rest).splitlines()}), Report())
        return self.sql_together([query], push=push, restart_at_us=restart_at_us)[0]

    def sql_together(
        self, queries: Sequence[str], *, push: bool | None = None,
        restart_at_us: float | None = None,
    ) -> list[Answer]:  # fmt: skip
        """Runs several queries side by side, each on its own cells of the switch."""
        return [self._ask(pruned) for pruned in self.prune(queries, push, restart_at_us)]

    def prune(
        self, queries: Sequence[str | plan.Query], push: bool | None = None,
        restart_at_us: float | None = None,
    ) -> list[Pruned]:  # fmt: skip
        """As `sql_together`, but without the master's own queries: what survived, for others."""
        read = [plan.analyse(q, self._schemas) if isinstance(q, str) else q for q in queries]
        return self._run(read, push, restart_at_us)

    def _ask(self, pruned: Pruned) -> Answer:
        """The master's own query."""
        began = time.perf_counter()
        table = self._engine(pruned.sql, pruned.tables)
        pruned.report.master_s = time.perf_counter() - began
        return Answer(table, pruned.report)

    def skyline(self, table: str, largest: Mapping[str, bool], *, push: bool | None = None
                ) -> Answer:  # fmt: skip
        """Rows that no other row dominates; `largest[column]` says whether more is better.

        Two or three columns. A row that lacks one of them is dominated by none.
        """
        return self._ask(self.prune([self.skyline_query(table, largest)], push)[0])

    def skyline_query(self, table: str, largest: Mapping[str, bool]) -> plan.Query:
        """The query of `skyline`, for `prune`: SQL has no word for it."""
        if not 2 <= len(largest) <= 3:
            raise plan.QueryError(f"a skyline has two or three columns, not {len(largest)}")
        unknown = [c for c in (table, *largest) if c not in {*self._schemas.get(table, {}), table}]
        if table not in self._schemas or unknown:
            raise plan.QueryError(f"no table {table} with columns {', '.join(largest)}")
        use = plan.Use(table, tuple(self._schemas[table]), None)
        pushed = plan.Skyline(table, tuple(largest), tuple(largest.values()))
        return plan.Query(plan.skyline_sql(table, largest), (use,), (pushed,))

    def explain(self, query: str) -> str:
        """What would be pushed, and what that is expected to save."""
        found = plan.analyse(query, self._schemas)
        choice = self.choice(found)
        lines = []
        for use in found.uses:
            where = f" where {use.where} (workers)" if use.where else ""
            rows = self._tables[use.table].rows
            lines.append(f"table {use.table}: {rows} rows, {', '.join(use.columns)}{where}")
        job = choice.job
        if job is None:
            return "\n".join([*lines, f"switch: nothing, because {choice.reason}"])
        sure = "always right" if job.delta == 0 else f"wrong with probability <= {job.delta:g}"
        lines.append(f"switch: {job.title}; {sure}")
        for table, share in job.keep.items():
            lines.append(f"expected of {table}: {1 - share:.1%} of the rows pruned")
        lines.append(
            f"workers, network and master: {choice.with_us / 1e3:.2f} ms expected, "
            f"{choice.without_us / 1e3:.2f} ms without"
        )
        return "\n".join(lines)

    # ----------------------------------------------------------------------------- planning

    def choice(self, query: str | plan.Query) -> Choice:
        """What would be pushed, as far as statistics say without asking the workers."""
        read = plan.analyse(query, self._schemas) if isinstance(query, str) else query
        kept = {u.table: self._tables[u.table].selectivity(u.where) for u in read.uses}
        with self._lock:
            return self._optimizer.choose(read, kept, None)

    # ------------------------------------------------------------------------------ running

    def _run(
        self, queries: Sequence[plan.Query], push: bool | None, restart_at_us: float | None
    ) -> list[Pruned]:
        with self._lock:
            runs: list[_Run] = []
            try:
                runs += (self._begin(query, push) for query in queries)
                self._transfer(runs, restart_at_us)
                return [self._finish(run) for run in runs]
            finally:
                for run in runs:
                    if run.installed is not None:
                        self._switch.remove(run.installed)
                    self.cluster.forget(run.number)

    def _begin(self, query: plan.Query, push: bool | None) -> _Run:
        """Lets the workers decide their conditions, and gives the query its place in the switch."""
        run = _Run(next(self._runs), query, Report())
        report = run.report
        report.rows = {
            u.table: self.cluster.choose(run.number, u.table, u.where) for u in query.uses
        }
        exactly = {n: r / max(self._tables[n].rows, 1) for n, r in report.rows.items()}
        choice = self._optimizer.choose(query, exactly, push)
        run.job, report.reason = choice.job, choice.reason
        if run.job is None:
            return run
        job, count = run.job, self._workers
        if job.weakened is not None:  # then the switch decides, and no worker
            report.rows = {n: self.cluster.choose(run.number, n, None) for n in report.rows}
        try:
            free = self._switch.flows(count * len(job.passes))
            flows = {p.number: free[i * count :][:count] for i, p in enumerate(job.passes)}
            run.installed = self._switch.install(job.phases, job.shares, flows, job.one_pass)
        except NoRoom as problem:
            run.job, report.reason = None, str(problem)
            return run
        if job.weakened is not None:
            intervals = [job.weakened.intervals(c) for c in job.weakened.columns]
            self._switch.install_filter(run.installed, intervals, job.weakened.false_keys())
        report.pushed, report.delta = job.title, job.delta
        return run

    def _transfer(self, runs: Sequence[_Run], restart_at_us: float | None) -> None:
        """All passes of all queries, the n-th ones side by side."""
        for step in range(max((len(r.job.passes) for r in runs if r.job), default=0)):
            tasks, taking = [], []
            for run in runs:
                if run.job and run.installed and step < len(run.job.passes):
                    consumed = frozenset(p.number for p in run.job.passes if p.consume)
                    tasks.append(Task(run.number, run.installed, run.job.passes[step], consumed))
                    taking.append(run)
            for task, run in zip(tasks, taking, strict=True):
                if task.one.restricted:
                    run.report.elapsed_us += self.cluster.restrict(run.number, task.one.table)
            traffic = self.cluster.transfer(tasks, restart_at_us if step == 0 else None)
            for run in taking:
                report = run.report
                report.passes += 1
                report.packed += traffic.packed[run.number]
                report.packets += traffic.packets[run.number]
                report.resent += traffic.resent[run.number]
                report.prepare_s += traffic.prepare_s[run.number]
                report.elapsed_us += traffic.elapsed_us
                report.bytes_to_master += traffic.bytes_to_master // len(taking)

    def _finish(self, run: _Run) -> Pruned:
        """Fetches what survived."""
        report, uses = run.report, run.query.uses
        recount = run.job.recount if run.job else None
        fetched = self.cluster.fetch(run.number, uses, recount)
        report.survivors = {name: len(table) for name, table in fetched.tables.items()}
        report.bytes_to_master += fetched.bytes
        report.elapsed_us += fetched.elapsed_us
        report.bytes_without, report.elapsed_without_us = self.cluster.without(run.number, uses)
        return Pruned(run.query.sql, fetched.tables, report)

    def refused(self) -> dict[str, int]:
        """Packets that the switch has counted and dropped since it started, by reason."""
        return self._switch.refused()

    def faults(self) -> list[str]:
        """Reasons not to believe the network's times: a lab that could not keep its schedule."""
        return self.cluster.faults()

    def close(self) -> None:
        self.cluster.close()

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def connect(
    sources: Mapping[str, Any],
    *,
    workers: int = 5,
    wires: Wires | None = None,
    delta: float = 1e-4,
    engine: Engine | None = None,
    seed: int = 1,
    go_back_n: bool = False,
    lab: float | None = None,
    costs: Costs | None = None,
) -> Connection:
    """Opens tables for queries through a pruning switch.

    `sources` maps names to Arrow tables, .parquet or .csv files, or DuckDB relations; each is cut
    over `workers` (1 to 200). `wires` gives the rates of the links, `delta` the probability of a
    wrong answer that a query may have (operators that are always right are always so). `engine`
    runs the master's query; DuckDB unless given. Raises `tables.SourceError` for a source that
    cannot be read. `go_back_n` takes the paper's protocol, which drops what comes out of order, for
    comparison.

    `lab`: workers, switch and master as processes in a lab, its links slowed by that factor (at
    least 1), instead of modelled links in virtual time. Raises `LabError` where no lab can be.
    `costs`: what workers and master take to compute, which the optimizer weighs; if not given,
    they are measured for a lab, and nothing on modelled links.
    """
    if not 0 < delta < 1:
        raise ValueError(f"delta is a probability between 0 and 1, not {delta}")
    if not 1 <= workers <= 200:
        raise ValueError(f"1 to 200 workers, not {workers}")
    wires = wires or Wires()
    opened = {
        name: tables.Table.split(name, tables.read(name, source), workers)
        for name, source in sources.items()
    }
    parts = [{name: t.fragments[w] for name, t in opened.items()} for w in range(workers)]
    cluster: Cluster
    if lab is None:
        costs = costs or Costs()
        cluster = VirtualCluster([Worker(part) for part in parts], wires, seed, go_back_n, costs)
    else:
        from weft.p4.pruning.lab import LabCluster

        cluster, engine = LabCluster(parts, wires, lab, go_back_n), engine or DuckDB()
        costs = costs or Costs(cluster.probe(), of_master(engine))
    return Connection(opened, cluster, wires, delta=delta, engine=engine, seed=seed, costs=costs)
