"""What hosts take to compute, measured by probes, so that the optimizer can weigh it.

On modelled links only the network takes time, and hosts cost nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa

from weft.p4.pruning import plan
from weft.p4.pruning.codes import Scale
from weft.p4.pruning.encoders import Amounts, Best, Encoder, JoinKeys, Keys, Places
from weft.p4.pruning.engine import Engine
from weft.p4.pruning.execute import Pass
from weft.p4.pruning.worker import Worker

#: Rows of a worker's fragment, and of a master's table: engines that cut their work by some hundred
#: thousand rows take more for a row of a small table than of a large one.
_WORKER_ROWS, _MASTER_ROWS = (100, 200_000), (10_000, 1_000_000)
_REPEATS = 3


@dataclass(frozen=True, slots=True)
class Range:
    """The least and the most that something was seen to take, in microseconds."""

    least: float = 0.0
    most: float = 0.0


@dataclass(frozen=True, slots=True)
class Linear:
    """Of something that takes `fixed` whatever its size, and more for each row."""

    fixed: Range = Range()
    per_row: Range = Range()


@dataclass(frozen=True, slots=True)
class Costs:
    """Of a pass at a worker by what it makes of rows, and of the master's query by its operator,
    by the rows that reach the master."""

    worker: Mapping[type[Encoder], Linear] = field(default_factory=dict)
    master: Mapping[type[plan.Push], Linear] = field(default_factory=dict)

    def of_pass(self, encode: Encoder) -> Linear:
        return self.worker.get(type(encode), Linear())

    def of_master(self, push: plan.Push) -> Linear:
        return self.master.get(type(push), Linear())


#: Queries of each operator's kind. What a join takes for a row depends on the sizes of its sides
#: and of its answer, a skyline on how many values its first column has: of those there are a dear
#: one and a cheap one.
_PROBES: Mapping[type[plan.Push], tuple[str, ...]] = {
    plan.Distinct: ("SELECT DISTINCT k FROM probe",),
    plan.TopN: ("SELECT k, v FROM probe ORDER BY v DESC LIMIT 250",),
    plan.GroupBest: ("SELECT k, max(v) AS m FROM probe GROUP BY k",),
    plan.Having: ("SELECT k, sum(v) AS s FROM probe GROUP BY k HAVING sum(v) > 1e9",),
    plan.Join: (
        "SELECT a.v, b.v AS w FROM probe a JOIN other b ON a.i = b.i",
        "SELECT sum(a.v) AS s FROM probe a JOIN few b ON a.i = b.i",
    ),
    plan.Filter: ("SELECT k FROM probe WHERE v < 0",),
    plan.Skyline: (
        plan.skyline_sql("probe", {"v": True, "i": False}),
        plan.skyline_sql("probe", {"n": True, "v": False}),
    ),
}
#: The probes' tables, by their share of the probe's rows.
_SHARES = {"probe": 1.0, "other": 1.0, "few": 0.1}


def _table(rows: int) -> pa.Table:
    number = np.arange(rows) * 7919 % 600
    keys = pa.array([f"agent/{i}.{i % 7}" for i in range(600)]).take(pa.array(number))
    values = np.random.default_rng(1).random(rows)
    return pa.table({"k": keys, "n": number, "v": values, "i": np.arange(rows) * 31 % rows})


def _times(once: Callable[[], float]) -> list[float]:
    """Microseconds of several runs, after one that does not count."""
    once()
    return [1e6 * once() for _ in range(_REPEATS)]


def _linear(once: Callable[[int], float], sizes: tuple[int, int], share: float = 1.0) -> Linear:
    """Of what takes `once(size)` seconds for `share` times `size` rows. What lies between two sizes
    cannot be less, or more; nor what is left for no rows."""
    few_rows, rows = sizes[0] * share, (sizes[1] - sizes[0]) * share
    few, many = (_times(partial(once, size)) for size in sizes)
    least = max(0.0, (min(many) - max(few)) / rows)
    most = max(0.0, (max(many) - min(few)) / rows)
    fixed = Range(max(0.0, min(few) - most * few_rows), max(0.0, max(few) - least * few_rows))
    return Linear(fixed, Range(least, most))


def _over(found: Sequence[Linear]) -> Linear:
    """What covers them all."""

    def over(ranges: Sequence[Range]) -> Range:
        return Range(min(r.least for r in ranges), max(r.most for r in ranges))

    return Linear(over([one.fixed for one in found]), over([one.per_row for one in found]))


def _encoders(table: pa.Table) -> list[Encoder]:
    """One of each kind. Keys are text, which costs more than a number, but where they are looked
    for alike: distinct numbers cost more there."""
    scale = Scale.of(table.column("v"))
    return [
        Keys(("k",), 1), Best(("k",), "v", scale, False, 1), Amounts(("k",), "v", 1e-6, 1),
        JoinKeys(("i",), 1), Places((("v", scale, False),)),
    ]  # fmt: skip


def of_worker() -> dict[type[Encoder], Linear]:
    """CPU time of a pass, by what it makes of rows."""
    tables = {rows: _table(rows) for rows in _WORKER_ROWS}
    workers = {rows: Worker({"probe": table}) for rows, table in tables.items()}

    def once(encode: Encoder, rows: int) -> float:
        worker = workers[rows]
        worker.choose(0, "probe", None)
        one = Pass(0, "probe", encode, rows, 1.0, 1.0)
        seconds = sum(packed.seconds for packed in worker.pack(0, one))
        worker.forget(0)
        return seconds

    some = tables[max(_WORKER_ROWS)]
    return {type(e): _linear(partial(once, e), _WORKER_ROWS) for e in _encoders(some)}


def of_master(engine: Engine) -> dict[type[plan.Push], Linear]:
    """Wall time of queries of each operator's kind, by all their tables' rows."""
    probes = {rows: _table(rows) for rows in _MASTER_ROWS}

    def tables(sql: str) -> list[str]:
        return [name for name in _SHARES if re.search(rf"\b{name}\b", sql)]

    def once(sql: str, rows: int) -> float:
        given = {name: probes[rows].slice(0, int(_SHARES[name] * rows)) for name in tables(sql)}
        began = time.perf_counter()
        engine(sql, given)
        return time.perf_counter() - began

    def cost(sql: str) -> Linear:
        return _linear(partial(once, sql), _MASTER_ROWS, sum(_SHARES[t] for t in tables(sql)))

    return {kind: _over([cost(sql) for sql in queries]) for kind, queries in _PROBES.items()}
