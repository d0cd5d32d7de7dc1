"""Expressions: checked syntax to pure IR, what has effects lifted out before, left to right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from weft.p4.compiler import ast, ir, values
from weft.p4.compiler import types as t
from weft.p4.compiler.elaborate import build
from weft.p4.compiler.elaborate.static import StaticEvaluator
from weft.p4.compiler.elaborate.typemap import RUNTIME_INT
from weft.p4.compiler.source import Location

if TYPE_CHECKING:
    from weft.p4.compiler.elaborate.unit import Unit

_UNARY = {"-": ir.UnaryOp.NEG, "~": ir.UnaryOp.COMPLEMENT, "!": ir.UnaryOp.NOT}
_BINARY = {op.value: op for op in ir.BinaryOp}
_SHIFTS = ("<<", ">>")


class ExpressionLowering:
    def __init__(self, unit: Unit) -> None:
        self._u = unit
        self._static = StaticEvaluator(unit.environment)
        #: Syntax nodes whose value is at hand already (the target of `x op= y`).
        self.known: dict[ast.Expression, ir.Expression] = {}
        #: Stacks whose `.next` the last l-value used; an extract into it moves their next index.
        self.used_next: list[ir.Expression] = []

    # --------------------------------------------------------------------------- constants

    def static(self, e: ast.Expression) -> values.Value | None:
        """The compile-time value, constructor arguments included; None when there is none."""
        try:
            self._static.environment = self._u.environment
            return self._static.value(e)
        except ArithmeticError as problem:
            raise self._u.program.diagnostics.fatal(e.location, str(problem)) from None

    def static_int(self, e: ast.Expression, what: str) -> int:
        value = self.static(e)
        if isinstance(value, values.MemberValue):
            value = value.number
        if not isinstance(value, int):
            raise self._u.program.diagnostics.fatal(e.location, f"{what} is not known")
        return int(value)

    def constant(
        self, value: values.Value, type_: t.Type, location: Location
    ) -> ir.Expression | None:
        """A scalar constant of the type, None for aggregates."""
        if isinstance(value, str):
            return ir.StringConst(value, location=location)
        if isinstance(value, values.MemberValue):
            return ir.Const(value.number, self._u.type(value.type), location)
        if not isinstance(value, int):
            return None
        inner = t.resolve_new(t.substitute(type_, self._u.bindings))
        if isinstance(inner, t.Int):
            # Left for shift amounts, indices and extern arguments: as wide as it must be.
            signed = value < 0
            width = max(32, value.bit_length() + signed)
            return ir.Const(value, ir.BitsType(width, signed), location)
        if isinstance(inner, t.Bits | t.Enum) or inner == t.BOOL:
            return ir.Const(int(value), self._u.type(inner), location)
        return None

    def aggregate(
        self, value: values.Value, type_: t.Type, location: Location
    ) -> ir.Expression | None:
        """A constant of any type, structs and tuples included; None for what cannot be one."""
        constant = self.constant(value, type_, location)
        if constant is not None:
            return constant
        inner = t.resolve_new(t.substitute(type_, self._u.bindings))
        given: object = value
        if isinstance(inner, t.Struct) and inner.kind != "header_union":
            types = [field for _, field in inner.fields()]
            if isinstance(value, dict):
                given = tuple(value[name] for name, _ in inner.fields())
        elif isinstance(inner, t.Tuple):
            types = list(inner.items)
        else:
            return None
        if not isinstance(given, tuple) or len(given) != len(types):
            return None
        parts = [self.aggregate(v, p, location) for v, p in zip(given, types, strict=True)]
        if any(p is None for p in parts):
            return None
        made = tuple(p for p in parts if p is not None)
        return ir.StructValue(made, self._u.type(inner), location)

    # ---------------------------------------------------------------------------- ordering

    def sequence(self, expressions: Sequence[ast.Expression]) -> list[ir.Expression]:
        """Lower in order; a value that a later one's effects could change is saved first."""
        lowered: list[ir.Expression] = []
        marks: list[int] = []
        for e in expressions:
            lowered.append(self.lower(e))
            marks.append(len(self._u.out))
        for i in range(len(lowered) - 2, -1, -1):
            if marks[i] != len(self._u.out) and not isinstance(lowered[i], ir.Const):
                lowered[i] = self.save_at(marks[i], lowered[i], expressions[i].location)
        return lowered

    def save_at(self, mark: int, value: ir.Expression, location: Location) -> ir.Expression:
        if not build.reads(value):
            return value
        with self._u.block() as saved:
            result = self._u.save(value, location)
        self._u.out[mark:mark] = saved
        return result

    # ------------------------------------------------------------------------------- lower

    def lower(self, e: ast.Expression) -> ir.Expression:
        """The value of the expression; statements for its effects go to the unit first."""
        if e in self.known:
            return self.known[e]
        if e.is_static or e.value is not None:
            value = self.static(e)
            if value is not None:
                constant = self.constant(value, e.type, e.location)
                if constant is not None:
                    return constant
        match e:
            case ast.Name():
                return self._name(e)
            case ast.Member():
                return self._member(e)
            case ast.Index():
                return self._index(e)
            case ast.Slice():
                return self._slice(e)
            case ast.Call():
                return self._u.calls.value(e)
            case ast.Binary():
                return self._binary(e)
            case ast.Unary():
                operand = self.lower(e.operand)
                if e.op == "+":
                    return operand
                return build.unary(_UNARY[e.op], operand, e.location)
            case ast.Ternary():
                return self._ternary(e)
            case ast.Cast(operand=operand) | ast.ImplicitCast(operand=operand):
                return self._cast(e, operand)
            case ast.ListExpression():
                return self._list(e)
            case ast.StructExpression():
                return self._record(e)
        raise AssertionError(f"{e.location}: {type(e).__name__} has no value")

    def _name(self, e: ast.Name) -> ir.Expression:
        target = e.target
        if isinstance(target, ast.Constant):
            return self.lower(target.initializer)
        meaning = self._u.environment.get(target)
        if isinstance(meaning, ir.ExternInstance):
            return ir.InstanceRef(meaning, self._u.type(e.type), e.location)
        if isinstance(meaning, ast.Expression):  # a constructor argument that is no plain value
            return self.lower(meaning)
        if isinstance(meaning, tuple | dict):
            made = self.aggregate(meaning, e.type, e.location)
            if made is not None:
                return made
        if not isinstance(meaning, ir.Variable):
            raise self._u.program.diagnostics.fatal(
                e.location, f"'{e.name}' is an object; passing it at run time is not supported"
            )
        return ir.VarRef(meaning, meaning.type, e.location)

    def _member(self, e: ast.Member) -> ir.Expression:
        if isinstance(e.base.type, t.ApplyResult):
            return self._u.calls.apply_result(e)
        if isinstance(e.base.type, t.Stack):
            return self._stack_member(e)
        return build.member(self.lower(e.base), e.name, e.location)

    def _stack_member(self, e: ast.Member) -> ir.Expression:
        stack = self.lower(e.base)
        next_index = ir.NextIndex(stack, location=e.location)
        one = ir.Const(1, ir.BIT32, e.location)
        last = build.binary(ir.BinaryOp.SUB, next_index, one, e.location)
        if e.name == "lastIndex":
            return last
        assert isinstance(stack.type, ir.StackType)
        if e.name == "next":
            bound: ir.Expression = ir.Const(stack.type.size, ir.BIT32, e.location)
            check = build.binary(ir.BinaryOp.LT, next_index, bound, e.location)
            index: ir.Expression = next_index
            self.used_next.append(stack)
        else:
            bound = ir.Const(0, ir.BIT32, e.location)
            check = build.binary(ir.BinaryOp.NE, next_index, bound, e.location)
            index = last
        error = self._u.program.error("StackOutOfBounds", e.location)
        self._u.emit(ir.Verify(check, error, e.location))
        return ir.Index(stack, index, stack.type.element, e.location)

    def _index(self, e: ast.Index) -> ir.Expression:
        if isinstance(e.base.type, t.Stack):
            stack = self.lower(e.base)  # names storage: what the index does is seen through it
            index = self.lower(e.index)
            if isinstance(index, ir.Const):
                return build.element(stack, index.value, e.location)
            if isinstance(index.type, ir.EnumType) and index.type.underlying is not None:
                index = build.cast(index, index.type.underlying, e.location)
            if isinstance(index.type, ir.BitsType):  # a negative index is one out of range
                index = build.cast(index, ir.BitsType(index.type.width), e.location)
            assert isinstance(stack.type, ir.StackType)
            return ir.Index(stack, index, stack.type.element, e.location)
        position = self.static_int(e.index, "the index")
        if isinstance(e.base.type, t.List):
            return self.lower(self._list_item(e.base, position, e.location))
        return build.member(self.lower(e.base), f"f{position}", e.location)

    def _list_item(self, e: ast.Expression, index: int, location: Location) -> ast.Expression:
        while isinstance(e, ast.Name) and isinstance(e.target, ast.Constant):
            e = e.target.initializer
        if isinstance(e, ast.ListExpression) and index < len(e.items):
            return e.items[index]
        raise self._u.program.diagnostics.fatal(location, f"the list has no element {index}")

    def _slice(self, e: ast.Slice) -> ir.Expression:
        if e.plus and self.static(e.high) is None:
            # base[low +: width] with low known at run time only: (base >> low)[width-1:0]
            base, low = self.sequence([e.base, e.high])
            width = self.static_int(e.low, "the width of the slice")
            shifted = build.binary(ir.BinaryOp.SHR, base, low, e.location)
            return build.slice_of(shifted, width - 1, 0, e.location)
        base = self.lower(e.base)
        if isinstance(base.type, ir.EnumType) and base.type.underlying is not None:
            base = build.cast(base, base.type.underlying, e.location)
        high, low_bound = self.slice_bounds(e)
        return build.slice_of(base, high, low_bound, e.location)

    def slice_bounds(self, e: ast.Slice) -> tuple[int, int]:
        first = self.static_int(e.high, "a slice bound")
        second = self.static_int(e.low, "a slice bound")
        return (first + second - 1, first) if e.plus else (first, second)

    # --------------------------------------------------------------------------- operators

    def _binary(self, e: ast.Binary) -> ir.Expression:
        if e.op in ("&&", "||"):
            return self._short_circuit(e)
        chain: list[ast.Binary] = [e]
        while isinstance(chain[-1].left, ast.Binary) and chain[-1].left not in self.known:
            if chain[-1].left.op in ("&&", "||"):
                break
            chain.append(chain[-1].left)
        value = self.lower(chain[-1].left)
        for part in reversed(chain):
            mark = len(self._u.out)
            right = self.lower(part.right)
            if mark != len(self._u.out):
                value = self.save_at(mark, value, part.left.location)
            value = self._combine(part, value, right)
        return value

    def _combine(self, e: ast.Binary, left: ir.Expression, right: ir.Expression) -> ir.Expression:
        if isinstance(e.left.type, t.Int):  # with a parameter of type int
            left = build.cast(left, RUNTIME_INT, e.location)
            if isinstance(e.right.type, t.Int) and e.op not in _SHIFTS:
                right = build.cast(right, RUNTIME_INT, e.location)
        if e.op in ("==", "!="):
            same = build.equal(left, right, e.location)
            return same if e.op == "==" else self._differs(same, e.location)
        if e.op in _SHIFTS and isinstance(right, ir.Const) and isinstance(right.type, ir.BitsType):
            width = max(right.type.width, 1)  # never negative, whatever its type says
            right = ir.Const(right.value, ir.BitsType(width), right.location)
        try:
            result = build.binary(_BINARY[e.op], left, right, e.location)
            divides = e.op in ("/", "%") and isinstance(result, ir.Binary)
            if divides and not isinstance(right, ir.Const):
                raise self._u.program.diagnostics.fatal(
                    e.right.location, f"the right side of '{e.op}' must be a constant"
                )
            return result
        except ArithmeticError as problem:
            raise self._u.program.diagnostics.fatal(e.location, str(problem)) from None

    @staticmethod
    def _differs(same: ir.Expression, location: Location) -> ir.Expression:
        if isinstance(same, ir.Binary) and same.op is ir.BinaryOp.EQ:
            return build.binary(ir.BinaryOp.NE, same.left, same.right, location)
        return build.negate(same, location)

    def _short_circuit(self, e: ast.Binary) -> ir.Expression:
        left = self.lower(e.left)
        if isinstance(left, ir.Const) and bool(left.value) == (e.op == "||"):
            return left
        with self._u.block() as effects:
            right = self.lower(e.right)
        if not effects:
            return build.binary(_BINARY[e.op], left, right, e.location)
        result = self._u.temporary(ir.BOOL, e.location)
        self._u.assign(result, left, e.location)
        branch = (*effects, ir.Assign(result, right, e.location))
        condition = result if e.op == "&&" else build.negate(result, e.location)
        self._u.emit(ir.If(condition, branch, (), e.location))
        return result

    def _ternary(self, e: ast.Ternary) -> ir.Expression:
        condition = self.lower(e.condition)
        if isinstance(condition, ir.Const):
            return self.lower(e.then if condition.value else e.otherwise)
        with self._u.block() as then_effects:
            then = self.lower(e.then)
        with self._u.block() as else_effects:
            otherwise = self.lower(e.otherwise)
        aggregate = not isinstance(
            then.type, ir.BitsType | ir.BoolType | ir.EnumType | ir.ErrorType
        )
        if not then_effects and not else_effects and not aggregate:
            return ir.Mux(condition, then, otherwise, then.type, e.location)
        result = self._u.temporary(then.type, e.location)
        self._u.emit(
            ir.If(
                condition,
                (*then_effects, ir.Assign(result, then, e.location)),
                (*else_effects, ir.Assign(result, otherwise, e.location)),
                e.location,
            )
        )
        return result

    def _cast(self, e: ast.Expression, operand: ast.Expression) -> ir.Expression:
        target = self._u.type(e.type)
        if isinstance(operand.type, t.Dots | t.InvalidHeader):
            return build.zero(target, e.location)
        if isinstance(operand.type, t.Int):
            value = self.static(operand)
            constant = None if value is None else self.constant(value, e.type, e.location)
            if constant is None:  # a parameter of type int
                constant = self.lower(operand)
            return build.cast(constant, target, e.location)
        return build.cast(self.lower(operand), target, e.location)

    # -------------------------------------------------------------------------- aggregates

    def _list(self, e: ast.ListExpression) -> ir.Expression:
        type_ = self._u.type(e.type)
        items = e.items
        open_ended = bool(items) and isinstance(items[-1], ast.Dots)
        parts = self.sequence(items[:-1] if open_ended else items)
        if isinstance(type_, ir.StackType):
            missing = type_.size - len(parts)
            rest = [build.zero(type_.element, e.location)] * missing
            return ir.StackValue((*parts, *rest), type_, e.location)
        assert isinstance(type_, build.Struct)
        for field in type_.fields[len(parts) :]:
            parts.append(build.zero(field.type, e.location))
        return ir.StructValue(tuple(parts), type_, e.location)

    def _record(self, e: ast.StructExpression) -> ir.Expression:
        type_ = self._u.type(e.type)
        assert isinstance(type_, build.Struct)
        lowered = self.sequence([item for _, item in e.pairs])
        given = dict(zip((name for name, _ in e.pairs), lowered, strict=True))
        parts = [
            given[f.name] if f.name in given else build.zero(f.type, e.location)
            for f in type_.fields
        ]
        return ir.StructValue(tuple(parts), type_, e.location)

    # ---------------------------------------------------------------------------- l-values

    def lvalue(self, e: ast.Expression) -> ir.LValue:
        """The storage an expression names; dynamic indices are fixed in temporaries."""
        self.used_next = []
        return self.fix(self.place(e))

    def place(self, e: ast.Expression) -> ir.LValue:
        if isinstance(e, ast.Slice):
            high, low = self.slice_bounds(e)
            result = build.slice_of(self.place(e.base), high, low, e.location)
        else:
            result = self.lower(e)
        assert isinstance(result, ir.VarRef | ir.Member | ir.Index | ir.Slice), e.location
        return result

    def fix(self, e: ir.LValue) -> ir.LValue:
        match e:
            case ir.VarRef():
                return e
            case ir.Member(base, name, type_, location):
                fixed = self.fix(base)  # type: ignore[arg-type]
                return e if fixed is base else ir.Member(fixed, name, type_, location)
            case ir.Slice(base, high, low, type_, location):
                fixed = self.fix(base)  # type: ignore[arg-type]
                return e if fixed is base else ir.Slice(fixed, high, low, type_, location)
            case ir.Index(base, index, type_, location):
                fixed = self.fix(base)  # type: ignore[arg-type]
                if not isinstance(index, ir.NextIndex):  # moves only when a statement says so
                    index = self._u.save(index, location)
                return ir.Index(fixed, index, type_, location)

    def union_members_to_clear(self, target: ir.LValue) -> list[ir.LValue]:
        """The other members of the union that the header `target` is a member of."""
        if not isinstance(target, ir.Member) or not isinstance(
            target.base.type, ir.HeaderUnionType
        ):
            return []
        others = [f for f in target.base.type.fields if f.name != target.field]
        return [ir.Member(target.base, f.name, f.type, target.location) for f in others]
