"""Annotations for the IR.

Bodies folded to ints, strings and names (specification 1.2.5, section 20).
"""

from __future__ import annotations

from weft.p4.compiler import ast, ir
from weft.p4.compiler.build_expressions import parse_integer
from weft.p4.compiler.check.scope import Scope


class AnnotationReader:
    """Resolves names in annotation bodies against the program's global constants and enums."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def read(self, node: ast.Declaration | ast.KeyElement | ast.Entry | ast.ActionReference
             ) -> tuple[ir.Annotation, ...]:  # fmt: skip
        return tuple(self._one(a) for a in node.annotations)

    def _one(self, annotation: ast.Annotation) -> ir.Annotation:
        if annotation.items is not None:
            values = tuple(self._expression(i) for i in annotation.items)
            return ir.Annotation(annotation.name, values)
        if annotation.pairs is not None:
            keywords = {name: self._expression(e) for name, e in annotation.pairs}
            return ir.Annotation(annotation.name, (), keywords)
        return ir.Annotation(annotation.name, self._tokens(annotation.tokens or []))

    def _tokens(self, tokens: list[str]) -> tuple[object, ...]:
        groups: list[list[str]] = [[]]
        for token in tokens:
            if token == ",":
                groups.append([])
            else:
                groups[-1].append(token)
        return tuple(self._group(g) for g in groups if g)

    def _group(self, group: list[str]) -> object:
        first = group[0]
        if len(group) == 1:
            if first.startswith('"'):
                return first[1:-1].replace('\\"', '"')
            if first[0].isdigit():
                try:
                    return parse_integer(first)[0]
                except ValueError:
                    return first
            return self._constant(first)
        if all(g.startswith('"') for g in group):
            return "".join(g[1:-1] for g in group)
        if len(group) == 3 and group[1] == ".":
            return self._member(first, group[2])
        return " ".join(group)

    def _constant(self, name: str) -> object:
        found = self._scope.lookup(name)
        if found and isinstance(found[0], ast.Constant):
            value = found[0].initializer.value
            return value if isinstance(value, int | str) else name
        return name

    def _member(self, enum: str, member: str) -> object:
        found = self._scope.lookup(enum)
        if found and isinstance(found[0], ast.Enum):
            for index, candidate in enumerate(found[0].members):
                if candidate.name == member:
                    value = candidate.initializer.value if candidate.initializer else index
                    return value if isinstance(value, int) else index
        return f"{enum}.{member}"

    def _expression(self, e: ast.Expression) -> object:
        match e:
            case ast.Integer():
                return e.number
            case ast.String() as text:
                return text.text
            case ast.Boolean():
                return e.truth
            case ast.Name():
                return self._constant(e.name)
            case ast.Unary(op="-", operand=ast.Integer() as number):
                return -number.number
            case ast.TypeMember(base=ast.NamedTypeRef(name=name)):
                return self._member(name, e.name)
        return "..."


def find(node: ast.Declaration | ast.KeyElement | ast.Entry, name: str) -> ast.Annotation | None:
    return next((a for a in node.annotations if a.name == name), None)


def given_name(node: ast.Declaration | ast.KeyElement) -> str | None:
    """The text of `@name("...")`, if there."""
    annotation = find(node, "name")
    if annotation is None or not annotation.tokens:
        return None
    return "".join(token[1:-1] for token in annotation.tokens if token.startswith('"'))
