"""Value of a preprocessor condition: the integer expression after `#if`, macros already expanded.

Precedence climbing over C's operators; an unknown word is 0, as in C.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_TOKEN = re.compile(r"\s*(0[xX][0-9a-fA-F_]+|0[bB][01_]+|\d[\d_]*|\w+|[<>=!]=|<<|>>|&&|\|\||\S)")

_LEVELS: dict[str, int] = {
    "||": 1, "&&": 2, "|": 3, "^": 4, "&": 5, "==": 6, "!=": 6, "<": 7, ">": 7, "<=": 7, ">=": 7,
    "<<": 8, ">>": 8, "+": 9, "-": 9, "*": 10, "/": 10, "%": 10,
}  # fmt: skip

_OPERATORS: dict[str, Callable[[int, int], int]] = {
    "||": lambda a, b: int(bool(a or b)),
    "&&": lambda a, b: int(bool(a and b)),
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
    "&": lambda a, b: a & b,
    "==": lambda a, b: int(a == b),
    "!=": lambda a, b: int(a != b),
    "<": lambda a, b: int(a < b),
    ">": lambda a, b: int(a > b),
    "<=": lambda a, b: int(a <= b),
    ">=": lambda a, b: int(a >= b),
    "<<": lambda a, b: a << min(b, 64) if b >= 0 else 0,
    ">>": lambda a, b: a >> b if b >= 0 else 0,
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
}


class ConditionError(ValueError):
    """The text is not an integer expression."""


def evaluate(text: str) -> int:
    """The condition's value; raises `ConditionError` when it is malformed."""
    tokens = _TOKEN.findall(text)
    if not tokens:
        raise ConditionError("no expression")
    if len(tokens) > 1000:
        raise ConditionError("the expression is too long")
    value, position = _binary(tokens, 0, 1)
    if position != len(tokens):
        raise ConditionError(f"unexpected {tokens[position]!r}")
    return value


def _binary(tokens: list[str], position: int, level: int) -> tuple[int, int]:
    left, position = _unary(tokens, position)
    while position < len(tokens):
        operator = tokens[position]
        if operator == "?" and level == 1:
            then, position = _binary(tokens, position + 1, 1)
            if position >= len(tokens) or tokens[position] != ":":
                raise ConditionError("? without :")
            otherwise, position = _binary(tokens, position + 1, 1)
            return (then if left else otherwise), position
        if _LEVELS.get(operator, 0) < level:
            break
        right, position = _binary(tokens, position + 1, _LEVELS[operator] + 1)
        if operator in "/%":
            if right == 0:
                raise ConditionError("division by zero")
            left = left // right if operator == "/" else left % right
        else:
            left = _OPERATORS[operator](left, right)
    return left, position


def _unary(tokens: list[str], position: int) -> tuple[int, int]:
    if position >= len(tokens):
        raise ConditionError("the expression ends too early")
    token = tokens[position]
    if token in ("!", "-", "+", "~"):
        value, position = _unary(tokens, position + 1)
        return {"!": int(not value), "-": -value, "+": value, "~": ~value}[token], position
    if token == "(":
        value, position = _binary(tokens, position + 1, 1)
        if position >= len(tokens) or tokens[position] != ")":
            raise ConditionError("missing )")
        return value, position + 1
    if token[0].isdigit():
        try:
            return int(token.rstrip("uUlL").replace("_", ""), 0), position + 1
        except ValueError:
            raise ConditionError(f"{token!r} is not a number") from None
    if token[0].isalpha() or token[0] == "_":
        return 0, position + 1
    raise ConditionError(f"unexpected {token!r}")
