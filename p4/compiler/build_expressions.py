"""Builds the nodes of expressions and types; `build_ast.py` builds the rest on top.

One method per rule of grammar.lark, called as the rule is reduced. What the grammar lets through
and the language does not ends in `BuildError`.
"""

from __future__ import annotations

from typing import Any

from lark import Transformer, v_args

from weft.p4.compiler import ast
from weft.p4.compiler.lexer import Token
from weft.p4.compiler.source import Location

#: Precedence of binary operators, higher binds tighter (specification 1.2.5, appendix G).
PRECEDENCE: dict[str, int] = {
    "||": 1, "&&": 2, "==": 3, "!=": 3, "<": 4, ">": 4, "<=": 4, ">=": 4, "|": 5, "^": 6, "&": 7,
    "<<": 8, ">>": 8, "++": 9, "+": 9, "-": 9, "|+|": 9, "|-|": 9, "*": 10, "/": 10, "%": 10,
}  # fmt: skip

#: Longer operator chains end in a diagnostic: the passes recurse over them.
MAX_OPERANDS = 500

#: Literals beyond this many bits have no use and would only burn time.
MAX_LITERAL_DIGITS = 4000

_BASES = {"x": 16, "X": 16, "o": 8, "O": 8, "b": 2, "B": 2, "d": 10, "D": 10}


class BuildError(Exception):
    """The text fits the grammar of grammar.lark but not that of the language."""

    def __init__(self, location: Location, message: str) -> None:
        super().__init__(message)
        self.location = location
        self.message = message


def _unescape(text: str) -> str:
    return text[1:-1].replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")


def parse_integer(text: str) -> tuple[int, int | None, bool]:
    """(value, width or None, signed) of a literal such as `0xFF`, `8w0b1010` or `16s5`."""
    width: int | None = None
    signed = False
    digits = text
    for mark in "ws":
        head, found, tail = text.partition(mark)
        if found and head.isdigit():
            width, signed, digits = int(head), mark == "s", tail
    digits = digits.replace("_", "")
    if len(digits) > MAX_LITERAL_DIGITS:
        raise ValueError(f"a number of more than {MAX_LITERAL_DIGITS} digits")
    base = 10
    if len(digits) > 1 and digits[0] == "0" and digits[1] in _BASES:
        base, digits = _BASES[digits[1]], digits[2:]
    if not digits:
        raise ValueError("a number without digits")
    return int(digits, base), width, signed


Annotations = list[ast.Annotation] | None


