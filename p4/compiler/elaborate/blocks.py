"""Instances: parsers and controls with their constructor arguments folded in.

Each instance gets code of its own. Control-plane names are dotted paths of instance names
(specification 1.2.5, section 18.3): a block in the package goes by its type's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.p4.compiler import ast, ir
from weft.p4.compiler import types as t
from weft.p4.compiler.check.scope import ResolvedCall
from weft.p4.compiler.elaborate.annotations import given_name
from weft.p4.compiler.elaborate.patterns import PatternLowering
from weft.p4.compiler.elaborate.unit import Environment, Meaning, Unit
from weft.p4.compiler.source import Location

if TYPE_CHECKING:
    from weft.p4.compiler.elaborate.program import ProgramElaborator

#: Instances inside instances beyond this are a bomb, not a program.
MAX_INSTANCES = 10_000


def join(path: str, node: ast.Declaration, fallback: str | None = None) -> str:
    """The control-plane name of something declared in the instance called `path`."""
    name = given_name(node)
    if name is not None and name.startswith("."):
        return name[1:]
    name = name or fallback or node.name
    return f"{path}.{name}" if path else name


class BlockElaborator:
    def __init__(self, program: ProgramElaborator) -> None:
        self._p = program
        self._count = 0
        #: Objects made as constructor arguments, until the first block that gets one owns it.
        self._ownerless: list[Meaning] = []

    # -------------------------------------------------------------------------- instances

    def construct(
        self,
        resolved: ResolvedCall,
        environment: Environment,
        name: str,
        location: Location,
        outer: t.Bindings,
    ) -> Meaning:
        """The object that a constructor call makes, under its control-plane name.

        `outer` are the type arguments of the generic block around the call.
        """
        self._count += 1
        if self._count > MAX_INSTANCES:
            raise self._p.diagnostics.fatal(
                location, f"the program makes more than {MAX_INSTANCES} instances"
            )
        target = resolved.target
        if isinstance(target, ast.BlockType):
            return self._package(target, resolved, environment, location)
        bindings = {p: t.substitute(a, outer) for p, a in resolved.bindings.items()}
        arguments = {
            p: self._argument(e, environment, p.name, name, outer) for p, e in resolved.arguments
        }
        match target:
            case ast.ExternType():
                return self._extern(target, bindings, arguments, name, location)
            case ast.Parser():
                return self.parser(target, arguments, bindings, name)
            case ast.Control():
                return self.control(target, arguments, bindings, name)
        raise AssertionError(target)

    def _argument(
        self,
        e: ast.Expression | None,
        environment: Environment,
        parameter: str,
        path: str,
        outer: t.Bindings,
    ) -> Meaning | None:
        """A constructor argument: an object, or an expression whose value is known."""
        if e is None:
            return None
        if isinstance(e, ast.ConstructorCall):
            name = e.resolved.target.name if path == "" else f"{path}.{parameter}"
            made = self.construct(e.resolved, environment, name, e.location, outer)
            self._ownerless.append(made)
            return made
        if isinstance(e, ast.Call) and isinstance(e.type, t.Extern):
            made = self._factory(e, environment, f"{path}.{parameter}", outer)
            self._ownerless.append(made)
            return made
        if isinstance(e, ast.Name):
            meaning = environment.get(e.target)
            if meaning is not None:
                return meaning
        value = Unit(self._p, environment, outer).expressions.static(e)
        return e if value is None else value

    def _owned(self, arguments: dict[ast.Parameter, Meaning | None]) -> list[Meaning]:
        """Arguments that were made for this block and stand in no other."""
        given = {id(m) for m in arguments.values()}
        owned = [m for m in self._ownerless if id(m) in given]
        self._ownerless = [m for m in self._ownerless if id(m) not in given]
        return owned

    def _factory(
        self, e: ast.Call, environment: Environment, name: str, outer: t.Bindings
    ) -> ir.ExternInstance:
        """An extern made by an extern function instead of a constructor."""
        resolved: ResolvedCall = e.resolved
        arguments = {
            p: self._argument(a, environment, p.name, name, outer) for p, a in resolved.arguments
        }
        assert isinstance(e.type, t.Extern)
        bound = dict(zip(e.type.declaration.type_parameters, e.type.arguments, strict=False))
        bindings = {p: t.substitute(a, outer) for p, a in {**resolved.bindings, **bound}.items()}
        return self._extern(e.type.declaration, bindings, arguments, name, e.location)

    def _extern(
        self,
        declaration: ast.ExternType,
        bindings: t.Bindings,
        arguments: dict[ast.Parameter, Meaning | None],
        name: str,
        location: Location,
    ) -> ir.ExternInstance:
        unit = Unit(self._p, self._p.environment, bindings)
        given: dict[str, ir.Expression | ir.ExternInstance] = {}
        for parameter, meaning in arguments.items():
            type_ = t.substitute(parameter.type, bindings)
            if isinstance(meaning, ir.ExternInstance):
                given[parameter.name] = meaning
            elif isinstance(meaning, ast.Expression):
                given[parameter.name] = unit.expressions.lower(meaning)
            elif meaning is not None:
                constant = unit.expressions.constant(meaning, type_, location)  # type: ignore[arg-type]
                if constant is not None:
                    given[parameter.name] = constant
        types = tuple(self._p.types.lower(bindings[p]) for p in declaration.type_parameters)
        return ir.ExternInstance(
            declaration.name, name, self._p.unique(name), types, given, {}, location
        )

    def instantiation(
        self,
        d: ast.Instantiation,
        environment: Environment,
        path: str,
        outer: t.Bindings | None = None,
    ) -> Meaning:
        """A declared instance; bound in the environment under its declaration."""
        name = join(path, d)
        resolved: ResolvedCall = d.resolved
        at_top = path == "" and not isinstance(resolved.target, ast.ExternType)
        if at_top and isinstance(resolved.target, ast.Parser | ast.Control):
            name = resolved.target.name
        if at_top and isinstance(resolved.target, ast.BlockType):
            name = ""  # blocks of the package go by the names of their types
        meaning = self.construct(resolved, environment, name, d.location, outer or {})
        if isinstance(meaning, ir.ExternInstance):
            self._p.claim(meaning.extern, name, d, path)
            meaning.annotations = self._p.annotations.read(d)
            environment.bind(d, meaning)
            self._implement(d, meaning, environment)
        environment.bind(d, meaning)
        return meaning

    def _implement(
        self, d: ast.Instantiation, instance: ir.ExternInstance, environment: Environment
    ) -> None:
        inner = Environment(environment)
        methods: dict[str, ir.Function] = {}
        for item in d.initializer or []:
            if isinstance(item, ast.Instantiation):
                self.instantiation(item, inner, instance.control_plane_name)
        for item in d.initializer or []:
            if isinstance(item, ast.Function):
                self._p.this = instance
                methods[item.name] = self._p.body_of(item, inner, {}, item.name)
        instance.methods = methods

    def direct(self, s: ast.DirectApplication, unit: Unit) -> ir.Parser | ir.Control:
        """The anonymous instance of `Type.apply(...)`."""
        declaration = s.resolved.target
        path = f"{unit.path}.{declaration.name}" if unit.path else declaration.name
        taken = {i.control_plane_name for i in unit.instances}
        if path in taken:
            path = next(p for n in range(1, len(taken) + 2) if (p := f"{path}_{n}") not in taken)
        arguments: dict[ast.Parameter, Meaning | None] = {
            p: p.default for p in declaration.constructor_parameters
        }
        bindings = {p: t.substitute(a, unit.bindings) for p, a in s.resolved.bindings.items()}
        if isinstance(declaration, ast.Parser):
            return self.parser(declaration, arguments, bindings, path)
        assert isinstance(declaration, ast.Control)
        return self.control(declaration, arguments, bindings, path)

    def _package(
        self,
        declaration: ast.BlockType,
        resolved: ResolvedCall,
        environment: Environment,
        location: Location,
    ) -> ir.Package:
        given: dict[
            str, ir.Parser | ir.Control | ir.ExternInstance | ir.Package | ir.Expression
        ] = {}
        unit = Unit(self._p, environment)
        for parameter, e in resolved.arguments:
            meaning = self._argument(e, environment, parameter.name, "", {})
            if isinstance(meaning, ir.Parser | ir.Control | ir.ExternInstance | ir.Package):
                given[parameter.name] = meaning
            elif isinstance(meaning, ast.Expression):
                given[parameter.name] = unit.expressions.lower(meaning)
            elif meaning is not None:
                type_ = t.substitute(parameter.type, resolved.bindings)
                constant = unit.expressions.constant(meaning, type_, location)  # type: ignore[arg-type]
                if constant is not None:
                    given[parameter.name] = constant
        types: list[ir.Type] = []
        for parameter_ in declaration.type_parameters:
            bound = resolved.bindings[parameter_]
            types.append(ir.VOID if isinstance(bound, t.Extern) else self._p.types.lower(bound))
        return ir.Package(declaration.name, given, tuple(types), location)

    # ----------------------------------------------------------------- parsers and controls

    def _open(
        self,
        d: ast.Parser | ast.Control,
        arguments: dict[ast.Parameter, Meaning | None],
        bindings: t.Bindings,
        path: str,
    ) -> tuple[Unit, tuple[ir.Variable, ...]]:
        environment = Environment(self._p.environment)
        for parameter, meaning in arguments.items():
            if meaning is None and parameter.default is not None:
                meaning = parameter.default
            if meaning is not None:
                environment.bind(parameter, meaning)
        unit = Unit(self._p, environment, bindings, path=path)
        parameters = tuple(unit.parameter(p, environment) for p in d.signature.parameters)
        unit.zero_out_parameters(parameters)
        return unit, parameters

    def control(
        self,
        d: ast.Control,
        arguments: dict[ast.Parameter, Meaning | None],
        bindings: t.Bindings,
        path: str,
    ) -> ir.Control:
        unit, parameters = self._open(d, arguments, bindings, path)
        unique = self._p.unique(path)
        actions: list[ir.Action] = []
        tables: list[ir.Table] = []
        owned = self._owned(arguments)
        externs = [m for m in owned if isinstance(m, ir.ExternInstance)]
        children = [m for m in owned if isinstance(m, ir.Control)]
        for local in d.locals:
            match local:
                case ast.Variable():
                    unit.statements.statement(local)
                case ast.Action():
                    action = self._p.make_action(local, unit, join(path, local))
                    unit.environment.bind(local, action)
                    actions.append(action)
                case ast.Table():
                    table = self._p.tables.table(local, unit, join(path, local), actions, externs)
                    unit.environment.bind(local, table)
                    tables.append(table)
                case ast.Instantiation():
                    meaning = self.instantiation(local, unit.environment, path, unit.bindings)
                    if isinstance(meaning, ir.ExternInstance):
                        externs.append(meaning)
                    elif isinstance(meaning, ir.Control):
                        children.append(meaning)
        unit.statements.sequence(d.body.items)
        children += [i for i in unit.instances if isinstance(i, ir.Control)]
        return ir.Control(
            d.name, path, unique, parameters, tuple(unit.locals), tuple(actions), tuple(tables),
            tuple(unit.out), tuple(externs), tuple(children), d.location,
            self._p.annotations.read(d),
        )  # fmt: skip

    def parser(
        self,
        d: ast.Parser,
        arguments: dict[ast.Parameter, Meaning | None],
        bindings: t.Bindings,
        path: str,
    ) -> ir.Parser:
        unit, parameters = self._open(d, arguments, bindings, path)
        unique = self._p.unique(path)
        value_sets: list[ir.ValueSet] = []
        owned = self._owned(arguments)
        externs = [m for m in owned if isinstance(m, ir.ExternInstance)]
        children = [m for m in owned if isinstance(m, ir.Parser)]
        for local in d.locals:
            match local:
                case ast.Variable():
                    unit.statements.statement(local)
                case ast.ValueSet():
                    value_sets.append(self._value_set(local, unit, join(path, local)))
                case ast.Instantiation():
                    meaning = self.instantiation(local, unit.environment, path, unit.bindings)
                    if isinstance(meaning, ir.ExternInstance):
                        externs.append(meaning)
                    elif isinstance(meaning, ir.Parser):
                        children.append(meaning)
        prologue = tuple(unit.out)
        states = {s.name: self._state(s, unit) for s in d.states}
        children += [i for i in unit.instances if isinstance(i, ir.Parser)]
        return ir.Parser(
            d.name, path, unique, parameters, tuple(unit.locals), prologue, states,
            tuple(value_sets), tuple(externs), tuple(children), d.location,
            self._p.annotations.read(d),
        )  # fmt: skip

    def _value_set(self, d: ast.ValueSet, unit: Unit, name: str) -> ir.ValueSet:
        type_ = unit.type(d.type)
        if isinstance(type_, ir.StructType):
            keys = _flat(type_.fields, "")
        else:
            keys = (ir.Field("", type_, annotations=self._p.annotations.read(d)),)
        size = unit.expressions.static_int(d.size, "the size of the value set")
        value_set = ir.ValueSet(
            d.name, name, self._p.unique(name), keys, size, d.location,
            self._p.annotations.read(d),
        )  # fmt: skip
        unit.environment.bind(d, value_set)
        return value_set

    def _state(self, s: ast.State, unit: Unit) -> ir.State:
        with unit.block() as out:
            unit.statements.sequence(s.body)
            transition = self._transition(s.transition, unit, s.location)
        return ir.State(s.name, tuple(out), transition, s.location, self._p.annotations.read(s))

    def _transition(
        self, transition: ast.Transition | None, unit: Unit, location: Location
    ) -> ir.Goto | ir.Select:
        if transition is None:
            return ir.Goto(ir.REJECT, location)
        if transition.target is not None:
            return ir.Goto(transition.target, transition.location)
        flat = [item for key in transition.keys for item in _items(key)]
        keys = unit.expressions.sequence(flat)
        types = [k.type for k in transition.keys]
        patterns = PatternLowering(unit)
        cases = tuple(
            ir.SelectCase(patterns.lower(c.keyset, types), c.target, c.location)
            for c in transition.cases
        )
        return ir.Select(tuple(keys), cases, transition.location)


def _items(e: ast.Expression) -> list[ast.Expression]:
    """The scalars of a select key, which may be a list of them."""
    if isinstance(e, ast.ListExpression):
        return [item for part in e.items for item in _items(part)]
    return [e]


def _flat(fields: tuple[ir.Field, ...], prefix: str) -> tuple[ir.Field, ...]:
    """The scalar fields of a struct, those of nested structs by their path."""
    found: list[ir.Field] = []
    for field in fields:
        if isinstance(field.type, ir.StructType):
            found += _flat(field.type.fields, f"{prefix}{field.name}.")
        else:
            found.append(
                ir.Field(prefix + field.name, field.type, field.type_name, field.annotations)
            )
    return tuple(found)
