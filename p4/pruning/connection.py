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

import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from weft.p4.pruning import execute, plan, tables, wire
from weft.p4.pruning.control import Installed, NoRoom, PruningSwitch
from weft.p4.pruning.execute import Job, Rows
from weft.p4.pruning.network import Traffic, Wires, transfer
from weft.p4.pruning.reliability import GoBackNSender, Receiver, Sender

#: Runs SQL over Arrow tables by name.
Engine = Callable[[str, Mapping[str, pa.Table]], pa.Table]
_ROW_WIRE_BYTES = (wire.HEADER_BYTES + 24) / wire.LANES + wire.ROW_BYTES


def duckdb_engine(sql: str, given: Mapping[str, pa.Table]) -> pa.Table:
    """The default master: DuckDB in this process, spilling to a folder that goes with it."""
    with (
        tempfile.TemporaryDirectory() as spill,
        duckdb.connect(config={"temp_directory": spill}) as database,
    ):
        for name, table in given.items():
            database.register(name, table)
        return database.sql(sql).to_arrow_table()


@dataclass(slots=True)
class Report:
    """What a query cost, and what it would have cost without the switch. Times are of the network.

    `expected` and `rows` count rows that meet the workers' conditions, by table.
    """

    pushed: str = ""  # the operator in the switch; empty: none, and `reason` says why
    reason: str = ""
    delta: float = 0.0
    rows: dict[str, int] = field(default_factory=dict)
    survivors: dict[str, int] = field(default_factory=dict)
    packets: int = 0
    resent: int = 0
    bytes_to_master: int = 0
    bytes_without: int = 0
    elapsed_us: float = 0.0
    elapsed_without_us: float = 0.0
    master_s: float = 0.0  # wall time of the master's query

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


@dataclass(slots=True)
class _Run:
    """One query on its way."""

    query: plan.Query
    report: Report
    chosen: dict[str, list[Rows]]  # by table and worker: rows that meet the workers' condition
    job: Job | None = None
    installed: Installed | None = None
    kept: dict[str, list[Rows]] = field(default_factory=dict)


