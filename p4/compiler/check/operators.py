"""Unary and binary operators, `?:` and casts (specification 1.2.5, sections 8.5 to 8.11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.p4.compiler import ast, values
from weft.p4.compiler import types as t
from weft.p4.compiler.check.conversions import convert, why_not

if TYPE_CHECKING:
    from weft.p4.compiler.check.checker import Checker

_ARITHMETIC = ("+", "-", "*")
_SATURATING = ("|+|", "|-|")
_DIVISION = ("/", "%")
_BITWISE = ("&", "|", "^")
_SHIFTS = ("<<", ">>")
_ORDER = ("<", "<=", ">", ">=")
_EQUALITY = ("==", "!=")
_LOGICAL = ("&&", "||")


class OperatorChecker:
    def __init__(self, checker: Checker) -> None:
        self._c = checker

    # ------------------------------------------------------------------------------- unary

    def unary(self, e: ast.Unary) -> ast.Expression:
        e.operand = operand = self._numeric_enum(self._c.expressions.check(e.operand))
        type_ = operand.type
        e.type, e.is_static = type_, operand.is_static
        if isinstance(type_, t.Unknown):
            return e
        good = {
            "!": type_ == t.BOOL,
            "~": isinstance(type_, t.Bits),
            "-": isinstance(type_, t.Bits | t.Int),
            "+": isinstance(type_, t.Bits | t.Int),
        }[e.op]
        if not good:
            return self._bad_operand(e, e.op, type_, operand)
        if operand.value is not None:
            e.value = values.unary(e.op, operand.value, type_)
        return e

    # ------------------------------------------------------------------------------ binary

    def binary(self, e: ast.Binary) -> ast.Expression:
        # Left-leaning chains are walked with a loop: they may be long.
        chain: list[ast.Binary] = []
        node: ast.Expression = e
        while isinstance(node, ast.Binary):
            chain.append(node)
            node = node.left
        left = self._c.expressions.check(node)
        for part in reversed(chain):
            part.left = left
            part.right = self._c.expressions.check(part.right)
            left = self._combine(part)
        return left

    def _combine(self, e: ast.Binary) -> ast.Expression:
        e.is_static = e.left.is_static and e.right.is_static
        e.type = t.UNKNOWN
        if isinstance(e.left.type, t.Unknown) or isinstance(e.right.type, t.Unknown):
            if e.op in (*_ORDER, *_EQUALITY, *_LOGICAL):
                e.type = t.BOOL
            return e
        if e.op in _LOGICAL:
            self._logical(e)
        elif e.op in _SHIFTS:
            self._shift(e)
        elif e.op == "++":
            self._concatenation(e)
        elif e.op in _EQUALITY:
            self._equality(e)
        else:
            self._numeric(e)
        if not isinstance(e.type, t.Unknown):
            self._fold(e)
        return e

    def _fold(self, e: ast.Binary) -> None:
        left, right = e.left.value, e.right.value
        if e.op in _DIVISION and right == 0:
            self._c.error(e.right.location, "division by zero")
            return
        if left is None or right is None:
            return
        try:
            e.value = values.binary(e.op, left, right, e.left.type, e.right.type)
        except ArithmeticError as problem:
            self._c.error(e.location, str(problem))
            e.type = t.UNKNOWN

    def _logical(self, e: ast.Binary) -> None:
        for side in (e.left, e.right):
            if side.type != t.BOOL:
                self._bad_operand(e, e.op, side.type, side)
                return
        e.type = t.BOOL

    def _shift(self, e: ast.Binary) -> None:
        e.left, e.right = self._numeric_enum(e.left), self._numeric_enum(e.right)
        left, right = e.left.type, e.right.type
        if not isinstance(left, t.Bits | t.Int):
            self._bad_operand(e, e.op, left, e.left)
            return
        if isinstance(right, t.Bits) and not right.signed:
            pass
        elif not isinstance(right, t.Bits | t.Int):
            self._c.error(
                e.right.location, f"a shift amount must be unsigned (bit<W>), not {right}"
            )
            return
        elif not e.right.is_static:
            self._c.error(e.right.location, f"a shift amount of type {right} must be a constant")
            return
        elif isinstance(e.right.value, int) and e.right.value < 0:
            self._c.error(e.right.location, "a shift amount cannot be negative")
            return
        if isinstance(left, t.Int) and not e.is_static:
            self._c.error(
                e.left.location, "an int value can be shifted by constants only; give it a width"
            )
            return
        e.type = left

    def _concatenation(self, e: ast.Binary) -> None:
        e.left, e.right = self._numeric_enum(e.left), self._numeric_enum(e.right)
        left, right = e.left.type, e.right.type
        if left == t.STRING and right == t.STRING:
            e.type = t.STRING
            return
        for side in (e.left, e.right):
            if isinstance(side.type, t.Int):
                self._c.error(
                    side.location, "give this number a width: ++ joins values of known width"
                )
                return
            if not isinstance(side.type, t.Bits):
                self._bad_operand(e, "++", side.type, side)
                return
        assert isinstance(left, t.Bits) and isinstance(right, t.Bits)
        e.type = t.Bits(left.width + right.width, left.signed)

    def _equality(self, e: ast.Binary) -> None:
        for side in (e.left, e.right):
            if _has_dots(side):
                self._c.error(side.location, "'...' cannot stand in a comparison")
                return
        self._balance(e)
        left, right = e.left.type, e.right.type
        if left != right:
            self._mismatch(e)
        elif (
            isinstance(
                left,
                t.Extern
                | t.Block
                | t.Table
                | t.Set
                | t.ApplyResult
                | t.ActionList
                | t.InvalidHeader
                | t.Variable,
            )
            or left == t.VOID
        ):
            self._bad_operand(e, e.op, left, e.left)
        else:
            e.type = t.BOOL

    def _numeric(self, e: ast.Binary) -> None:
        e.left, e.right = self._numeric_enum(e.left), self._numeric_enum(e.right)
        for side in (e.left, e.right):
            negative = isinstance(side.value, int) and side.value < 0
            if e.op in _DIVISION and isinstance(side.type, t.Int) and negative:
                self._c.error(side.location, f"'{e.op}' is not defined for negative numbers")
                return
            if e.op in _BITWISE and isinstance(side.type, t.Int) and negative:
                # Section 8.9 leaves out all bitwise operators of int; masks that are written as
                # sums of literals are common, so those that cannot be misread are let through.
                self._c.error(side.location, f"'{e.op}' is not defined for negative int values")
                return
        self._balance(e)
        left, right = e.left.type, e.right.type
        for side in (e.left, e.right):
            if not isinstance(side.type, t.Bits | t.Int):
                self._bad_operand(e, e.op, side.type, side)
                return
        if left != right:
            self._mismatch(e)
            return
        if isinstance(left, t.Int) and e.op in _SATURATING:
            self._c.error(e.location, f"'{e.op}' is not defined for int; give the numbers a width")
            return
        if e.op in _DIVISION and isinstance(left, t.Bits) and left.signed:
            self._c.error(e.location, f"'{e.op}' is not defined for signed values")
            return
        e.type = t.BOOL if e.op in _ORDER else left

    # --------------------------------------------------------------------------- utilities

    def _numeric_enum(self, e: ast.Expression) -> ast.Expression:
        """A serialisable enum in arithmetic stands for its value (section 8.3)."""
        if isinstance(e.type, t.Enum) and e.type.underlying is not None:
            return convert(e, e.type.underlying, self._c.diagnostics) or e
        return e

    def _balance(self, e: ast.Binary) -> None:
        """Give one side the type of the other where an implicit cast allows it."""
        if e.left.type == e.right.type:
            return
        d = self._c.diagnostics
        right = convert(e.right, e.left.type, d)
        if right is not None:
            e.right = right
            return
        e.left = convert(e.left, e.right.type, d) or e.left

    def _mismatch(self, e: ast.Binary) -> None:
        self._c.error(
            e.location,
            f"'{e.op}' needs operands of one type, found {e.left.type} and {e.right.type}"
            + why_not(e.right.type, e.left.type),
        )

    def _bad_operand(
        self, e: ast.Expression, op: str, type_: t.Type, at: ast.Expression
    ) -> ast.Expression:
        hint = ""
        if isinstance(type_, t.New):
            hint = f"; cast it to {type_.underlying} first"
        self._c.error(at.location, f"'{op}' is not defined for {type_}{hint}")
        e.type = t.UNKNOWN
        return e

    # --------------------------------------------------------------------- ternary and cast

    def ternary(self, e: ast.Ternary) -> ast.Expression:
        e.condition = self._c.expressions.condition(e.condition, "the condition of ?:")
        e.then = self._c.expressions.check(e.then)
        e.otherwise = self._c.expressions.check(e.otherwise)
        d = self._c.diagnostics
        otherwise = convert(e.otherwise, e.then.type, d)
        if otherwise is not None:
            e.otherwise = otherwise
        else:
            e.then = convert(e.then, e.otherwise.type, d) or e.then
        e.type = e.then.type
        parts = (e.condition, e.then, e.otherwise)
        e.is_static = all(p.is_static for p in parts)
        if e.then.type != e.otherwise.type and not _unknown(e.then, e.otherwise):
            self._c.error(
                e.location,
                f"the branches of ?: have different types: {e.then.type} and {e.otherwise.type}",
            )
            e.type = t.UNKNOWN
        elif isinstance(e.type, t.Int) and not e.is_static:
            self._c.error(e.location, "give one branch of ?: a width; int is for constants only")
            e.type = t.UNKNOWN
        elif isinstance(e.type, t.Literal | t.Record) and not e.is_static:
            self._c.error(e.location, "cast the branches of ?: to a type")
            e.type = t.UNKNOWN
        if isinstance(e.condition.value, bool):
            e.value = (e.then if e.condition.value else e.otherwise).value
        return e

    def cast(self, e: ast.Cast) -> ast.Expression:
        target = self._c.types.resolve(e.target, infer=True)
        e.operand = operand = self._c.expressions.check(e.operand)
        e.type, e.is_static = target, operand.is_static
        if isinstance(target, t.Unknown) or isinstance(operand.type, t.Unknown):
            return e
        if (
            isinstance(target, t.Struct)
            and target.declaration.type_parameters
            and not target.arguments
        ):
            target = self._c.calls.infer_struct(target, operand)
            e.type = target
        if isinstance(target, t.Struct | t.Stack | t.Tuple) and operand.type == target:
            self._c.error(e.location, f"{target} is cast from lists of values only")
            return e
        problems = len(self._c.diagnostics.messages)
        converted = convert(operand, target, self._c.diagnostics)
        del self._c.diagnostics.messages[problems:]  # an explicit cast may truncate silently
        if converted is not None:
            e.operand, e.value = converted, converted.value
            return e
        if not _castable(operand, target):
            self._c.error(e.location, f"cannot cast {operand.type} to {target}")
            e.type = t.UNKNOWN
            return e
        if isinstance(target, t.Int) and not operand.is_static:
            self._c.error(e.location, "only compile-time constants can be cast to int")
            e.type = t.UNKNOWN
        if operand.value is not None:
            e.value = values.cast(operand.value, operand.type, target)
        return e


def _has_dots(e: ast.Expression) -> bool:
    match e:
        case ast.Dots():
            return True
        case ast.ListExpression(items=items):
            return any(_has_dots(i) for i in items)
        case ast.StructExpression(pairs=pairs):
            return e.has_dots or any(_has_dots(i) for _, i in pairs)
    return False


def _unknown(*parts: ast.Expression) -> bool:
    return any(isinstance(p.type, t.Unknown) for p in parts)


def _castable(operand: ast.Expression, target: t.Type) -> bool:
    """Explicit casts (section 8.11.1), implicit ones excluded."""
    source = operand.type
    if isinstance(source, t.New) or isinstance(target, t.New):
        return _new_castable(operand, source, target)
    match source, target:
        case t.Bits(a, False), t.Bits(b, False):
            return True
        case t.Bits(a, True), t.Bits(b, True):
            return True
        case t.Bits(a, _), t.Bits(b, _):
            return a == b
        case t.Bits(1, False), t.Simple("bool"):
            return True
        case t.Simple("bool"), t.Bits(1, False):
            return True
        case t.Int(), t.Simple("bool"):
            return operand.value in (0, 1)
        case t.Simple("bool"), t.Int():
            return True
        case t.Bits(), t.Int():
            return True
        case t.Int() | t.Bits(_, _), t.Enum(_, underlying):
            return underlying is not None and (
                isinstance(source, t.Int) or source == underlying or not underlying.signed
            )
        case t.Enum(_, underlying), t.Bits():
            return underlying is not None and underlying.signed == target.signed
        case t.Enum(_, underlying), t.Int() | t.Enum():
            return underlying is not None
    return False


def _new_castable(operand: ast.Expression, source: t.Type, target: t.Type) -> bool:
    """A `type` casts to and from what it is made of; numbers cast to it directly."""
    if isinstance(source, t.New) and isinstance(target, t.New):
        return source.underlying == target or target.underlying == source
    if isinstance(target, t.New):
        inner = t.resolve_new(target)
        return (
            source == target.underlying
            or source == inner
            or (isinstance(source, t.Int) and isinstance(inner, t.Bits))
        )
    assert isinstance(source, t.New)
    inner = t.resolve_new(source)
    if target in (source.underlying, inner):
        return True
    return isinstance(inner, t.Bits) and isinstance(target, t.Int) and operand.is_static
