"""A worker: its fragments of the tables, and which of their rows each query still wants.

It decides conditions on one table itself, makes the packets of a pass, and gives out the rows that
survived. Queries ("runs") bear numbers that the connection counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weft.p4.pruning import codes, tables, wire
from weft.p4.pruning.encoders import Encoder
from weft.p4.pruning.execute import PART_ROWS, Pass

Rows = npt.NDArray[np.int64]
_NONE = np.zeros(0, np.int64)
_WARM_ROWS = 256


@dataclass(frozen=True, slots=True)
class Packed:
    """Packets of some of a worker's rows in a pass; of how many rows they were made for it, and how
    long that took, in seconds of the thread's CPU time."""

    bodies: wire.Bodies
    made: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Made:
    """Packets of some rows. Rows of `asked` may be in none: `first` has the place of the one that
    goes for each. `unasked` have no codes."""

    bodies: wire.Bodies
    asked: Rows
    first: npt.NDArray[np.uint32] | None
    unasked: Rows


@dataclass(slots=True)
class Worker:
    """`fragments` by table. Raises KeyError for runs and tables that it was not told of."""

    fragments: Mapping[str, pa.Table]
    _chosen: dict[tuple[int, str], Rows] = field(default_factory=dict)
    #: Those of the chosen that an earlier pass left.
    _left: dict[tuple[int, str], Rows] = field(default_factory=dict)
    #: A run's last packets, which its next pass over the same rows and columns sends again.
    _made: dict[tuple[int, str], tuple[Encoder, list[_Made]]] = field(default_factory=dict)
    #: Of the last pass that pruned: what became of rows that were in no packet.
    _pruned: dict[tuple[int, str], list[_Made]] = field(default_factory=dict)

    def choose(self, run: int, table: str, where: str | None) -> int:
        """Lets a run see the rows that meet a condition; says how many."""
        rows = tables.matching(table, self.fragments[table], where)
        self._chosen[run, table] = rows
        return len(rows)

    def restrict(self, run: int, table: str, survivors: Rows) -> None:
        """Passes from now on are over the rows that reached the master."""
        self._left[run, table] = self.rows(run, table, survivors)
        self._made.pop((run, table), None)

    def pack(self, run: int, one: Pass) -> Iterator[Packed]:
        """The packets of a pass over a run's rows, a part at a time: the first can be on their way
        while the next are made. The pass is known to `rows` when all have been taken."""
        key = run, one.table
        if key not in self._made or self._made[key][0] != one.encode:
            parts = []
            for rows in self._parts(run, one):
                began = time.thread_time()
                parts.append(self._make(one, rows))
                yield Packed(parts[-1].bodies, len(rows), time.thread_time() - began)
            self._made[key] = one.encode, parts
        else:
            yield from (Packed(part.bodies, 0, 0.0) for part in self._made[key][1])
        if not one.consume:
            parts = self._made[key][1]
            self._pruned[key] = (
                parts if one.keep_rest else [replace(part, unasked=_NONE) for part in parts]
            )

    def warm(self, run: int, one: Pass) -> None:
        """Packs a few rows for nothing: a processor that has slept for long, as none would between
        passes over links that are not slowed, takes ten times as long for the first microseconds.
        """
        self._make(one, next(self._parts(run, one))[:_WARM_ROWS])

    def _parts(self, run: int, one: Pass) -> Iterator[Rows]:
        """The rows that a pass goes over. Where rising values would defeat the switch, every part
        has some of everywhere."""
        left = self._left.get((run, one.table))
        rows = self._chosen[run, one.table] if left is None else left
        count = max(1, -(-len(rows) // PART_ROWS))
        for i in range(count):
            if one.encode.order_matters:
                yield rows[i::count]
            else:
                yield rows[len(rows) * i // count : len(rows) * (i + 1) // count]

    def _make(self, one: Pass, rows: Rows) -> _Made:
        fragment = self.fragments[one.table].select(list(one.encode.needs))
        made, lanes, usable = one.encode(_taken(fragment, rows))
        asked, unasked, first = rows, _NONE, None
        if not usable.all():
            asked, unasked = rows[usable], rows[~usable]
            made, lanes = made[usable], lanes[usable]
        sent = asked
        if one.encode.key_decides:
            first = codes.first_alike(made)
            own = first == np.arange(len(first))
            sent, made, lanes = asked[own], made[own], lanes[own]
        spread = one.encode.order_matters
        bodies = wire.lay_out(sent.astype(np.uint32), made, lanes, spread=spread)
        return _Made(bodies, asked, first, unasked)

    def rows(self, run: int, table: str, survivors: Rows | None) -> Rows:
        """Rows that reach the master: what the switch let pass, what it was not asked about, and
        what is like a row of these; all of the run's, for a table that was not pruned (None)."""
        if survivors is None:
            return self._chosen[run, table]
        found = [survivors]
        for made in self._pruned[run, table]:
            found.append(made.unasked)
            if made.first is not None:
                # Both ascend.
                place = np.searchsorted(made.asked, survivors)
                there = place < len(made.asked)
                place = place[there][made.asked[place[there]] == survivors[there]]
                passed = np.zeros(len(made.asked), bool)
                passed[place] = True
                found.append(made.asked[passed[made.first]])
        return np.unique(np.concatenate(found))

    def take(
        self, run: int, table: str, columns: Sequence[str], survivors: Rows | None
    ) -> pa.Table:
        """The needed columns of the rows that reach the master."""
        return tables.take(self.fragments[table], columns, self.rows(run, table, survivors))

    def take_keyed(self, run: int, table: str, columns: Sequence[str], keys: pa.Table) -> pa.Table:
        """The needed columns of all rows of the given keys: HAVING's second pass."""
        fragment, chosen = self.fragments[table], self._chosen[run, table]
        rows = tables.with_keys(fragment, keys.column_names, keys, chosen)
        return tables.take(fragment, columns, rows)

    def forget(self, run: int) -> None:
        for known in (self._chosen, self._left, self._made, self._pruned):
            for key in [k for k in known if k[0] == run]:
                del known[key]


def _taken(fragment: pa.Table, rows: Rows) -> pa.Table:
    """Some rows, which ascend; without a copy if they lie together."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
        return fragment.slice(int(rows[0]), len(rows))
    return fragment.take(pa.array(rows))
