"""A unit of code being elaborated: the body of one function, action, parser or control instance.

Holds what names mean here (`environment`), the statement list being written (`out`), and the
variables declared so far. Its parts lower expressions, calls and statements.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from weft.p4.compiler import ast, ir, values
from weft.p4.compiler import types as t
from weft.p4.compiler.elaborate import build
from weft.p4.compiler.elaborate.typemap import type_name
from weft.p4.compiler.source import Location

if TYPE_CHECKING:
    from weft.p4.compiler.elaborate.program import ProgramElaborator

#: What a declaration stands for in an instance: storage, an object, or a constructor argument.
Meaning = (
    ir.Variable | ir.ExternInstance | ir.Parser | ir.Control | ir.Action | ir.Table | ir.ValueSet
    | ir.Package | ast.Expression | int | bool | str | values.MemberValue | tuple | dict  # type: ignore[type-arg]
)  # fmt: skip


class Environment:
    """Declarations to what they mean, from the innermost instance outwards."""

    def __init__(self, parent: Environment | None = None) -> None:
        self._parent = parent
        self._own: dict[ast.Node, Meaning] = {}

    def bind(self, node: ast.Node, meaning: Meaning) -> None:
        self._own[node] = meaning

    def get(self, node: ast.Node) -> Meaning | None:
        environment: Environment | None = self
        while environment is not None:
            if node in environment._own:
                return environment._own[node]
            environment = environment._parent
        return None


class Unit:
    """See the module's comment."""

    def __init__(
        self,
        program: ProgramElaborator,
        environment: Environment,
        bindings: t.Bindings | None = None,
        names: set[str] | None = None,
        path: str = "",
    ) -> None:
        from weft.p4.compiler.elaborate.calls import CallLowering
        from weft.p4.compiler.elaborate.expressions import ExpressionLowering
        from weft.p4.compiler.elaborate.statements import StatementLowering

        self.program = program
        self.environment = environment
        self.bindings: t.Bindings = bindings or {}
        self.names = set() if names is None else names
        self.path = path  # control-plane name of the instance around
        self.out: list[ir.Statement] = []
        self.locals: list[ir.Variable] = []
        self.instances: list[
            ir.Parser | ir.Control
        ] = []  # anonymous ones, made by direct application
        self.expressions = ExpressionLowering(self)
        self.calls = CallLowering(self)
        self.statements = StatementLowering(self)

    # --------------------------------------------------------------------------- variables

    def type(self, type_: t.Type) -> ir.Type:
        return self.program.types.lower(t.substitute(type_, self.bindings))

    def unique(self, name: str) -> str:
        candidate, number = name, 0
        while candidate in self.names:
            candidate, number = f"{name}_{number}", number + 1
        self.names.add(candidate)
        return candidate

    def parameter(self, node: ast.Parameter, environment: Environment) -> ir.Variable:
        variable = ir.Variable(
            node.name, self.unique(node.name), self.type(node.type), ir.VariableKind.PARAMETER,
            ir.Direction(node.direction), node.location, type_name(node.type_ref, node.type),
            self.program.annotations.read(node),
        )  # fmt: skip
        environment.bind(node, variable)
        return variable

    def declare(self, node: ast.Variable) -> ir.Variable:
        variable = ir.Variable(
            node.name, self.unique(node.name), self.type(node.type), ir.VariableKind.LOCAL,
            location=node.location, type_name=type_name(node.type_ref, node.type),
            annotations=self.program.annotations.read(node),
        )  # fmt: skip
        self.locals.append(variable)
        self.environment.bind(node, variable)
        return variable

    def temporary(self, type_: ir.Type, location: Location, name: str = "tmp") -> ir.VarRef:
        variable = ir.Variable(
            name, self.unique(name + "_0"), type_, ir.VariableKind.TEMPORARY, location=location
        )
        self.locals.append(variable)
        return ir.VarRef(variable, type_, location)

    # -------------------------------------------------------------------------- statements

    def emit(self, statement: ir.Statement) -> None:
        self.out.append(statement)

    def assign(self, target: ir.LValue, value: ir.Expression, location: Location) -> None:
        self.emit(ir.Assign(target, value, location))

    def save(self, value: ir.Expression, location: Location) -> ir.Expression:
        """The value in a temporary, unless nothing can change it."""
        if isinstance(value, ir.Const | ir.StringConst | ir.ZeroValue):
            return value
        temporary = self.temporary(value.type, location)
        self.assign(temporary, value, location)
        return temporary

    @contextmanager
    def block(self) -> Iterator[list[ir.Statement]]:
        """Collect what is emitted inside into a list of its own."""
        before, self.out = self.out, []
        try:
            yield self.out
        finally:
            self.out = before

    def zero_out_parameters(self, parameters: tuple[ir.Variable, ...]) -> None:
        for p in parameters:
            if p.direction is ir.Direction.OUT:
                ref = ir.VarRef(p, p.type, p.location)
                self.assign(ref, build.zero(p.type, p.location), p.location)
