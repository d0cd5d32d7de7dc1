"""The control plane of a pruning switch: which query runs under which epoch, on which cells.

Queries run side by side: they share every operator's registers by rows of cells, of which each
query owns a contiguous part (`Share`). A switch that restarted has lost entries and state;
`restarted` installs what can go on under a new epoch, so that packets of before change nothing.

Packets bear no signature. What stands in for one: a query's flow is let in at its worker's port
only, addresses belong to ports, and queries and epochs are drawn, not counted, so that who is not
told cannot name them.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from weft.p4.pruning import wire
from weft.p4.switch import Switch
from weft.p4.switch.tables import Match

PROGRAMS = Path(__file__).parents[1] / "programs" / "pruning"
#: CRC-32C (Castagnoli): the second hash, of another polynomial than the first (join.p4 says why).
CASTAGNOLI = (0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, True, True)
#: The sizes that the software switch is built with: columns w, and cells per lane of each pool.
COLUMNS, CELLS, FILTER_CELLS, SKETCH_CELLS, SLOTS = 8, 4096, 65536, 16384, 64
#: Why the switch refused packets: cells of its counter, as in `pipeline.p4`.
REFUSALS = ("wrong version", "wrong epoch", "wrong sender")
#: Per column: (first code, last code, comparisons that may hold).
Intervals = Sequence[Sequence[tuple[int, int, int]]]


class NoRoom(RuntimeError):
    """The switch has not enough free cells for the query; it then runs unpruned."""


@dataclass(frozen=True, slots=True)
class Station:
    """A host at a port of the switch."""

    port: int
    address: wire.Address


@dataclass(frozen=True, slots=True)
class Row:
    """An entry of a table; names without the leading "ingress."."""

    table: str
    key: Sequence[Match]
    action: str
    arguments: Sequence[int] = ()
    priority: int = 0


class Chip(Protocol):
    """A running pruning program, wherever it runs."""

    def insert(self, rows: Sequence[Row]) -> list[int]:
        """Handles of the new entries."""

    def remove(self, entries: Sequence[tuple[str, int]]) -> None:
        """Entries by table and handle."""

    def clear(self, part: str, first: int, count: int) -> None:
        """Cells to zero, of all registers whose path has this part."""

    def reset(self) -> None:
        """All registers to zero."""

    def refused(self) -> list[int]:
        """Cells of the counter of refused packets."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Share:
    """A query's cells in one pool."""

    pool: str
    base: int
    size: int


@dataclass(slots=True)
class Phase:
    """What the switch does with the rows of one phase of a query."""

    action: str
    arguments: tuple[int, ...]


@dataclass(slots=True)
class Installed:
    """A query in the switch. `phases` by number; `flows[phase][worker]` are its flows."""

    query: int
    epoch: int
    phases: dict[int, Phase]
    shares: tuple[Share, ...] = ()
    flows: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    one_pass: bool = True
    entries: list[tuple[str, int]] = field(default_factory=list)  # table, handle


#: Which registers, by the end of their path, a pool's cells lie in, and how many there are.
_POOLS: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "distinct": (CELLS, (".distinct.",)),
    "top_n_random": (CELLS, (".top_n_random.",)),
    "group_by": (CELLS, (".group_by.",)),
    "filter": (FILTER_CELLS, (".join.",)),
    "sketch": (SKETCH_CELLS, (".having.row",)),
    "reported": (CELLS, (".having.reported.",)),
    "skyline": (SLOTS, (".skyline.",)),
    "top_n_deterministic": (SLOTS, (".top_n_deterministic.",)),
}


def sizes(in_order: bool = False) -> dict[str, str]:
    """What `all.p4` is compiled with. `in_order`: the paper's go-back-N rule, no window."""
    given = {"COLUMNS": COLUMNS, "CELLS": CELLS, "LANES": wire.LANES,
             "FILTER_CELLS": FILTER_CELLS, "SKETCH_CELLS": SKETCH_CELLS}  # fmt: skip
    return {n: str(v) for n, v in given.items()} | ({"IN_ORDER": "1"} if in_order else {})


