"""The state that all parts of the checker share, and what ties them together.

Input: a syntax tree. Output: the same tree with every expression typed, implicit casts put in,
names and calls resolved. Invariant: if no error was reported, elaboration cannot fail except
where the specification leaves a check to instantiation (constructor arguments).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from contextlib import contextmanager

from weft.p4.compiler import ast, values
from weft.p4.compiler import types as t
from weft.p4.compiler.check.annotations import check as check_annotations
from weft.p4.compiler.check.scope import Place, Scope, Where
from weft.p4.compiler.diagnostics import Diagnostics
from weft.p4.compiler.source import Location


def _overload_key(node: ast.Node) -> list[str] | None:
    """What tells overloads of a name apart; None for what cannot be overloaded."""
    if isinstance(node, ast.Function | ast.ExternFunction):
        return [p.name for p in node.prototype.parameters]
    return None


class Checker:
    """Shared by the parts; each part is a class that holds a reference to this one."""

    def __init__(self, diagnostics: Diagnostics) -> None:
        # The parts import this module for its type, hence imports here.
        from weft.p4.compiler.check.calls import CallChecker
        from weft.p4.compiler.check.constructors import ConstructorChecker
        from weft.p4.compiler.check.declarations import DeclarationChecker
        from weft.p4.compiler.check.expressions import ExpressionChecker
        from weft.p4.compiler.check.keysets import KeysetChecker
        from weft.p4.compiler.check.statements import StatementChecker
        from weft.p4.compiler.check.tables import TableChecker
        from weft.p4.compiler.check.type_refs import TypeResolver

        self.diagnostics = diagnostics
        self.globals = Scope()
        self.scope = self.globals
        self.place = Place(Where.TOP)
        self.errors: dict[str, Location] = {}
        self.match_kinds: dict[str, Location] = {}
        self.types = TypeResolver(self)
        self.expressions = ExpressionChecker(self)
        self.calls = CallChecker(self)
        self.constructors = ConstructorChecker(self)
        self.keysets = KeysetChecker(self)
        self.statements = StatementChecker(self)
        self.tables = TableChecker(self)
        self.declarations = DeclarationChecker(self)

    def error(self, location: Location, message: str, *notes: tuple[str, Location | None]) -> None:
        self.diagnostics.error(location, message, *notes)

    # ------------------------------------------------------------------------------ scopes

    @contextmanager
    def nested(self, place: Place | None = None) -> Iterator[None]:
        """A new innermost scope, and a new place when one is given."""
        scope, before = self.scope, self.place
        self.scope = Scope(scope)
        if place is not None:
            self.place = place
        try:
            yield
        finally:
            self.scope, self.place = scope, before

    def declare(self, name: str, node: ast.Node, location: Location) -> None:
        if isinstance(node, ast.Declaration):
            check_annotations(node.annotations, self)
        known = self.scope.names.get(name)
        if not known:
            self.scope.names[name] = [node]
            return
        key = _overload_key(node)
        others = [_overload_key(k) for k in known]
        if key is not None and key not in others and None not in others:
            known.append(node)
            return
        self.error(
            location, f"'{name}' is declared twice", ("first declared here", known[0].location)
        )

    def lookup(self, name: str, absolute: bool, location: Location) -> list[ast.Node]:
        """The declarations of a name; reports it when there is none."""
        found = (self.globals if absolute else self.scope).lookup(name)
        if not found:
            self.error(location, f"'{name}' is not declared{self._similar(name)}")
        return found

    def _similar(self, name: str) -> str:
        close = difflib.get_close_matches(name, self.scope.visible(), n=1, cutoff=0.75)
        return f"; did you mean '{close[0]}'?" if close else ""

    # ------------------------------------------------------------------------- shared checks

    def static_int(self, e: ast.Expression, what: str) -> int | None:
        """The value of a compile-time integer; reports when it is none or not known."""
        e = self.expressions.check(e)
        if isinstance(e.type, t.Unknown):
            return None
        type_ = t.resolve_new(e.type)
        if not (
            isinstance(type_, t.Int | t.Bits) or (isinstance(type_, t.Enum) and type_.underlying)
        ):
            self.error(e.location, f"{what} must be an integer, not {e.type}")
            return None
        if not e.is_static:
            self.error(e.location, f"{what} must be a compile-time constant")
            return None
        if isinstance(e.value, values.MemberValue):
            return e.value.number
        if not isinstance(e.value, int):
            self.error(e.location, f"{what} must be known before instances are made")
            return None
        return e.value
