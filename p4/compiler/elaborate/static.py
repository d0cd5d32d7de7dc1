"""Compile-time values that depend on constructor arguments: known once an instance is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weft.p4.compiler import ast, values

if TYPE_CHECKING:
    from weft.p4.compiler.elaborate.unit import Environment


class StaticEvaluator:
    """Evaluates what the checker marked static but could not compute yet."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment

    def value(self, e: ast.Expression) -> values.Value | None:
        """None when the expression has no compile-time value (or is an object)."""
        if e.value is not None:
            return e.value
        if not e.is_static:
            return None
        match e:
            case ast.Name():
                return self._name(e)
            case ast.Unary():
                operand = self.value(e.operand)
                return None if operand is None else values.unary(e.op, operand, e.type)
            case ast.Binary():
                left, right = self.value(e.left), self.value(e.right)
                if left is None or right is None:
                    return None
                return values.binary(e.op, left, right, e.left.type, e.right.type)
            case ast.Ternary():
                condition = self.value(e.condition)
                return self.value(e.then if condition else e.otherwise)
            case ast.Cast(operand=operand) | ast.ImplicitCast(operand=operand):
                inner = self.value(operand)
                return None if inner is None else values.cast(inner, operand.type, e.type)
            case ast.ListExpression():
                items = [self.value(i) for i in e.items]
                return None if None in items else tuple(i for i in items if i is not None)
            case ast.StructExpression() if not e.has_dots:
                return self._record(e)
            case ast.Member():
                base = self.value(e.base)
                return base.get(e.name) if isinstance(base, dict) else None
            case ast.Index():
                base, index = self.value(e.base), self.value(e.index)
                if isinstance(base, tuple) and isinstance(index, int) and index < len(base):
                    return base[index]
        return None

    def _name(self, e: ast.Name) -> values.Value | None:
        if isinstance(e.target, ast.Constant):
            return self.value(e.target.initializer)
        meaning = self.environment.get(e.target)
        if isinstance(meaning, ast.Expression):
            return self.value(meaning)
        if isinstance(meaning, int | bool | str | values.MemberValue | tuple | dict):
            return meaning
        return None

    def _record(self, e: ast.StructExpression) -> values.Value | None:
        result: dict[str, values.Value] = {}
        for name, item in e.pairs:
            value = self.value(item)
            if value is None:
                return None
            result[name] = value
        return result
