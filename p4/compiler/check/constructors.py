"""Constructor calls: which instance is made, with which type arguments and arguments.

Specification 1.2.5, section 11.3. Externs, parsers, controls and packages may have overloaded
constructors, told apart as overloaded functions are (section 6.9).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from weft.p4.compiler import ast
from weft.p4.compiler import types as t
from weft.p4.compiler.check.arguments import choose, pair
from weft.p4.compiler.check.conversions import Bound
from weft.p4.compiler.check.scope import ResolvedCall
from weft.p4.compiler.check.wellformed import flaw
from weft.p4.compiler.source import Location

if TYPE_CHECKING:
    from weft.p4.compiler.check.checker import Checker

Candidate = tuple[
    Sequence[ast.Parameter], ast.ExternType | ast.BlockType | ast.Parser | ast.Control
]


class ConstructorChecker:
    def __init__(self, checker: Checker) -> None:
        self._c = checker

    def expression(self, e: ast.ConstructorCall) -> ast.Expression:
        e.is_static = True
        e.type, e.resolved = self.construct(e.target, e.arguments, e.location)
        methods = e.type.declaration.methods if isinstance(e.type, t.Extern) else []
        for method in methods:
            if method.is_abstract:
                self._c.error(
                    e.location,
                    f"abstract method '{method.name}' of {e.type} is not implemented; only an "
                    "instance with a name can do that",
                    ("declared here", method.location),
                )
        return e

    def construct(
        self, ref: ast.TypeRef, arguments: list[ast.Argument], location: Location
    ) -> tuple[t.Type, ResolvedCall | None]:
        """The type and resolved constructor of an instance made by `ref(arguments)`."""
        type_ = self._c.types.resolve(ref, infer=True)
        candidates = self._candidates(type_, ref, location)
        if not candidates:
            self._c.calls.check_loose(arguments)
            return t.UNKNOWN, None
        index, problem = choose(candidates, arguments)
        if index is None:
            self._c.error(
                location,
                f"the constructor of {type_} {problem}",
                *[("declared here", d.location) for _, d in candidates[:3]],
            )
            self._c.calls.check_loose(arguments)
            return t.UNKNOWN, None
        parameters, declaration = candidates[index]
        assert isinstance(type_, t.Extern | t.Block)
        free: list[ast.TypeParameter] = []
        if isinstance(declaration, ast.ExternType | ast.BlockType):
            free = declaration.type_parameters
        else:
            free = declaration.signature.type_parameters
        given = type_.arguments if len(type_.arguments) == len(free) else ()
        bound: Bound = {p: a for p, a in zip(free, given, strict=False) if a != t.ANY}
        pairs, _ = pair(parameters, arguments)
        values = self._c.calls.bind(location, "constructor", pairs, free, bound)
        if values is None:
            return t.UNKNOWN, None
        made = tuple(bound[p] for p in free)
        if isinstance(declaration, ast.ExternType):
            type_ = t.Extern(declaration, made)
        else:
            type_ = t.Block(declaration, made)
        problem = flaw(type_)
        if problem:
            self._c.error(location, f"with these type arguments, {problem}")
            return t.UNKNOWN, None
        resolved = ResolvedCall(
            "constructor", declaration, type_, values, bound, free, None, location
        )
        return type_, resolved

    def _candidates(self, type_: t.Type, ref: ast.TypeRef, location: Location) -> list[Candidate]:
        """The constructors a type has; none when it has no instances, which is reported."""
        match type_:
            case t.Unknown():
                return []
            case t.Extern(declaration, _):
                constructors = [m for m in declaration.methods if m.is_constructor]
                if not constructors:
                    self._c.error(location, f"{type_} has no constructor")
                return [(m.parameters, declaration) for m in constructors]
            case t.Block(declaration, _):
                if isinstance(declaration, ast.BlockType) and declaration.kind != "package":
                    self._c.error(
                        location,
                        f"{type_} is a {declaration.kind} type without a body; it has no instances",
                    )
                    return []
                return self._blocks(ref, declaration)
        self._c.error(location, f"{type_} has no constructor; use a cast for values")
        return []

    def _blocks(
        self, ref: ast.TypeRef, found: ast.BlockType | ast.Parser | ast.Control
    ) -> list[Candidate]:
        nodes: Sequence[ast.Node] = [found]
        if isinstance(ref, ast.NamedTypeRef):
            nodes = self._c.lookup(ref.name, ref.absolute, ref.location)
            if found not in nodes:  # a typedef
                nodes = [found]
        candidates: list[Candidate] = []
        for node in nodes:
            if isinstance(node, ast.BlockType):
                candidates.append((node.parameters, node))
            elif isinstance(node, ast.Parser | ast.Control):
                candidates.append((node.constructor_parameters, node))
        return candidates
