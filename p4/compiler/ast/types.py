"""Nodes, annotations and type references."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from weft.p4.compiler.source import Location

if TYPE_CHECKING:
    from weft.p4.compiler.ast.expressions import Expression


@dataclass(slots=True, eq=False)
class Node:
    location: Location


@dataclass(slots=True, eq=False)
class Annotation(Node):
    """`tokens` for `@a(...)`, `items`/`pairs` for `@a[...]`; all None for a bare `@a`."""

    name: str
    tokens: list[str] | None = None
    items: list[Expression] | None = None
    pairs: list[tuple[str, Expression]] | None = None


@dataclass(slots=True, eq=False)
class BaseTypeRef(Node):
    """bool, error, string, match_kind, void, int, `_`, or a sized bit/int/varbit."""

    kind: str
    width: Expression | None = None


@dataclass(slots=True, eq=False)
class NamedTypeRef(Node):
    name: str
    absolute: bool = False
    arguments: list[TypeRef] | None = None


@dataclass(slots=True, eq=False)
class StackTypeRef(Node):
    element: TypeRef
    size: Expression


@dataclass(slots=True, eq=False)
class TupleTypeRef(Node):
    arguments: list[TypeRef]


@dataclass(slots=True, eq=False)
class ListTypeRef(Node):
    element: TypeRef


TypeRef = BaseTypeRef | NamedTypeRef | StackTypeRef | TupleTypeRef | ListTypeRef