@v_args(inline=True)
class ExpressionBuilder(Transformer[Any, Any]):
    """Holds no state. Parameters mirror the rule's kept symbols."""

    def name(self, token: Token) -> Token:
        return token

    def names(self, *names: Token) -> list[Token]:
        return list(names)

    # -------------------------------------------------------------------------------- types

    def void(self, token: Token) -> ast.BaseTypeRef:
        return ast.BaseTypeRef(token.location, "void")

    def any_type(self, token: Token) -> ast.BaseTypeRef:
        return ast.BaseTypeRef(token.location, "_")

    def type_name(self, first: Token, name: Token | None = None) -> ast.NamedTypeRef:
        return ast.NamedTypeRef(first.location, (name or first).text, name is not None)

    def specialized_type(
        self, base: ast.NamedTypeRef, *arguments: ast.TypeRef | None
    ) -> ast.NamedTypeRef:
        given = [a for a in arguments if a is not None]
        return ast.NamedTypeRef(base.location, base.name, base.absolute, given)

    def stack_type(
        self, element: ast.TypeRef, _open: Token, size: ast.Expression
    ) -> ast.StackTypeRef:
        return ast.StackTypeRef(element.location, element, size)

    def list_type(self, keyword: Token, element: ast.TypeRef) -> ast.ListTypeRef:
        return ast.ListTypeRef(keyword.location, element)

    def tuple_type(self, keyword: Token, *arguments: ast.TypeRef | None) -> ast.TupleTypeRef:
        return ast.TupleTypeRef(keyword.location, [a for a in arguments if a is not None])

    def base_type(self, token: Token) -> ast.BaseTypeRef:
        return ast.BaseTypeRef(token.location, token.text)

    def sized_type(self, keyword: Token, *width: Any) -> ast.BaseTypeRef:
        size = width[-1]
        if isinstance(size, Token):
            size = self.integer(size)
        return ast.BaseTypeRef(keyword.location, keyword.text, size)

    def struct(
        self,
        annotations: Annotations,
        keyword: Token,
        name: Token,
        type_parameters: list[ast.TypeParameter] | None,
        _open: Token,
        *fields: ast.Field,
    ) -> ast.Struct:
        return ast.Struct(
            keyword.location, annotations or [], name.text, name.location, keyword.text,
            type_parameters or [], list(fields),
        )  # fmt: skip

    def field(self, annotations: Annotations, type_: ast.TypeRef, name: Token) -> ast.Field:
        return ast.Field(type_.location, annotations or [], name.text, name.location, type_)

    def enum(
        self,
        annotations: Annotations,
        keyword: Token,
        name: Token,
        _open: Token,
        names: list[Token] | None,
    ) -> ast.Enum:
        members = [ast.EnumMember(n.location, [], n.text, n.location, None) for n in names or []]
        return ast.Enum(
            keyword.location, annotations or [], name.text, name.location, None, members
        )

    def serializable_enum(
        self,
        annotations: Annotations,
        keyword: Token,
        underlying: ast.TypeRef,
        name: Token,
        _open: Token,
        *members: ast.EnumMember,
    ) -> ast.Enum:
        return ast.Enum(
            keyword.location, annotations or [], name.text, name.location, underlying, list(members)
        )

    def member_value(self, name: Token, value: ast.Expression) -> ast.EnumMember:
        return ast.EnumMember(name.location, [], name.text, name.location, value)

    def errors(self, keyword: Token, _open: Token, names: list[Token]) -> ast.Errors:
        return ast.Errors(keyword.location, [(n.text, n.location) for n in names])

    def match_kinds(self, keyword: Token, _open: Token, names: list[Token]) -> ast.MatchKinds:
        return ast.MatchKinds(keyword.location, [(n.text, n.location) for n in names])

    def typedef(self, annotations: Annotations, keyword: Token, target: Any, name: Token) -> Any:
        return ast.Typedef(
            keyword.location, annotations or [], name.text, name.location, keyword.text == "type",
            target,
        )  # fmt: skip

    # -------------------------------------------------------------------------- expressions

    def arguments(self, _open: Token, *items: ast.Argument | None) -> list[ast.Argument]:
        return [a for a in items if a is not None]

    def argument(self, value: Any) -> ast.Argument:
        if isinstance(value, Token):
            return ast.Argument(value.location, None, None)
        return ast.Argument(value.location, None, value)

    def named_argument(self, name: Token, value: Any) -> ast.Argument:
        given = None if isinstance(value, Token) else value
        return ast.Argument(name.location, name.text, given)

    def expressions(self, *items: ast.Expression) -> list[ast.Expression]:
        return list(items)

    def pairs(self, *items: Any) -> tuple[list[tuple[str, ast.Expression]], Token | None]:
        return list(items[:-1]), items[-1]

    def pair(self, name: Token, value: ast.Expression) -> tuple[str, ast.Expression]:
        return name.text, value

    def type_arguments(self, *items: ast.TypeRef) -> list[ast.TypeRef]:
        return list(items)

    def ternary(
        self, condition: ast.Expression, then: ast.Expression, otherwise: ast.Expression
    ) -> ast.Ternary:
        return ast.Ternary(condition.location, condition, then, otherwise)

    def operators(self, *items: Any) -> ast.Expression:
        """Precedence climbing over operand, operator, operand, ...; all are left-associative."""
        if len(items) > 2 * MAX_OPERANDS:
            raise BuildError(items[0].location, f"more than {MAX_OPERANDS} operands in a row")
        operands: list[ast.Expression] = [items[0]]
        pending: list[str] = []

        def reduce_one() -> None:
            right, left = operands.pop(), operands.pop()
            operands.append(ast.Binary(left.location, pending.pop(), left, right))

        for position in range(1, len(items), 2):
            op = items[position].text
            while pending and PRECEDENCE[pending[-1]] >= PRECEDENCE[op]:
                reduce_one()
            pending.append(op)
            operands.append(items[position + 1])
        while pending:
            reduce_one()
        return operands[0]

    def unary(self, op: Token, operand: ast.Expression) -> ast.Unary:
        return ast.Unary(op.location, op.text, operand)

    def cast(self, opening: Token, target: ast.TypeRef, operand: ast.Expression) -> ast.Cast:
        return ast.Cast(opening.location, target, operand)

    def member(self, base: ast.Expression, _dot: Token, name: Token) -> ast.Member:
        return ast.Member(base.location, base, name.text, name.location)

    def index(self, base: ast.Expression, _open: Token, index: ast.Expression) -> ast.Index:
        return ast.Index(base.location, base, index)

    def slice(
        self, base: ast.Expression, _open: Token, high: ast.Expression, low: ast.Expression
    ) -> ast.Slice:
        return ast.Slice(base.location, base, high, low)

    def slice_plus(
        self, base: ast.Expression, _open: Token, low: ast.Expression, width: ast.Expression
    ) -> ast.Slice:
        return ast.Slice(base.location, base, low, width, plus=True)

    def call(self, callee: ast.Expression, arguments: list[ast.Argument]) -> ast.Call:
        return ast.Call(callee.location, callee, [], arguments)

    def call_with_types(
        self, callee: ast.Expression, types: list[ast.TypeRef], arguments: list[ast.Argument]
    ) -> ast.Call:
        return ast.Call(callee.location, callee, types, arguments)

    def integer(self, token: Token) -> ast.Integer:
        try:
            number, width, signed = parse_integer(token.text)
        except ValueError as problem:
            raise BuildError(token.location, f"malformed number: {problem}") from None
        return ast.Integer(token.location, number, width, signed, token.text)

    def string(self, token: Token) -> ast.String:
        return ast.String(token.location, _unescape(token.text))

    def true(self, token: Token) -> ast.Boolean:
        return ast.Boolean(token.location, True)

    def false(self, token: Token) -> ast.Boolean:
        return ast.Boolean(token.location, False)

    def this(self, token: Token) -> ast.This:
        return ast.This(token.location)

    def dots(self, token: Token) -> ast.Dots:
        return ast.Dots(token.location)

    def invalid_header(self, token: Token) -> ast.InvalidHeader:
        return ast.InvalidHeader(token.location)

    def non_type_name(self, first: Token, name: Token | None = None) -> ast.Name:
        return ast.Name(first.location, (name or first).text, name is not None)

    def parenthesized(self, _open: Token, expression: ast.Expression) -> ast.Expression:
        return expression

    def type_member(self, base: ast.TypeRef, _dot: Token, name: Token) -> ast.TypeMember:
        return ast.TypeMember(base.location, base, name.text, name.location)

    def error_member(self, keyword: Token, _dot: Token, name: Token) -> ast.TypeMember:
        base = ast.BaseTypeRef(keyword.location, "error")
        return ast.TypeMember(keyword.location, base, name.text, name.location)

    def constructor_call(
        self, target: ast.TypeRef, arguments: list[ast.Argument]
    ) -> ast.ConstructorCall:
        return ast.ConstructorCall(target.location, target, arguments)

    def list_expression(
        self, opening: Token, items: list[ast.Expression] | None
    ) -> ast.ListExpression:
        return ast.ListExpression(opening.location, items or [])

    def struct_expression(
        self,
        opening: Token,
        pairs: tuple[list[tuple[str, ast.Expression]], Token | None],
    ) -> ast.StructExpression:
        return ast.StructExpression(opening.location, pairs[0], pairs[1] is not None)