class LocalChip:
    """The program in this process; `send` runs a packet."""

    def __init__(self, seed: int, in_order: bool) -> None:
        self.switch = Switch.load(PROGRAMS / "all.p4", defines=sizes(in_order), seed=seed)
        self.switch.custom_crc(32, *CASTAGNOLI)
        self.send = self.switch.send

    def insert(self, rows: Sequence[Row]) -> list[int]:
        handles = []
        for row in rows:
            table = self.switch.table(f"ingress.{row.table}")
            entry = table.insert(
                list(row.key), action_path(row), row.arguments, priority=row.priority
            )
            handles.append(entry.handle)
        return handles

    def remove(self, entries: Sequence[tuple[str, int]]) -> None:
        for table, handle in entries:
            self.switch.table(f"ingress.{table}").remove(handle)

    def clear(self, part: str, first: int, count: int) -> None:
        for name, register in self.switch.registers.items():
            if part in name:
                register.clear(first, count)

    def reset(self) -> None:
        for register in self.switch.registers.values():
            register.reset()

    def refused(self) -> list[int]:
        counter = self.switch.counter("ingress.refused")
        return [counter.read(i)[0] for i in range(len(REFUSALS))]

    def close(self) -> None:
        self.switch.close()


def action_path(row: Row) -> str:
    """The control plane's name of an entry's action: a neighbour of its table."""
    if row.action == "NoAction":
        return row.action
    return f"{f'ingress.{row.table}'.rpartition('.')[0]}.{row.action}"


def stations(workers: int) -> tuple[list[Station], Station]:
    """1 to 200 workers at ports from 1 on, the master at port 500."""
    if not 1 <= workers <= 200:
        raise ValueError(f"1 to 200 workers, not {workers}")
    return [Station(w, wire.Address(w)) for w in range(1, workers + 1)], Station(
        500, wire.Address(250)
    )


