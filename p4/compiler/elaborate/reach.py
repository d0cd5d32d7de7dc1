"""Which variables a piece of IR touches on its own, beyond its parameters and locals."""

from __future__ import annotations

from dataclasses import fields, is_dataclass

from weft.p4.compiler import ir


def reach(callee: ir.Function | ir.Action | ir.Control | ir.Parser) -> set[ir.Variable]:
    """Variables of the caller that the callee uses: none, unless it is an action."""
    if not isinstance(callee, ir.Action):
        return set()
    found: set[ir.Variable] = set()
    _walk(callee.body, found, set())
    return found - {*callee.parameters, *callee.locals}


def _walk(node: object, found: set[ir.Variable], seen: set[int]) -> None:
    if isinstance(node, ir.Variable):
        found.add(node)
    elif isinstance(node, ir.Action):
        if id(node) not in seen:
            seen.add(id(node))
            found |= reach(node)
    elif isinstance(node, tuple):
        for item in node:
            _walk(item, found, seen)
    elif is_dataclass(node) and not isinstance(node, _LEAVES):
        for field in fields(node):
            _walk(getattr(node, field.name), found, seen)


_LEAVES = (
    ir.Function, ir.Control, ir.Parser, ir.Table, ir.ExternInstance, ir.StructType, ir.HeaderType,
    ir.HeaderUnionType, ir.EnumType, ir.Annotation,
)  # fmt: skip
