"""Key sets to patterns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from weft.p4.compiler import ast, ir
from weft.p4.compiler import types as t
from weft.p4.compiler.elaborate import build

if TYPE_CHECKING:
    from weft.p4.compiler.elaborate.unit import Unit


class PatternLowering:
    def __init__(self, unit: Unit) -> None:
        self._u = unit

    def lower(self, e: ast.Expression, keys: Sequence[t.Type]) -> tuple[ir.Pattern, ...]:
        """One pattern per key; a value set over all keys stands alone."""
        if isinstance(e, ast.TupleKeyset):
            pairs = zip(e.items, keys, strict=True)
            return tuple(p for item, key in pairs for p in self._flat(item, key))
        if isinstance(e, ast.Default | ast.DontCare):
            return tuple(p for key in keys for p in self._flat(e, key))
        return tuple(self._flat(e, keys[0] if keys else t.BOOL))

    def _flat(self, e: ast.Expression, key: t.Type) -> list[ir.Pattern]:
        """The pattern for one key; several when the key is a list."""
        if not isinstance(key, t.Literal):
            return [self._one(e, key)]
        if isinstance(e, ast.ListExpression):
            pairs = zip(e.items, key.items, strict=True)
            return [p for item, part in pairs for p in self._flat(item, part)]
        return [p for part in key.items for p in self._flat(e, part)]

    def _one(self, e: ast.Expression, key: t.Type) -> ir.Pattern:
        lower = self._u.expressions.lower
        type_ = self._u.type(key)
        match e:
            case ast.Default() | ast.DontCare():
                return ir.Any()
            case ast.Mask():
                value = build.cast(lower(e.base), type_, e.location)
                mask = build.cast(lower(e.mask), type_, e.location)
                return ir.Masked(value, mask)
            case ast.Range():
                low = build.cast(lower(e.low), type_, e.location)
                high = build.cast(lower(e.high), type_, e.location)
                return ir.Range(low, high)
            case ast.Name(target=ast.ValueSet() as value_set):
                meaning = self._u.environment.get(value_set)
                assert isinstance(meaning, ir.ValueSet)
                return ir.InValueSet(meaning)
        return ir.Exact(lower(e))
