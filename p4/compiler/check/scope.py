"""Scopes and the place that is being checked.

Names resolve lexically, innermost scope first; types and values share one namespace. Only
functions, extern functions and methods may be overloaded (specification 1.2.5, section 7.2.9.2).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from weft.p4.compiler import ast
from weft.p4.compiler import types as t
from weft.p4.compiler.source import Location


@dataclass(slots=True)
class Scope:
    parent: Scope | None = None
    names: dict[str, list[ast.Node]] = field(default_factory=dict)

    def lookup(self, name: str) -> list[ast.Node]:
        """The declarations of a name: several only when they are overloaded functions."""
        scope: Scope | None = self
        while scope is not None:
            found = scope.names.get(name)
            if found:
                return found
            scope = scope.parent
        return []

    def visible(self) -> set[str]:
        names: set[str] = set()
        scope: Scope | None = self
        while scope is not None:
            names |= scope.names.keys()
            scope = scope.parent
        return names


class Where(Enum):
    """What kind of code surrounds a statement or expression; decides what may stand there."""

    TOP = "at the top level"
    FUNCTION = "in a function"
    ACTION = "in an action"
    PARSER = "in a parser"
    CONTROL = "in a control"
    TABLE = "in a table"


@dataclass(slots=True)
class Place:
    where: Where
    result: t.Type | None = None  # what `return` must give, None where it may not stand
    in_loop: bool = False
    name: str = ""
    #: The extern type whose abstract method is being implemented (for `this`).
    this: t.Extern | None = None


@dataclass(slots=True)
class ResolvedCall:
    """What a call means, once names, overloads, type arguments and arguments are settled.

    kind        function, extern_function, action, method, builtin, apply, constructor
    target      Function, Prototype, Action, Table, Parser, Control, ExternType, BlockType;
                for a builtin its name
    arguments   one per parameter: (parameter, expression), the expression None for `_` or an
                omitted @optional parameter; default values are filled in
    """

    kind: str
    target: ast.Node | str
    result: t.Type
    arguments: list[tuple[ast.Parameter, ast.Expression | None]] = field(default_factory=list)
    bindings: dict[ast.TypeParameter, t.Type] = field(default_factory=dict)
    type_parameters: list[ast.TypeParameter] = field(default_factory=list)
    receiver: ast.Expression | None = None
    location: Location | None = None
