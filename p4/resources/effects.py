"""What a piece of IR reads and writes, as paths such as `h.ipv4.ttl`.

A path names storage of the pipeline: parameters of sub-controls are followed to the caller's
argument, so that two controls speak of one field by one name. Validity is the field `$valid`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from weft.p4.compiler import ir
from weft.p4.compiler.ir.text import text

Names = Mapping[ir.Variable, str]


@dataclass(slots=True)
class Access:
    """One use of a register: where it stands, under which index."""

    register: ir.ExternInstance
    index: str
    location: object


@dataclass(slots=True)
class Effects:
    """Of one action or run of statements. `depth` is the longest chain of dependent operations."""

    reads: set[str] = field(default_factory=set)
    writes: set[str] = field(default_factory=set)
    accesses: list[Access] = field(default_factory=list)
    hash_bits: int = 0
    depth: int = 0
    #: What registers gave: a stateful ALU computes with its own cell in the same stage.
    from_cells: set[str] = field(default_factory=set)

    def add(self, other: Effects) -> None:
        self.reads |= other.reads
        self.writes |= other.writes
        self.accesses += other.accesses
        self.hash_bits += other.hash_bits
        self.depth = max(self.depth, other.depth)


def overlap(a: str, b: str) -> bool:
    """Do two paths share storage? One may be part of the other."""
    return a == b or a.startswith(b + ".") or b.startswith(a + ".")


def meets(a: set[str], b: set[str]) -> str | None:
    """A path of `a` that shares storage with one of `b`."""
    for one in sorted(a):
        for other in b:
            if overlap(one, other):
                return one
    return None


def local(variable: ir.Variable) -> str:
    """The path of a variable that is no parameter: two instances of a control have two of them."""
    return f"{variable.unique_name}@{id(variable)}"


def shown(path: str) -> str:
    """A path as people know it."""
    return re.sub(r"@\d+", "", path)


def path(e: ir.Expression, names: Names) -> str | None:
    match e:
        case ir.VarRef(variable=variable):
            return names.get(variable) or local(variable)
        case ir.Member(base=base, field=name):
            inner = path(base, names)
            return None if inner is None else f"{inner}.{name}"
        case ir.Index(base=base, index=index):
            inner = path(base, names)
            which = str(index.value) if isinstance(index, ir.Const) else "any"
            return None if inner is None else f"{inner}.{which}" if which != "any" else inner
        case ir.Slice(base=base):
            return path(base, names)
    return None


def reads(e: ir.Expression, names: Names) -> set[str]:
    """Paths that an expression reads."""
    here = path(e, names)
    if here is not None:
        return {here}
    match e:
        case ir.Unary(operand=x) | ir.Cast(operand=x):
            return reads(x, names)
        case ir.Binary(left=a, right=b):
            return reads(a, names) | reads(b, names)
        case ir.Mux(condition=c, then=a, otherwise=b):
            return reads(c, names) | reads(a, names) | reads(b, names)
        case ir.IsValid(header=header):
            inner = path(header, names)
            return {f"{inner}.$valid"} if inner is not None else set()
        case ir.StructValue(fields=parts) | ir.StackValue(elements=parts):
            return set().union(*(reads(p, names) for p in parts))
    return set()


def of_block(block: ir.Block, names: Names) -> Effects:
    """Effects of straight-line code, branches included; chains count how deep values depend."""
    effects = Effects()
    depths: dict[str, int] = {}
    _walk(block, names, effects, depths, 0)
    effects.depth = max(depths.values(), default=1 if block else 0)
    return effects


def _depth_of(paths: set[str], depths: dict[str, int], cells: Collection[str] = ()) -> int:
    """How deep the deepest of `paths` is; one cell's content costs nothing, of two one does."""
    own = {w for w in depths if w in cells and any(overlap(p, w) for p in paths)}
    free = own if len(own) == 1 else set()
    return max(
        (d for p in paths for w, d in depths.items() if w not in free and overlap(p, w)), default=0
    )


def _walk(
    block: ir.Block, names: Names, effects: Effects, depths: dict[str, int], outer: int
) -> None:
    def write(target: ir.Expression, used: set[str], cost: int) -> None:
        effects.reads.update(used)
        where = path(target, names)
        if where is not None:
            effects.writes.add(where)
            depths[where] = max(outer, _depth_of(used, depths, effects.from_cells)) + cost
            effects.from_cells.discard(where)

    for s in block:
        match s:
            case ir.Assign(target=target, value=value):
                plain = isinstance(value, ir.Const | ir.ZeroValue) or path(value, names) is not None
                used = reads(value, names)
                # A copy of something computed in this block is forwarded, not another operation.
                cost = 0 if plain and _depth_of(used, depths) > 0 else 1
                write(target, used, cost)
            case ir.SetValid(header=header):
                where = path(header, names)
                if where is not None:
                    effects.writes.add(f"{where}.$valid")
                    depths[f"{where}.$valid"] = outer + 1
            case ir.PushFront(stack=stack) | ir.PopFront(stack=stack):
                write(stack, reads(stack, names), 1)
            case ir.If(condition=condition, then=then, otherwise=otherwise):
                used = reads(condition, names)
                effects.reads |= used
                level = max(outer, _depth_of(used, depths, effects.from_cells))
                _walk(then, names, effects, depths, level)
                _walk(otherwise, names, effects, depths, level)
            case ir.Switch(subject=subject, cases=cases):
                used = reads(subject, names)
                effects.reads |= used
                level = max(outer, _depth_of(used, depths))
                for case in cases:
                    _walk(case.body, names, effects, depths, level)
            case ir.Loop(head=head, condition=condition, body=body, step=step):
                effects.reads |= reads(condition, names)
                _walk((*head, *body, *step), names, effects, depths, outer)
            case ir.Call(callee=ir.Action() | ir.Function() as callee):
                inner = bind(callee.parameters, s.arguments, names)
                _walk(callee.body, inner, effects, depths, outer)
                if s.result is not None:
                    used = set().union(*(reads(a.value, names) for a in s.arguments))
                    write(s.result, used, 1)
                _walk(s.copy_out, names, effects, depths, outer)
            case ir.ExternCall():
                _extern(s, names, effects, write)


def _extern(s: ir.ExternCall, names: Names, effects: Effects, write) -> None:  # type: ignore[no-untyped-def]
    inputs: set[str] = set()
    for argument in s.arguments:
        if argument.direction is not ir.Direction.OUT:
            inputs |= reads(argument.value, names)
    if isinstance(s.instance, ir.ExternInstance) and s.instance.extern == "register":
        index = next((text(a.value) for a in s.arguments if a.name == "index"), "")
        effects.accesses.append(Access(s.instance, index, s.location))
    if s.method == "hash":
        effects.hash_bits += 32
    for argument in s.arguments:
        if argument.direction in (ir.Direction.OUT, ir.Direction.INOUT):
            write(argument.value, inputs, 1)
            where = path(argument.value, names)
            if s.method == "read" and where is not None:
                effects.from_cells.add(where)
    if s.result is not None:
        write(s.result, inputs, 1)
    effects.reads |= inputs


def bind(
    parameters: tuple[ir.Variable, ...], arguments: tuple[ir.Argument, ...], names: Names
) -> dict[ir.Variable, str]:
    """Names inside a callee: its parameters go by the paths of the arguments."""
    inner = dict(names)
    for parameter, argument in zip(parameters, arguments, strict=True):
        where = path(argument.value, names)
        inner[parameter] = where if where is not None else local(parameter)
    return inner
