"""Calls: arguments in order, copy-in and copy-out where sharing storage would show.

Specification 1.2.5, section 6.7 (calling convention). An `out`/`inout` argument is passed as it is
unless it may overlap another argument or what the callee reaches on its own; then a
temporary stands in and the call's `copy_out` moves the value back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.p4.compiler import ast, ir
from weft.p4.compiler import types as t
from weft.p4.compiler.check.scope import ResolvedCall
from weft.p4.compiler.elaborate import build
from weft.p4.compiler.elaborate.reach import reach
from weft.p4.compiler.source import Location

if TYPE_CHECKING:
    from weft.p4.compiler.elaborate.unit import Unit

_SCALARS = ir.BitsType | ir.BoolType | ir.EnumType | ir.ErrorType | ir.StringType | ir.PacketType


class CallLowering:
    def __init__(self, unit: Unit) -> None:
        self._u = unit

    # --------------------------------------------------------------------------- entrances

    def statement(self, e: ast.Call) -> None:
        """A call for its effects."""
        if isinstance(e.type, t.ApplyResult):
            self._u.emit(ir.ApplyTable(self._table(e), location=e.location))
        elif not e.is_static:
            self._call(e, wanted=False)

    def value(self, e: ast.Call) -> ir.Expression:
        """A call for its result."""
        result = self._call(e, wanted=True)
        assert result is not None
        return result

    def apply_result(self, e: ast.Member) -> ir.Expression:
        """`t.apply().hit`, `.miss` or `.action_run` (an index into the table's actions)."""
        call = e.base
        assert isinstance(call, ast.Call)
        table = self._table(call)
        if e.name == "action_run":
            chosen = self._u.temporary(ir.BIT32, e.location, "action_run")
            self._u.emit(ir.ApplyTable(table, action_run=chosen, location=e.location))
            return chosen
        hit = self._u.temporary(ir.BOOL, e.location, "hit")
        self._u.emit(ir.ApplyTable(table, hit=hit, location=e.location))
        return hit if e.name == "hit" else build.negate(hit, e.location)

    def table_of(self, e: ast.Expression) -> ir.Table:
        """The table in `t.apply()` or `t.apply().action_run`."""
        if isinstance(e, ast.Member):
            e = e.base
        assert isinstance(e, ast.Call)
        return self._table(e)

    def _table(self, e: ast.Call) -> ir.Table:
        meaning = self._u.environment.get(e.resolved.target)
        assert isinstance(meaning, ir.Table)
        return meaning

    def _call(self, e: ast.Call, wanted: bool) -> ir.Expression | None:
        resolved: ResolvedCall = e.resolved
        match resolved.kind:
            case "builtin":
                return self._builtin(e, resolved)
            case "action":
                action = self._u.environment.get(resolved.target)  # type: ignore[arg-type]
                if action is None:
                    action = self._u.program.action(resolved.target)  # type: ignore[arg-type]
                assert isinstance(action, ir.Action)
                self.invoke(action, resolved, e.location)
                return None
            case "apply":
                self.invoke(self._instance(resolved), resolved, e.location)
                return None
            case "function":
                function = self._u.program.function(resolved, self._u)
                result = self._result(function.result_type, e.location, wanted)
                self.invoke(function, resolved, e.location, result)
                return result
            case "extern_function":
                return self._extern_function(e, resolved, wanted)
        return self._method(e, resolved, wanted)

    def _result(self, type_: ir.Type, location: Location, wanted: bool) -> ir.VarRef | None:
        if not wanted or isinstance(type_, ir.VoidType):
            return None
        return self._u.temporary(type_, location, "result")

    def _instance(self, resolved: ResolvedCall) -> ir.Parser | ir.Control:
        receiver = resolved.receiver
        assert isinstance(receiver, ast.Name)
        instance = self._u.environment.get(receiver.target)
        assert isinstance(instance, ir.Parser | ir.Control), receiver.name
        return instance

    # -------------------------------------------------------------------------- invocation

    def invoke(
        self,
        callee: ir.Function | ir.Action | ir.Control | ir.Parser,
        resolved: ResolvedCall,
        location: Location,
        result: ir.LValue | None = None,
    ) -> None:
        copy_out: list[ir.Statement] = []
        arguments = self.arguments(resolved, callee.parameters, copy_out, reach(callee))
        self._u.emit(ir.Call(callee, arguments, result, tuple(copy_out), location))

    def arguments(
        self,
        resolved: ResolvedCall,
        parameters: tuple[ir.Variable, ...] | None,
        copy_out: list[ir.Statement],
        reached: set[ir.Variable] | None = None,
    ) -> tuple[ir.Argument, ...]:
        """Arguments evaluated left to right; see the module's comment."""
        places, lowered = self._evaluate(resolved)
        arguments: list[ir.Argument] = []
        for index, (parameter, e) in enumerate(resolved.arguments):
            direction = ir.Direction(parameter.direction)
            value, place = lowered[index], places[index]
            location = resolved.location or parameter.location
            if e is None:
                type_ = t.substitute(parameter.type, resolved.bindings)
                value = self._u.temporary(self._u.type(type_), location)
            elif place is not None and value is not place:
                copy_out.append(ir.Assign(place, value, location))  # copied in already
            elif self._shared(index, resolved, lowered, reached or set()) or (
                # Copied out after an earlier argument to the same place, so it cannot stand there.
                place is not None and any(_copied_to(place, s) for s in copy_out)
            ):
                value = self._stand_in(value, direction, copy_out, location)
            if place is not None:
                copy_out.extend(self._clear_union(place, location))
            arguments.append(ir.Argument(parameter.name, direction, value, location))
        return tuple(arguments)

    def _evaluate(
        self, resolved: ResolvedCall
    ) -> tuple[list[ir.LValue | None], list[ir.Expression]]:
        """Where out and inout arguments are stored, and the values, taken left to right.

        A value that effects of a later argument could change is saved when its turn comes.
        """
        lower = self._u.expressions
        places: list[ir.LValue | None] = []
        lowered: list[ir.Expression] = []
        marks: list[int] = []
        for parameter, e in resolved.arguments:
            place = None
            if e is not None and parameter.direction in ("out", "inout"):
                place = lower.lvalue(e)
            places.append(place)
            if e is None:
                lowered.append(build.FALSE)  # replaced by a temporary
            else:
                lowered.append(lower.lower(e) if place is None else place)
            marks.append(len(self._u.out))
        end = len(self._u.out)
        for i in range(len(lowered) - 2, -1, -1):
            parameter, e = resolved.arguments[i]
            passive = parameter.direction == "out" or isinstance(lowered[i].type, ir.PacketType)
            if e is not None and not passive and marks[i] != end:
                lowered[i] = lower.save_at(marks[i], lowered[i], e.location)
        return places, lowered

    def _shared(
        self,
        index: int,
        resolved: ResolvedCall,
        lowered: list[ir.Expression],
        reached: set[ir.Variable],
    ) -> bool:
        """Would passing this argument by reference be visible?"""
        parameter, _ = resolved.arguments[index]
        value = lowered[index]
        written = parameter.direction in ("out", "inout")
        if isinstance(value, ir.Slice) and written:
            return True
        stored = isinstance(value, ir.VarRef | ir.Member | ir.Index)
        if not written and (isinstance(value.type, _SCALARS) or not stored):
            return False
        if build.root(value) in reached:
            return True
        for other, (parameter_, e) in enumerate(resolved.arguments):
            if other == index or e is None:
                continue
            if parameter_.direction in ("out", "inout"):
                if build.overlap(value, lowered[other]):
                    return True
            elif written and not isinstance(lowered[other].type, _SCALARS):
                read = build.reads(lowered[other])
                if any(build.overlap(value, r) for r in read):
                    return True
        return False

    def _stand_in(
        self,
        value: ir.Expression,
        direction: ir.Direction,
        copy_out: list[ir.Statement],
        location: Location,
    ) -> ir.Expression:
        temporary = self._u.temporary(value.type, location, "copy")
        if direction is not ir.Direction.OUT:
            self._u.assign(temporary, value, location)
        if direction in (ir.Direction.OUT, ir.Direction.INOUT):
            assert isinstance(value, ir.VarRef | ir.Member | ir.Index | ir.Slice)
            copy_out.append(ir.Assign(value, temporary, location))
        return temporary

    def _clear_union(self, target: ir.Expression, location: Location) -> list[ir.Statement]:
        """After a write to a union's member no other is valid, whether that one is or not.

        Specification 8.20: a member that is assigned an invalid header, or made invalid, makes the
        whole union invalid.
        """
        assert isinstance(target, ir.VarRef | ir.Member | ir.Index | ir.Slice)
        others = self._u.expressions.union_members_to_clear(target)
        return [ir.SetValid(o, False, location) for o in others]

    # --------------------------------------------------------------------------- built-ins

    def _builtin(self, e: ast.Call, resolved: ResolvedCall) -> ir.Expression | None:
        receiver = resolved.receiver
        if receiver is None:  # a size, used where it must have a type: as the checker folded it
            assert e.value is not None
            return self._u.expressions.constant(e.value, t.BIT32, e.location)
        if resolved.target == "isValid":
            return build.is_valid(self._u.expressions.lower(receiver), e.location)
        target = self._u.expressions.lvalue(receiver)
        if resolved.target in ("setValid", "setInvalid"):
            self._u.emit(ir.SetValid(target, resolved.target == "setValid", e.location))
            self._u.out.extend(self._clear_union(target, e.location))
            return None
        argument = e.arguments[0].value
        assert argument is not None
        count = self._u.expressions.static_int(argument, "the count")
        node = ir.PushFront if resolved.target == "push_front" else ir.PopFront
        self._u.emit(node(target, count, e.location))
        return None

    # ----------------------------------------------------------------------------- externs

    def _extern_function(
        self, e: ast.Call, resolved: ResolvedCall, wanted: bool
    ) -> ir.Expression | None:
        target = resolved.target
        if target == "static_assert":
            self._static_assert(resolved, e)
            return build.TRUE
        assert isinstance(target, ast.ExternFunction)
        if target.name == "verify" and len(resolved.arguments) == 2:
            condition, error = self._values(resolved)
            self._u.emit(ir.Verify(condition, error, e.location))
            return None
        return self._extern(None, target.prototype, e, resolved, wanted)

    def _static_assert(self, resolved: ResolvedCall, e: ast.Call) -> None:
        condition = resolved.arguments[0][1]
        assert condition is not None
        if self._u.expressions.static(condition) is False:
            raise self._u.program.diagnostics.fatal(e.location, "static_assert failed")

    def _values(self, resolved: ResolvedCall) -> list[ir.Expression]:
        return self._u.expressions.sequence([e for _, e in resolved.arguments if e is not None])

    def _extern(
        self,
        instance: ir.ExternInstance | ir.Variable | None,
        prototype: ast.Prototype,
        e: ast.Call,
        resolved: ResolvedCall,
        wanted: bool,
    ) -> ir.Expression | None:
        copy_out: list[ir.Statement] = []
        arguments = self.arguments(resolved, None, copy_out)
        if prototype.name.endswith("_preserving_field_list") and not isinstance(
            arguments[-1].value, ir.Const
        ):
            raise self._u.program.diagnostics.fatal(
                e.arguments[-1].location, "argument 'index' must be a compile-time constant"
            )
        types = tuple(self._u.type(resolved.bindings[p]) for p in prototype.type_parameters)
        result_type = self._u.type(resolved.result)
        result = self._result(result_type, e.location, wanted)
        self._u.emit(
            ir.ExternCall(
                instance, prototype.name, types, arguments, result, result_type, e.location
            )
        )
        for statement in copy_out:
            self._u.emit(statement)
        return result

    def _method(self, e: ast.Call, resolved: ResolvedCall, wanted: bool) -> ir.Expression | None:
        receiver = resolved.receiver
        prototype = resolved.target
        assert isinstance(prototype, ast.Prototype) and receiver is not None
        if isinstance(receiver, ast.This):
            return self._extern(self._u.program.this, prototype, e, resolved, wanted)
        meaning = (
            self._u.environment.get(receiver.target) if isinstance(receiver, ast.Name) else None
        )
        if isinstance(meaning, ir.ExternInstance):
            implemented = meaning.methods.get(prototype.name)
            if implemented is not None:
                result = self._result(implemented.result_type, e.location, wanted)
                self.invoke(implemented, resolved, e.location, result)
                return result
            return self._extern(meaning, prototype, e, resolved, wanted)
        if isinstance(meaning, ir.Variable) and isinstance(meaning.type, ir.PacketType):
            if meaning.type.name == "packet_in":
                return self._packet_in(meaning, e, resolved, prototype.name)
            if meaning.type.name == "packet_out":
                self._packet_out(meaning, e, resolved)
                return None
            return self._extern(meaning, prototype, e, resolved, wanted)
        raise self._u.program.diagnostics.fatal(
            e.location,
            f"'{prototype.name}' of an extern that is passed at run time cannot be called",
        )

    # ----------------------------------------------------------------------------- packets

    def _packet_in(
        self, packet: ir.Variable, e: ast.Call, resolved: ResolvedCall, name: str
    ) -> ir.Expression | None:
        if name == "extract":
            self._extract(packet, e, resolved)
            return None
        if name == "advance":
            self._u.emit(ir.Advance(packet, self._values(resolved)[0], e.location))
            return None
        target = self._u.temporary(self._u.type(resolved.result), e.location, name)
        if name == "lookahead":
            self._u.emit(ir.Lookahead(packet, target, e.location))
        else:
            self._u.emit(ir.PacketLength(packet, target, e.location))
        return target

    def _extract(self, packet: ir.Variable, e: ast.Call, resolved: ResolvedCall) -> None:
        parameter, argument = resolved.arguments[0]
        type_ = t.substitute(t.substitute(parameter.type, resolved.bindings), self._u.bindings)
        target: ir.LValue
        stacks: list[ir.Expression] = []
        if argument is None:
            target = self._u.temporary(self._u.type(type_), e.location)
        else:
            target = self._u.expressions.lvalue(argument)
            stacks = self._u.expressions.used_next
        size = None
        if len(resolved.arguments) == 2:
            given = resolved.arguments[1][1]
            assert given is not None
            size = self._u.expressions.lower(given)
        self._u.emit(ir.Extract(packet, target, size, e.location))
        self._u.out.extend(self._clear_union(target, e.location))
        for stack in stacks:
            assert isinstance(stack, ir.VarRef | ir.Member | ir.Index)
            self._u.emit(ir.IncrementNextIndex(stack, e.location))

    def _packet_out(self, packet: ir.Variable, e: ast.Call, resolved: ResolvedCall) -> None:
        for value in self._values(resolved):
            self._emit_all(packet, value, e.location)

    def _emit_all(self, packet: ir.Variable, value: ir.Expression, location: Location) -> None:
        type_ = value.type
        if isinstance(type_, ir.HeaderType):
            self._u.emit(ir.Emit(packet, value, location))
        elif isinstance(type_, ir.StackType):
            for i in range(type_.size):
                self._emit_all(packet, build.element(value, i, location), location)
        elif isinstance(type_, ir.StructType | ir.HeaderUnionType):
            for field in type_.fields:
                self._emit_all(packet, build.member(value, field.name, location), location)


def _copied_to(place: ir.LValue, statement: ir.Statement) -> bool:
    return isinstance(statement, ir.Assign) and build.overlap(place, statement.target)
