"""Expressions, types and annotations as source text.

Parentheses stand where precedence needs them, nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence

from weft.p4.compiler import ast
from weft.p4.compiler.build_expressions import PRECEDENCE

_TERNARY, _PREFIX, _POSTFIX = 0, 20, 30


def _level(e: ast.Expression) -> int:
    match e:
        case ast.Ternary():
            return _TERNARY
        case ast.Binary():
            return PRECEDENCE[e.op]
        case ast.Unary() | ast.Cast():
            return _PREFIX
    return _POSTFIX


def _inside(e: ast.Expression, level: int) -> str:
    text = expression_text(e)
    return text if _level(e) >= level else f"({text})"


def expression_text(e: ast.Expression) -> str:
    match e:
        case ast.Integer():
            return e.text
        case ast.Boolean():
            return "true" if e.truth else "false"
        case ast.String():
            escaped = e.text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            return f'"{escaped}"'
        case ast.Name():
            return ("." if e.absolute else "") + e.name
        case ast.This():
            return "this"
        case ast.Dots():
            return "..."
        case ast.InvalidHeader():
            return "{#}"
        case ast.Default():
            return "default"
        case ast.DontCare():
            return "_"
        case ast.ImplicitCast():
            return expression_text(e.operand)
        case ast.Binary():
            return _binary(e)
        case ast.Unary():
            operand = _inside(e.operand, _PREFIX)
            # Keep `- -x` from becoming another token.
            return e.op + (f"({operand})" if operand[:1] == e.op else operand)
        case ast.Ternary():
            condition = _inside(e.condition, _TERNARY + 1)
            return f"{condition} ? {expression_text(e.then)} : {expression_text(e.otherwise)}"
        case ast.Cast():
            return f"({type_text(e.target)}){_inside(e.operand, _PREFIX)}"
        case ast.ListExpression():
            return "{ " + ", ".join(map(expression_text, e.items)) + " }" if e.items else "{}"
        case ast.StructExpression():
            pairs = [f"{name} = {expression_text(value)}" for name, value in e.pairs]
            return "{ " + ", ".join(pairs + (["..."] if e.has_dots else [])) + " }"
        case ast.Mask():
            return f"{expression_text(e.base)} &&& {expression_text(e.mask)}"
        case ast.Range():
            return f"{expression_text(e.low)} .. {expression_text(e.high)}"
        case ast.TupleKeyset():
            return "(" + ", ".join(map(expression_text, e.items)) + ")"
    return _postfix(e)


def _binary(e: ast.Binary) -> str:
    parts: list[str] = []
    node: ast.Expression = e
    level = PRECEDENCE[e.op]
    while isinstance(node, ast.Binary) and PRECEDENCE[node.op] == level:
        parts.append(f"{node.op} {_inside(node.right, level + 1)}")
        node = node.left
    return " ".join([_inside(node, level), *reversed(parts)])


def _postfix(e: ast.Expression) -> str:
    match e:
        case ast.Member():
            return f"{_inside(e.base, _POSTFIX)}.{e.name}"
        case ast.TypeMember():
            return f"{type_text(e.base)}.{e.name}"
        case ast.Index():
            return f"{_inside(e.base, _POSTFIX)}[{expression_text(e.index)}]"
        case ast.Slice():
            sign = " +: " if e.plus else ":"
            bounds = expression_text(e.high) + sign + expression_text(e.low)
            return f"{_inside(e.base, _POSTFIX)}[{bounds}]"
        case ast.Call():
            types = ", ".join(map(type_text, e.type_arguments))
            types = f"<{types}>" if types else ""
            return f"{_inside(e.callee, _POSTFIX)}{types}{arguments_text(e.arguments)}"
        case ast.ConstructorCall():
            return type_text(e.target) + arguments_text(e.arguments)
    raise AssertionError(e)


def arguments_text(arguments: Sequence[ast.Argument]) -> str:
    parts: list[str] = []
    for argument in arguments:
        value = "_" if argument.value is None else expression_text(argument.value)
        parts.append(value if argument.name is None else f"{argument.name} = {value}")
    return "(" + ", ".join(parts) + ")"


def type_text(ref: ast.TypeRef) -> str:
    match ref:
        case ast.BaseTypeRef():
            if ref.width is None:
                return ref.kind
            width = expression_text(ref.width)
            return f"{ref.kind}<{width if isinstance(ref.width, ast.Integer) else f'({width})'}>"
        case ast.NamedTypeRef():
            name = ("." if ref.absolute else "") + ref.name
            if ref.arguments is None:
                return name
            return f"{name}<{', '.join(map(type_text, ref.arguments))}>"
        case ast.StackTypeRef():
            return f"{type_text(ref.element)}[{expression_text(ref.size)}]"
        case ast.TupleTypeRef():
            return f"tuple<{', '.join(map(type_text, ref.arguments))}>"
        case ast.ListTypeRef():
            return f"list<{type_text(ref.element)}>"


def annotation_text(a: ast.Annotation) -> str:
    if a.tokens is not None:
        return f"@{a.name}({' '.join(a.tokens)})"
    if a.items is not None:
        return f"@{a.name}[{', '.join(map(expression_text, a.items))}]"
    if a.pairs is not None:
        pairs = ", ".join(f"{name} = {expression_text(value)}" for name, value in a.pairs)
        return f"@{a.name}[{pairs}]"
    return f"@{a.name}"
