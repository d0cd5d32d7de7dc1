"""Member access, indexing and slices (specification 1.2.5, sections 8.6, 8.16 to 8.20)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.p4.compiler import ast, values
from weft.p4.compiler import types as t
from weft.p4.compiler.check.scope import Where

if TYPE_CHECKING:
    from weft.p4.compiler.check.checker import Checker

_METHODS: dict[str, tuple[str, ...]] = {
    "struct": (),
    "header": ("isValid", "setValid", "setInvalid"),
    "header_union": ("isValid",),
}
SIZE_METHODS = ("minSizeInBits", "minSizeInBytes", "maxSizeInBits", "maxSizeInBytes")


class MemberChecker:
    def __init__(self, checker: Checker) -> None:
        self._c = checker

    # ----------------------------------------------------------------------------- members

    def member(self, e: ast.Member) -> ast.Expression:
        e.base = base = self._c.expressions.check(e.base)
        e.type = t.UNKNOWN
        match base.type:
            case t.Unknown():
                return e
            case t.Struct() as struct:
                self._struct_member(e, struct)
            case t.Stack() as stack:
                self._stack_member(e, stack)
            case t.Table():
                if e.name == "apply":
                    e.type = t.Callable("table's apply")
            case t.ApplyResult(table):
                if e.name in ("hit", "miss"):
                    e.type = t.BOOL
                elif e.name == "action_run":
                    e.type = t.ActionList(table)
            case t.Extern(declaration, _):
                if any(m.name == e.name and not m.is_constructor for m in declaration.methods):
                    e.type = t.Callable("method")
            case t.Block() as block if block.kind != "package" and e.name == "apply":
                e.type = t.Callable(f"{block.kind}'s apply")
            case t.Record(names, items) if e.name in names:
                e.type = items[names.index(e.name)]
        is_size = e.name in SIZE_METHODS and t.size_bounds(base.type) is not None
        if isinstance(e.type, t.Unknown) and is_size:
            e.type = t.Callable("method")
        if isinstance(e.type, t.Unknown):
            self._no_member(e, base.type)
        return e

    def _struct_member(self, e: ast.Member, struct: t.Struct) -> None:
        type_ = struct.field(e.name)
        if type_ is not None:
            e.type, e.is_lvalue, e.is_static = type_, e.base.is_lvalue, e.base.is_static
            if isinstance(e.base.value, dict):
                e.value = e.base.value.get(e.name)
        elif e.name in _METHODS[struct.kind]:
            e.type = t.Callable("method")

    def _stack_member(self, e: ast.Member, stack: t.Stack) -> None:
        if e.name in ("push_front", "pop_front"):
            e.type = t.Callable("method")
        elif e.name == "size":
            e.type, e.value, e.is_static = t.BIT32, stack.size, True
        elif e.name in ("next", "last", "lastIndex"):
            if self._c.place.where is not Where.PARSER:
                self._c.error(
                    e.name_location, f"'{e.name}' of a header stack may be used in parsers only"
                )
            if e.name == "lastIndex":
                e.type = t.BIT32
            else:
                e.type, e.is_lvalue = stack.element, e.base.is_lvalue

    def _no_member(self, e: ast.Member, base: t.Type) -> None:
        hint = ""
        if isinstance(base, t.Struct):
            names = ", ".join(n for n, _ in base.fields()[:8])
            hint = f"; its fields are: {names}" if names else "; it has no fields"
        self._c.error(e.name_location, f"{base} has no member '{e.name}'{hint}")

    def type_member(self, e: ast.TypeMember) -> ast.Expression:
        base = self._c.types.resolve(e.base)
        e.type = t.UNKNOWN
        e.is_static = True
        if isinstance(base, t.Unknown):
            return e
        if base == t.ERROR:
            if e.name in self._c.errors:
                e.type = t.ERROR
                e.value = values.MemberValue(t.ERROR, e.name, list(self._c.errors).index(e.name))
            else:
                self._c.error(e.name_location, f"'{e.name}' is not a declared error")
            return e
        if e.name in SIZE_METHODS and t.size_bounds(base) is not None:
            e.type = t.Callable("method")
            return e
        if not isinstance(base, t.Enum):
            self._c.error(e.location, f"{base} is a type, not a value; it has no member '{e.name}'")
            return e
        names = [m.name for m in base.declaration.members]
        if e.name not in names:
            self._c.error(
                e.name_location,
                f"enum {base} has no member '{e.name}'; its members are: {', '.join(names[:8])}",
            )
            return e
        index = names.index(e.name)
        initializer = base.declaration.members[index].initializer
        number = index if initializer is None else initializer.value
        e.type = base
        e.value = values.MemberValue(base, e.name, number if isinstance(number, int) else index)
        return e

    # ------------------------------------------------------------------- indices and slices

    def index(self, e: ast.Index) -> ast.Expression:
        e.base = base = self._c.expressions.check(e.base)
        e.index = index = self._c.expressions.check(e.index)
        e.type = t.UNKNOWN
        if isinstance(base.type, t.Unknown) or isinstance(index.type, t.Unknown):
            return e
        known = index.value.number if isinstance(index.value, values.MemberValue) else index.value
        number = t.resolve_new(index.type)
        good = isinstance(number, t.Bits | t.Int) or (
            isinstance(number, t.Enum) and number.underlying is not None
        )
        if not good:
            self._c.error(index.location, f"an index must be a number, not {index.type}")
            return e
        match base.type:
            case t.Stack(element, size):
                e.type, e.is_lvalue = element, base.is_lvalue
            case t.Tuple(items) | t.Literal(items):
                size = len(items)
                if not isinstance(known, int):
                    self._c.error(index.location, "the index of a tuple must be a constant")
                    return e
                if 0 <= known < size:
                    e.type, e.is_static = items[known], base.is_static  # never an l-value
            case t.List(element):
                e.type, e.is_static, size = element, base.is_static, 1 << 31
            case _:
                self._c.error(e.location, f"{base.type} cannot be indexed")
                return e
        if isinstance(known, int) and not isinstance(known, bool):
            if not 0 <= known < size:
                self._c.error(
                    index.location,
                    f"index {values.shown(known)} is out of range; the size is {size}",
                )
            elif isinstance(base.value, tuple):
                e.value = base.value[known] if known < len(base.value) else None
        return e

    def slice(self, e: ast.Slice) -> ast.Expression:
        e.base = base = self._c.expressions.check(e.base)
        inner = t.resolve_new(base.type)
        if isinstance(inner, t.Enum) and inner.underlying is not None:
            inner = inner.underlying
        e.type = t.UNKNOWN
        bounds = self._plus_bounds(e) if e.plus else self._bounds(e)
        if isinstance(base.type, t.Unknown):
            return e
        if not isinstance(inner, t.Bits | t.Int) or isinstance(base.type, t.New):
            self._c.error(e.location, f"{base.type} cannot be sliced")
            return e
        if isinstance(inner, t.Int) and not base.is_static:
            self._c.error(e.location, "int cannot be sliced; give the value a width")
            return e
        if bounds is None:
            return e
        high, low = bounds
        width = inner.width if isinstance(inner, t.Bits) else max(high + 1, 1)
        if high < low or low < 0:
            self._c.error(
                e.location,
                f"the slice [{values.shown(high)}:{values.shown(low)}] is empty; write [high:low]",
            )
            return e
        if high >= width:
            self._c.error(
                e.location,
                f"the slice [{values.shown(high)}:{values.shown(low)}] goes beyond {base.type}",
            )
            return e
        e.type = t.Bits(high - low + 1)
        e.is_lvalue = base.is_lvalue
        e.is_static = base.is_static and e.high.is_static
        value = base.value.number if isinstance(base.value, values.MemberValue) else base.value
        if isinstance(value, int) and e.high.is_static:
            e.value = (value >> low) & ((1 << (high - low + 1)) - 1)
        return e

    def _bounds(self, e: ast.Slice) -> tuple[int, int] | None:
        high = self._c.static_int(e.high, "a slice bound")
        low = self._c.static_int(e.low, "a slice bound")
        return None if high is None or low is None else (high, low)

    def _plus_bounds(self, e: ast.Slice) -> tuple[int, int] | None:
        """Of `[low +: width]`; a low bound known at run time only counts as 0."""
        width = self._c.static_int(e.low, "the width of a slice")
        e.high = self._c.expressions.check(e.high)
        if width is None or isinstance(e.high.type, t.Unknown):
            return None
        if not isinstance(e.high.type, t.Bits | t.Int):
            self._c.error(e.high.location, f"a slice bound must be a number, not {e.high.type}")
            return None
        low = e.high.value if isinstance(e.high.value, int) else 0
        return low + width - 1, low
