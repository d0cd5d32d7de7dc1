"""The tables of a pipeline and what each needs: memory, ALUs, crossbar, hash bits.

Input: IR of a v1model program. Output: `Unit`s in program order, one per table, plus one per run of
statements outside tables (which becomes a keyless table). Sizes follow the public compiler:
1024 x 128 bit SRAM blocks, 512 x 44 bit TCAM blocks, one spare block per stateful memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from weft.p4.compiler import ir
from weft.p4.resources import effects as fx

SRAM_ROWS, SRAM_BITS = 1024, 128
TCAM_ROWS, TCAM_BITS = 512, 44
#: Per entry: version and valid bits, instruction address (bf-p4c/mau/table_format.cpp).
ENTRY_OVERHEAD = 12
#: Exact tables are cuckoo hashed, four ways (bf-p4c/mau/memories.cpp).
WAYS = 4
DEFAULT_SIZE = 512
_TERNARY = ("lpm", "ternary", "range", "optional")


@dataclass(slots=True)
class Need:
    """What a unit takes: `fixed` in each stage that holds a part of it, `memory` by its entries.

    The parts of `memory` are (resource, blocks for so many entries), so that a table which is
    spread over stages has its match memory, action data, counters and spares where its entries are.
    """

    fixed: dict[str, int] = field(default_factory=dict)
    entries: int = 0
    memory: list[tuple[str, Callable[[int], int]]] = field(default_factory=list)

    def of(self, entries: int) -> dict[str, int]:
        total = dict(self.fixed)
        for resource, blocks in self.memory:
            _more(total, resource, blocks(entries))
        return total


@dataclass(slots=True)
class Unit:
    """`matches` are paths that decide (keys and conditions), `order` its place in the program."""

    name: str
    gress: str
    order: int
    location: object
    matches: set[str]
    effects: fx.Effects
    need: Need
    guards: tuple[tuple[int, int], ...]  # (condition, branch) pairs around it
    after: set[int] = field(default_factory=set)  # units whose hit or action decides about it

    @property
    def demand(self) -> dict[str, int]:
        """All that it needs when it stands in one stage."""
        return self.need.of(self.need.entries)

    @property
    def divisible(self) -> bool:
        """May its entries be spread over stages? Registers are reached from one stage only."""
        return self.need.entries > 0 and not self.effects.accesses


def units(program: ir.Program) -> list[Unit]:
    """Of ingress and egress, in order; they share the stages of the chip."""
    collector = _Collector()
    for name in ("ig", "eg"):
        control = program.main.arguments.get(name)
        if isinstance(control, ir.Control):
            names = {p: p.name for p in control.parameters}
            collector.control(control, names, {"ig": "ingress", "eg": "egress"}[name])
    return collector.units


class _Collector:
    def __init__(self) -> None:
        self.units: list[Unit] = []
        self._gress = ""
        self._conditions = 0
        self._deciders: dict[str, int] = {}  # hit/action_run temporaries -> unit that sets them

    def control(self, control: ir.Control, names: fx.Names, gress: str) -> None:
        self._gress = gress
        self._block(control.body, dict(names), set(), (), set())

    def _block(
        self,
        block: ir.Block,
        names: fx.Names,
        conditions: set[str],
        guards: tuple[tuple[int, int], ...],
        after: set[int],
    ) -> None:
        pending: list[ir.Statement] = []

        def flush() -> None:
            if pending:
                self._code(tuple(pending), names, conditions, guards, after)
                pending.clear()

        for s in block:
            match s:
                case ir.ApplyTable():
                    flush()
                    self._table(s, names, conditions, guards, after)
                case ir.Call(callee=ir.Control() as control):
                    flush()
                    inner = fx.bind(control.parameters, s.arguments, names)
                    self._block(control.body, inner, conditions, guards, after)
                case ir.If(condition=condition, then=then, otherwise=otherwise) if _applies(
                    (*then, *otherwise)
                ):
                    flush()
                    branches = [then, otherwise]
                    self._branches(condition, branches, names, conditions, guards, after)
                case ir.Switch(subject=subject, cases=cases) if any(
                    _applies(c.body) for c in cases
                ):
                    flush()
                    bodies = [c.body for c in cases]
                    self._branches(subject, bodies, names, conditions, guards, after)
                case ir.Return() | ir.Exit():
                    continue
                case _:
                    pending.append(s)
        flush()

    def _branches(
        self,
        condition: ir.Expression,
        bodies: list[ir.Block],
        names: fx.Names,
        conditions: set[str],
        guards: tuple[tuple[int, int], ...],
        after: set[int],
    ) -> None:
        self._conditions += 1
        mark = self._conditions
        used = fx.reads(condition, names)
        deciders = {self._deciders[p] for p in used if p in self._deciders}
        decided = {p for p in used if p not in self._deciders}
        for branch, body in enumerate(bodies):
            self._block(
                body, names, conditions | decided, (*guards, (mark, branch)), after | deciders
            )

    def _add(
        self,
        name: str,
        location: object,
        matches: set[str],
        effects: fx.Effects,
        need: Need,
        guards: tuple[tuple[int, int], ...],
        after: set[int],
    ) -> int:
        order = len(self.units)
        need.fixed["logical_tables"] = 1
        need.fixed["gateways"] = int(bool(guards))
        self.units.append(
            Unit(name, self._gress, order, location, matches, effects, need, guards, set(after))
        )
        return order

    def _code(
        self,
        block: ir.Block,
        names: fx.Names,
        conditions: set[str],
        guards: tuple[tuple[int, int], ...],
        after: set[int],
    ) -> None:
        effects = fx.of_block(block, names)
        if not effects.writes and not effects.accesses:
            return
        need = Need()
        _state(effects, need)
        first = block[0]
        name = f"code at line {first.location.line}"
        self._add(name, first.location, set(conditions), effects, need, guards, after)

    def _table(
        self,
        s: ir.ApplyTable,
        names: fx.Names,
        conditions: set[str],
        guards: tuple[tuple[int, int], ...],
        after: set[int],
    ) -> None:
        table = s.table
        matches = set(conditions)
        for key in table.keys:
            matches |= fx.reads(key.expression, names)
        effects = fx.Effects()
        for item in table.actions:
            inner = fx.of_block(item.action.body, names)
            inner.reads -= {fx.local(p) for p in item.action.parameters}
            effects.add(inner)
        need = _memory(table)
        _state(effects, need)
        for value in table.properties.values():
            if isinstance(value, ir.ExternInstance):
                _attached(value, need)
        order = self._add(
            table.control_plane_name, table.location, matches, effects, need, guards, after
        )
        for result in (s.hit, s.action_run):
            where = fx.path(result, names) if result is not None else None
            if where is not None:
                self._deciders[where] = order


def _applies(block: ir.Block) -> bool:
    return any(True for _ in _tables(block))


def _tables(block: ir.Block) -> Iterator[ir.Statement]:
    from weft.p4.compiler.ir.walk import statements

    for s in statements(block):
        if isinstance(s, ir.ApplyTable) or (
            isinstance(s, ir.Call) and isinstance(s.callee, ir.Control)
        ):
            yield s


# ------------------------------------------------------------------------------------ memory


def width(type_: ir.Type) -> int:
    match type_:
        case ir.BitsType(width=bits):
            return bits
        case ir.EnumType(underlying=ir.BitsType(width=bits)):
            return bits
        case ir.EnumType():
            return 8
        case ir.StructType(fields=fields) | ir.HeaderType(fields=fields):
            return sum(width(f.type) for f in fields)
        case ir.VarbitType(max_width=bits):
            return bits
    return 1


def _memory(table: ir.Table) -> Need:
    keys = [k for k in table.keys if k.match_kind != "selector"]
    key_bits = sum(width(k.expression.type) for k in keys)
    data_bits = max(
        (sum(width(p.type) for p in a.action.parameters) for a in table.actions), default=0
    )
    need = Need({"action_bus_bytes": math.ceil(data_bits / 8)})
    if not keys:
        return need
    need.entries = table.size or max(len(table.entries), DEFAULT_SIZE)
    key_bytes = math.ceil(key_bits / 8)
    if any(k.match_kind in _TERNARY for k in keys):
        columns = math.ceil(key_bits / TCAM_BITS)
        need.memory.append(("tcam", lambda entries: columns * math.ceil(entries / TCAM_ROWS)))
        need.fixed |= {"ternary_crossbar_bytes": key_bytes, "ternary_tables": 1}
        # Each entry points at its action and data through an indirection memory.
        pointed = max(data_bits, 8) + ENTRY_OVERHEAD
        need.memory.append(("sram", lambda entries: _blocks(entries, pointed)))
        return need
    # Ten bits of each hash choose the row inside a block and need not be stored.
    stored = max(key_bits - 10, 1) + data_bits + ENTRY_OVERHEAD
    need.memory.append(("sram", lambda entries: _blocks(entries, stored)))
    ways = WAYS * 10 + WAYS * math.ceil(math.log2(max(need.entries / 4096, 1) + 1))
    need.fixed |= {"exact_crossbar_bytes": key_bytes, "hash_bits": min(52, ways)}
    return need


def _blocks(entries: int, bits: int) -> int:
    """SRAM blocks for entries of this width, packed as well as one to eight wide words allow."""
    best = math.inf
    for words in range(1, 9):
        per_row = words * SRAM_BITS // bits
        if per_row:
            best = min(best, words * math.ceil(entries / (SRAM_ROWS * per_row)))
    if best is math.inf:
        return math.ceil(bits / SRAM_BITS) * math.ceil(entries / SRAM_ROWS)
    return int(best)


def _attached(extern: ir.ExternInstance, need: Need) -> None:
    """Counters and meters of a table's entries: an ALU, and memory with a spare block."""
    # A row holds four 32 bit counters (or two of 64 bit), or one meter.
    rows = {"direct_counter": 4 * SRAM_ROWS, "direct_meter": SRAM_ROWS}.get(extern.extern)
    if rows is not None:
        _more(need.fixed, "stats_alus" if rows > SRAM_ROWS else "stateful_alus", 1)
        for resource in ("sram", "map_ram"):
            need.memory.append((resource, lambda entries: math.ceil(entries / rows) + 1))
    elif extern.extern == "action_selector":
        for resource, amount in (("stateful_alus", 1), ("sram", 2), ("map_ram", 2)):
            _more(need.fixed, resource, amount)


def register_blocks(register: ir.ExternInstance) -> int:
    """SRAM blocks of a register array, with the spare that stateful memories need."""
    size = register.arguments.get("size")
    entries = size.value if isinstance(size, ir.Const) else 1
    bits = width(register.type_arguments[0])
    stored = 1 << max(0, (max(bits, 1) - 1).bit_length())  # 1, 8, 16, ... as powers of two
    return math.ceil(entries * stored / (SRAM_ROWS * SRAM_BITS)) + 1


def _state(effects: fx.Effects, need: Need) -> None:
    """Add what the registers that the code uses need, and the hashes that it computes."""
    for register in {id(a.register): a.register for a in effects.accesses}.values():
        blocks = register_blocks(register)
        for resource, amount in (("stateful_alus", 1), ("sram", blocks), ("map_ram", blocks)):
            _more(need.fixed, resource, amount)
    if effects.hash_bits:
        _more(need.fixed, "hash_bits", effects.hash_bits)


def _more(demand: dict[str, int], name: str, amount: int) -> None:
    demand[name] = demand.get(name, 0) + amount
