"""A worker: its fragments of the tables, and which of their rows each query still wants.

It decides conditions on one table itself, makes the packets of a pass, and gives out the rows that
survived. Queries ("runs") bear numbers that the connection counts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from weft.p4.pruning import tables, wire
from weft.p4.pruning.encoders import Encoder
from weft.p4.pruning.execute import Pass

Rows = npt.NDArray[np.int64]
_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class Packed:
    """A worker's packets of one pass; of how many rows they were made for it, and how long that
    took, in seconds of CPU time."""

    bodies: wire.Bodies
    made: int
    seconds: float


@dataclass(slots=True)
class Worker:
    """`fragments` by table. Raises KeyError for runs and tables that it was not told of."""

    fragments: Mapping[str, pa.Table]
    _chosen: dict[tuple[int, str], Rows] = field(default_factory=dict)
    #: Those of the chosen that an earlier pass left.
    _left: dict[tuple[int, str], Rows] = field(default_factory=dict)
    #: Rows that no code can hold: kept without asking.
    _unasked: dict[tuple[int, str], Rows] = field(default_factory=dict)
    #: A run's last packets, which its next pass over the same rows and columns sends again.
    _packed: dict[tuple[int, str], tuple[Encoder, wire.Bodies, Rows]] = field(default_factory=dict)

    def choose(self, run: int, table: str, where: str | None) -> int:
        """Lets a run see the rows that meet a condition; says how many."""
        rows = tables.matching(table, self.fragments[table], where)
        self._chosen[run, table] = rows
        return len(rows)

    def restrict(self, run: int, table: str, survivors: Rows) -> None:
        """Passes from now on are over the rows that reached the master."""
        self._left[run, table] = self.rows(run, table, survivors)
        self._packed.pop((run, table), None)

    def pack(self, run: int, one: Pass) -> Packed:
        """The packets of a pass over a run's rows."""
        began = time.process_time()
        encode, bodies, unasked = self._packed.get((run, one.table), (None, None, _NONE))
        made = 0
        if bodies is None or encode != one.encode:
            bodies, unasked = self._make(run, one)
            self._packed[run, one.table] = one.encode, bodies, unasked
            made = len(self._rows(run, one.table))
        if not one.consume:
            self._unasked[run, one.table] = unasked if one.keep_rest else _NONE
        return Packed(bodies, made, time.process_time() - began)

    def _rows(self, run: int, table: str) -> Rows:
        """Those that a pass goes over."""
        left = self._left.get((run, table))
        return self._chosen[run, table] if left is None else left

    def _make(self, run: int, one: Pass) -> tuple[wire.Bodies, Rows]:
        """Packets, and the rows that are in none."""
        rows = self._rows(run, one.table)
        fragment = self.fragments[one.table].select(list(one.encode.needs))
        chosen = fragment if len(rows) == len(fragment) else fragment.take(pa.array(rows))
        made, lanes, usable = one.encode(chosen)
        if usable.all():
            return wire.lay_out(rows.astype(np.uint32), made, lanes), _NONE
        asked = rows[usable].astype(np.uint32)
        return wire.lay_out(asked, made[usable], lanes[usable]), rows[~usable]

    def rows(self, run: int, table: str, survivors: Rows | None) -> Rows:
        """Rows that reach the master: what the switch let pass and what it was not asked about;
        all of the run's, for a table that was not pruned (None)."""
        if survivors is None:
            return self._chosen[run, table]
        return np.union1d(self._unasked[run, table], survivors)

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
        for known in (self._chosen, self._left, self._unasked, self._packed):
            for key in [k for k in known if k[0] == run]:
                del known[key]
