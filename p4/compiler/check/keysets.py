"""Key sets.

The patterns of select cases and table entries (specification 1.2.5, section 8.15 and 13.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from weft.p4.compiler import ast, values
from weft.p4.compiler import types as t

if TYPE_CHECKING:
    from weft.p4.compiler.check.checker import Checker


class KeysetChecker:
    def __init__(self, checker: Checker) -> None:
        self._c = checker

    def check(self, e: ast.Expression, keys: Sequence[t.Type]) -> ast.Expression:
        """The key set checked against the types of the keys; a tuple has one item per key."""
        if isinstance(e, ast.Default | ast.DontCare):
            e.type = t.Set(t.ANY)
            e.is_static = True
            return e
        if isinstance(e, ast.TupleKeyset):
            if len(e.items) != len(keys):
                self._c.error(
                    e.location, f"{len(keys)} keys to match, the key set has {len(e.items)}"
                )
                return e
            e.items = [self.simple(i, k) for i, k in zip(e.items, keys, strict=True)]
            e.type = t.Set(t.Tuple(tuple(keys)))
            e.is_static = all(i.is_static for i in e.items)
            return e
        if len(keys) == 1:
            return self.simple(e, keys[0])
        e = self._c.expressions.check(e)
        if isinstance(e.type, t.Unknown) or self._value_set(e, t.Tuple(tuple(keys))):
            return e
        self._c.error(e.location, f"{len(keys)} keys to match, the key set has 1")
        return e

    def simple(self, e: ast.Expression, key: t.Type) -> ast.Expression:
        """One pattern for one key."""
        match e:
            case ast.Default() | ast.DontCare():
                e.type, e.is_static = t.Set(t.ANY), True
                return e
            case ast.Mask():
                number = self._numeric(e, key, "a mask")
                e.base = self._c.expressions.typed(e.base, number, "the value of a mask")
                e.mask = self._c.expressions.typed(e.mask, number, "a mask")
                e.is_static = e.base.is_static and e.mask.is_static
                e.type = t.Set(key)
                return e
            case ast.Range():
                number = self._numeric(e, key, "a range")
                e.low = self._c.expressions.typed(e.low, number, "the start of a range")
                e.high = self._c.expressions.typed(e.high, number, "the end of a range")
                e.is_static = e.low.is_static and e.high.is_static
                e.type = t.Set(key)
                self._empty_range(e)
                return e
        if isinstance(key, t.Literal) and isinstance(e, ast.ListExpression):
            return self._list(e, key)
        e = self._c.expressions.check(e)
        if isinstance(e.type, t.Unknown) or self._value_set(e, key):
            return e
        return self._c.expressions.coerce(e, key, "this key set")

    def _list(self, e: ast.ListExpression, key: t.Literal) -> ast.Expression:
        """`{ a, b }` against a key that is a list itself: item by item."""
        if len(e.items) != len(key.items):
            self._c.error(e.location, f"the key has {len(key.items)} items, not {len(e.items)}")
            return e
        e.items = [self.simple(i, k) for i, k in zip(e.items, key.items, strict=True)]
        e.type = t.Set(key)
        e.is_static = all(i.is_static for i in e.items)
        return e

    def _numeric(self, e: ast.Expression, key: t.Type, what: str) -> t.Type:
        inner = t.resolve_new(key)
        if isinstance(inner, t.Enum) and inner.underlying is not None:
            return inner.underlying
        if not isinstance(inner, t.Bits | t.Unknown):
            self._c.error(e.location, f"{what} cannot match a key of type {key}")
            return t.UNKNOWN
        return key

    def _empty_range(self, e: ast.Range) -> None:
        low, high = e.low.value, e.high.value
        if isinstance(low, int) and isinstance(high, int) and low > high:
            self._c.diagnostics.warning(
                e.location, f"the range {values.shown(low)}..{values.shown(high)} is empty"
            )

    def _value_set(self, e: ast.Expression, key: t.Type) -> bool:
        """Is `e` a value set? Then its element must fit the key(s)."""
        if not isinstance(e.type, t.Set):
            return False
        element = e.type.element
        parts = scalars(element)
        wanted = key.items if isinstance(key, t.Tuple) else (key,)
        if element != key and parts != wanted and not isinstance(key, t.Unknown):
            self._c.error(e.location, f"the value set holds {element}, the key is {key}")
        return True


def scalars(type_: t.Type) -> tuple[t.Type, ...]:
    """The scalar parts of a value set's element, nested structs and tuples opened."""
    match t.resolve_new(type_):
        case t.Struct() as struct if struct.kind == "struct":
            return tuple(s for _, field in struct.fields() for s in scalars(field))
        case t.Tuple(items):
            return tuple(s for item in items for s in scalars(item))
    return (type_,)


def constant_pattern(e: ast.Expression) -> object:
    """A comparable form of a constant pattern, to find duplicates; None when not constant."""
    match e:
        case ast.Default() | ast.DontCare():
            return "_"
        case ast.Mask(base=base, mask=mask) if isinstance(base.value, int) and isinstance(
            mask.value, int
        ):
            return ("&&&", base.value & mask.value, mask.value)
        case ast.Range(low=low, high=high):
            return ("..", low.value, high.value)
        case ast.TupleKeyset(items=items):
            parts = tuple(constant_pattern(i) for i in items)
            return None if None in parts else parts
    value = e.value
    if isinstance(value, values.MemberValue):
        return (value.member, value.number)
    return value if isinstance(value, int) else None
