"""The control plane of a pruning switch: which query runs under which epoch, on which cells.

Queries run side by side: they share every operator's registers by rows of cells, of which each
query owns a contiguous part (`Share`). A switch that restarted has lost entries and state;
`restarted` installs what can go on under a new epoch, so that packets of before change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from weft.p4.pruning import wire
from weft.p4.switch import Switch
from weft.p4.switch.tables import Entry, Table

PROGRAMS = Path(__file__).parents[1] / "programs" / "pruning"
#: CRC-32C (Castagnoli): the second hash, of another polynomial than the first (join.p4 says why).
CASTAGNOLI = (0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, True, True)
#: The sizes that the software switch is built with: columns w, and cells per lane of each pool.
COLUMNS, CELLS, FILTER_CELLS, SKETCH_CELLS, SLOTS = 8, 4096, 65536, 4096, 64
MASTER_PORT = 500
#: Per column: (first code, last code, comparisons that may hold).
Intervals = Sequence[Sequence[tuple[int, int, int]]]


class NoRoom(RuntimeError):
    """The switch has not enough free cells for the query; it then runs unpruned."""


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
    """A query in the switch. `phases` by number; rows of a phase without entry pass unpruned."""

    query: int
    epoch: int
    phases: dict[int, Phase]
    shares: tuple[Share, ...] = ()
    flows: tuple[int, ...] = ()
    one_pass: bool = True
    handles: list[Entry] = field(default_factory=list)
    filters: list[tuple[Table, Entry]] = field(default_factory=list)


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
        """`workers` at ports and addresses 1..workers (at most 200), the master at port 500.

        `in_order`: the paper's go-back-N rule instead of the sequence window.
        """
        if not 1 <= workers <= 200:
            raise ValueError(f"1 to 200 workers, not {workers}")
        self.workers = workers
        sizes = {"COLUMNS": COLUMNS, "CELLS": CELLS, "LANES": wire.LANES,
                 "FILTER_CELLS": FILTER_CELLS, "SKETCH_CELLS": SKETCH_CELLS}  # fmt: skip
        defines = {name: str(size) for name, size in sizes.items()}
        defines |= {"IN_ORDER": "1"} if in_order else {}
        self.in_order = in_order
        self.switch = Switch.load(PROGRAMS / "all.p4", defines=defines, seed=seed)
        self.switch.custom_crc(32, *CASTAGNOLI)
        self._seed = seed
        self._next_query, self._next_epoch = 1, 1
        self._running: dict[int, Installed] = {}
        self._routes()

    master = wire.Address(250)

    def _routes(self) -> None:
        routes = self.switch.table("ingress.routes")
        for worker in range(1, self.workers + 1):
            routes.insert([(f"10.0.0.{worker}", 32)], "ingress.forward", [worker])
        routes.insert([("10.0.0.250", 32)], "ingress.forward", [MASTER_PORT])

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
        taken = {f for query in self._running.values() for f in query.flows}
        found = [f for f in range(wire.FLOWS) if f not in taken][:count]
        if len(found) < count:
            raise NoRoom(f"{count} flows are wanted, {len(found)} of {wire.FLOWS} are free")
        return tuple(found)

    # ------------------------------------------------------------------------------ queries

    def install(
        self, phases: Mapping[int, Phase], shares: Sequence[Share], flows: Sequence[int],
        one_pass: bool = True,
    ) -> Installed:  # fmt: skip
        """Clears the query's cells, then lets its packets in under an own number and epoch."""
        made = Installed(
            self._next_query, self._next_epoch, dict(phases), tuple(shares), tuple(flows), one_pass
        )
        self._next_query = self._next_query % 0xFFFF + 1
        self._next_epoch = self._next_epoch % 0xFFFF + 1
        self._running[made.query] = made
        self._clear(made)
        self._enter(made)
        return made

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
        for owner, entry in query.filters:
            owner.remove(entry)
        query.filters.clear()

    def restarted(self) -> None:
        """Brings queries back under new epochs: one-pass operators start afresh, the others end."""
        for query in self._running.values():
            query.epoch, self._next_epoch = self._next_epoch, self._next_epoch % 0xFFFF + 1
            if query.one_pass:
                self._enter(query)

    def _enter(self, query: Installed) -> None:
        table = self.switch.table("ingress.queries")
        for number, phase in query.phases.items():
            key = [query.query, query.epoch, number]
            query.handles.append(table.insert(key, f"ingress.{phase.action}", phase.arguments))

    def _leave(self, query: Installed) -> None:
        table = self.switch.table("ingress.queries")
        for handle in query.handles:
            table.remove(handle)
        query.handles.clear()
        for owner, entry in query.filters:
            owner.remove(entry)
        query.filters.clear()

    def install_filter(
        self, query: Installed, columns: Intervals, false_keys: Sequence[int]
    ) -> None:
        """FILTER's tables: one per column (codes a, b, c in turn), and the truth of the whole."""
        for lane in range(wire.LANES):
            path = f"ingress.lane{lane}.filter"
            for axis, intervals in zip("abc", columns, strict=False):
                table = self.switch.table(f"{path}.{axis}.intervals")
                for low, high, bits in intervals:
                    made = table.insert(
                        [query.query, (low, high)], f"{path}.{axis}.hold", [bits], priority=1
                    )
                    query.filters.append((table, made))
            table = self.switch.table(f"{path}.truth")
            for key in false_keys:
                made = table.insert([query.query, key], f"{path}.drop_row")
                query.filters.append((table, made))

    def _clear(self, query: Installed) -> None:
        for share in query.shares:
            for name, register in self.switch.registers.items():
                if any(part in name for part in _POOLS[share.pool][1]):
                    register.clear(share.base, share.size)
        window = self.switch.register("ingress.window.last")
        cells = 1 if self.in_order else wire.WINDOW
        for flow in query.flows:
            window.clear(flow * cells, cells)

    def close(self) -> None:
        self.switch.close()
