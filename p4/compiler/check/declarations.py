"""Declarations, from the program down to parser states.

Specification 1.2.5, sections 7, 10 and 13 to 18.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from weft.p4.compiler import ast, values
from weft.p4.compiler import types as t
from weft.p4.compiler.check.annotations import check as check_annotations
from weft.p4.compiler.check.conversions import unify
from weft.p4.compiler.check.keysets import scalars
from weft.p4.compiler.check.scope import Place, Where
from weft.p4.compiler.check.statements import terminates
from weft.p4.compiler.check.wellformed import field_fits, parameter_flaw, storable

if TYPE_CHECKING:
    from weft.p4.compiler.check.checker import Checker

#: Nested types double in size with every line of a hostile program.
MAX_LEAVES = 1 << 16

#: Each use of a `type` looks through all it is made of.
MAX_NEW_TYPES = 100

_FINAL_STATES = ("accept", "reject")


class DeclarationChecker:
    def __init__(self, checker: Checker) -> None:
        self._c = checker
        #: What enums and typedefs stand for.
        self.declared: dict[ast.Node, t.Type] = {}
        self.result_types: dict[ast.Prototype, t.Type] = {}
        self.constructor_parameters: set[ast.Parameter] = set()

    def program(self, program: ast.Program) -> None:
        for declaration in program.declarations:
            self.declaration(declaration)

    def declaration(self, d: ast.Node) -> None:
        match d:
            case ast.Constant():
                self.constant(d)
            case ast.Errors() | ast.MatchKinds():
                self._names(d)
            case ast.Struct():
                self._struct(d)
            case ast.Enum():
                self._enum(d)
            case ast.Typedef():
                self._typedef(d)
            case ast.ExternType():
                self._extern_type(d)
            case ast.ExternFunction():
                self._prototype(d.prototype, "extern")
                self._c.declare(d.name, d, d.name_location)
            case ast.Function():
                self._function(d)
                self._c.declare(d.name, d, d.name_location)
            case ast.Action():
                self.action(d)
            case ast.BlockType():
                with self._c.nested():
                    self._signature(d)
                self._c.declare(d.name, d, d.name_location)
            case ast.Parser():
                self._parser(d)
            case ast.Control():
                self._control(d)
            case ast.Instantiation():
                self.instantiation(d)
            case ast.Variable():
                self._c.statements.variable(d)
            case ast.Table():
                self._c.tables.table(d)
            case ast.ValueSet():
                self._value_set(d)

    # ------------------------------------------------------------------------------- types

    def _names(self, d: ast.Errors | ast.MatchKinds) -> None:
        is_error = isinstance(d, ast.Errors)
        known = self._c.errors if is_error else self._c.match_kinds
        for name, location in d.names:
            if name in known:
                kind = "error" if is_error else "match_kind"
                self._c.error(
                    location, f"{kind} '{name}' is declared twice", ("first here", known[name])
                )
            known.setdefault(name, location)

    def _struct(self, d: ast.Struct) -> None:
        seen: dict[str, ast.Field] = {}
        with self._c.nested():
            self._type_parameters(d.type_parameters)
            for field in d.fields:
                field.type = self._c.types.resolve(field.type_ref)
                check_annotations(field.annotations, self._c)
                if field.name in seen:
                    self._c.error(
                        field.name_location, f"field '{field.name}' is declared twice",
                        ("first here", seen[field.name].name_location),
                    )  # fmt: skip
                seen[field.name] = field
                if not field_fits(d.kind, field.type):
                    self._c.error(
                        field.location,
                        f"a field of a {d.kind.replace('_', ' ')} cannot have type {field.type}",
                    )
                    field.type = t.UNKNOWN
                elif t.leaves(field.type) > MAX_LEAVES:
                    raise self._c.diagnostics.fatal(
                        field.location, f"a type of more than {MAX_LEAVES} fields in all"
                    )
        self._c.declare(d.name, d, d.name_location)

    def _enum(self, d: ast.Enum) -> None:
        underlying: t.Type | None = None
        if d.underlying is not None:
            underlying = self._c.types.resolve(d.underlying)
            if not isinstance(underlying, t.Bits | t.Unknown):
                self._c.error(
                    d.underlying.location, f"an enum must be of bit<W> or int<W>, not {underlying}"
                )
                underlying = None
        seen: dict[str, ast.EnumMember] = {}
        for member in d.members:
            if member.name in seen:
                self._c.error(
                    member.location, f"member '{member.name}' is declared twice",
                    ("first here", seen[member.name].location),
                )  # fmt: skip
            seen[member.name] = member
            if member.initializer is not None and underlying is not None:
                given = self._c.expressions.check(member.initializer)
                if not _representable(given.value, underlying):
                    self._c.error(
                        given.location, f"the value of '{member.name}' does not fit {underlying}"
                    )
                member.initializer = self._c.expressions.coerce(
                    given, underlying, f"the value of '{member.name}'"
                )
                if not member.initializer.is_static:
                    self._c.error(
                        member.initializer.location, "the value must be a compile-time constant"
                    )
        sized = underlying if isinstance(underlying, t.Bits) else None
        self.declared[d] = t.Enum(d, sized)
        self._c.declare(d.name, d, d.name_location)

    def _typedef(self, d: ast.Typedef) -> None:
        if isinstance(d.target, ast.Struct | ast.Enum):
            self.declaration(d.target)
            target: t.Type = (
                t.Struct(d.target) if isinstance(d.target, ast.Struct) else self.declared[d.target]
            )
        else:
            target = self._c.types.resolve(d.target)
        if d.is_new:
            inner = t.resolve_new(target)
            fits = isinstance(inner, t.Bits | t.Unknown | t.Variable) or inner == t.BOOL
            if not fits:
                self._c.error(d.location, f"'type' cannot be made of {target}")
                target = t.UNKNOWN
            if _depth(target) >= MAX_NEW_TYPES:
                raise self._c.diagnostics.fatal(
                    d.location, f"'type' over more than {MAX_NEW_TYPES} others"
                )
            target = t.New(d, target) if not isinstance(target, t.Unknown) else target
        elif target in (t.VOID, t.MATCH_KIND, t.STRING):
            self._c.error(d.location, f"'typedef' cannot name {target}")
        self.declared[d] = target
        self._c.declare(d.name, d, d.name_location)

    def _type_parameters(self, parameters: Sequence[ast.TypeParameter]) -> None:
        for parameter in parameters:
            self._c.declare(parameter.name, parameter, parameter.location)

    # -------------------------------------------------------------------------- signatures

    def _parameters(self, parameters: Sequence[ast.Parameter], owner: str) -> None:
        """Types, directions and defaults; `owner` as in `parameter_flaw`."""
        seen: dict[str, ast.Parameter] = {}
        for p in parameters:
            p.type = self._c.types.resolve(p.type_ref)
            if p.name in seen:
                self._c.error(
                    p.name_location, f"parameter '{p.name}' is declared twice",
                    ("first here", seen[p.name].name_location),
                )  # fmt: skip
            seen[p.name] = p
            problem = parameter_flaw(p.type, p.direction, owner)
            if problem:
                self._c.error(p.location, problem)
            if p.default is not None:
                if p.direction == "out" or p.direction == "inout":
                    self._c.error(p.location, f"an {p.direction} parameter cannot have a default")
                if any(a.name == "optional" for a in p.annotations):
                    self._c.error(p.location, "an @optional parameter cannot have a default")
                p.default = self._default(p, p.default)
                if not p.default.is_static:
                    self._c.error(p.default.location, "a default must be a compile-time constant")

    def _default(self, p: ast.Parameter, default: ast.Expression) -> ast.Expression:
        default = self._c.expressions.check(default)
        blocks = isinstance(p.type, t.Block) and isinstance(default.type, t.Block)
        if blocks and unify(p.type, default.type, t.variables(p.type), {}):
            return default
        return self._c.expressions.coerce(default, p.type, f"the default of '{p.name}'")

    def _result_type(self, d: ast.Prototype, is_extern: bool) -> t.Type:
        """Calls give values with a width; extern functions may also make an extern object."""
        type_ = self._c.types.resolve(d.result)
        objects = t.Block if is_extern else t.Block | t.Extern
        if isinstance(type_, objects | t.Int):
            self._c.error(d.result.location, f"'{d.name}' cannot return {type_}")
            return t.UNKNOWN
        return type_

    def _signature(self, d: ast.BlockType) -> None:
        self._type_parameters(d.type_parameters)
        self._parameters(d.parameters, d.kind)

    def _prototype(self, d: ast.Prototype, owner: str) -> None:
        with self._c.nested():
            self._type_parameters(d.type_parameters)
            self.result_types[d] = self._result_type(d, owner == "extern")
            self._parameters(d.parameters, owner)

    def _extern_type(self, d: ast.ExternType) -> None:
        self._c.declare(d.name, d, d.name_location)
        with self._c.nested():
            self._type_parameters(d.type_parameters)
            for index, method in enumerate(d.methods):
                if method.is_constructor != (method.name == d.name):
                    self._c.error(
                        method.location,
                        f"'{d.name}' is the name of constructors, which have no result type",
                    )
                for other in d.methods[:index]:
                    fixed = other.is_abstract or method.is_abstract
                    if other.name == method.name and (
                        fixed or self._c.calls.same_signature(other, method)
                    ):
                        self._c.error(
                            method.location, f"method '{method.name}' is declared twice",
                            ("first here", other.location),
                        )  # fmt: skip
                outer = {p.name for p in d.type_parameters}
                for parameter in method.type_parameters:
                    if parameter.name in outer:
                        self._c.error(
                            parameter.location, f"'{parameter.name}' hides that of '{d.name}'"
                        )
                self._prototype(
                    method, "constructor of an extern" if method.is_constructor else "extern"
                )

    # ------------------------------------------------------------------- constants, objects

    def constant(self, d: ast.Constant) -> None:
        d.type = self._c.types.resolve(d.type_ref)
        static_only = isinstance(d.type, t.Int | t.List) or d.type in (t.STRING, t.MATCH_KIND)
        if not (storable(d.type) or static_only):
            self._c.error(d.type_ref.location, f"a constant cannot have type {d.type}")
            d.type = t.UNKNOWN
        d.initializer = self._c.expressions.typed(
            d.initializer, d.type, f"the value of constant '{d.name}'"
        )
        if not d.initializer.is_static and not isinstance(d.initializer.type, t.Unknown):
            self._c.error(
                d.initializer.location, f"the value of '{d.name}' is not a compile-time constant"
            )
        self._c.declare(d.name, d, d.name_location)

    def instantiation(self, d: ast.Instantiation) -> None:
        d.type, d.resolved = self._c.constructors.construct(
            d.type_ref, d.arguments, d.type_ref.location
        )
        where = self._c.place.where
        if isinstance(d.type, t.Block):
            kind = d.type.kind
            allowed = {"package": Where.TOP, "parser": Where.PARSER, "control": Where.CONTROL}[kind]
            if where is not allowed:
                self._c.error(d.location, f"a {kind} cannot be instantiated {where.value}")
        for argument in d.resolved.arguments if d.resolved else []:
            value = argument[1]
            if value is not None and not value.is_static and value.type != t.UNKNOWN:
                self._c.error(value.location, "a constructor argument must be a constant")
        self._abstract_methods(d)
        self._c.declare(d.name, d, d.name_location)

    def _abstract_methods(self, d: ast.Instantiation) -> None:
        if not isinstance(d.type, t.Extern):
            if d.initializer is not None:
                self._c.error(d.location, f"{d.type} has no methods to implement")
            return
        bound = dict(zip(d.type.declaration.type_parameters, d.type.arguments, strict=False))
        missing = {m.name: m for m in d.type.declaration.methods if m.is_abstract}
        with self._c.nested():
            # Nothing of the block around is in reach (specification 11.3.1).
            self._c.scope.parent = self._c.globals
            for item in d.initializer or []:
                if isinstance(item, ast.Instantiation):
                    self.instantiation(item)
                    continue
                method = missing.pop(item.name, None)
                if method is None:
                    self._c.error(item.location, f"{d.type} has no abstract method '{item.name}'")
                    continue
                self._function(item, d.type)
                wanted = [(p.direction, t.substitute(p.type, bound)) for p in method.parameters]
                given = [(p.direction, p.type) for p in item.prototype.parameters]
                result = t.substitute(self.result_types[method], bound)
                if wanted != given or result != self.result_types[item.prototype]:
                    self._c.error(
                        item.location, f"'{item.name}' does not have the signature of the method",
                        ("declared here", method.location),
                    )  # fmt: skip
        for name, method in missing.items():
            self._c.error(
                d.location, f"abstract method '{name}' of {d.type} is not implemented",
                ("declared here", method.location),
            )  # fmt: skip

    # ------------------------------------------------------------------ functions, actions

    def _none_optional(self, parameters: Sequence[ast.Parameter]) -> None:
        """Only what the architecture implements has optional parameters (section 6.8.2)."""
        for p in parameters:
            if any(a.name == "optional" for a in p.annotations):
                self._c.error(p.location, f"parameter '{p.name}' cannot be @optional here")

    def _function(self, d: ast.Function, this: t.Extern | None = None) -> None:
        # An abstract method has what its declaration has.
        self._prototype(d.prototype, "function" if this is None else "extern")
        self._none_optional(d.prototype.parameters)
        result = self.result_types[d.prototype]
        place = Place(Where.FUNCTION, result, name=d.name, this=this)
        with self._c.nested(place):
            self._type_parameters(d.prototype.type_parameters)
            for parameter in d.prototype.parameters:
                self._c.declare(parameter.name, parameter, parameter.name_location)
            self._c.statements.block(d.body)
        if result not in (t.VOID, t.UNKNOWN) and not terminates(d.body.items):
            self._c.error(d.location, f"function '{d.name}' does not return a value on every path")

    def action(self, d: ast.Action) -> None:
        self._parameters(d.parameters, "action")
        self._none_optional(d.parameters)
        undirected = False
        for p in d.parameters:
            if undirected and p.direction:
                self._c.error(
                    p.location, "parameters without direction must come after those with one"
                )
            undirected = undirected or not p.direction
        with self._c.nested(Place(Where.ACTION, t.VOID, name=d.name)):
            for parameter in d.parameters:
                self._c.declare(parameter.name, parameter, parameter.name_location)
            self._c.statements.block(d.body)
        self._c.declare(d.name, d, d.name_location)

    # -------------------------------------------------------------------- parsers, controls

    def _open(self, d: ast.Parser | ast.Control) -> None:
        """Signature and constructor parameters, in a scope that was just opened."""
        self._signature(d.signature)
        self._none_optional(d.signature.parameters)
        self._parameters(d.constructor_parameters, f"constructor of a {d.signature.kind}")
        self._none_optional(d.constructor_parameters)
        self.constructor_parameters |= set(d.constructor_parameters)
        for parameter in (*d.signature.parameters, *d.constructor_parameters):
            if parameter.direction and parameter in self.constructor_parameters:
                self._c.error(parameter.location, "a constructor parameter has no direction")
            self._c.declare(parameter.name, parameter, parameter.name_location)

    def _control(self, d: ast.Control) -> None:
        with self._c.nested(Place(Where.CONTROL, t.VOID, name=d.name)):
            self._open(d)
            with self._c.nested():
                for local in d.locals:
                    self.declaration(local)
                self._c.statements.block(d.body)
        self._c.declare(d.name, d, d.name_location)

    def _parser(self, d: ast.Parser) -> None:
        with self._c.nested(Place(Where.PARSER, name=d.name)):
            self._open(d)
            with self._c.nested():
                for local in d.locals:
                    self.declaration(local)
                states = self._states(d)
                for local in d.locals:
                    name = getattr(local, "name", "")
                    if name in states:
                        self._c.error(
                            states[name].name_location, f"'{name}' is declared twice",
                            ("first declared here", local.location),
                        )  # fmt: skip
                for state in d.states:
                    self._state(state, states)
                if "start" in states and not _ends(states):
                    self._c.error(
                        d.name_location, f"parser '{d.name}' never ends: no way from its state "
                        "'start' leads to accept or reject",
                    )  # fmt: skip
        self._c.declare(d.name, d, d.name_location)

    def _states(self, d: ast.Parser) -> dict[str, ast.State]:
        states: dict[str, ast.State] = {}
        for state in d.states:
            if state.name in _FINAL_STATES:
                self._c.error(
                    state.name_location, f"state '{state.name}' exists in every parser already"
                )
            elif state.name in states:
                self._c.error(
                    state.name_location, f"state '{state.name}' is declared twice",
                    ("first here", states[state.name].location),
                )  # fmt: skip
            states.setdefault(state.name, state)
        if "start" not in states:
            self._c.error(d.name_location, f"parser '{d.name}' has no state 'start'")
        return states

    def _state(self, state: ast.State, states: dict[str, ast.State]) -> None:
        with self._c.nested():
            self._c.statements.sequence(state.body)
            transition = state.transition
            if transition is None:
                self._c.diagnostics.warning(
                    state.location, f"state '{state.name}' has no transition: it goes to reject"
                )
                return
            if transition.target is not None:
                self._target(transition.target, transition.target_location, states)
                return
            transition.keys = [self._c.expressions.check(k) for k in transition.keys]
            for key in transition.keys:
                self._select_key(key)
            types = [k.type for k in transition.keys]
            for case in transition.cases:
                case.keyset = self._c.keysets.check(case.keyset, types)
                self._target(case.target, case.target_location, states)

    def _select_key(self, key: ast.Expression) -> None:
        inner = t.resolve_new(key.type)
        if isinstance(key, ast.ListExpression):
            for item in key.items:
                self._select_key(item)
        elif isinstance(inner, t.Int):
            self._c.error(key.location, "give this value a width; int is for constants only")
        elif not isinstance(inner, t.Bits | t.Enum | t.Unknown) and inner not in (
            t.BOOL,
            t.ERROR,
        ):
            self._c.error(key.location, f"{key.type} cannot be selected on")

    def _target(self, name: str, location: object, states: dict[str, ast.State]) -> None:
        if name not in states and name not in _FINAL_STATES:
            known = ", ".join((*states, *_FINAL_STATES))
            self._c.error(location, f"'{name}' is not a state; the states are: {known}")  # type: ignore[arg-type]

    def _value_set(self, d: ast.ValueSet) -> None:
        d.type = self._c.types.resolve(d.element)
        d.size = self._c.expressions.check(d.size)
        if not isinstance(t.resolve_new(d.size.type), t.Int | t.Bits | t.Unknown):
            self._c.error(d.size.location, "the size of a value set must be a number")
        elif not d.size.is_static:
            self._c.error(d.size.location, "the size of a value set must be a constant")
        for part in scalars(d.type):
            fits = isinstance(t.resolve_new(part), t.Bits | t.Enum | t.Unknown) or part == t.BOOL
            if not fits:
                self._c.error(d.location, f"a value set cannot hold {part}")
        self._c.declare(d.name, d, d.name_location)


def _ends(states: dict[str, ast.State]) -> bool:
    """Does some way from 'start' lead out? A select that nothing need match leads to reject."""
    seen: set[str] = set()
    ahead = ["start"]
    while ahead:
        name = ahead.pop()
        if name not in states:  # accept, reject, or undeclared, which was reported
            return True
        if name in seen:
            continue
        seen.add(name)
        transition = states[name].transition
        if transition is None:
            return True
        if transition.target is not None:
            ahead.append(transition.target)
            continue
        last = transition.cases[-1].keyset if transition.cases else None
        if not isinstance(last, ast.Default | ast.DontCare):
            return True
        ahead += [case.target for case in transition.cases]
    return False


def _depth(type_: t.Type) -> int:
    """How many `type` declarations a type is made of."""
    depth = 0
    while isinstance(type_, t.New):
        type_, depth = type_.underlying, depth + 1
    return depth


def _representable(value: values.Value | None, type_: t.Type) -> bool:
    if not isinstance(value, int) or not isinstance(type_, t.Bits):
        return True
    return values.fits(value, type_)