class Connection:
    """Open tables. Not for several threads at once: calls wait for one another."""

    def __init__(
        self,
        sources: Mapping[str, Any],
        *,
        workers: int = 5,
        wires: Wires | None = None,
        delta: float = 1e-4,
        engine: Engine = duckdb_engine,
        seed: int = 1,
        go_back_n: bool = False,
    ) -> None:
        """See `connect`."""
        if not 0 < delta < 1:
            raise ValueError(f"delta is a probability between 0 and 1, not {delta}")
        self.wires = wires or Wires()
        self._delta, self._engine, self._workers = delta, engine, workers
        self._tables = {
            name: tables.Table.split(name, tables.read(name, source), workers)
            for name, source in sources.items()
        }
        self._schemas = {
            name: {f.name: str(f.type) for f in t.schema} for name, t in self._tables.items()
        }
        self._sender = GoBackNSender if go_back_n else Sender
        self._switch = PruningSwitch(workers, seed, in_order=go_back_n)
        self._lock = threading.Lock()

    # ------------------------------------------------------------------------------ queries

    def sql(
        self, query: str, *, push: bool | None = None, restart_at_us: float | None = None
    ) -> Answer:
        """Runs one query. `push`: True always uses the switch if it can, False never does.

        `restart_at_us` lets the switch lose power that long after the first packet: for tests.
        Raises `plan.QueryError` for what cannot be read, `TransferError` when the network ends
        nothing in time.
        """
        return self.sql_together([query], push=push, restart_at_us=restart_at_us)[0]

    def sql_together(
        self, queries: Sequence[str], *, push: bool | None = None,
        restart_at_us: float | None = None,
    ) -> list[Answer]:  # fmt: skip
        """Runs several queries side by side, each on its own cells of the switch."""
        return self._run([plan.analyse(q, self._schemas) for q in queries], push, restart_at_us)

    def skyline(self, table: str, largest: Mapping[str, bool], *, push: bool | None = None
                ) -> Answer:  # fmt: skip
        """Rows that no other row dominates; `largest[column]` says whether more is better.

        Two or three columns. SQL has no word for it: the master's query is a NOT EXISTS.
        """
        if not 2 <= len(largest) <= 3:
            raise plan.QueryError(f"a skyline has two or three columns, not {len(largest)}")
        unknown = [c for c in (table, *largest) if c not in {*self._schemas.get(table, {}), table}]
        if table not in self._schemas or unknown:
            raise plan.QueryError(f"no table {table} with columns {', '.join(largest)}")
        columns, sides = tuple(largest), tuple(largest.values())
        name, q = tables.quoted(table), [tables.quoted(c) for c in columns]
        better = [f"o.{c} {'>' if up else '<'} t.{c}" for c, up in zip(q, sides, strict=True)]
        good = [f"o.{c} {'>' if up else '<'}= t.{c}" for c, up in zip(q, sides, strict=True)]
        sql = (f"SELECT t.* FROM {name} t WHERE NOT EXISTS (SELECT 1 FROM {name} o WHERE "
               f"{' AND '.join(good)} AND ({' OR '.join(better)}))")  # fmt: skip
        use = plan.Use(table, tuple(self._schemas[table]), None)
        pushed = plan.Skyline(table, columns, sides)
        return self._run([plan.Query(sql, (use,), (pushed,))], push, None)[0]

    def explain(self, query: str) -> str:
        """What would be pushed, and what that is expected to save."""
        found = plan.analyse(query, self._schemas)
        kept = self._selectivity(found)
        with self._lock:
            job, reason = self._choose(found, kept, None)
        lines = []
        for use in found.uses:
            where = f" where {use.where} (workers)" if use.where else ""
            rows = self._tables[use.table].rows
            lines.append(f"table {use.table}: {rows} rows, {', '.join(use.columns)}{where}")
        if job is None:
            return "\n".join([*lines, f"switch: nothing, because {reason}"])
        with_, without = self._estimate(found, job, kept)
        sure = "always right" if job.delta == 0 else f"wrong with probability <= {job.delta:g}"
        lines.append(f"switch: {job.title}; {sure}")
        for table, share in job.keep.items():
            lines.append(f"expected of {table}: {1 - share:.1%} of the rows pruned")
        lines.append(f"network: {with_ / 1e3:.2f} ms expected, {without / 1e3:.2f} ms without")
        return "\n".join(lines)

    # ----------------------------------------------------------------------------- planning

    def _selectivity(self, query: plan.Query) -> dict[str, float]:
        return {u.table: self._tables[u.table].selectivity(u.where) for u in query.uses}

    def _choose(
        self, query: plan.Query, kept: Mapping[str, float], push: bool | None
    ) -> tuple[Job | None, str]:
        """The alternative that saves most, if any saves time (or must be taken)."""
        if push is False:
            return None, "the caller wants none"
        best: tuple[float, Job] | None = None
        reason = query.reason
        for alternative in query.pushes:
            try:
                job = execute.prepare(alternative, self._tables, self._switch, self._delta, kept)
            except (NoRoom, TypeError) as problem:
                reason = str(problem)
                continue
            with_, without = self._estimate(query, job, kept)
            if push or with_ < 0.9 * without:  # estimates err: a slight gain is none
                if best is None or with_ < best[0]:
                    best = with_, job
            else:
                reason = f"{job.title} would not pay: {with_:.0f} us against {without:.0f} us"
        return (best[1], "") if best else (None, reason)

    def _estimate(
        self, query: plan.Query, job: Job, kept: Mapping[str, float]
    ) -> tuple[float, float]:
        """Expected network time in microseconds with and without the switch."""
        wires, through = self.wires, {p.table: 0.0 for p in job.passes}
        rows = {u.table: self._tables[u.table].rows * kept[u.table] for u in query.uses}
        without = after = ids = 0.0
        for use in query.uses:
            width = self._tables[use.table].width(use.columns)
            without += rows[use.table] * width
            share = job.keep.get(use.table, 1.0)
            after += rows[use.table] * width * share
            ids += rows[use.table] * (share if use.table in job.keep else 0.0) * wire.ID_BYTES
        for one in job.passes:
            through[one.table] += rows[one.table] * _ROW_WIRE_BYTES
        up = sum(through.values()) * 8e-3 / wires.worker_gbps / self._workers
        down = (after + ids) * 8e-3 / wires.master_gbps
        turns = (len(job.passes) + 1) * 6 * wires.delay_us
        return up + down + turns, without * 8e-3 / wires.master_gbps + 2 * wires.delay_us

    # ------------------------------------------------------------------------------ running

    def _run(
        self, queries: Sequence[plan.Query], push: bool | None, restart_at_us: float | None
    ) -> list[Answer]:
        with self._lock:
            runs = [self._begin(query, push) for query in queries]
            try:
                self._transfer(runs, restart_at_us)
            finally:
                for run in runs:
                    if run.installed is not None:
                        self._switch.remove(run.installed)
        return [self._finish(run) for run in runs]

    def _begin(self, query: plan.Query, push: bool | None) -> _Run:
        """Lets the workers decide their conditions, and gives the query its place in the switch."""
        report = Report()
        chosen = {
            u.table: [tables.matching(u.table, f, u.where) for f in self._tables[u.table].fragments]
            for u in query.uses
        }
        run = _Run(query, report, chosen)
        report.rows = {name: sum(map(len, rows)) for name, rows in chosen.items()}
        exactly = {n: r / max(self._tables[n].rows, 1) for n, r in report.rows.items()}
        run.job, report.reason = self._choose(query, exactly, push)
        if run.job is None:
            return run
        job = run.job
        if job.weakened is not None:  # then the switch decides, and no worker
            for name in run.chosen:
                run.chosen[name] = [np.arange(len(f)) for f in self._tables[name].fragments]
            report.rows = {n: self._tables[n].rows for n in run.chosen}
        try:
            free, count = self._switch.flows(self._workers * len(job.passes)), self._workers
            flows = {
                p.number: free[i * count : (i + 1) * count] for i, p in enumerate(job.passes)
            }
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
        steps = max((len(r.job.passes) for r in runs if r.job), default=0)
        for step in range(steps):
            taking = [r for r in runs if r.job and step < len(r.job.passes)]
            senders: list[tuple[int, Sender]] = []
            receivers: dict[int, Receiver] = {}
            for run in taking:
                mine, receiver = self._flows(run, step)
                senders += mine
                receivers[receiver.query] = receiver
            cues = self._restart(taking, senders, restart_at_us if step == 0 else None)
            traffic = transfer(self._switch, self.wires, senders, receivers, cues)
            for run in taking:
                self._collect(run, step, receivers, senders, traffic)

    def _flows(self, run: _Run, step: int) -> tuple[list[tuple[int, Sender]], Receiver]:
        """The workers' flows of one pass. Rows that no code can hold are kept at once."""
        assert run.job is not None and run.installed is not None
        one = run.job.passes[step]
        kept = [np.zeros(0, np.int64)] * self._workers
        senders = []
        flows = run.installed.flows[one.number]
        for worker, flow in enumerate(flows):
            rows = run.chosen[one.table][worker]
            fragment = self._tables[one.table].fragments[worker].take(pa.array(rows))
            made, lanes, usable = one.encode(fragment)
            bodies = wire.lay_out(rows[usable].astype(np.uint32), made[usable], lanes[usable])
            if one.keep_rest:
                kept[worker] = rows[~usable]
            stream = wire.Stream(
                self._switch.workers[worker].address, self._switch.master.address,
                run.installed.query, run.installed.epoch, one.number, flow,
            )  # fmt: skip
            # Time for a full window of every worker to pass the master's link, and some.
            timeout = 200 + 20 * self.wires.delay_us + 4 * self.wires.jitter_us
            port = self._switch.workers[worker].port
            senders.append((port, self._sender(stream, bodies, timeout_us=timeout)))
        if not one.consume:
            run.kept[one.table] = kept
        consumed = frozenset(p.number for p in run.job.passes if p.consume)
        workers = {f: s.address for f, s in zip(flows, self._switch.workers, strict=True)}
        return senders, Receiver(self._switch.master.address, run.installed.query, workers, consumed)

    def _restart(
        self, runs: Sequence[_Run], senders: Sequence[tuple[int, Sender]], at_us: float | None
    ) -> list[tuple[float, Callable[[], None]]]:
        if at_us is None:
            return []

        def back() -> None:
            self._switch.restarted()
            epochs = {r.installed.query: r.installed.epoch for r in runs if r.installed}
            for _, sender in senders:
                sender.new_epoch(epochs[sender.stream.query])

        return [(at_us, self._switch.restart), (at_us + 100, back)]

    def _collect(
        self, run: _Run, step: int, receivers: Mapping[int, Receiver],
        senders: Sequence[tuple[int, Sender]], traffic: Traffic,
    ) -> None:  # fmt: skip
        assert run.job is not None and run.installed is not None
        receiver, one, report = receivers[run.installed.query], run.job.passes[step], run.report
        mine = [s for _, s in senders if s.stream.query == run.installed.query]
        report.packets += sum(s.sent_packets for s in mine)
        report.resent += sum(s.resent_packets for s in mine)
        report.elapsed_us += traffic.elapsed_us
        report.bytes_to_master += traffic.bytes_to_master // len(receivers)
        if one.consume:
            return
        for worker, flow in enumerate(receiver.flows):
            ids = np.array(sorted(receiver.survivors.get(flow, ())), np.int64)
            run.kept[one.table][worker] = np.union1d(run.kept[one.table][worker], ids)

    def _finish(self, run: _Run) -> Answer:
        """Fetches what survived, and asks the master."""
        report, given, by_worker = run.report, {}, dict.fromkeys(range(self._workers), 0)
        whole = dict(by_worker)
        for use in run.query.uses:
            rows = run.kept.get(use.table, run.chosen[use.table])
            fragments = self._tables[use.table].fragments
            if run.job is not None and run.job.recount and run.job.recount[0] == use.table:
                keys = run.job.recount[1]
                parts = zip(fragments, rows, strict=True)
                wanted = pa.concat_tables(tables.take(f, keys, r) for f, r in parts)
                report.bytes_to_master += wanted.nbytes
                parts = zip(fragments, run.chosen[use.table], strict=True)
                rows = [tables.with_keys(f, keys, wanted, r) for f, r in parts]
            taken = [tables.take(f, use.columns, r) for f, r in zip(fragments, rows, strict=True)]
            for worker, part in enumerate(taken):
                by_worker[worker] += part.nbytes
                whole[worker] += tables.take(
                    fragments[worker], use.columns, run.chosen[use.table][worker]
                ).nbytes
            report.survivors[use.table] = sum(map(len, rows))
            given[use.table] = pa.concat_tables(taken)
        report.bytes_to_master += sum(by_worker.values())
        report.bytes_without = sum(whole.values())
        report.elapsed_us += self.wires.bulk_us(by_worker)
        report.elapsed_without_us = self.wires.bulk_us(whole)
        began = time.perf_counter()
        table = self._engine(run.query.sql, given)
        report.master_s = time.perf_counter() - began
        return Answer(table, report)

    def close(self) -> None:
        self._switch.close()

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
    engine: Engine = duckdb_engine,
    seed: int = 1,
    go_back_n: bool = False,
) -> Connection:
    """Opens tables for queries through a pruning switch.

    `sources` maps names to Arrow tables, .parquet or .csv files, or DuckDB relations; each is cut
    over `workers` (1 to 200). `wires` gives the rates of the links, `delta` the probability of a
    wrong answer that a query may have (operators that are always right are always so). `engine`
    runs the master's query. Raises `tables.SourceError` for a source that cannot be read.
    `go_back_n` takes the paper's protocol, which drops what comes out of order, for comparison.
    """
    return Connection(
        sources, workers=workers, wires=wires, delta=delta, engine=engine, seed=seed,
        go_back_n=go_back_n,
    )  # fmt: skip