class PruningSwitch:
    """A software switch with every operator, the workers and one master at its ports."""

    def __init__(
        self, chip: Chip, workers: Sequence[Station], master: Station, in_order: bool = False
    ) -> None:
        self.chip, self.workers, self.master, self.in_order = chip, workers, master, in_order
        self._running: dict[int, Installed] = {}
        # Routes to all hosts, and which address may speak at which port.
        rows = []
        for station in (*workers, master):
            ip = str(station.address)
            rows.append(Row("routes", [(ip, 32)], "forward", [station.port]))
            rows.append(Row("sources", [station.port, ip], "NoAction"))
        chip.insert(rows)

    # ---------------------------------------------------------------------------- resources

    def free(self, pool: str) -> int:
        """The longest free run of cells (per lane) in a pool."""
        return max((end - start for start, end in self._gaps(pool)), default=0)

    def _gaps(self, pool: str) -> list[tuple[int, int]]:
        taken = sorted(
            (s.base, s.base + s.size)
            for query in self._running.values() for s in query.shares if s.pool == pool
        )  # fmt: skip
        gaps, at = [], 0
        for start, end in [*taken, (_POOLS[pool][0],) * 2]:
            if start > at:
                gaps.append((at, start))
            at = max(at, end)
        return gaps

    def share(self, pool: str, size: int) -> Share:
        """Cells for a query to be installed next; raises `NoRoom`."""
        for start, end in self._gaps(pool):
            if end - start >= size:
                return Share(pool, start, size)
        raise NoRoom(f"{pool}: {size} cells per lane are wanted, {self.free(pool)} are free")

    def flows(self, count: int) -> tuple[int, ...]:
        """Flow numbers that no running query uses; raises `NoRoom`."""
        taken = {f for query in self._running.values() for fs in query.flows.values() for f in fs}
        found = [f for f in range(wire.FLOWS) if f not in taken][:count]
        if len(found) < count:
            raise NoRoom(f"{count} flows are wanted, {len(found)} of {wire.FLOWS} are free")
        return tuple(found)

    # ------------------------------------------------------------------------------ queries

    def install(
        self, phases: Mapping[int, Phase], shares: Sequence[Share],
        flows: Mapping[int, tuple[int, ...]], one_pass: bool = True,
    ) -> Installed:  # fmt: skip
        """Clears the query's cells, then lets its packets in under an own number and epoch.

        `flows[phase][worker]`: what each worker will send in each phase; nobody else may.
        """
        made = Installed(
            self._unused_number(), _drawn(), dict(phases), tuple(shares), flows, one_pass
        )
        self._running[made.query] = made
        self._clear(made)
        self._enter(made)
        return made

    def _unused_number(self) -> int:
        while (number := _drawn()) in self._running:
            pass
        return number

    def remove(self, installed: Installed) -> None:
        """Ends a query and frees its cells."""
        self._leave(installed)
        self._running.pop(installed.query, None)

    def restart(self) -> None:
        """The switch loses all it knows, as after a power cut; routes come back by themselves."""
        for query in self._running.values():
            self._leave(query)
        self.chip.reset()

    def restarted(self) -> None:
        """Brings queries back under new epochs: one-pass operators start afresh, the others end."""
        for query in self._running.values():
            before = query.epoch
            while query.epoch == before:
                query.epoch = _drawn()
            if query.one_pass:
                self._enter(query)

    def _enter(self, query: Installed) -> None:
        rows = []
        for number, phase in query.phases.items():
            for flow, worker in zip(query.flows[number], self.workers, strict=True):
                key = admission(query.query, query.epoch, number, flow, worker)
                rows.append(Row("queries", key, phase.action, phase.arguments))
        self._insert(query, [*rows, Row("known", [query.query], "running", [query.epoch])])

    def _insert(self, query: Installed, rows: Sequence[Row]) -> None:
        handles = self.chip.insert(rows)
        query.entries += [(row.table, h) for row, h in zip(rows, handles, strict=True)]

    def _leave(self, query: Installed) -> None:
        self.chip.remove(query.entries)
        query.entries.clear()

    def refused(self) -> dict[str, int]:
        """Packets that the switch has dropped so far, by reason."""
        return dict(zip(REFUSALS, self.chip.refused(), strict=True))

    def install_filter(
        self, query: Installed, columns: Intervals, false_keys: Sequence[int]
    ) -> None:
        """FILTER's tables: one per column (codes a, b, c in turn), and the truth of the whole."""
        rows = []
        for lane in range(wire.LANES):
            path = f"lane{lane}.filter"
            for axis, intervals in zip("abc", columns, strict=False):
                for low, high, bits in intervals:
                    key: list[Match] = [query.query, (low, high)]
                    rows.append(Row(f"{path}.{axis}.intervals", key, "hold", [bits], 1))
            for bits in false_keys:
                rows.append(Row(f"{path}.truth", [query.query, bits], "drop_row"))
        self._insert(query, rows)

    def _clear(self, query: Installed) -> None:
        for share in query.shares:
            for part in _POOLS[share.pool][1]:
                self.chip.clear(part, share.base, share.size)
        cells = 1 if self.in_order else wire.WINDOW
        for flow in (f for flows in query.flows.values() for f in flows):
            self.chip.clear("ingress.window.last", flow * cells, cells)

    def close(self) -> None:
        self.chip.close()


def admission(query: int, epoch: int, phase: int, flow: int, worker: Station) -> list[Match]:
    """The key of `queries` under which a worker's packets meet the operator."""
    source = str(worker.address)
    return [wire.VERSION, wire.DATA, query, epoch, phase, flow, source, worker.port]


def _drawn() -> int:
    """A query's or an epoch's number that cannot be guessed."""
    return 1 + secrets.randbelow(0xFFFF)
