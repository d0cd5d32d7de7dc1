"""Tables as workers hold them: Arrow fragments, their statistics, what a worker does with them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from weft.p4.pruning import codes
from weft.p4.pruning.codes import Scale, valid
from weft.p4.pruning.plan import quoted

_SAMPLE = 20_000  # rows
_GROUPS = 200

Amounts = npt.NDArray[np.float64]


class SourceError(ValueError):
    """A table cannot be read; names it and says which kinds can."""


def read(name: str, source: Any) -> pa.Table:
    """From an Arrow table, a Parquet or CSV file, or a DuckDB relation.

    Views of strings, which Parquet files may ask for, become plain strings.
    """
    table = _read(name, source)
    plain = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
    return table.cast(pa.schema([f.with_type(plain.get(f.type, f.type)) for f in table.schema]))


def _read(name: str, source: Any) -> pa.Table:
    if isinstance(source, pa.Table):
        return source
    if isinstance(source, duckdb.DuckDBPyRelation):
        return source.to_arrow_table()
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.exists():
            raise SourceError(f"table {name}: no file {path}")
        if path.suffix == ".parquet":
            return pyarrow.parquet.read_table(path)
        if path.suffix == ".csv":
            return pyarrow.csv.read_csv(path)
    raise SourceError(
        f"table {name}: give an Arrow table, a .parquet or .csv file, or a DuckDB relation, "
        f"not {source!r}"
    )


@dataclass(slots=True)
class Table:
    """One table, cut into as many fragments as there are workers."""

    name: str
    fragments: list[pa.Table]
    _scales: dict[str, Scale] = field(default_factory=dict)
    _distinct: dict[tuple[str, ...], int] = field(default_factory=dict)
    _widths: dict[tuple[str, ...], float] = field(default_factory=dict)
    _unlike: dict[tuple[str, ...], float] = field(default_factory=dict)
    _sums: dict[tuple[str | None, ...], tuple[Amounts, Amounts]] = field(default_factory=dict)

    @classmethod
    def split(cls, name: str, table: pa.Table, workers: int) -> Table:
        table = table.combine_chunks()
        edges = [len(table) * i // workers for i in range(workers + 1)]
        return cls(name, [table.slice(a, b - a) for a, b in itertools.pairwise(edges)])

    @property
    def rows(self) -> int:
        return sum(len(f) for f in self.fragments)

    @property
    def schema(self) -> pa.Schema:
        return self.fragments[0].schema

    def width(self, columns: Sequence[str]) -> float:
        """Bytes per row of these columns, as Arrow holds them."""
        name = tuple(columns)
        if name not in self._widths:
            whole = sum(f.select(list(columns)).nbytes for f in self.fragments)
            self._widths[name] = float(whole) / max(self.rows, 1)
        return self._widths[name]

    def scale(self, column: str) -> Scale:
        """Order-keeping codes for all fragments' values of a column."""
        if column not in self._scales:
            self._scales[column] = Scale.of(self._whole(column))
        return self._scales[column]

    def distinct(self, columns: Sequence[str]) -> int:
        """About how many different values (HyperLogLog; product for several columns)."""
        name = tuple(columns)
        if name not in self._distinct:
            estimate = 1.0
            with duckdb.connect() as database:
                database.register("t", pa.concat_tables(f.select(name) for f in self.fragments))
                for column in name:
                    found = database.execute(
                        f"SELECT approx_count_distinct({quoted(column)}) FROM t"
                    ).fetchone()
                    estimate *= max(1, found[0] if found else 1)
            self._distinct[name] = int(min(estimate, max(self.rows, 1)))
        return self._distinct[name]

    def unlike(self, keys: Sequence[str]) -> float:
        """About which share of a worker's rows is of no key that it met lately; of its first rows,
        among which are fewer repeated than among all."""
        name = tuple(keys)
        if name not in self._unlike:
            head = self.fragments[0].slice(0, _SAMPLE)
            made = codes.split(codes.key([head.column(k) for k in keys]))
            own = codes.first_alike(made) == np.arange(len(made))
            self._unlike[name] = float(own.mean()) if len(made) else 1.0
        return self._unlike[name]

    def sums(self, keys: Sequence[str], value: str | None) -> tuple[Amounts, Amounts]:
        """Rows, and sums of positive amounts (rows when None), of some of the groups: all rows of
        those that a hash of their keys draws."""
        name = (*keys, value)
        if name not in self._sums:
            step = max(1, min(self.rows // _SAMPLE, self.distinct(keys) // _GROUPS))
            amount = "1.0" if value is None else f"greatest({quoted(value)}, 0)::DOUBLE"
            key = ", ".join(map(quoted, keys))
            columns = list(dict.fromkeys([*keys, *([] if value is None else [value])]))
            with duckdb.connect() as database:
                database.register("t", pa.concat_tables(f.select(columns) for f in self.fragments))
                found = database.sql(
                    f"SELECT count(*)::DOUBLE n, coalesce(sum({amount}), 0)::DOUBLE s FROM t "
                    f"WHERE hash({key}) % {step} = 0 GROUP BY {key}"
                ).to_arrow_table()
            self._sums[name] = found["n"].to_numpy(), found["s"].to_numpy()
        return self._sums[name]

    def selectivity(self, where: str | None) -> float:
        """About which share of the rows a condition keeps, from the head of each fragment."""
        if where is None or self.rows == 0:
            return 1.0
        kept = seen = 0
        for fragment in self.fragments:
            head = fragment.slice(0, _SAMPLE // len(self.fragments))
            kept, seen = kept + len(matching(self.name, head, where)), seen + len(head)
        return kept / max(seen, 1)

    def _whole(self, column: str) -> pa.ChunkedArray:
        chunks = [c for f in self.fragments for c in f.column(column).chunks]
        return pa.chunked_array(chunks, self.schema.field(column).type)


def matching(name: str, fragment: pa.Table, where: str | None) -> npt.NDArray[np.int64]:
    """Numbers of the rows of a fragment that satisfy a condition, which a worker decides itself."""
    if where is None:
        return np.arange(len(fragment))
    with duckdb.connect() as database:
        numbered = fragment.append_column("__row", pa.array(np.arange(len(fragment))))
        database.register(name, numbered)
        found = database.sql(
            f"SELECT __row FROM {quoted(name)} WHERE {where} ORDER BY __row"
        ).to_arrow_table()
        return np.asarray(found.column(0).to_numpy(), np.int64)


def take(fragment: pa.Table, columns: Sequence[str], rows: npt.NDArray[np.int64]) -> pa.Table:
    """What a worker sends of the rows that survived."""
    return fragment.select(list(columns)).take(pa.array(rows))


def with_keys(
    fragment: pa.Table, keys: Sequence[str], wanted: pa.Table, rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Those of `rows` whose keys occur in `wanted`: the partial second pass of HAVING."""
    if len(rows) == 0 or len(wanted) == 0:
        return rows[:0]
    with duckdb.connect() as database:
        numbered = take(fragment, keys, rows).append_column("__row", pa.array(rows))
        database.register("fragment", numbered)
        database.register("wanted", wanted)
        same = " AND ".join(
            f"fragment.{quoted(k)} IS NOT DISTINCT FROM wanted.{quoted(k)}" for k in keys
        )
        found = database.sql(
            f"SELECT __row FROM fragment WHERE EXISTS (FROM wanted WHERE {same}) ORDER BY __row"
        ).to_arrow_table()
        return np.asarray(found.column(0).to_numpy(), np.int64)


def upwards(column: pa.ChunkedArray, unit: float) -> npt.NDArray[np.uint32]:
    """Amounts for a sketch: in units, rounded up, negative and missing ones as 0, capped."""
    values = column.cast(pa.float64()).fill_null(0.0).to_numpy()
    values = np.where(np.isnan(values), np.inf, values)
    amounts = np.ceil(np.clip(values / unit, 0, 2**32 - 1))
    return np.asarray(amounts, np.float64).astype(np.uint32)


def present(columns: Sequence[pa.ChunkedArray]) -> npt.NDArray[np.bool_]:
    """Which rows have a value in every column."""
    made = valid(columns[0])
    for column in columns[1:]:
        made &= valid(column)
    return made
