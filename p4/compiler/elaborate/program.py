"""The whole program: global objects, specialised functions, and the package `main`."""

from __future__ import annotations

import re

from weft.p4.compiler import ast, ir
from weft.p4.compiler import types as t
from weft.p4.compiler.check import Checker
from weft.p4.compiler.check.scope import ResolvedCall
from weft.p4.compiler.diagnostics import Diagnostics
from weft.p4.compiler.elaborate.annotations import AnnotationReader, find
from weft.p4.compiler.elaborate.blocks import BlockElaborator, join
from weft.p4.compiler.elaborate.tables import TableElaborator
from weft.p4.compiler.elaborate.typemap import TypeMap
from weft.p4.compiler.elaborate.unit import Environment, Unit
from weft.p4.compiler.source import NOWHERE, Location

#: Specialisations of generic functions beyond this are a bomb, not a program.
MAX_FUNCTIONS = 10_000


class ProgramElaborator:
    """Shared by all units of one program."""

    def __init__(self, program: ast.Program, checker: Checker, diagnostics: Diagnostics) -> None:
        self._program = program
        self._checker = checker
        self.diagnostics = diagnostics
        self.annotations = AnnotationReader(checker.globals)
        self.types = TypeMap(self.annotations)
        self.environment = Environment()
        self.blocks = BlockElaborator(self)
        self.tables = TableElaborator(self)
        self.this: ir.ExternInstance | None = None
        self.no_action = self._find_no_action()
        self._names: set[str] = set()
        self._claimed: dict[tuple[str, str], tuple[ast.Node, str]] = {}
        self._functions: dict[tuple[ast.Node, tuple[t.Type, ...]], ir.Function] = {}
        self._actions: list[ir.Action] = []
        self._externs: list[ir.ExternInstance] = []

    def run(self, source: str) -> ir.Program:
        main: ir.Package | None = None
        for d in self._program.declarations:
            if not isinstance(d, ast.Instantiation):
                continue
            meaning = self.blocks.instantiation(d, self.environment, "")
            if d.name == "main":
                main = self._main(d, meaning)
            elif isinstance(meaning, ir.ExternInstance):
                self._externs.append(meaning)
        if main is None:
            raise self.diagnostics.fatal(
                Location(source, 1, 1), "the program does not declare a package named 'main'"
            )
        self._controller_headers()
        self.diagnostics.raise_if_errors()
        return ir.Program(
            main, tuple(self.types.declared), tuple(self._checker.errors),
            tuple(self._checker.match_kinds), tuple(self._functions.values()),
            tuple(self._externs), tuple(self._actions), self._new_types(), source,
        )  # fmt: skip

    def _controller_headers(self) -> None:
        """Headers of packets to and from the controller belong to P4Info even when unused."""
        for d in self._program.declarations:
            if isinstance(d, ast.Struct) and not d.type_parameters and find(d, "controller_header"):
                self.types.lower(t.Struct(d))

    def _new_types(self) -> dict[str, ir.NewType]:
        found: dict[str, ir.NewType] = {}
        for d, type_ in self._checker.declarations.declared.items():
            if isinstance(d, ast.Typedef) and isinstance(type_, t.New):
                underlying = self.types.lower(type_.underlying)
                found[d.name] = ir.NewType(d.name, underlying, self.annotations.read(d))
        return found

    def _main(self, d: ast.Instantiation, meaning: object) -> ir.Package:
        if not isinstance(meaning, ir.Package):
            raise self.diagnostics.fatal(d.location, f"'main' must be a package, not a {d.type}")
        meaning.annotations = self.annotations.read(d)
        return meaning

    def unique(self, name: str) -> str:
        """A C identifier for something with this control-plane name, unique in the program."""
        base = re.sub(r"\W", "_", name) or "anonymous"
        base = f"_{base}" if base[0].isdigit() else base
        candidate, number = base, 0
        while candidate in self._names:
            candidate, number = f"{base}_{number}", number + 1
        self._names.add(candidate)
        return candidate

    def claim(self, kind: str, name: str, node: ast.Node, path: str) -> None:
        """Report two objects of one kind under the same control-plane name.

        `path` names the instance around; a block that the package uses twice is let through.
        """
        known, where = self._claimed.setdefault((kind, name), (node, path))
        if known is not node or where != path:
            self.diagnostics.error(
                node.location,
                f"two {kind}s have the control-plane name '{name}'",
                ("the other one", known.location),
            )

    def error(self, name: str, location: Location) -> ir.Const:
        """An error constant; the errors of core.p4 that the language itself raises."""
        names = list(self._checker.errors)
        if name not in names:
            raise self.diagnostics.fatal(location, f"error.{name} is not declared; include core.p4")
        return ir.Const(names.index(name), ir.ErrorType(), location)

    # ------------------------------------------------------------------ functions, actions

    def function(self, resolved: ResolvedCall, caller: Unit) -> ir.Function:
        """The function specialised to the type arguments of a call."""
        d = resolved.target
        assert isinstance(d, ast.Function)
        parameters = d.prototype.type_parameters
        types = tuple(t.substitute(resolved.bindings[p], caller.bindings) for p in parameters)
        known = self._functions.get((d, types))
        if known is not None:
            return known
        if len(self._functions) >= MAX_FUNCTIONS:
            raise self.diagnostics.fatal(
                d.location, f"the program needs more than {MAX_FUNCTIONS} functions"
            )
        bindings = dict(zip(parameters, types, strict=True))
        made = self.body_of(d, self.environment, bindings, d.name)
        self._functions[d, types] = made
        return made

    def body_of(
        self, d: ast.Function, outer: Environment, bindings: t.Bindings, name: str
    ) -> ir.Function:
        environment = Environment(outer)
        unit = Unit(self, environment, bindings)
        parameters = tuple(unit.parameter(p, environment) for p in d.prototype.parameters)
        unit.zero_out_parameters(parameters)
        unit.statements.sequence(d.body.items)
        result = self._checker.declarations.result_types[d.prototype]
        return ir.Function(
            d.name, self.unique(name), parameters, unit.type(result), tuple(unit.locals),
            tuple(unit.out), d.location, self.annotations.read(d),
        )  # fmt: skip

    def action(self, d: ast.Action) -> ir.Action:
        """A global action, made on first use."""
        meaning = self.environment.get(d)
        if isinstance(meaning, ir.Action):
            return meaning
        made = self.make_action(d, Unit(self, self.environment), join("", d))
        self.environment.bind(d, made)
        self._actions.append(made)
        return made

    def make_action(self, d: ast.Action, around: Unit, name: str) -> ir.Action:
        """An action of the control that `around` elaborates (or a global one)."""
        self.claim("action", name, d, around.path)
        environment = Environment(around.environment)
        unit = Unit(self, environment, around.bindings, around.names, around.path)
        parameters = tuple(unit.parameter(p, environment) for p in d.parameters)
        unit.zero_out_parameters(parameters)
        unit.statements.sequence(d.body.items)
        return ir.Action(
            d.name, name, self.unique(name), parameters, tuple(unit.locals), tuple(unit.out),
            d.location, self.annotations.read(d),
        )  # fmt: skip

    def _find_no_action(self) -> ast.Action:
        found = self._checker.globals.lookup("NoAction")
        if found and isinstance(found[0], ast.Action):
            return found[0]
        return ast.Action(NOWHERE, [], "NoAction", NOWHERE, [], ast.Block(NOWHERE, [], []))
