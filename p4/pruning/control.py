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

from weft.p4.pruning import wire
from weft.p4.switch import Switch
from weft.p4.switch.tables import Entry, Match, Table

PROGRAMS = Path(__file__).parents[1] / "programs" / "pruning"
#: CRC-32C (Castagnoli): the second hash, of another polynomial than the first (join.p4 says why).
CASTAGNOLI = (0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, True, True)
#: The sizes that the software switch is built with: columns w, and cells per lane of each pool.
COLUMNS, CELLS, FILTER_CELLS, SKETCH_CELLS, SLOTS = 8, 4096, 65536, 4096, 64
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
    entries: list[tuple[Table, Entry]] = field(default_factory=list)


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


class PruningSwitch:
    """A software switch with every operator, the workers and one master at its ports."""

    def __init__(self, workers: int, seed: int = 1, in_order: bool = False) -> None:
        """1 to 200 workers at ports from 1 on, the master at port 500.

        `in_order`: the paper's go-back-N rule instead of the sequence window.
        """
        if not 1 <= workers <= 200:
            raise ValueError(f"1 to 200 workers, not {workers}")
        self.workers = [Station(w, wire.Address(w)) for w in range(1, workers + 1)]
        self.master = Station(500, wire.Address(250))
        sizes = {"COLUMNS": COLUMNS, "CELLS": CELLS, "LANES": wire.LANES,
                 "FILTER_CELLS": FILTER_CELLS, "SKETCH_CELLS": SKETCH_CELLS}  # fmt: skip
        defines = {name: str(size) for name, size in sizes.items()}
        defines |= {"IN_ORDER": "1"} if in_order else {}
        self.in_order = in_order
        self.switch = Switch.load(PROGRAMS / "all.p4", defines=defines, seed=seed)
        self.switch.custom_crc(32, *CASTAGNOLI)
        self._running: dict[int, Installed] = {}
        self._stations()

    def _stations(self) -> None:
        """Routes to all hosts, and which address may speak at which port."""
        routes, sources = (self.switch.table(f"ingress.{t}") for t in ("routes", "sources"))
        for station in (*self.workers, self.master):
            ip = str(station.address)
            routes.insert([(ip, 32)], "ingress.forward", [station.port])
            sources.insert([station.port, ip], "NoAction")

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
        for register in self.switch.registers.values():
            register.reset()

    def restarted(self) -> None:
        """Brings queries back under new epochs: one-pass operators start afresh, the others end."""
        for query in self._running.values():
            before = query.epoch
            while query.epoch == before:
                query.epoch = _drawn()
            if query.one_pass:
                self._enter(query)

    def _enter(self, query: Installed) -> None:
        for number, phase in query.phases.items():
            for flow, worker in zip(query.flows[number], self.workers, strict=True):
                key = admission(query.query, query.epoch, number, flow, worker)
                self._insert(query, "queries", key, phase.action, phase.arguments)
        self._insert(query, "known", [query.query], "running", [query.epoch])

    def _insert(self, query: Installed, table: str, key: Sequence[Match], action: str,
                arguments: Sequence[int] = (), priority: int = 0) -> None:  # fmt: skip
        place, scope = self.switch.table(f"ingress.{table}"), f"ingress.{table}".rpartition(".")[0]
        entry = place.insert(list(key), f"{scope}.{action}", arguments, priority=priority)
        query.entries.append((place, entry))

    def _leave(self, query: Installed) -> None:
        for table, entry in query.entries:
            table.remove(entry)
        query.entries.clear()

    def refused(self) -> dict[str, int]:
        """Packets that the switch has dropped so far, by reason."""
        counter = self.switch.counter("ingress.refused")
        return {reason: counter.read(i)[0] for i, reason in enumerate(REFUSALS)}

    def install_filter(
        self, query: Installed, columns: Intervals, false_keys: Sequence[int]
    ) -> None:
        """FILTER's tables: one per column (codes a, b, c in turn), and the truth of the whole."""
        for lane in range(wire.LANES):
            path = f"lane{lane}.filter"
            for axis, intervals in zip("abc", columns, strict=False):
                for low, high, bits in intervals:
                    key = [query.query, (low, high)]
                    self._insert(query, f"{path}.{axis}.intervals", key, "hold", [bits], 1)
            for bits in false_keys:
                self._insert(query, f"{path}.truth", [query.query, bits], "drop_row")

    def _clear(self, query: Installed) -> None:
        for share in query.shares:
            for name, register in self.switch.registers.items():
                if any(part in name for part in _POOLS[share.pool][1]):
                    register.clear(share.base, share.size)
        window = self.switch.register("ingress.window.last")
        cells = 1 if self.in_order else wire.WINDOW
        for flow in (f for flows in query.flows.values() for f in flows):
            window.clear(flow * cells, cells)

    def close(self) -> None:
        self.switch.close()


def admission(query: int, epoch: int, phase: int, flow: int, worker: Station) -> list[Match]:
    """The key of `queries` under which a worker's packets meet the operator."""
    source = str(worker.address)
    return [wire.VERSION, wire.DATA, query, epoch, phase, flow, source, worker.port]


def _drawn() -> int:
    """A query's or an epoch's number that cannot be guessed."""
    return 1 + secrets.randbelow(0xFFFF)
