"""Does a program fit a chip? Stages by table dependencies, then memory; a miss is explained.

Dependencies as in Jose, Yan, Varghese, McKeown, "Compiling Packet Programs to Reconfigurable
Switches" (NSDI 2015): a table that matches on, or computes from, what an earlier one writes (match
and action dependency) stands in a later stage; one whose execution an earlier table decides
(successor dependency) may share its stage. Placement is greedy in program order, so "fits" is
constructive, and "does not fit" says that this simple placement failed and where.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from weft.p4.compiler import ir
from weft.p4.compiler.ir.text import text
from weft.p4.resources import effects as fx
from weft.p4.resources.target import Target
from weft.p4.resources.units import Unit, register_blocks, units, width


@dataclass(slots=True)
class Problem:
    """Something that does not fit: which resource, where, why, and what would help."""

    resource: str
    subject: str
    message: str
    location: object = None


@dataclass(slots=True)
class Fit:
    """`stages[i]` lists (unit, share of each resource) pairs; `used` sums them by resource."""

    target: str
    stages: list[list[tuple[str, dict[str, int]]]]
    used: list[dict[str, int]]
    phv_bits: int
    phv_limit: int
    problems: list[Problem] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)  # unit -> why not earlier

    @property
    def fits(self) -> bool:
        return not self.problems

    @property
    def stages_used(self) -> int:
        return max((i + 1 for i, stage in enumerate(self.stages) if stage), default=0)


def fit(program: ir.Program, target: Target) -> Fit:
    """Place the program on the target."""
    found = units(program)
    bits, limit = _phv(program, target)
    result = Fit(
        target.name,
        [[] for _ in range(target.stages)],
        [{} for _ in range(target.stages)],
        bits,
        limit,
    )
    _registers(found, target, result)
    if bits > limit:
        result.problems.append(
            Problem(
                "PHV",
                "headers and metadata",
                f"{bits} bits of packet header vector are needed, the chip has {limit}: "
                "drop metadata, or headers that no table uses",
            )
        )
    _parser(program, target, result)
    _place(found, target, result)
    return result


# ------------------------------------------------------------------------------------- rules


def exclusive(a: Unit, b: Unit) -> bool:
    """Can no packet meet both? They stand in different branches of one condition."""
    other = dict(b.guards)
    return any(mark in other and other[mark] != branch for mark, branch in a.guards)


def dependency(earlier: Unit, later: Unit) -> str:
    """Why `later` must stand in a later stage than `earlier`; "" when it need not."""
    if earlier.gress != later.gress or exclusive(earlier, later):
        return ""
    field_ = fx.meets(earlier.effects.writes, later.matches)
    if field_ is not None:
        return f"matches on {fx.shown(field_)}, which {earlier.name} writes"
    field_ = fx.meets(earlier.effects.writes, later.effects.reads)
    if field_ is not None:
        return f"computes from {fx.shown(field_)}, which {earlier.name} writes"
    field_ = fx.meets(earlier.effects.writes, later.effects.writes)
    if field_ is not None:
        return f"writes {fx.shown(field_)} after {earlier.name} does"
    return ""


def _registers(found: list[Unit], target: Target, result: Fit) -> None:
    """One access per packet, within reach and width of one stateful ALU."""
    by_register: dict[int, list[tuple[Unit, fx.Access]]] = {}
    for unit in found:
        for access in unit.effects.accesses:
            by_register.setdefault(id(access.register), []).append((unit, access))
    for uses in by_register.values():
        register = uses[0][1].register
        name = register.control_plane_name
        bits = width(register.type_arguments[0])
        if bits > target.register_max_width:
            result.problems.append(
                Problem(
                    "stateful ALU",
                    name,
                    f"register {name} holds values of {bits} bits; a stateful ALU works on "
                    f"{target.register_max_width} at most: split it",
                    register.location,
                )
            )
        blocks = register_blocks(register)
        if blocks > target.register_max_ram:
            result.problems.append(
                Problem(
                    "SRAM",
                    name,
                    f"register {name} needs {blocks} SRAM blocks, one stateful ALU reaches "
                    f"{target.register_max_ram}: make it smaller, or split it over stages",
                    register.location,
                )
            )
        _one_access(uses, name, result)


def _one_access(uses: list[tuple[Unit, fx.Access]], name: str, result: Fit) -> None:
    for i, (unit, access) in enumerate(uses):
        for other, second in uses[i + 1 :]:
            # A read and a write of one cell in one action are one read-modify-write.
            if unit is other and access.index == second.index:
                continue
            if unit is not other and exclusive(unit, other):
                continue
            where = f"in {unit.name}" if unit is other else f"in {unit.name} and in {other.name}"
            result.problems.append(
                Problem(
                    "register access",
                    name,
                    f"register {name} is accessed twice for one packet, {where} (indices "
                    f"{access.index} and {second.index}); the chip allows one access",
                    second.location,
                )
            )
            return


def _phv(program: ir.Program, target: Target) -> tuple[int, int]:
    """Container bits for what tables touch; the rest rides in tagalong (Tofino 2: mocha)."""
    total = tagalong = 0
    touched: set[str] = set()
    for unit in units(program):
        touched |= unit.matches | unit.effects.reads | unit.effects.writes
    control = program.main.arguments.get("ig")
    if not isinstance(control, ir.Control):
        return 0, 0
    for parameter in control.parameters:
        for path, bits in _leaves(parameter.type, parameter.name):
            rounded = max(8, (bits + 7) // 8 * 8)
            if any(fx.overlap(path, t) for t in touched):
                total += rounded
            else:
                tagalong += rounded
    total += max(0, tagalong - target.tagalong_bits)
    return total, sum(w * n for w, n in target.phv_containers.items())


def _leaves(type_: ir.Type, path: str) -> list[tuple[str, int]]:
    match type_:
        case ir.StructType(fields=fields) | ir.HeaderUnionType(fields=fields):
            return [leaf for f in fields for leaf in _leaves(f.type, f"{path}.{f.name}")]
        case ir.HeaderType(fields=fields):
            return [(f"{path}.{f.name}", width(f.type)) for f in fields]
        case ir.StackType(element=element, size=size):
            return [leaf for i in range(size) for leaf in _leaves(element, f"{path}.{i}")]
    return [(path, width(type_))]


def _parser(program: ir.Program, target: Target, result: Fit) -> None:
    parser = program.main.arguments.get("p")
    if not isinstance(parser, ir.Parser):
        return
    rows = 0
    for state in parser.states.values():
        transition = state.transition
        if isinstance(transition, ir.Goto):
            rows += 1
            continue
        rows += max(1, len(transition.cases))
        bits = sum(width(k.type) for k in transition.keys)
        if bits > target.parser_match_bits:
            result.problems.append(
                Problem(
                    "parser match",
                    state.name,
                    f"state {state.name} selects on {bits} bits "
                    f"({', '.join(map(text, transition.keys))}); the parser matches "
                    f"{target.parser_match_bits} at once: split the state",
                    state.location,
                )
            )
    if rows > target.parser_rows:
        result.problems.append(
            Problem("parser rows", parser.type_name,
                    f"the parser needs {rows} rows, the chip has {target.parser_rows}")
        )  # fmt: skip


# --------------------------------------------------------------------------------- placement


def _place(found: list[Unit], target: Target, result: Fit) -> None:
    last: dict[int, int] = {}  # unit -> last stage it occupies
    for unit in found:
        first, reason = 0, ""
        for earlier in found[: unit.order]:
            if earlier.order not in last:
                continue
            why = dependency(earlier, unit)
            if why and last[earlier.order] + 1 > first:
                first, reason = last[earlier.order] + 1, why
            if earlier.order in unit.after and last[earlier.order] > first:
                first, reason = last[earlier.order], f"runs as {earlier.name} decides"
        if reason:
            result.reasons[unit.name] = reason
        end = _put(unit, first, target, result)
        if end is None:
            _explain(unit, first, reason, target, result)
            return
        last[unit.order] = end


def _put(unit: Unit, first: int, target: Target, result: Fit) -> int | None:
    """Place the unit from stage `first` on; the last stage it takes, None when there is no room."""
    left = unit.need.entries
    for stage in range(first, target.stages):
        used = result.used[stage]
        entries = _entries_that_fit(unit, left, target, used)
        if entries is None:
            continue
        share = unit.need.of(entries)
        result.stages[stage].append((unit.name, share))
        for name, amount in share.items():
            used[name] = used.get(name, 0) + amount
        left -= entries
        if left <= 0:
            # Operations that depend on one another inside the unit take a stage each.
            end = stage + max(0, unit.effects.depth - 1)
            return end if end < target.stages else None
    return None


def _entries_that_fit(unit: Unit, left: int, target: Target, used: dict[str, int]) -> int | None:
    """How many of the entries that are left fit this stage; None when the unit does not at all."""

    def fits(entries: int) -> bool:
        return all(
            used.get(name, 0) + amount <= target.stage.get(name, 1 << 30)
            for name, amount in unit.need.of(entries).items()
            if amount
        )

    if fits(left):
        return left
    if not unit.divisible or not fits(1):
        return None
    low, high = 1, left  # the first fits, the second does not
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


_PLAIN = {
    "sram": "SRAM blocks", "tcam": "TCAM blocks", "map_ram": "map RAMs",
    "stateful_alus": "stateful ALUs", "stats_alus": "statistics ALUs", "hash_bits": "hash bits",
    "logical_tables": "logical tables", "ternary_tables": "ternary tables", "gateways": "gateways",
    "exact_crossbar_bytes": "bytes of exact match crossbar",
    "ternary_crossbar_bytes": "bytes of ternary match crossbar",
    "action_bus_bytes": "bytes of action bus",
}  # fmt: skip


def _explain(unit: Unit, first: int, reason: str, target: Target, result: Fit) -> None:
    """Say which resource kept the unit out, and of which stages."""
    smallest = unit.need.of(1) if unit.divisible else unit.demand
    for name, amount in smallest.items():
        capacity = target.stage.get(name)
        if capacity is not None and amount > capacity:
            result.problems.append(
                Problem(name, unit.name, f"{unit.name} needs {amount} {_PLAIN[name]}, a stage has "
                        f"{capacity}", unit.location)
            )  # fmt: skip
            return
    if first >= target.stages or unit.effects.depth > target.stages - first:
        chain = f": it {reason}" if reason else ""
        depth = f" and takes {unit.effects.depth} stages itself" if unit.effects.depth > 1 else ""
        result.problems.append(
            Problem("stages", unit.name, f"{unit.name} would have to start in stage {first + 1}"
                    f"{depth}, the chip has {target.stages}{chain}", unit.location)
        )  # fmt: skip
        return
    short = _scarcest(unit, first, target, result)
    needs = f"{unit.demand.get(short, 0)} {_PLAIN.get(short, short)}"
    free = sum(
        target.stage.get(short, 0) - result.used[i].get(short, 0)
        for i in range(first, target.stages)
    )
    result.problems.append(
        Problem(short, unit.name, f"{unit.name} needs {needs}; stages {first + 1} to "
                f"{target.stages} have {free} left", unit.location)
    )  # fmt: skip


def _scarcest(unit: Unit, first: int, target: Target, result: Fit) -> str:
    """The resource of which the remaining stages have least, measured by the unit's need."""
    worst, name = float("inf"), "sram"
    for resource, amount in unit.demand.items():
        capacity = target.stage.get(resource)
        if not amount or capacity is None:
            continue
        free = sum(capacity - result.used[i].get(resource, 0) for i in range(first, target.stages))
        if free / amount < worst:
            worst, name = free / amount, resource
    return name
