"""`weft demo pruning`: a query per operator, with and without the switch; table and picture."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from weft.p4.pruning import connect, workloads
from weft.p4.pruning.cluster import Wires
from weft.p4.pruning.connection import Answer, Connection


@dataclass(frozen=True, slots=True)
class Measured:
    """One query. Times are of the network, in virtual milliseconds."""

    query: str
    pushed: str
    rows: int
    survivors: int
    saved: float
    with_ms: float
    without_ms: float
    same: bool

    @property
    def faster(self) -> float:
        return self.without_ms / self.with_ms


def measure(rows: int, gbps: float, seed: int, folder: Path | None = None) -> list[Measured]:
    """Every operator over the Big Data benchmark's tables; TPC-H's queries from `folder`."""
    tables = workloads.big_data(rows, seed)
    wires = Wires(worker_gbps=gbps, master_gbps=gbps)
    found = []
    with connect(tables, wires=wires, seed=seed) as connection:
        for name, text in workloads.QUERIES.items():
            sql = text.format(bound=workloads.having_bound(tables))
            found.append(_compare(name, *_both(connection, sql)))
        table, largest = workloads.SKYLINE
        answer = connection.skyline(table, largest)
        best = _skyline(tables[table], *largest)
        found.append(
            _measured("SKYLINE", answer, workloads.values(answer.table) == workloads.values(best))
        )
    if folder is not None:
        with connect(workloads.tpch(folder), wires=wires, seed=seed) as connection:
            for name, sql in workloads.TPCH.items():
                found.append(_compare(f"TPC-H {name}", *_both(connection, sql)))
    return found


def _both(connection: Connection, sql: str) -> tuple[Answer, Answer]:
    return connection.sql(sql), connection.sql(sql, push=False)


def _compare(name: str, with_: Answer, without: Answer) -> Measured:
    return _measured(name, with_, workloads.values(with_.table) == workloads.values(without.table))


def _measured(name: str, answer: Answer, same: bool) -> Measured:
    r = answer.report
    return Measured(
        name, r.pushed, sum(r.rows.values()), sum(r.survivors.values()), r.saved,
        r.elapsed_us / 1e3, r.elapsed_without_us / 1e3, same,
    )  # fmt: skip


def _skyline(table: pa.Table, largest: str, smallest: str) -> pa.Table:
    """Undominated rows by one sorted sweep; the NOT EXISTS of the master is quadratic."""
    x, y = (table[c].to_numpy().astype(np.int64) for c in (largest, smallest))
    order = np.lexsort((y, -x))
    least = np.minimum.accumulate(y[order])
    # A point is beaten by an equal or smaller y at a larger x, or a smaller y at its own x.
    first = np.searchsorted(-x[order], -x[order], side="left")
    before = np.where(first > 0, least[np.maximum(first - 1, 0)], np.iinfo(np.int64).max)
    keep = (y[order] < before) & (y[order] == y[order][first])
    return table.take(pa.array(order[keep]))


def show(found: list[Measured], console: Any) -> None:
    from rich.table import Table

    table = Table(title="Time on the network, with and without the switch")
    for column in ("query", "in the switch", "rows", "left", "bytes saved", "ms", "ms without", ""):
        table.add_column(
            column, justify="left" if column in ("query", "in the switch") else "right"
        )
    for m in found:
        table.add_row(
            m.query, m.pushed or "nothing", f"{m.rows:,}", f"{m.survivors:,}", f"{m.saved:.0%}",
            f"{m.with_ms:.2f}", f"{m.without_ms:.2f}", f"{m.faster:.1f}x",
        )  # fmt: skip
    console.print(table)


def write(found: list[Measured], folder: Path) -> Path:
    """result.json and a picture; returns the picture's path."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pruning.json").write_text(json.dumps([asdict(m) for m in found], indent=2) + "\n")
    figure, axes = plt.subplots(figsize=(7.2, 3.6), layout="constrained")
    place = np.arange(len(found))
    axes.bar(place - 0.2, [m.without_ms for m in found], 0.4, label="all rows", color="#b9bec6")
    axes.bar(place + 0.2, [m.with_ms for m in found], 0.4, label="pruned", color="#2a6f97")
    for i, m in enumerate(found):
        top = max(m.with_ms, m.without_ms)
        axes.annotate(f"{m.faster:.1f}x", (i, top), (0, 2), textcoords="offset points", ha="center")
    axes.set_xticks(place, [m.query for m in found], fontsize=8)
    axes.set_ylabel("network time, ms (virtual)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    path = folder / "pruning.png"
    figure.savefig(path, dpi=150)
    plt.close(figure)
    return path
