"""From type syntax to types: names resolved, widths computed, type arguments counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.p4.compiler import ast, values
from weft.p4.compiler import types as t
from weft.p4.compiler.check.wellformed import flaw
from weft.p4.compiler.source import Location

if TYPE_CHECKING:
    from weft.p4.compiler.check.checker import Checker

#: Wider values have no use on packets of at most 64 KiB.
MAX_WIDTH = 1 << 16
MAX_STACK = 1 << 12

_SIMPLE = {s.name: s for s in (t.BOOL, t.STRING, t.ERROR, t.MATCH_KIND, t.VOID, t.ANY)}


class TypeResolver:
    def __init__(self, checker: Checker) -> None:
        self._c = checker

    def resolve(self, ref: ast.TypeRef, infer: bool = False) -> t.Type:
        """The type that `ref` names; with `infer`, type arguments may be left out or be `_`."""
        type_ = self._resolve(ref, infer)
        problem = "" if infer else flaw(type_)
        if problem:
            self._c.error(ref.location, problem)
            return t.UNKNOWN
        return type_

    def _resolve(self, ref: ast.TypeRef, infer: bool) -> t.Type:
        match ref:
            case ast.BaseTypeRef():
                return self._base(ref, infer)
            case ast.TupleTypeRef():
                return t.Tuple(tuple(self._argument(a, infer) for a in ref.arguments))
            case ast.ListTypeRef():
                return t.List(self._argument(ref.element, infer))
            case ast.StackTypeRef():
                return self._stack(ref)
            case ast.NamedTypeRef():
                return self._named(ref, infer)

    def _argument(self, ref: ast.TypeRef, infer: bool) -> t.Type:
        type_ = self._resolve(ref, infer)
        if type_ == t.VOID:
            self._c.error(ref.location, "void cannot be a type argument")
            return t.UNKNOWN
        return type_

    def _base(self, ref: ast.BaseTypeRef, infer: bool) -> t.Type:
        if ref.kind == "_" and not infer:
            self._c.error(ref.location, "'_' cannot stand for a type here")
            return t.UNKNOWN
        if ref.kind in _SIMPLE:
            return _SIMPLE[ref.kind]
        if ref.width is None:
            return t.INT if ref.kind == "int" else t.BIT1
        width = self._c.static_int(ref.width, f"the width of {ref.kind}<>")
        if width is None:
            return t.UNKNOWN
        least = 1 if ref.kind == "int" else 0
        if not least <= width <= MAX_WIDTH:
            self._c.error(
                ref.width.location,
                f"the width of {ref.kind}<> must be between {least} and {MAX_WIDTH}, "
                f"not {values.shown(width)}",
            )
            return t.UNKNOWN
        return t.Varbit(width) if ref.kind == "varbit" else t.Bits(width, ref.kind == "int")

    def _stack(self, ref: ast.StackTypeRef) -> t.Type:
        element = self.resolve(ref.element)
        size = self._c.static_int(ref.size, "the size of a header stack")
        if isinstance(element, t.Unknown) or size is None:
            return t.UNKNOWN
        if not (t.is_header(element) or t.is_union(element) or isinstance(element, t.Variable)):
            self._c.error(
                ref.location, f"a stack must be of headers or header unions, not of {element}"
            )
            return t.UNKNOWN
        if not 1 <= size <= MAX_STACK:
            self._c.error(
                ref.size.location,
                f"the size of a header stack must be between 1 and {MAX_STACK}, "
                f"not {values.shown(size)}",
            )
            return t.UNKNOWN
        return t.Stack(element, size)

    def _named(self, ref: ast.NamedTypeRef, infer: bool) -> t.Type:
        found = self._c.lookup(ref.name, ref.absolute, ref.location)
        if not found:
            return t.UNKNOWN
        declaration = found[0]
        given = ref.arguments or []
        # `_` may stand for what a parser or control type leaves open.
        any_ = infer or isinstance(declaration, ast.BlockType | ast.Parser | ast.Control)
        arguments = tuple(self._argument(a, any_) for a in given)
        parameters: list[ast.TypeParameter] = []
        match declaration:
            case ast.TypeParameter():
                result: t.Type = t.Variable(declaration)
            case ast.Struct():
                parameters = declaration.type_parameters
                result = t.Struct(declaration, arguments)
            case ast.ExternType():
                parameters = declaration.type_parameters
                result = t.Extern(declaration, arguments)
            case ast.BlockType():
                parameters = declaration.type_parameters
                result = t.Block(declaration, arguments)
            case ast.Parser() | ast.Control():
                parameters = declaration.signature.type_parameters
                result = t.Block(declaration, arguments)
            case ast.Enum() | ast.Typedef():
                result = self.declared[declaration]
            case _:
                self._c.error(ref.location, f"'{ref.name}' is not a type")
                return t.UNKNOWN
        if len(given) != len(parameters) and not (infer and not given):
            self._count(ref.location, ref.name, len(parameters), len(given))
            return t.UNKNOWN
        return result

    def _count(self, location: Location, name: str, wanted: int, given: int) -> None:
        if not wanted:
            self._c.error(location, f"type '{name}' is not generic and takes no type arguments")
            return
        self._c.error(location, f"type '{name}' takes {wanted} type argument(s), {given} given")

    @property
    def declared(self) -> dict[ast.Node, t.Type]:
        """What each enum and typedef stands for; filled as they are checked."""
        return self._c.declarations.declared
