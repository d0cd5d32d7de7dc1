"""Calls: what is called, with which overload, type arguments and arguments.

Specification 1.2.5, sections 6.7, 6.9, 8.20 and 11.3; the table of what may be called from where is
appendix F.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from weft.p4.compiler import ast
from weft.p4.compiler import types as t
from weft.p4.compiler.check import packets
from weft.p4.compiler.check.arguments import Pairs, choose, pair
from weft.p4.compiler.check.conversions import Bound, unify, unify_blocks
from weft.p4.compiler.check.members import SIZE_METHODS
from weft.p4.compiler.check.scope import ResolvedCall, Where
from weft.p4.compiler.check.wellformed import flaw, parameter_flaw
from weft.p4.compiler.source import Location

if TYPE_CHECKING:
    from weft.p4.compiler.check.checker import Checker


class CallChecker:
    def __init__(self, checker: Checker) -> None:
        self._c = checker

    @staticmethod
    def same_signature(a: ast.Prototype, b: ast.Prototype) -> bool:
        return [p.name for p in a.parameters] == [p.name for p in b.parameters]

    # ------------------------------------------------------------------------------- calls

    def call(self, e: ast.Call) -> ast.Expression:
        e.type = t.UNKNOWN
        resolved: ResolvedCall | None = None
        match e.callee:
            case ast.Name() as name:
                resolved = self._call_name(e, name)
            case ast.Member() as member:
                resolved = self._call_member(e, member)
            case ast.TypeMember() as member:
                self._c.expressions.check_callable(member)
                if member.name in SIZE_METHODS and isinstance(member.type, t.Callable):
                    resolved = self._size(e, member.name, self._c.types.resolve(member.base))
                elif not isinstance(member.type, t.Unknown):
                    self._c.error(e.location, f"'{member.name}' cannot be called")
            case _:
                self._c.error(e.location, "this expression cannot be called")
        if resolved is None:
            self.check_loose(e.arguments)
            return e
        resolved.location = e.location
        # A function that gives an extern object is a constructor by another name.
        e.is_static = e.is_static or isinstance(resolved.result, t.Extern)
        e.resolved, e.type = resolved, resolved.result
        if resolved.target == "static_assert":
            self._static_assert(e, resolved)
        return e

    def check_loose(self, arguments: Sequence[ast.Argument]) -> None:
        """Check arguments of a call that could not be resolved, for their own errors."""
        for argument in arguments:
            if argument.value is not None:
                argument.value = self._c.expressions.check(argument.value)

    def _call_name(self, e: ast.Call, name: ast.Name) -> ResolvedCall | None:
        found = self._c.lookup(name.name, name.absolute, name.location)
        if not found:
            return None
        target = found[0]
        name.target, name.type = target, t.UNKNOWN
        if isinstance(target, ast.Action):
            self._allow(e.location, "an action", {Where.CONTROL, Where.ACTION})
            if e.type_arguments:
                self._c.error(e.location, "actions take no type arguments")
            return self._finish(e, "action", target, target.parameters, [], t.VOID, {})
        if not isinstance(target, ast.Function | ast.ExternFunction):
            self._c.error(e.location, f"'{name.name}' cannot be called")
            return None
        prototypes = [
            f.prototype for f in found if isinstance(f, ast.Function | ast.ExternFunction)
        ]
        index, problem = choose([(p.parameters, p) for p in prototypes], e.arguments)
        if index is None:
            notes = [("declared here", p.location) for p in prototypes[:3]]
            self._c.error(e.location, f"function '{name.name}' {problem}", *notes)
            return None
        chosen = found[index]
        assert isinstance(chosen, ast.Function | ast.ExternFunction)
        name.target = chosen
        if name.name == "verify" and isinstance(chosen, ast.ExternFunction):
            self._allow(e.location, "verify", {Where.PARSER})
        kind = "function" if isinstance(chosen, ast.Function) else "extern_function"
        return self._prototype(e, kind, chosen, prototypes[index], {}, None)

    def _prototype(
        self,
        e: ast.Call,
        kind: str,
        target: ast.Node,
        prototype: ast.Prototype,
        bound: Bound,
        receiver: ast.Expression | None,
    ) -> ResolvedCall | None:
        result = self._c.declarations.result_types[prototype]
        own = prototype.type_parameters
        if e.type_arguments:
            if len(e.type_arguments) != len(own):
                self._c.error(
                    e.location,
                    f"'{prototype.name}' takes {len(own)} type argument(s), "
                    f"{len(e.type_arguments)} given",
                )
                return None
            for parameter, ref in zip(own, e.type_arguments, strict=True):
                type_ = self._c.types.resolve(ref, infer=True)
                if type_ != t.ANY:
                    bound[parameter] = type_
        return self._finish(e, kind, target, prototype.parameters, own, result, bound, receiver)

    def _call_member(self, e: ast.Call, member: ast.Member) -> ResolvedCall | None:
        self._c.expressions.check_callable(member)
        if isinstance(member.type, t.Unknown):
            return None
        base = member.base
        if not isinstance(member.type, t.Callable):
            self._c.error(member.name_location, f"'{member.name}' cannot be called")
            return None
        if member.name in SIZE_METHODS and t.size_bounds(base.type) is not None:
            return self._size(e, member.name, base.type)
        match base.type:
            case t.Table(table):
                self._allow(e.location, "a table's apply", {Where.CONTROL})
                return self._finish(e, "apply", table, [], [], t.ApplyResult(table), {}, base)
            case t.Block() as block:
                where = Where.PARSER if block.kind == "parser" else Where.CONTROL
                self._allow(e.location, f"a {block.kind}'s apply", {where})
                return self._apply(e, block, base)
            case t.Extern() as extern:
                return self._method(e, extern, member)
            case _:
                return self._builtin(e, member)

    def _method(self, e: ast.Call, extern: t.Extern, member: ast.Member) -> ResolvedCall | None:
        methods = [
            m for m in extern.declaration.methods if m.name == member.name and not m.is_constructor
        ]
        index, problem = choose([(m.parameters, m) for m in methods], e.arguments)
        if index is None:
            self._c.error(
                e.location,
                f"method '{member.name}' of {extern} {problem}",
                *[("declared here", m.location) for m in methods[:3]],
            )
            return None
        bound: Bound = dict(zip(extern.declaration.type_parameters, extern.arguments, strict=False))
        method = methods[index]
        if extern.declaration.name == "packet_in" and method.name in packets.MOVING:
            self._allow(e.location, method.name, {Where.PARSER})
        resolved = self._prototype(e, "method", method, method, bound, member.base)
        if resolved is not None and method.type_parameters:
            given = bound.get(method.type_parameters[0])
            problem = packets.flaw(extern.declaration.name, method.name, given, len(e.arguments))
            if problem:
                self._c.error(e.location, problem)
        return resolved

    def _apply(
        self, e: ast.Call | ast.DirectApplication, block: t.Block, receiver: ast.Expression | None
    ) -> ResolvedCall | None:
        free = block.signature.type_parameters
        bound: Bound = {p: a for p, a in zip(free, block.arguments, strict=False) if a != t.ANY}
        return self._finish(
            e, "apply", block.declaration, block.signature.parameters, free, t.VOID, bound, receiver
        )

    def direct_application(self, s: ast.DirectApplication) -> None:
        """`Type.apply(...)` of a parser or control without constructor parameters."""
        block = self._c.types.resolve(s.target, infer=True)
        if isinstance(block, t.Unknown):
            self.check_loose(s.arguments)
            return
        if not isinstance(block, t.Block) or isinstance(block.declaration, ast.BlockType):
            self._c.error(s.location, f"{block} cannot be applied")
            return
        if any(p.default is None for p in block.declaration.constructor_parameters):
            self._c.error(s.location, f"{block} has constructor parameters; make an instance first")
        where = Where.PARSER if block.kind == "parser" else Where.CONTROL
        self._allow(s.location, f"a {block.kind}'s apply", {where})
        s.resolved = self._apply(s, block, None)

    # --------------------------------------------------------------------------- built-ins

    def _builtin(self, e: ast.Call, member: ast.Member) -> ResolvedCall | None:
        """isValid, setValid, setInvalid, push_front, pop_front."""
        result: t.Type = t.BOOL if member.name == "isValid" else t.VOID
        resolved = ResolvedCall("builtin", member.name, result, receiver=member.base)
        if member.name in ("push_front", "pop_front"):
            if len(e.arguments) != 1 or e.arguments[0].value is None:
                self._c.error(e.location, f"{member.name} takes 1 argument")
                return None
            self._c.static_int(e.arguments[0].value, f"the argument of {member.name}")
            count = e.arguments[0].value.value
            if isinstance(count, int) and count < 0:
                self._c.error(e.arguments[0].location, f"{member.name} cannot take {count}")
        elif e.arguments:
            self._c.error(e.location, f"{member.name} takes no arguments")
        if member.name != "isValid" and not member.base.is_lvalue:
            self._c.error(e.location, f"'{member.name}' needs a header that can be written to")
        return resolved

    def _size(self, e: ast.Call, name: str, type_: t.Type) -> ResolvedCall | None:
        sizes = t.size_bounds(type_)
        assert sizes is not None
        if e.arguments:
            self._c.error(e.location, f"{name} takes no arguments")
        bits = sizes[0] if name.startswith("min") else sizes[1]
        e.value = (bits + 7) // 8 if name.endswith("Bytes") else bits
        e.is_static = True
        return ResolvedCall("builtin", name, t.INT)

    def _static_assert(self, e: ast.Call, resolved: ResolvedCall) -> None:
        check = resolved.arguments[0][1]
        message = resolved.arguments[1][1] if len(resolved.arguments) > 1 else None
        e.is_static = True
        if check is None or not check.is_static:
            self._c.error(e.location, "the condition of static_assert must be a constant")
            return
        if check.value is False:
            text = f": {message.value}" if message is not None else ""
            self._c.error(e.location, f"static_assert failed{text}")
        e.value = check.value

    # --------------------------------------------------------------------------- arguments

    def _allow(self, location: Location, what: str, places: set[Where]) -> None:
        where = self._c.place.where
        if where not in places:
            self._c.error(location, f"{what} cannot be called {where.value}")

    def _finish(
        self,
        e: ast.Call | ast.DirectApplication,
        kind: str,
        target: ast.Node,
        parameters: Sequence[ast.Parameter],
        free: list[ast.TypeParameter],
        result: t.Type,
        bound: Bound,
        receiver: ast.Expression | None = None,
    ) -> ResolvedCall | None:
        pairs, problem = pair(parameters, e.arguments)
        if problem:
            self._c.error(e.location, f"this call {problem}", ("declared here", target.location))
            return None
        if self._c.place.where is Where.FUNCTION and kind == "apply":
            self._c.error(e.location, "nothing can be applied in a function")
        arguments = self.bind(e.location, kind, pairs, free, bound)
        if arguments is None:
            return None
        problem = self._specialised_flaw(kind, parameters, result, bound)
        if problem:
            self._c.error(e.location, f"with these type arguments, {problem}")
            return None
        if kind == "extern_function" and isinstance(target, ast.ExternFunction):
            named: ast.Node | str = target
            if target.name == "static_assert":
                named = "static_assert"
        else:
            named = target
        return ResolvedCall(
            kind, named, t.substitute(result, bound), arguments, bound, free, receiver
        )

    @staticmethod
    def _specialised_flaw(
        kind: str, parameters: Sequence[ast.Parameter], result: t.Type, bound: Bound
    ) -> str:
        """What type arguments make of a result and parameters."""
        owner = {"function": "function", "extern_function": "extern", "method": "extern"}.get(kind)
        problem = flaw(t.substitute(result, bound))
        for p in parameters:
            type_ = t.substitute(p.type, bound)
            problem = problem or flaw(type_)
            if owner is not None and type_ != p.type:
                problem = problem or parameter_flaw(type_, p.direction, owner)
        return problem

    def bind(
        self,
        location: Location,
        kind: str,
        pairs: Pairs,
        free: list[ast.TypeParameter],
        bound: Bound,
    ) -> list[tuple[ast.Parameter, ast.Expression | None]] | None:
        """Check the arguments, infer type parameters, convert. None: an error was reported."""
        for _, argument in pairs:
            if argument is not None and argument.value is not None:
                argument.value = self._c.expressions.check(argument.value)
        unknown = {p for p in free if p not in bound}
        for parameter, argument in pairs:
            if argument is None and parameter.default is not None:
                unify(parameter.type, parameter.default.type, unknown, bound)
            if argument is None or argument.value is None:
                continue
            wanted = t.substitute(parameter.type, bound)
            if not self._writable(parameter, argument.value):
                return None
            if not unify(wanted, argument.value.type, unknown, bound):
                self._does_not_fit(parameter, argument.value, t.substitute(wanted, bound))
                return None
        if not self._inferred(location, unknown, bound):
            return None
        return [(p, self._argument(kind, p, a, bound)) for p, a in pairs]

    def bind_action(
        self, location: Location, pairs: Pairs
    ) -> list[tuple[ast.Parameter, ast.Expression | None]] | None:
        """Arguments that a table binds to parameters of an action."""
        return self.bind(location, "action", pairs, [], {})

    def _inferred(self, location: Location, unknown: set[ast.TypeParameter], bound: Bound) -> bool:
        for parameter in unknown:
            type_ = bound.get(parameter)
            if type_ is None:
                self._c.error(
                    location, f"cannot infer type argument '{parameter.name}'; give it: <...>"
                )
                return False
            strangers = [v for v in t.variables(type_) if self._c.scope.lookup(v.name) != [v]]
            if strangers:
                self._c.error(
                    location,
                    f"cannot infer type argument '{parameter.name}', which depends on "
                    f"'{strangers[0].name}'; give it: <...>",
                )
                return False
            if _has_int(type_):
                self._c.error(
                    location,
                    f"cannot infer a width for '{parameter.name}'; give the numbers a width",
                )
                return False
        return True

    def _argument(
        self, kind: str, parameter: ast.Parameter, argument: ast.Argument | None, bound: Bound
    ) -> ast.Expression | None:
        if argument is None:
            return parameter.default
        what = f"argument '{parameter.name}'"
        wanted = t.substitute(parameter.type, bound)
        value = argument.value
        if value is None:
            if parameter.direction != "out":
                self._c.error(argument.location, f"{what}: '_' may stand for out parameters only")
            return None
        if isinstance(value.type, t.Unknown):
            return value
        if parameter.direction in ("out", "inout"):
            if value.type != wanted:
                self._c.error(value.location, f"{what}: expected {wanted}, found {value.type}")
            return value
        if isinstance(wanted, t.Block) and isinstance(value.type, t.Block):
            return self._block_argument(value, wanted, what)
        if value.type == t.VOID or isinstance(value.type, t.ApplyResult):
            self._c.error(value.location, f"{what}: {value.type} is not a value")
            return value
        value = self._c.expressions.coerce(value, wanted, what)
        if wanted == t.INT and kind in ("function", "apply"):
            value = self._int_argument(value, what)
        needs_constant = parameter.direction == "" and kind in (
            "extern_function", "method", "constructor"
        )  # fmt: skip
        if kind != "constructor" and self._is_data(value):
            return value
        if needs_constant and not value.is_static and not isinstance(value.type, t.Extern):
            self._c.error(value.location, f"{what} must be a compile-time constant")
        return value

    def _is_data(self, value: ast.Expression) -> bool:
        """An action's parameter without a direction: the control plane's, or a constant (6.8)."""
        found = value.target if isinstance(value, ast.Name) else None
        return (
            self._c.place.where is Where.ACTION
            and isinstance(found, ast.Parameter)
            and found.direction == ""
            and isinstance(t.resolve_new(value.type), t.Bits)
        )

    def _int_argument(self, value: ast.Expression, what: str) -> ast.Expression:
        """Known where it is given, and no more than a value within (section 8.8)."""
        if not value.is_static and not isinstance(value, ast.Name):
            self._c.error(value.location, f"{what} must be a compile-time constant")
        cast = ast.ImplicitCast(value.location, value)
        cast.type = t.INT
        return cast

    def _block_argument(self, value: ast.Expression, wanted: t.Block, what: str) -> ast.Expression:
        assert isinstance(value.type, t.Block)
        if not unify_blocks(wanted, value.type, set(), {}):
            self._bad_block(value, wanted, what)
        return value

    def _bad_block(self, value: ast.Expression, wanted: t.Block, what: str) -> None:
        assert isinstance(value.type, t.Block)
        self._c.error(
            value.location,
            f"{what}: {value.type} does not fit {wanted}: {_difference(wanted, value.type)}",
            ("declared here", value.type.declaration.location),
        )

    def _writable(self, parameter: ast.Parameter, value: ast.Expression) -> bool:
        if parameter.direction not in ("out", "inout") or value.is_lvalue:
            return True
        if not isinstance(value.type, t.Unknown):
            self._c.error(
                value.location,
                f"argument '{parameter.name}' is {parameter.direction}: it must be something "
                "that can be written to",
            )
        return False

    def _does_not_fit(
        self, parameter: ast.Parameter, value: ast.Expression, wanted: t.Type
    ) -> None:
        what = f"argument '{parameter.name}'"
        if isinstance(wanted, t.Block) and isinstance(value.type, t.Block):
            self._bad_block(value, wanted, what)
            return
        self._c.error(value.location, f"{what}: expected {wanted}, found {value.type}")

    def infer_struct(self, target: t.Struct, operand: ast.Expression) -> t.Type:
        """The type arguments of a generic struct from a list or struct expression cast to it."""
        parameters = target.declaration.type_parameters
        bound: Bound = {}
        generic = t.Struct(target.declaration, tuple(t.Variable(p) for p in parameters))
        fits = unify(generic, operand.type, set(parameters), bound)
        if not fits or any(p not in bound for p in parameters):
            self._c.error(operand.location, f"cannot infer the type arguments of {target}")
            return t.UNKNOWN
        return t.Struct(target.declaration, tuple(bound[p] for p in parameters))


def _has_int(type_: t.Type) -> bool:
    match type_:
        case t.Int():
            return True
        case t.Tuple(items) | t.Literal(items) | t.Record(_, items):
            return any(_has_int(i) for i in items)
    return False


def _difference(wanted: t.Block, given: t.Block) -> str:
    """The first thing in which two parser or control types differ."""
    if wanted.kind != given.kind:
        return f"it is a {given.kind}, not a {wanted.kind}"
    left, right = wanted.parameters(), given.parameters()
    if len(left) != len(right):
        return f"{len(left)} parameters expected, it has {len(right)}"
    for (p, p_type), (q, q_type) in zip(left, right, strict=True):
        if (p.direction, p_type) != (q.direction, q_type):
            return f"parameter '{q.name}' should be '{p.direction} {p_type}'".replace(
                "' ", "'"
            ) + f", not '{q.direction} {q_type}'".replace("' ", "'")
    return "the parameters differ"
